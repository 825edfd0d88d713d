//! The log of a room: every seq of it, skips included.

use ::scylla::value::CqlTimestamp;
use schema::{
    clock::Timestamp,
    erasure,
    id::{MessageId, RoomId},
};
use uuid::Uuid;

use super::{
    ScyllaStore,
    bucket::{self, Bucket, Direction, Merge},
    mutation::{Mutation, Partition},
    value::{given, timestamp},
};
use crate::{Entry, LogRow, StoreError, column, entry::Before};

const TABLE: &str = "room_log_by_event";

/// Where a seq of the log lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) room_id: RoomId,
    pub(super) seq: u64,
    pub(super) created_at: Timestamp,
}

impl Place {
    fn partition(&self) -> Partition {
        Partition::Month(self.room_id.as_uuid(), bucket::month(self.created_at))
    }

    /// The write timestamp of the seq itself: when the log stored it.
    fn logged(&self) -> i64 {
        self.created_at.unix_millis().saturating_mul(1000)
    }

    /// That of the skip of what was given up: it wins over the seq itself in any order.
    fn given_up(&self) -> i64 {
        self.logged() + 1
    }

    /// That of what was given up, and could be stored after all.
    fn redriven(&self) -> i64 {
        self.logged() + 2
    }

    /// That of a skip which follows from what else is known, and of an erasure: it wins over all of them.
    fn overruled(&self) -> i64 {
        self.logged() + 3
    }

    pub(super) fn key(&self) -> (Uuid, i32, i64) {
        (self.room_id.as_uuid(), bucket::month(self.created_at), column::of_seq(self.seq))
    }
}

/// Why a seq can not be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    /// It was given up, or no store can hold it: an operator may know better later.
    GivenUp,
    /// It follows from what else stands under its id or its message's, for good.
    Overruled,
}

/// Writes the seq of `entry`, without its text if it was deleted by now.
pub(super) fn insert(
    store: &ScyllaStore,
    place: &Place,
    entry: &Entry,
    body: &str,
    erased_seq: Option<u64>,
    before: Before,
) -> Mutation {
    let (room, month, seq) = place.key();
    let (body, written_at) = match (erased_seq, before) {
        (Some(_), _) => (erasure::erase(body), place.overruled()),
        (None, Before::GivenUp) => (body.to_owned(), place.redriven()),
        (None, Before::Nothing) => (body.to_owned(), place.logged()),
    };
    let bytes = body.len();
    let values = (
        room,
        month,
        seq,
        Some(entry.body.kind().as_str()),
        Some(entry.body.id().as_uuid()),
        CqlTimestamp(place.created_at.unix_millis()),
        Some(body),
        given(erased_seq.map(column::of_seq)),
        written_at,
    );
    Mutation::new(place.partition(), &store.statements.log_insert, values).of_bytes(bytes)
}

/// Writes a skip, also over what was there.
pub(super) fn skip(store: &ScyllaStore, place: &Place, why: Skip) -> Mutation {
    let (room, month, seq) = place.key();
    let written_at = match why {
        Skip::GivenUp => place.given_up(),
        Skip::Overruled => place.overruled(),
    };
    let values = (
        room,
        month,
        seq,
        None::<&str>,
        None::<Uuid>,
        CqlTimestamp(place.created_at.unix_millis()),
        None::<&str>,
        given(None::<i64>),
        written_at,
    );
    Mutation::new(place.partition(), &store.statements.log_insert, values)
}

/// Blanks the text of a seq that may not be there yet: then the mark alone says that it must not be shown.
pub(super) async fn erase(store: &ScyllaStore, place: &Place, erased_seq: u64) -> Result<Mutation, StoreError> {
    let (room, month, seq) = place.key();
    let erased_seq = column::of_seq(erased_seq);
    let statements = &store.statements;
    let Some(body) = body(store, place).await? else {
        let values = (place.overruled(), erased_seq, room, month, seq);
        return Ok(Mutation::new(place.partition(), &statements.log_mark_erased, values));
    };
    let values = (place.overruled(), erasure::erase(&body), erased_seq, room, month, seq);
    Ok(Mutation::new(place.partition(), &statements.log_erase, values).of_bytes(body.len()))
}

#[derive(::scylla::DeserializeRow)]
struct Row {
    seq: i64,
    kind: Option<String>,
    id: Option<Uuid>,
    created_at: Option<CqlTimestamp>,
    body: Option<String>,
    erased_seq: Option<i64>,
}

/// What was published at a seq; `None` for a skip, and for a seq that is not there.
pub(super) async fn body(store: &ScyllaStore, place: &Place) -> Result<Option<String>, StoreError> {
    let rows: Vec<Row> = store.rows(&store.statements.log_one, place.key()).await?;
    Ok(rows.into_iter().find_map(|row| row.body))
}

/// The id of what stands at a seq; `None` for a skip, and for a seq that is not there.
pub(super) async fn id(store: &ScyllaStore, place: &Place) -> Result<Option<Uuid>, StoreError> {
    let rows: Vec<Row> = store.rows(&store.statements.log_one, place.key()).await?;
    Ok(rows.into_iter().find_map(|row| row.id))
}

/// What stands at a seq; `None` for one that is not there.
pub(super) async fn at(store: &ScyllaStore, place: &Place) -> Result<Option<LogRow>, StoreError> {
    let rows: Vec<Row> = store.rows(&store.statements.log_one, place.key()).await?;
    rows.into_iter().next().map_or(Ok(None), |row| decode(row, place.room_id))
}

/// Every seq above `after`, ascending.
pub(super) async fn read(
    store: &ScyllaStore,
    room: RoomId,
    after: u64,
    limit: usize,
) -> Result<Vec<LogRow>, StoreError> {
    let pivot = after.saturating_add(1);
    let mut merge = Merge::new(Direction::Up, limit, |row: &LogRow| row.seq);
    for bucket in merge.order(bucket::of_room(store, room).await?, pivot) {
        if !merge.wants(&bucket) {
            break;
        }
        merge.add(read_month(store, room, &bucket, after, limit).await?);
    }
    Ok(merge.into_rows())
}

async fn read_month(
    store: &ScyllaStore,
    room: RoomId,
    bucket: &Bucket,
    after: u64,
    limit: usize,
) -> Result<Vec<LogRow>, StoreError> {
    let mut found = Vec::new();
    let mut after = column::of_seq(after);
    loop {
        let key = (room.as_uuid(), bucket.month, after, column::of_limit(limit));
        let rows: Vec<Row> = store.rows(&store.statements.log_above, key).await?;
        let is_last = rows.len() < limit;
        after = rows.last().map_or(after, |row| row.seq);
        for row in rows {
            found.extend(decode(row, room)?);
        }
        if is_last || found.len() >= limit {
            return Ok(found);
        }
    }
}

/// `None` for a mark upon a seq that is still to come.
fn decode(row: Row, room: RoomId) -> Result<Option<LogRow>, StoreError> {
    let Some(created_at) = row.created_at else { return Ok(None) };
    let body = match (&row.kind, row.erased_seq) {
        // A skip; its text may have been blanked after it.
        (None, _) => None,
        (Some(_), Some(_)) => row.body.as_deref().map(erasure::erase),
        (Some(_), None) => row.body,
    };
    Ok(Some(LogRow {
        seq: column::seq(row.seq, TABLE, room)?,
        kind: column::kind(row.kind.as_deref(), TABLE, room)?,
        id: row.id.map(MessageId::from_uuid),
        created_at: timestamp(created_at, TABLE, room)?,
        body,
    }))
}

/// The greatest seq of the room; 0 without any.
pub(super) async fn last_seq(store: &ScyllaStore, room: RoomId) -> Result<u64, StoreError> {
    let buckets = bucket::of_room(store, room).await?;
    Ok(buckets.iter().map(|bucket| bucket.last_seq).max().unwrap_or(0))
}
