//! What the log says now: pages, single items, a person's messages, the tops of rooms.

use futures_util::{StreamExt, TryStreamExt, stream};
use schema::{
    frame::history::HistoryItem,
    id::{MessageId, RoomId, UserId},
};
use uuid::Uuid;

use super::{
    ScyllaStore,
    bucket::{self, Direction, Merge},
    item_row,
    log::Place,
    mutation::IN_FLIGHT_MAX,
    reaction,
};
use crate::{
    Head, Page, StoreError, Window, column,
    item::Item,
    window::{self, Reach},
};

/// One page.
pub(super) async fn page(
    store: &ScyllaStore,
    room: RoomId,
    reader: UserId,
    window: Window,
    limit: usize,
) -> Result<Page, StoreError> {
    let buckets = bucket::of_room(store, room).await?;
    let Reach { pivot, below, above } = Reach::of(window, limit);
    let (below, above) = tokio::try_join!(
        item_row::nearest(store, room, &buckets, Direction::Down, pivot, below),
        item_row::nearest(store, room, &buckets, Direction::Up, pivot, above),
    )?;
    let cut = window::cut(window, limit, below, above);
    Ok(Page {
        items: shown(store, cut.items, reader).await?,
        has_more_before: cut.has_more_before,
        has_more_after: cut.has_more_after,
    })
}

/// One item, if it stands in this room.
pub(super) async fn item(
    store: &ScyllaStore,
    room: RoomId,
    reader: UserId,
    id: MessageId,
) -> Result<Option<HistoryItem>, StoreError> {
    let known = store.known([id]).await?.remove(&id).unwrap_or_default();
    let Some(first) = known.first().filter(|first| first.at.room_id == room) else { return Ok(None) };
    let place = Place { room_id: room, seq: first.at.seq, created_at: first.created_at };
    let found = item_row::at(store, place.key()).await?;
    Ok(shown(store, found.into_iter().collect(), reader).await?.pop())
}

#[derive(::scylla::DeserializeRow)]
struct Pointer {
    seq: i64,
    event_id: Uuid,
}

/// What a person wrote, newest first.
pub(super) async fn by_user(
    store: &ScyllaStore,
    user: UserId,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<HistoryItem>, StoreError> {
    let mut pivot = before.unwrap_or(u64::MAX);
    let mut found = Vec::new();
    // A pointer whose message is still on its way leads nowhere: then more are read.
    while found.len() < limit {
        let pointers = pointers(store, user, pivot, limit).await?;
        let Some((last, _, _)) = pointers.last() else { break };
        pivot = *last;
        let reads =
            pointers.into_iter().map(|(seq, month, room)| item_row::at(store, (room, month, column::of_seq(seq))));
        let items: Vec<Option<Item>> = stream::iter(reads).buffered(IN_FLIGHT_MAX).try_collect().await?;
        found.extend(items.into_iter().flatten());
    }
    found.truncate(limit);
    shown(store, found, user).await
}

/// Where a person's messages below `pivot` lie, newest first: seq, month and room.
async fn pointers(
    store: &ScyllaStore,
    user: UserId,
    pivot: u64,
    limit: usize,
) -> Result<Vec<(u64, i32, Uuid)>, StoreError> {
    let mut merge = Merge::new(Direction::Down, limit, |(seq, _, _): &(u64, i32, Uuid)| *seq);
    for bucket in merge.order(bucket::of_user(store, user).await?, pivot) {
        if !merge.wants(&bucket) {
            break;
        }
        let key = (user.as_uuid(), bucket.month, column::of_seq(pivot), column::of_limit(limit));
        let rows: Vec<Pointer> = store.rows(&store.statements.by_user_below, key).await?;
        let decode =
            |row: Pointer| Ok((column::seq(row.seq, "chat_messages_by_user", user)?, bucket.month, row.event_id));
        merge.add(rows.into_iter().map(decode).collect::<Result<_, StoreError>>()?);
    }
    Ok(merge.into_rows())
}

/// The newest item of each room; for nobody in particular, so without reactions.
pub(super) async fn heads(store: &ScyllaStore, rooms: &[RoomId]) -> Result<Vec<Head>, StoreError> {
    let reads: Vec<_> = rooms.iter().map(|room| newest(store, *room)).collect();
    let items: Vec<Option<Item>> = stream::iter(reads).buffered(IN_FLIGHT_MAX).try_collect().await?;
    items.into_iter().flatten().map(Item::into_head).collect()
}

#[derive(::scylla::DeserializeRow)]
struct Newest {
    bucket: i32,
    seq: i64,
}

/// The month and seq of a room's newest item, as it was noted.
pub(super) async fn head(store: &ScyllaStore, room: RoomId) -> Result<Option<(i32, i64)>, StoreError> {
    let rows: Vec<Newest> = store.rows(&store.statements.head, (room.as_uuid(),)).await?;
    Ok(rows.into_iter().next().map(|Newest { bucket, seq }| (bucket, seq)))
}

async fn newest(store: &ScyllaStore, room: RoomId) -> Result<Option<Item>, StoreError> {
    let Some((bucket, seq)) = head(store, room).await? else { return Ok(None) };
    if let Some(item) = item_row::at(store, (room.as_uuid(), bucket, seq)).await? {
        return Ok(Some(item));
    }
    // It turned out to be the second seq of its id, or is still on its way.
    let buckets = bucket::of_room(store, room).await?;
    Ok(item_row::nearest(store, room, &buckets, Direction::Down, u64::MAX, 1).await?.pop())
}

/// Items as `reader` sees them.
async fn shown(store: &ScyllaStore, items: Vec<Item>, reader: UserId) -> Result<Vec<HistoryItem>, StoreError> {
    let mut counts = reaction::counts(store, &items, reader).await?;
    let show = |item: Item| {
        let reactions = counts.remove(&item.id).unwrap_or_default();
        item.into_history(reactions)
    };
    items.into_iter().map(show).collect()
}
