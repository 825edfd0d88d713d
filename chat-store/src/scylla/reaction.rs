//! Reactions: rows that say when somebody's emoji came or went; the highest seq says whether it stands.

use std::collections::{BTreeMap, HashMap};

use ::scylla::value::CqlTimestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use schema::{
    envelope::{Body, ReactionAction},
    frame::history::ReactionCount,
    id::{MessageId, RoomId, UserId},
};
use uuid::Uuid;

use super::{
    ScyllaStore,
    log::Place,
    mutation::{IN_FLIGHT_MAX, Mutation, Partition},
    statement::FINAL,
    value::timestamp,
};
use crate::{Entry, StoreError, column, item::Item};

const TABLE: &str = "message_reactions";

/// Writes that a reaction came or went; `None` for an entry that is none.
pub(super) fn insert(store: &ScyllaStore, entry: &Entry) -> Option<Mutation> {
    let Body::Reaction { message_id, emoji, action, sender_id, .. } = &entry.body else { return None };
    let target = message_id.as_uuid();
    let values = (
        target,
        column::of_seq(entry.seq),
        emoji.clone(),
        entry.sender.unwrap_or(*sender_id).as_uuid(),
        entry.room_id.as_uuid(),
        *action == ReactionAction::Added,
        CqlTimestamp(entry.logged_at.unix_millis()),
    );
    Some(Mutation::new(Partition::One(target), &store.statements.reaction_insert, values))
}

/// Takes a reaction back, for good.
pub(super) fn delete(store: &ScyllaStore, message: MessageId, seq: u64) -> Mutation {
    let message = message.as_uuid();
    Mutation::new(Partition::One(message), &store.statements.reaction_delete, (FINAL, message, column::of_seq(seq)))
}

#[derive(::scylla::DeserializeRow)]
struct Row {
    seq: i64,
    emoji: Option<String>,
    user_id: Option<Uuid>,
    event_id: Option<Uuid>,
    is_added: Option<bool>,
    created_at: Option<CqlTimestamp>,
}

/// Where a message's reactions stand in the log.
pub(super) async fn places(store: &ScyllaStore, message: MessageId) -> Result<Vec<Place>, StoreError> {
    Ok(list(store, message).await?.into_iter().map(|(place, _, _)| place).collect())
}

/// A message's reactions: where they stand in the log, which emoji, and whether it came or went.
pub(super) async fn list(store: &ScyllaStore, message: MessageId) -> Result<Vec<(Place, String, bool)>, StoreError> {
    let rows: Vec<Row> = store.rows(&store.statements.reactions, (message.as_uuid(),)).await?;
    let mut reactions = Vec::new();
    for row in rows {
        if let (Some(room), Some(created_at)) = (row.event_id, row.created_at) {
            let place = Place {
                room_id: RoomId::from_uuid(room),
                seq: column::seq(row.seq, TABLE, message)?,
                created_at: timestamp(created_at, TABLE, message)?,
            };
            reactions.push((place, row.emoji.unwrap_or_default(), row.is_added == Some(true)));
        }
    }
    Ok(reactions)
}

/// Counts what stands under `items`, for `reader`.
pub(super) async fn counts(
    store: &ScyllaStore,
    items: &[Item],
    reader: UserId,
) -> Result<HashMap<MessageId, Vec<ReactionCount>>, StoreError> {
    let ids: Vec<_> = items.iter().filter(|item| item.has_reactions).map(|item| item.id).collect();
    let reads = ids.into_iter().map(|id| async move {
        let rows: Vec<Row> = store.rows(&store.statements.reactions, (id.as_uuid(),)).await?;
        Ok((id, count(rows, reader)))
    });
    stream::iter(reads).buffer_unordered(IN_FLIGHT_MAX).try_collect().await
}

/// Rows come ascending in seq: of one person's rows with one emoji the last one counts.
fn count(rows: Vec<Row>, reader: UserId) -> Vec<ReactionCount> {
    let mut last: BTreeMap<String, BTreeMap<Uuid, bool>> = BTreeMap::new();
    for row in rows {
        if let (Some(emoji), Some(user), Some(is_added)) = (row.emoji, row.user_id, row.is_added) {
            last.entry(emoji).or_default().insert(user, is_added);
        }
    }
    let counted = last.into_iter().map(|(emoji, users)| {
        let standing = || users.iter().filter(|(_, is_added)| **is_added);
        let count = u64::try_from(standing().count()).unwrap_or(u64::MAX);
        ReactionCount { emoji, count, me: standing().any(|(user, _)| *user == reader.as_uuid()) }
    });
    counted.filter(|reaction| reaction.count > 0).collect()
}
