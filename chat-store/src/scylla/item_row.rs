//! One row of history.

use ::scylla::value::{CqlTimestamp, MaybeUnset};
use schema::{
    envelope::Kind,
    id::{MessageId, RoomId},
};
use uuid::Uuid;

use super::{
    ScyllaStore,
    bucket::{self, Bucket, Direction, Merge},
    log::Place,
    mutation::{Mutation, Partition},
    statement::FINAL,
    value::{given, timestamp},
};
use crate::{StoreError, column, item::Item};

const TABLE: &str = "chat_messages_by_event";

/// What a message says after everything that was done to it, as far as the writer knew.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) content: Option<String>,
    pub(super) edited: Option<(u64, schema::clock::Timestamp)>,
    pub(super) deleted_seq: Option<u64>,
    pub(super) knowledge: i64,
}

#[derive(::scylla::SerializeRow)]
struct Values {
    event_id: Uuid,
    bucket: i32,
    seq: i64,
    kind: &'static str,
    id: Uuid,
    created_at: CqlTimestamp,
    sender: MaybeUnset<Uuid>,
    sender_id: MaybeUnset<Uuid>,
    sender_name: MaybeUnset<String>,
    temp_id: MaybeUnset<String>,
    content: MaybeUnset<Option<String>>,
    message_type: MaybeUnset<String>,
    reply_to_id: MaybeUnset<Uuid>,
    change: MaybeUnset<String>,
    actor_id: MaybeUnset<Uuid>,
    data: MaybeUnset<String>,
    edited_seq: MaybeUnset<i64>,
    edited_at: MaybeUnset<CqlTimestamp>,
    deleted_seq: MaybeUnset<i64>,
    has_reactions: MaybeUnset<bool>,
    written_at: i64,
}

/// Writes an item as `state` says.
pub(super) fn insert(store: &ScyllaStore, item: Item, state: State) -> Mutation {
    let bucket = bucket::month(item.created_at);
    let bytes = state.content.as_ref().map_or(0, String::len) + item.data.as_ref().map_or(0, String::len);
    let content = if item.kind == Kind::Message { MaybeUnset::Set(state.content) } else { MaybeUnset::Unset };
    let values = Values {
        event_id: item.room_id.as_uuid(),
        bucket,
        seq: column::of_seq(item.seq),
        kind: item.kind.as_str(),
        id: item.id.as_uuid(),
        created_at: CqlTimestamp(item.created_at.unix_millis()),
        sender: given(item.sender),
        sender_id: given(item.sender_id),
        sender_name: given(item.sender_name),
        temp_id: given(item.temp_id),
        content,
        message_type: given(item.message_type),
        reply_to_id: given(item.reply_to_id),
        change: given(item.change),
        actor_id: given(item.actor_id),
        data: given(item.data),
        edited_seq: given(state.edited.map(|(seq, _)| column::of_seq(seq))),
        edited_at: given(state.edited.map(|(_, at)| CqlTimestamp(at.unix_millis()))),
        deleted_seq: given(state.deleted_seq.map(column::of_seq)),
        has_reactions: given(item.has_reactions.then_some(true)),
        written_at: state.knowledge,
    };
    let partition = Partition::Month(item.room_id.as_uuid(), bucket);
    Mutation::new(partition, &store.statements.item_insert, values).of_bytes(bytes)
}

/// Brings an item, which may still be on its way, to `state`.
pub(super) fn restate(store: &ScyllaStore, place: &Place, state: State) -> Mutation {
    let (room, month, seq) = place.key();
    let values = (
        state.knowledge,
        state.content,
        state.edited.map(|(seq, _)| column::of_seq(seq)),
        state.edited.map(|(_, at)| CqlTimestamp(at.unix_millis())),
        // What was deleted stays so: its text is gone.
        given(state.deleted_seq.map(column::of_seq)),
        room,
        month,
        seq,
    );
    Mutation::new(Partition::Month(room, month), &store.statements.item_restate, values)
}

/// Says that there are reactions to count.
pub(super) fn reacted(store: &ScyllaStore, place: &Place) -> Mutation {
    let (room, month, seq) = place.key();
    Mutation::new(Partition::Month(room, month), &store.statements.item_reacted, (room, month, seq))
}

/// Takes an item out of history, for good.
pub(super) fn delete(store: &ScyllaStore, place: &Place) -> Mutation {
    let (room, month, seq) = place.key();
    Mutation::new(Partition::Month(room, month), &store.statements.item_delete, (FINAL, room, month, seq))
}

#[derive(::scylla::DeserializeRow)]
struct Row {
    event_id: Uuid,
    #[expect(dead_code, reason = "a column of the whole row")]
    bucket: i32,
    seq: i64,
    kind: Option<String>,
    id: Option<Uuid>,
    created_at: Option<CqlTimestamp>,
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
    #[expect(dead_code, reason = "a column of the whole row")]
    edited_seq: Option<i64>,
    edited_at: Option<CqlTimestamp>,
    deleted_seq: Option<i64>,
    has_reactions: Option<bool>,
}

/// `None` for a mark upon an item that is still to come.
fn decode(row: Row) -> Result<Option<Item>, StoreError> {
    let (Some(id), Some(created_at)) = (row.id, row.created_at) else { return Ok(None) };
    let kind = column::kind(row.kind.as_deref(), TABLE, id)?;
    Ok(Some(Item {
        room_id: RoomId::from_uuid(row.event_id),
        seq: column::seq(row.seq, TABLE, id)?,
        kind: kind.ok_or_else(|| column::corrupt(TABLE, "kind", id))?,
        id: MessageId::from_uuid(id),
        created_at: timestamp(created_at, TABLE, id)?,
        sender: row.sender,
        sender_id: row.sender_id,
        sender_name: row.sender_name,
        temp_id: row.temp_id,
        content: row.content,
        message_type: row.message_type,
        reply_to_id: row.reply_to_id,
        change: row.change,
        actor_id: row.actor_id,
        data: row.data,
        edited_at: row.edited_at.map(|at| timestamp(at, TABLE, id)).transpose()?,
        is_deleted: row.deleted_seq.is_some(),
        has_reactions: row.has_reactions == Some(true),
    }))
}

/// The item at a place, if there is one.
pub(super) async fn at(store: &ScyllaStore, key: (Uuid, i32, i64)) -> Result<Option<Item>, StoreError> {
    let rows: Vec<Row> = store.rows(&store.statements.item_one, key).await?;
    rows.into_iter().next().map_or(Ok(None), decode)
}

/// The `wanted` items of a room that are nearest to `pivot`, nearest first.
pub(super) async fn nearest(
    store: &ScyllaStore,
    room: RoomId,
    buckets: &[Bucket],
    direction: Direction,
    pivot: u64,
    wanted: usize,
) -> Result<Vec<Item>, StoreError> {
    let mut merge = Merge::new(direction, wanted, |item: &Item| item.seq);
    for bucket in merge.order(buckets.to_vec(), pivot) {
        if !merge.wants(&bucket) {
            break;
        }
        merge.add(read_month(store, room, bucket.month, direction, pivot, wanted).await?);
    }
    Ok(merge.into_rows())
}

async fn read_month(
    store: &ScyllaStore,
    room: RoomId,
    month: i32,
    direction: Direction,
    pivot: u64,
    wanted: usize,
) -> Result<Vec<Item>, StoreError> {
    let mut found = Vec::new();
    let mut pivot = column::of_seq(pivot);
    loop {
        let statement = match direction {
            Direction::Down => &store.statements.items_below,
            Direction::Up => &store.statements.items_above,
        };
        let rows: Vec<Row> = store.rows(statement, (room.as_uuid(), month, pivot, column::of_limit(wanted))).await?;
        let is_last = rows.len() < wanted;
        pivot = match (direction, rows.last()) {
            (Direction::Down, Some(row)) => row.seq,
            (Direction::Up, Some(row)) => row.seq.saturating_add(1),
            (Direction::Down | Direction::Up, None) => pivot,
        };
        for row in rows {
            found.extend(decode(row)?);
        }
        if is_last || found.len() >= wanted {
            return Ok(found);
        }
    }
}
