//! What the log says now: pages, single items, a person's messages, the tops of rooms.

use ops::database::Pool;
use schema::{
    envelope::Kind,
    frame::history::HistoryItem,
    id::{MessageId, RoomId, UserId},
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::reaction;
use crate::{
    Head, Page, StoreError, Window, column,
    item::Item,
    window::{self, Reach},
};

const TABLE: &str = "chat_messages_by_event";

#[derive(sqlx::FromRow)]
struct Row {
    event_id: Uuid,
    seq: i64,
    kind: String,
    id: Uuid,
    created_at: OffsetDateTime,
    sender: Option<Uuid>,
    sender_id: Option<Uuid>,
    sender_name: Option<String>,
    temp_id: Option<String>,
    content: Option<String>,
    message_type: Option<String>,
    reply_to_id: Option<Uuid>,
    change: Option<String>,
    actor_id: Option<Uuid>,
    data: Option<String>,
    edited_at: Option<OffsetDateTime>,
    deleted_seq: Option<i64>,
    has_reactions: bool,
}

impl Row {
    fn decode(self) -> Result<Item, StoreError> {
        Ok(Item {
            room_id: RoomId::from_uuid(self.event_id),
            seq: column::seq(self.seq, TABLE, self.id)?,
            kind: Kind::parse(&self.kind).ok_or_else(|| column::corrupt(TABLE, "kind", self.id))?,
            id: MessageId::from_uuid(self.id),
            created_at: self.created_at.into(),
            sender: self.sender,
            sender_id: self.sender_id,
            sender_name: self.sender_name,
            temp_id: self.temp_id,
            content: self.content,
            message_type: self.message_type,
            reply_to_id: self.reply_to_id,
            change: self.change,
            actor_id: self.actor_id,
            data: self.data,
            edited_at: self.edited_at.map(Into::into),
            is_deleted: self.deleted_seq.is_some(),
            has_reactions: self.has_reactions,
        })
    }
}

/// One page.
pub(super) async fn page(
    pool: &Pool,
    room: RoomId,
    reader: UserId,
    window: Window,
    limit: usize,
) -> Result<Page, StoreError> {
    let reach = Reach::of(window, limit);
    let rows: Vec<Row> = sqlx::query_as(
        "(SELECT * FROM chat_messages_by_event WHERE event_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3)
         UNION ALL
         (SELECT * FROM chat_messages_by_event WHERE event_id = $1 AND seq >= $2 ORDER BY seq LIMIT $4)",
    )
    .bind(room)
    .bind(column::of_seq(reach.pivot))
    .bind(column::of_limit(reach.below))
    .bind(column::of_limit(reach.above))
    .fetch_all(pool)
    .await?;
    let items = rows.into_iter().map(Row::decode).collect::<Result<Vec<_>, _>>()?;
    let (mut below, mut above): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| item.seq < reach.pivot);
    // UNION ALL promises no order.
    below.sort_unstable_by_key(|item| std::cmp::Reverse(item.seq));
    above.sort_unstable_by_key(|item| item.seq);
    let cut = window::cut(window, limit, below, above);
    Ok(Page {
        items: shown(pool, cut.items, reader).await?,
        has_more_before: cut.has_more_before,
        has_more_after: cut.has_more_after,
    })
}

/// Every item above `above`, by room and seq, after `after`.
pub(super) async fn list_from(
    tx: &mut PgConnection,
    after: (Uuid, i64),
    above: u64,
    limit: usize,
) -> Result<Vec<Item>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT * FROM chat_messages_by_event
         WHERE (event_id, seq) > ($1, $2) AND seq > $3 ORDER BY event_id, seq LIMIT $4",
    )
    .bind(after.0)
    .bind(after.1)
    .bind(column::of_seq(above))
    .bind(column::of_limit(limit))
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(Row::decode).collect()
}

/// One item, if it stands in this room.
pub(super) async fn item(
    pool: &Pool,
    room: RoomId,
    reader: UserId,
    id: MessageId,
) -> Result<Option<HistoryItem>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT items.* FROM chat_message_ids ids
         JOIN chat_messages_by_event items ON items.event_id = ids.event_id AND items.seq = ids.seq
         WHERE ids.message_id = $1 AND ids.event_id = $2",
    )
    .bind(id)
    .bind(room)
    .fetch_optional(pool)
    .await?;
    let items = row.map(Row::decode).transpose()?.into_iter().collect();
    Ok(shown(pool, items, reader).await?.pop())
}

/// What a person wrote, newest first.
pub(super) async fn by_user(
    pool: &Pool,
    user: UserId,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<HistoryItem>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT * FROM chat_messages_by_event WHERE sender = $1 AND kind = 'message' AND seq < $2
         ORDER BY seq DESC LIMIT $3",
    )
    .bind(user)
    .bind(column::of_seq(before.unwrap_or(u64::MAX)))
    .bind(column::of_limit(limit))
    .fetch_all(pool)
    .await?;
    let items = rows.into_iter().map(Row::decode).collect::<Result<Vec<_>, _>>()?;
    shown(pool, items, user).await
}

/// The newest item of each room; for nobody in particular, so without reactions.
pub(super) async fn heads(pool: &Pool, rooms: &[RoomId]) -> Result<Vec<Head>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT newest.* FROM unnest($1::uuid[]) AS room (id) CROSS JOIN LATERAL (
             SELECT * FROM chat_messages_by_event WHERE event_id = room.id ORDER BY seq DESC LIMIT 1
         ) AS newest",
    )
    .bind(rooms)
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(|row| row.decode()?.into_head()).collect()
}

/// Items as `reader` sees them.
async fn shown(pool: &Pool, items: Vec<Item>, reader: UserId) -> Result<Vec<HistoryItem>, StoreError> {
    let mut counts = reaction::counts(pool, &items, reader).await?;
    let show = |item: Item| {
        let reactions = counts.remove(&item.id).unwrap_or_default();
        item.into_history(reactions)
    };
    items.into_iter().map(show).collect()
}
