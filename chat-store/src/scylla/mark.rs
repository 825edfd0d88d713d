//! How far people have read: the highest seq counts, by its write timestamp; of one seq the latest time, because of two
//! values with one timestamp the greater one counts.

use ::scylla::value::CqlTimestamp;
use schema::id::{RoomId, UserId};
use uuid::Uuid;

use super::{
    ScyllaStore,
    mutation::{self, Mutation, Partition},
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

/// How far these people have read.
pub(super) async fn read(
    store: &ScyllaStore,
    room_id: RoomId,
    readers: &[UserId],
) -> Result<Vec<ReadMark>, StoreError> {
    let mut marks = Vec::new();
    for readers in readers.chunks(READERS_A_READ) {
        let readers: Vec<Uuid> = readers.iter().map(|reader| reader.as_uuid()).collect();
        let rows: Vec<Row> = store.rows(&store.statements.marks, (room_id.as_uuid(), readers)).await?;
        for row in rows {
            if let (Some(seq), Some(read_at)) = (row.seq, row.read_at) {
                let read_at = timestamp(read_at, TABLE, room_id)?;
                let user_id = UserId::from_uuid(row.user_id);
                marks.push(ReadMark { room_id, user_id, seq: column::seq(seq, TABLE, room_id)?, read_at });
            }
        }
    }
    Ok(marks)
}
