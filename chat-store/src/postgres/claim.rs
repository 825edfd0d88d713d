//! Who has an id: one row of `chat_message_ids`, which is also the lock on everything said and done under
//! that id.

use std::collections::{BTreeMap, BTreeSet};

use schema::{
    envelope::Kind,
    id::{MessageId, RoomId, UserId},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Entry, StoreError, column, standing::Target};

const TABLE: &str = "chat_message_ids";

/// A locked id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    /// Where it stands; none = a stub, something waits for it.
    pub(super) at: Option<Target>,
    /// The message it changes.
    pub(super) target_id: Option<MessageId>,
}

#[derive(sqlx::FromRow)]
struct Row {
    message_id: Uuid,
    event_id: Option<Uuid>,
    seq: Option<i64>,
    kind: Option<String>,
    sender: Option<Uuid>,
    target_id: Option<Uuid>,
}

impl Row {
    fn decode(self) -> Result<(MessageId, Claim), StoreError> {
        let id = MessageId::from_uuid(self.message_id);
        let at = match (self.event_id, self.seq, column::kind(self.kind.as_deref(), TABLE, id)?) {
            (Some(room), Some(seq), Some(kind)) => Some(Target {
                room_id: RoomId::from_uuid(room),
                seq: column::seq(seq, TABLE, id)?,
                kind,
                sender: self.sender.map(UserId::from_uuid),
            }),
            _ => None,
        };
        Ok((id, Claim { at, target_id: self.target_id.map(MessageId::from_uuid) }))
    }
}

/// Locks `ids` until the transaction ends, in their own order so that two transactions never wait for each other.
/// An id that nobody has gets a stub: a row must be there to be locked.
pub(super) async fn lock(
    tx: &mut PgConnection,
    ids: &BTreeSet<MessageId>,
) -> Result<BTreeMap<MessageId, Claim>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    sqlx::query(
        "INSERT INTO chat_message_ids (message_id) SELECT id FROM unnest($1::uuid[]) AS wanted (id) ORDER BY id
         ON CONFLICT (message_id) DO NOTHING",
    )
    .bind(&ids)
    .execute(&mut *tx)
    .await?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT message_id, event_id, seq, kind, sender, target_id FROM chat_message_ids
         WHERE message_id = ANY($1) ORDER BY message_id FOR UPDATE",
    )
    .bind(&ids)
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(Row::decode).collect()
}

/// Gives the id of `entry` to it.
pub(super) async fn take(tx: &mut PgConnection, entry: &Entry) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE chat_message_ids SET event_id = $2, seq = $3, kind = $4, sender = $5, created_at = $6, target_id = $7
         WHERE message_id = $1",
    )
    .bind(entry.body.id())
    .bind(entry.room_id)
    .bind(column::of_seq(entry.seq))
    .bind(entry.body.kind().as_str())
    .bind(entry.sender)
    .bind(entry.logged_at.as_datetime())
    .bind(entry.body.target())
    .execute(tx)
    .await?;
    Ok(())
}

/// Where the id of `entry` stands once `entry` has it.
pub(super) fn place(entry: &Entry) -> Target {
    let kind: Kind = entry.body.kind();
    Target { room_id: entry.room_id, seq: entry.seq, kind, sender: entry.sender }
}
