//! Whether the store's tables agree: the log says what happened, and everything else must be what follows from it.
//!
//! Each seq is judged by itself, with what stands under its id and its message's: so a store of any size is walked page
//! by page.

mod merge;

use std::fmt;

use schema::{
    clock::Timestamp,
    envelope::{Body, Kind},
    id::{MessageId, RoomId, UserId},
};
use serde_json::Value;

use crate::{
    Entry, LogRow,
    item::Item,
    standing::{Change, Standing, Target},
};

pub(crate) use merge::merge;

/// Some seqs of the store, each with everything that its tables say of it.
#[derive(Clone, Debug, Default)]
pub struct AuditPage {
    /// Ascending in seq within a room; a room's seqs stand together.
    pub rows: Vec<Audited>,
    /// Where the next page begins; none = this was the last.
    pub next: Option<(RoomId, u64)>,
}

/// A seq of a room, and everything that the store's tables say of it.
#[derive(Clone, Debug)]
pub struct Audited {
    /// The room.
    pub room_id: RoomId,
    /// The seq.
    pub seq: u64,
    /// What the log has there.
    pub row: Option<LogRow>,
    /// What history shows there.
    pub(crate) item: Option<Item>,
    /// Where the id of the row stands.
    pub(crate) place: Option<IdPlace>,
    /// What is kept as done to the message that stands there.
    pub(crate) changes: Vec<AuditedChange>,
    /// What is kept as reactions to it.
    pub(crate) reactions: Vec<AuditedReaction>,
    /// How the message that this row changes keeps it.
    pub(crate) kept: Option<Kept>,
    /// Tables that are kept beside history and do not say what follows from it.
    pub(crate) beside: Vec<Fault>,
}

/// Where an id stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdPlace {
    pub(crate) room_id: RoomId,
    pub(crate) seq: u64,
    pub(crate) sender: Option<UserId>,
}

/// An edit or deletion as its message keeps it.
#[derive(Clone, Debug)]
pub(crate) struct AuditedChange {
    pub(crate) change: Change,
    pub(crate) is_refused: bool,
    /// Whether the log has it.
    pub(crate) is_logged: bool,
}

/// A reaction as its message keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditedReaction {
    pub(crate) seq: u64,
    pub(crate) emoji: String,
    pub(crate) is_added: bool,
    /// Whether the log has it.
    pub(crate) is_logged: bool,
}

/// What a message keeps of one row that changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Of an edit its text; none of a deletion, and once it was blanked.
    Change(Option<String>),
    /// Of a reaction what it says.
    Reaction(String, bool),
}

/// Ids, and what the log has where they stand.
#[derive(Clone, Debug, Default)]
pub struct IdPage {
    /// In the store's own order.
    pub ids: Vec<AuditedId>,
    /// The last id that was looked at; none = there are no more.
    pub next: Option<MessageId>,
}

/// An id, and what the log has where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditedId {
    /// The id.
    pub id: MessageId,
    /// The room it stands in.
    pub room_id: RoomId,
    /// Where it stands there.
    pub seq: u64,
    /// When the log stored it there.
    pub created_at: Timestamp,
    /// What kind of frame it is.
    pub kind: Kind,
    pub(crate) logged: Logged,
}

/// What the log has at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logged {
    /// This very id.
    Own,
    /// A skip.
    Skip,
    /// Another id.
    Other,
    /// Nothing at all.
    Nothing,
}

/// How far somebody has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkRow {
    /// The room.
    pub room_id: RoomId,
    /// Who.
    pub user_id: UserId,
    /// Up to which seq.
    pub seq: u64,
}

/// What is wrong with one seq or id of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The log's row does not say what its own columns say.
    LogRowBroken,
    /// The log has a message that history does not show.
    ItemMissing,
    /// History shows what the log does not have.
    ItemExtra,
    /// History shows a message otherwise than the log and its changes make it; this column differs.
    ItemDiffers(&'static str),
    /// The id of what stands in the log is not known.
    IdMissing,
    /// The id of what stands in the log is said to stand elsewhere.
    IdElsewhere,
    /// An id is said to stand where the log does not have it.
    IdWithoutLog,
    /// An edit or deletion stands in the log, and its message does not know of it.
    ChangeMissing,
    /// A message was changed by what does not stand in the log.
    ChangeExtra,
    /// A reaction stands in the log, and its message does not know of it.
    ReactionMissing,
    /// A message has a reaction that does not stand in the log.
    ReactionExtra,
    /// A message has reactions that history does not show.
    ReactionsHidden,
    /// What a deleted message said is still in the log.
    TextLeft,
    /// What a message says is gone although nobody deleted it.
    TextGone,
    /// A message is not in the list of what its author wrote.
    Unlisted,
    /// The room's newest activity is said to be below it.
    HeadBehind,
}

impl Fault {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LogRowBroken => "log_row_broken",
            Self::ItemMissing => "item_missing",
            Self::ItemExtra => "item_extra",
            Self::ItemDiffers(_) => "item_differs",
            Self::IdMissing => "id_missing",
            Self::IdElsewhere => "id_elsewhere",
            Self::IdWithoutLog => "id_without_log",
            Self::ChangeMissing => "change_missing",
            Self::ChangeExtra => "change_extra",
            Self::ReactionMissing => "reaction_missing",
            Self::ReactionExtra => "reaction_extra",
            Self::ReactionsHidden => "reactions_hidden",
            Self::TextLeft => "deleted_text_left",
            Self::TextGone => "text_gone",
            Self::Unlisted => "unlisted",
            Self::HeadBehind => "head_behind",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ItemDiffers(column) => write!(f, "{} in {column}", self.as_str()),
            _ => f.write_str(self.as_str()),
        }
    }
}

impl AuditedId {
    /// What is wrong with it.
    pub const fn fault(&self) -> Option<Fault> {
        match (self.logged, self.kind) {
            (Logged::Own, _) | (Logged::Skip, Kind::MessageUpdated | Kind::MessageDeleted | Kind::Reaction) => None,
            (Logged::Skip, Kind::Message | Kind::System) | (Logged::Other | Logged::Nothing, _) => {
                Some(Fault::IdWithoutLog)
            }
        }
    }
}

impl Audited {
    /// Everything that is wrong with it.
    pub fn faults(&self) -> Vec<Fault> {
        let extra = || self.item.iter().map(|_| Fault::ItemExtra).collect();
        let Some(LogRow { kind: Some(kind), body, id, .. }) = &self.row else { return extra() };
        let said = body.as_deref().and_then(Said::read);
        let Some(said) = said.filter(|said| said.fits(self.room_id, *kind, *id)) else {
            return vec![Fault::LogRowBroken];
        };
        let mut faults = self.beside.clone();
        match self.place {
            None => faults.push(Fault::IdMissing),
            Some(place) if (place.room_id, place.seq) != (self.room_id, self.seq) => faults.push(Fault::IdElsewhere),
            Some(_) => {}
        }
        match kind {
            Kind::Message | Kind::System => self.judge_item(&said, &mut faults),
            Kind::MessageUpdated | Kind::MessageDeleted | Kind::Reaction => {
                faults.extend(extra());
                faults.extend(self.judge_kept(&said));
            }
        }
        faults
    }

    fn judge_item(&self, said: &Said, faults: &mut Vec<Fault>) {
        let standing: Vec<_> = self.changes.iter().filter(|kept| !kept.is_refused).collect();
        if standing.iter().any(|kept| !kept.is_logged) {
            faults.push(Fault::ChangeExtra);
        }
        if self.reactions.iter().any(|reaction| !reaction.is_logged) {
            faults.push(Fault::ReactionExtra);
        }
        let Some(item) = &self.item else {
            faults.push(Fault::ItemMissing);
            return;
        };
        if self.reactions.iter().any(|reaction| reaction.is_logged) && !item.has_reactions {
            faults.push(Fault::ReactionsHidden);
        }
        // Who sent it is known by its id alone; that it is missing was said.
        let Some((row, place)) = self.row.as_ref().zip(self.place) else { return };
        let (room_id, seq, sender) = (self.room_id, self.seq, place.sender);
        let (logged_at, raw, body) = (row.created_at, bytes::Bytes::new(), said.body.clone());
        let Some(mut expected) = Item::of(&Entry { room_id, seq, logged_at, sender, is_moderator: false, raw, body })
        else {
            return;
        };
        if expected.kind == Kind::Message {
            let target = Target { room_id, seq, kind: Kind::Message, sender };
            let changes: Vec<Change> = standing.iter().map(|kept| kept.change.clone()).collect();
            let Standing { edit, deleted_seq } = Standing::of(&target, &changes);
            match (deleted_seq.is_some(), said.is_erased) {
                (true, false) => faults.push(Fault::TextLeft),
                (false, true) => faults.push(Fault::TextGone),
                (true, true) | (false, false) => {}
            }
            expected.is_deleted = deleted_seq.is_some();
            expected.edited_at = edit.map(|edit| edit.created_at);
            match (deleted_seq, edit) {
                (Some(_), _) => expected.content = None,
                (None, Some(edit)) => expected.content.clone_from(&edit.content),
                (None, None) => {}
            }
        }
        faults.extend(differences(&expected, item).map(Fault::ItemDiffers));
    }

    fn judge_kept(&self, said: &Said) -> Option<Fault> {
        match &said.body {
            Body::MessageUpdated { content, .. } => {
                let is_kept = match &self.kept {
                    Some(Kept::Change(Some(kept))) => said.is_erased || kept == content,
                    // Blanked, with its message.
                    Some(Kept::Change(None)) => said.is_erased,
                    Some(Kept::Reaction(..)) | None => false,
                };
                (!is_kept).then_some(Fault::ChangeMissing)
            }
            Body::MessageDeleted { .. } => {
                (!matches!(self.kept, Some(Kept::Change(_)))).then_some(Fault::ChangeMissing)
            }
            Body::Reaction { emoji, action, .. } => {
                let wanted = Kept::Reaction(emoji.clone(), *action == schema::envelope::ReactionAction::Added);
                (self.kept.as_ref() != Some(&wanted)).then_some(Fault::ReactionMissing)
            }
            Body::Message { .. } | Body::System { .. } => None,
        }
    }

    /// Whether what the row said was erased: then the log may have been made to forget it too.
    pub fn is_erased(&self) -> bool {
        let body = self.row.as_ref().and_then(|row| row.body.as_deref());
        body.and_then(Said::read).is_some_and(|said| said.is_erased)
    }

    /// The message that the row changes.
    pub(crate) fn target(&self) -> Option<MessageId> {
        // Most rows change nothing, and need not be read for that.
        if matches!(self.kind(), None | Some(Kind::Message | Kind::System)) {
            return None;
        }
        let said = Said::read(self.row.as_ref()?.body.as_deref()?)?;
        said.body.target()
    }
}

/// The columns in which two rows differ.
fn differences(expected: &Item, found: &Item) -> impl Iterator<Item = &'static str> {
    let columns = [
        ("kind", expected.kind == found.kind),
        ("id", expected.id == found.id),
        ("created_at", expected.created_at == found.created_at),
        ("sender", expected.sender == found.sender),
        ("sender_id", expected.sender_id == found.sender_id),
        ("sender_name", expected.sender_name == found.sender_name),
        ("temp_id", expected.temp_id == found.temp_id),
        ("content", expected.content == found.content),
        ("message_type", expected.message_type == found.message_type),
        ("reply_to_id", expected.reply_to_id == found.reply_to_id),
        ("change", expected.change == found.change),
        ("actor_id", expected.actor_id == found.actor_id),
        ("data", expected.data == found.data),
        ("edited_at", expected.edited_at == found.edited_at),
        ("deleted_seq", expected.is_deleted == found.is_deleted),
    ];
    columns.into_iter().filter_map(|(column, is_equal)| (!is_equal).then_some(column))
}

/// A stored body, which may have lost its text.
struct Said {
    body: Body,
    is_erased: bool,
}

impl Said {
    fn read(stored: &str) -> Option<Self> {
        if let Ok(body) = serde_json::from_str(stored) {
            return Some(Self { body, is_erased: false });
        }
        let mut stored: Value = serde_json::from_str(stored).ok()?;
        let content = stored.get_mut("content").filter(|content| content.is_null())?;
        *content = Value::String(String::new());
        serde_json::from_value(stored).ok().map(|body| Self { body, is_erased: true })
    }

    fn fits(&self, room: RoomId, kind: Kind, id: Option<MessageId>) -> bool {
        (self.body.room_id(), self.body.kind(), Some(self.body.id())) == (room, kind, id)
    }
}

impl Audited {
    /// The id of what stands in the log.
    pub(crate) fn id(&self) -> Option<MessageId> {
        self.row.as_ref()?.id
    }

    /// The kind of what stands in the log.
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.row.as_ref()?.kind
    }

    /// Notes what the message that it changes keeps of it.
    pub(crate) fn keep(&mut self, changes: Option<&Vec<AuditedChange>>, reactions: Option<&Vec<AuditedReaction>>) {
        let seq = self.seq;
        self.kept = if self.kind() == Some(Kind::Reaction) {
            let kept = reactions.into_iter().flatten().find(|reaction| reaction.seq == seq);
            kept.map(|reaction| Kept::Reaction(reaction.emoji.clone(), reaction.is_added))
        } else {
            let kept = changes.into_iter().flatten().find(|kept| kept.change.seq == seq && !kept.is_refused);
            kept.map(|kept| Kept::Change(kept.change.content.clone()))
        };
    }
}
