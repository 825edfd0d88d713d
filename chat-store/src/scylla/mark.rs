//! How far people have read: the highest seq counts, by its write timestamp; of one seq the latest time, because of two
//! values with one timestamp the greater one counts.

use std::collections::HashMap;

use ::scylla::value::CqlTimestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use schema::id::{RoomId, UserId};
use uuid::Uuid;

use super::{
    ScyllaStore,
    mutation::{self, IN_FLIGHT_MAX, Mutation, Partition},
    statement::higher_wins,
    value::timestamp,
};
use crate::{ReadMark, StoreError, column};

const TABLE: &str = "read_marks_by_event";
/// How many people one request asks for.
const READERS_A_READ: usize = 100;

/// Raises marks; lower ones change nothing.
pub(super) async fn write(store: &ScyllaStore, marks: &[ReadMark]) -> Result<(), StoreError> {
    let raise = |mark: &ReadMark| {
        let (room, user) = (mark.room_id.as_uuid(), mark.user_id.as_uuid());
        let at = CqlTimestamp(mark.read_at.unix_millis());
        let values = (room, user, column::of_seq(mark.seq), at, higher_wins(mark.seq));
        Mutation::new(Partition::One(room), &store.statements.mark_raise, values)
    };
    mutation::run(&store.session, marks.iter().map(raise).collect()).await
}

#[derive(::scylla::DeserializeRow)]
struct Row {
    user_id: Uuid,
    seq: Option<i64>,
    read_at: Option<CqlTimestamp>,
}

/// How far people have read.
pub(super) async fn read(store: &ScyllaStore, readers: &[(RoomId, UserId)]) -> Result<Vec<ReadMark>, StoreError> {
    let mut by_room: HashMap<RoomId, Vec<Uuid>> = HashMap::new();
    for (room, reader) in readers {
        by_room.entry(*room).or_default().push(reader.as_uuid());
    }
    let mut reads = Vec::new();
    for (room, readers) in &by_room {
        reads.extend(readers.chunks(READERS_A_READ).map(|readers| of_room(store, *room, readers)));
    }
    let found: Vec<Vec<ReadMark>> = stream::iter(reads).buffer_unordered(IN_FLIGHT_MAX).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

async fn of_room(store: &ScyllaStore, room_id: RoomId, readers: &[Uuid]) -> Result<Vec<ReadMark>, StoreError> {
    let rows: Vec<Row> = store.rows(&store.statements.marks, (room_id.as_uuid(), readers)).await?;
    let mut marks = Vec::new();
    for row in rows {
        if let (Some(seq), Some(read_at)) = (row.seq, row.read_at) {
            let (user_id, seq) = (UserId::from_uuid(row.user_id), column::seq(seq, TABLE, room_id)?);
            marks.push(ReadMark { room_id, user_id, seq, read_at: timestamp(read_at, TABLE, room_id)? });
        }
    }
    Ok(marks)
}
