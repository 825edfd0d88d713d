//! New messages, a whole batch in one statement; the rest one by one.

use std::collections::HashSet;

use ops::database::Pool;
use schema::id::MessageId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{log, settle};
use crate::{Entry, Outcome, StoreError, column, entry::Before, item::Item, storable};

/// Inserts what is new, under ids that nothing else has. An id that is taken, if only by a stub or by an earlier
/// entry of this batch, is left alone together with its rows. Answers which entries stand: the new ones, and those
/// that stood there before. Ids are taken in their order, so that two batches do not wait for each other.
const INSERT: &str = "
WITH entry AS (
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[], $5::text[], $6::uuid[], $7::text[], $8::uuid[], $9::text[],
        $10::text[], $11::text[], $12::text[], $13::uuid[], $14::text[], $15::uuid[], $16::text[]
    ) AS entry (
        event_id, id, seq, created_at, kind, sender, body, sender_id, sender_name,
        temp_id, content, message_type, reply_to_id, change, actor_id, data
    )
), known AS (
    SELECT ids.message_id, ids.seq
    FROM entry JOIN chat_message_ids ids
        ON ids.message_id = entry.id AND ids.seq = entry.seq AND ids.event_id = entry.event_id
), fresh AS (
    INSERT INTO chat_message_ids (message_id, event_id, seq, kind, sender, created_at)
    SELECT id, event_id, seq, kind, sender, created_at FROM entry ORDER BY id, seq
    ON CONFLICT (message_id) DO NOTHING
    RETURNING message_id, seq
), logged AS (
    INSERT INTO room_log_by_event (event_id, seq, kind, id, created_at, body)
    SELECT event_id, entry.seq, kind, id, created_at, body
    FROM entry JOIN fresh ON fresh.message_id = entry.id AND fresh.seq = entry.seq
    ON CONFLICT (event_id, seq) DO NOTHING
), shown AS (
    INSERT INTO chat_messages_by_event (
        event_id, seq, kind, id, created_at, sender, sender_id, sender_name,
        temp_id, content, message_type, reply_to_id, change, actor_id, data
    )
    SELECT event_id, entry.seq, kind, id, created_at, sender, sender_id, sender_name,
        temp_id, content, message_type, reply_to_id, change, actor_id, data
    FROM entry JOIN fresh ON fresh.message_id = entry.id AND fresh.seq = entry.seq
    ON CONFLICT (event_id, seq) DO NOTHING
)
SELECT message_id, seq FROM fresh UNION ALL SELECT message_id, seq FROM known";

/// Writes entries.
pub(super) async fn write(pool: &Pool, entries: &[Entry]) -> Result<Vec<Outcome>, StoreError> {
    let texts: Vec<_> = entries.iter().map(storable::text_of).collect();
    let mut items = Vec::with_capacity(entries.len());
    for (entry, text) in entries.iter().zip(&texts) {
        if let (Some(item), Ok(text)) = (Item::of(entry), text) {
            items.push((item, *text));
        }
    }
    let standing = insert(pool, &items).await?;
    let mut outcomes = Vec::with_capacity(entries.len());
    for (entry, text) in entries.iter().zip(texts) {
        let outcome = match text {
            Ok(_) if standing.contains(&(entry.body.id(), entry.seq)) => Outcome::Stored,
            Ok(text) => settle::settle(pool, entry, text, Before::Nothing).await?,
            Err(refusal) => {
                log::write_skip(pool, entry.room_id, entry.seq, entry.logged_at).await?;
                refusal
            }
        };
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// Inserts items and answers which of them stand.
async fn insert(pool: &Pool, items: &[(Item, &str)]) -> Result<HashSet<(MessageId, u64)>, StoreError> {
    if items.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(INSERT)
        .bind(each(items, |item| item.room_id.as_uuid()))
        .bind(each(items, |item| item.id.as_uuid()))
        .bind(each(items, |item| column::of_seq(item.seq)))
        .bind(each::<OffsetDateTime>(items, |item| item.created_at.as_datetime()))
        .bind(each(items, |item| item.kind.as_str()))
        .bind(each(items, |item| item.sender))
        .bind(items.iter().map(|(_, text)| *text).collect::<Vec<_>>())
        .bind(each(items, |item| item.sender_id))
        .bind(each(items, |item| item.sender_name.as_deref()))
        .bind(each(items, |item| item.temp_id.as_deref()))
        .bind(each(items, |item| item.content.as_deref()))
        .bind(each(items, |item| item.message_type.as_deref()))
        .bind(each(items, |item| item.reply_to_id))
        .bind(each(items, |item| item.change.as_deref()))
        .bind(each(items, |item| item.actor_id))
        .bind(each(items, |item| item.data.as_deref()))
        .fetch_all(pool)
        .await?;
    rows.into_iter()
        .map(|(id, seq)| Ok((MessageId::from_uuid(id), column::seq(seq, "chat_message_ids", id)?)))
        .collect()
}

/// One column of the batch.
fn each<'a, T>(items: &'a [(Item, &str)], column: impl Fn(&'a Item) -> T) -> Vec<T> {
    items.iter().map(|(item, _)| column(item)).collect()
}
