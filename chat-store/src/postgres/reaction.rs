//! Reactions: rows that say when somebody's emoji came or went; the highest seq says whether it stands.

use std::collections::HashMap;

use ops::database::Pool;
use schema::{
    frame::history::ReactionCount,
    id::{MessageId, RoomId, UserId},
};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{StoreError, column, item::Item};

/// The emoji of one message, in their own order.
type Counts = HashMap<MessageId, Vec<ReactionCount>>;

/// Counts what stands under `items`, for `reader`.
pub(super) async fn counts(pool: &Pool, items: &[Item], reader: UserId) -> Result<Counts, StoreError> {
    let ids: Vec<Uuid> = items.iter().filter(|item| item.has_reactions).map(|item| item.id.as_uuid()).collect();
    if ids.is_empty() {
        return Ok(Counts::new());
    }
    let rows: Vec<(Uuid, String, i64, bool)> = sqlx::query_as(
        r#"SELECT message_id, emoji, count(*), bool_or(user_id = $2) FROM (
               SELECT DISTINCT ON (message_id, emoji, user_id) message_id, emoji, user_id, is_added
               FROM message_reactions WHERE message_id = ANY($1)
               ORDER BY message_id, emoji, user_id, seq DESC
           ) AS last
           WHERE is_added GROUP BY message_id, emoji ORDER BY message_id, emoji COLLATE "C""#,
    )
    .bind(ids)
    .bind(reader)
    .fetch_all(pool)
    .await?;
    let mut counts = Counts::new();
    for (id, emoji, count, me) in rows {
        let count = column::seq(count, "message_reactions", id)?;
        counts.entry(MessageId::from_uuid(id)).or_default().push(ReactionCount { emoji, count, me });
    }
    Ok(counts)
}

/// One reaction, as its row holds it.
pub(super) struct Reaction<'a> {
    pub(super) message_id: MessageId,
    pub(super) room_id: RoomId,
    pub(super) seq: u64,
    pub(super) emoji: &'a str,
    pub(super) user_id: UserId,
    pub(super) is_added: bool,
}

pub(super) async fn insert(db: impl PgExecutor<'_>, reaction: &Reaction<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO message_reactions (message_id, emoji, user_id, seq, event_id, is_added)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (message_id, emoji, user_id, seq) DO NOTHING",
    )
    .bind(reaction.message_id)
    .bind(reaction.emoji)
    .bind(reaction.user_id)
    .bind(column::of_seq(reaction.seq))
    .bind(reaction.room_id)
    .bind(reaction.is_added)
    .execute(db)
    .await?;
    Ok(())
}

/// The seqs of a message's reactions, and the rooms they were sent to.
pub(super) async fn seqs(db: impl PgExecutor<'_>, message: MessageId) -> Result<Vec<(Uuid, i64)>, StoreError> {
    let query = sqlx::query_as("SELECT event_id, seq FROM message_reactions WHERE message_id = $1");
    Ok(query.bind(message).fetch_all(db).await?)
}

pub(super) async fn delete(db: impl PgExecutor<'_>, message: MessageId, seq: u64) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM message_reactions WHERE message_id = $1 AND seq = $2")
        .bind(message)
        .bind(column::of_seq(seq))
        .execute(db)
        .await?;
    Ok(())
}
