//! What is known under an id: who says that it stands where, and what was done to it.
//!
//! Every writer writes its own row of the partition first and reads the partition then. Of any two writers
//! at least one sees both rows, and the last one sees all: it settles what the others could not know.

use std::collections::HashMap;

use ::scylla::value::CqlTimestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use schema::{
    clock::Timestamp,
    envelope::{Body, Kind},
    id::{MessageId, RoomId, UserId},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    ScyllaStore,
    mutation::{IN_FLIGHT_MAX, Mutation, Partition},
    value::{given, timestamp},
};
use crate::{
    Entry, StoreError, column,
    standing::{Change, Target},
};

/// How many ids one request asks for: each is a partition of its own, but a request for each costs more than that.
const IDS_A_READ: usize = 32;

const TABLE: &str = "chat_message_ids";

/// A seq that says it is this id. The lowest counts.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) at: Target,
    pub(super) created_at: Timestamp,
    pub(super) target_id: Option<MessageId>,
    pub(super) said: Option<Vec<u8>>,
    pub(super) is_moderator: bool,
}

/// An edit or deletion of this id.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) id: MessageId,
    pub(super) change: Change,
}

/// Everything under one id.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Ascending in seq.
    pub(super) claims: Vec<Claim>,
    /// Without those that are void.
    pub(super) changes: Vec<Kept>,
    /// Whether some change was the second seq of its own id.
    pub(super) has_void: bool,
    pub(super) has_reactions: bool,
    /// How much this is: who knows more, knows all that this knows. The write timestamp of what follows from it.
    pub(super) knowledge: i64,
}

impl Known {
    /// Where the id stands.
    pub(super) fn first(&self) -> Option<&Claim> {
        self.claims.first()
    }

    /// Whether a change may touch what stands here. It must suit every claim, so that the answer never turns from no
    /// to yes as more becomes known.
    pub(super) fn admits(&self, kind: Kind, room: RoomId, sender: Option<UserId>, is_moderator: bool) -> bool {
        self.claims.iter().all(|claim| claim.at.admits(kind, room, sender, is_moderator))
    }
}

#[derive(::scylla::DeserializeRow)]
struct Row {
    message_id: Uuid,
    seq: Option<i64>,
    change_id: Option<Uuid>,
    event_id: Option<Uuid>,
    kind: Option<String>,
    sender: Option<Uuid>,
    created_at: Option<CqlTimestamp>,
    target_id: Option<Uuid>,
    said: Option<Vec<u8>>,
    content: Option<String>,
    is_void: Option<bool>,
    has_reactions: Option<bool>,
    is_moderator: Option<bool>,
}

impl ScyllaStore {
    /// Reads what is known under each of `ids`.
    pub(super) async fn known(
        &self,
        ids: impl IntoIterator<Item = MessageId>,
    ) -> Result<HashMap<MessageId, Known>, StoreError> {
        let mut known: HashMap<MessageId, Known> = ids.into_iter().map(|id| (id, Known::default())).collect();
        let ids: Vec<Uuid> = known.keys().map(|id| id.as_uuid()).collect();
        let reads = ids.chunks(IDS_A_READ).map(|ids| self.rows::<Row>(&self.statements.claims, (ids,)));
        let answers: Vec<Vec<Row>> =
            stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(IN_FLIGHT_MAX).try_collect().await?;
        for row in answers.into_iter().flatten() {
            let id = MessageId::from_uuid(row.message_id);
            known.entry(id).or_default().add(id, row)?;
        }
        Ok(known)
    }
}

impl Known {
    /// Adds a row of the partition; rows come ascending in seq.
    fn add(&mut self, id: MessageId, row: Row) -> Result<(), StoreError> {
        let is_void = row.is_void == Some(true);
        self.has_reactions |= row.has_reactions == Some(true);
        self.has_void |= is_void;
        self.knowledge += i64::from(is_void);
        // Without them it is no row yet: only a mark upon a row that is still to come.
        let (Some(seq), Some(room), Some(created_at)) = (row.seq, row.event_id, row.created_at) else { return Ok(()) };
        self.knowledge += 1;
        let at = Target {
            room_id: RoomId::from_uuid(room),
            seq: column::seq(seq, TABLE, id)?,
            kind: column::kind(row.kind.as_deref(), TABLE, id)?.ok_or_else(|| column::corrupt(TABLE, "kind", id))?,
            sender: row.sender.map(UserId::from_uuid),
        };
        let created_at = timestamp(created_at, TABLE, id)?;
        let is_moderator = row.is_moderator == Some(true);
        match row.change_id {
            None => self.claims.push(Claim {
                at,
                created_at,
                target_id: row.target_id.map(MessageId::from_uuid),
                said: row.said,
                is_moderator,
            }),
            Some(_) if is_void => {}
            Some(change_id) => {
                let Target { room_id, seq, kind, sender } = at;
                let change = Change { room_id, seq, kind, sender, is_moderator, created_at, content: row.content };
                self.changes.push(Kept { id: MessageId::from_uuid(change_id), change });
            }
        }
        Ok(())
    }
}

/// Says that the id of `entry` stands at its seq.
pub(super) fn claim(store: &ScyllaStore, entry: &Entry) -> Mutation {
    let id = entry.body.id().as_uuid();
    let values = (
        id,
        column::of_seq(entry.seq),
        given(None::<Uuid>),
        entry.room_id.as_uuid(),
        entry.body.kind().as_str(),
        given(column::of_user(entry.sender)),
        CqlTimestamp(entry.logged_at.unix_millis()),
        given(entry.body.target().map(MessageId::as_uuid)),
        given(Some(hash(&entry.body))),
        given(None::<String>),
        given(entry.is_moderator.then_some(true)),
    );
    Mutation::new(Partition::One(id), &store.statements.claim_insert, values)
}

/// Keeps an edit or deletion with the message it changes.
pub(super) fn keep(store: &ScyllaStore, target: MessageId, entry: &Entry) -> Mutation {
    let content = match &entry.body {
        Body::MessageUpdated { content, .. } => Some(content.clone()),
        Body::Message { .. } | Body::MessageDeleted { .. } | Body::Reaction { .. } | Body::System { .. } => None,
    };
    let bytes = content.as_ref().map_or(0, String::len);
    let values = (
        target.as_uuid(),
        column::of_seq(entry.seq),
        given(Some(entry.body.id().as_uuid())),
        entry.room_id.as_uuid(),
        entry.body.kind().as_str(),
        given(column::of_user(entry.sender)),
        CqlTimestamp(entry.logged_at.unix_millis()),
        given(None::<Uuid>),
        given(None::<Vec<u8>>),
        given(content),
        given(entry.is_moderator.then_some(true)),
    );
    Mutation::new(Partition::One(target.as_uuid()), &store.statements.claim_insert, values).of_bytes(bytes)
}

/// Takes a change back: its seq was the second of its own id.
pub(super) fn void(store: &ScyllaStore, target: MessageId, seq: u64) -> Mutation {
    let target = target.as_uuid();
    Mutation::new(Partition::One(target), &store.statements.claim_void, (target, column::of_seq(seq)))
}

/// Forgets what was said at a seq.
pub(super) fn blank(store: &ScyllaStore, id: MessageId, seq: u64) -> Mutation {
    let id = id.as_uuid();
    Mutation::new(Partition::One(id), &store.statements.claim_blank, (id, column::of_seq(seq)))
}

/// Says that there are reactions to look for.
pub(super) fn reacted(store: &ScyllaStore, target: MessageId) -> Mutation {
    let target = target.as_uuid();
    Mutation::new(Partition::One(target), &store.statements.claim_reacted, (target,))
}

/// Equal for two bodies that say the same ([`Body::says_the_same`]).
pub(super) fn hash(body: &Body) -> Vec<u8> {
    let mut said = body.clone();
    if let Body::Message { sender_name, .. } = &mut said {
        sender_name.clear();
    }
    Sha256::digest(said.to_bytes()).to_vec()
}
