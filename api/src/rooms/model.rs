//! A room as its members see it.

use schema::{
    clock::Timestamp,
    frame::history::HistoryItem,
    id::{RoomId, UserId},
};
use serde::Serialize;
use sqlx::{Row as _, postgres::PgRow};
use time::OffsetDateTime;

/// What the database knows of a room.
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
#[derive(Clone, Debug, Serialize)]
pub(super) struct Room {
    pub(super) id: RoomId,
    room_type: String,
    name: String,
    description: Option<String>,
    display_mode: String,
    is_archived: bool,
    notice: Option<String>,
    created_by: UserId,
    pub(super) created_at: Timestamp,
    updated_at: Timestamp,
}

/// A room in a list: with what is new in it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    #[serde(flatten)]
    pub(super) room: Room,
    pub(super) last_message_at: Option<Timestamp>,
    pub(super) last_message: Option<HistoryItem>,
    /// Exact to 99; 100 stands for more.
    pub(super) unread_count: u32,
}

/// What a call that concerns a room needs to know of its caller's place in it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Their name as of now.
    pub(crate) display_name: String,
    /// Whether nothing more is said there.
    pub(crate) is_archived: bool,
    /// Whether its members go by aliases.
    pub(crate) is_blind: bool,
    /// What they are there.
    pub(crate) role: Role,
}

/// What somebody is in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// In it like most.
    Member,
    /// Its owner or one of its admins, or an admin who is in it: may delete there what others said.
    Moderator,
    /// An admin who is not in it; may do what a moderator may.
    Guest,
}

/// Somebody in a room, as its members see them.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Listed {
    pub(super) user_id: UserId,
    display_name: String,
    role: String,
    anonymous_name: Option<String>,
    group_label: Option<String>,
    is_muted: bool,
    pub(super) joined_at: Timestamp,
}

/// Whether somebody is there, as the frame `presence` says it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Present {
    pub(super) user_id: UserId,
    pub(super) online: bool,
    /// Null while they are there, or when it is not known.
    pub(super) last_seen_at: Option<Timestamp>,
}

/// How far somebody has read a room: the frame `read`, without its type.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Reader {
    pub(super) room_id: RoomId,
    pub(super) user_id: UserId,
    pub(super) seq: u64,
}

/// How far a member has read.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct ReadMark {
    pub(super) user_id: UserId,
    /// 0: nothing yet.
    pub(super) seq: u64,
    /// Null when they have read nothing yet.
    pub(super) read_at: Option<Timestamp>,
}

fn instant(row: &PgRow, column: &str) -> sqlx::Result<Timestamp> {
    row.try_get::<OffsetDateTime, _>(column).map(Timestamp::new)
}

impl sqlx::FromRow<'_, PgRow> for Room {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            room_type: row.try_get("room_type")?,
            name: row.try_get("name")?,
            description: row.try_get("description")?,
            display_mode: row.try_get("display_mode")?,
            is_archived: row.try_get("is_archived")?,
            notice: row.try_get("notice")?,
            created_by: row.try_get("created_by")?,
            created_at: instant(row, "created_at")?,
            updated_at: instant(row, "updated_at")?,
        })
    }
}

impl sqlx::FromRow<'_, PgRow> for Member {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            display_name: row.try_get("display_name")?,
            is_archived: row.try_get("is_archived")?,
            is_blind: row.try_get("is_blind")?,
            role: match (row.try_get("is_guest")?, row.try_get("may_moderate")?) {
                (true, _) => Role::Guest,
                (false, true) => Role::Moderator,
                (false, false) => Role::Member,
            },
        })
    }
}

impl sqlx::FromRow<'_, PgRow> for Listed {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            user_id: row.try_get("user_id")?,
            display_name: row.try_get("display_name")?,
            role: row.try_get("role")?,
            anonymous_name: row.try_get("anonymous_name")?,
            group_label: row.try_get("group_label")?,
            is_muted: row.try_get("is_muted")?,
            joined_at: instant(row, "joined_at")?,
        })
    }
}
