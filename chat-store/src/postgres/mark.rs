//! How far people have read: the highest seq counts, and of one seq the latest time.

use std::collections::BTreeMap;

use ops::database::Pool;
use schema::id::{RoomId, UserId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{ReadMark, StoreError, column};

const TABLE: &str = "read_marks_by_event";

/// Raises marks; lower ones change nothing.
pub(super) async fn write(pool: &Pool, marks: &[ReadMark]) -> Result<(), StoreError> {
    // One row of a statement may be written once; in their order, so that two batches do not wait for each other.
    let mut highest: BTreeMap<(RoomId, UserId), ReadMark> = BTreeMap::new();
    for mark in marks {
        let known = highest.entry((mark.room_id, mark.user_id)).or_insert(*mark);
        if (known.seq, known.read_at) < (mark.seq, mark.read_at) {
            *known = *mark;
        }
    }
    let marks: Vec<ReadMark> = highest.into_values().collect();
    sqlx::query(
        "INSERT INTO read_marks_by_event AS known (event_id, user_id, seq, read_at)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[])
         ON CONFLICT (event_id, user_id) DO UPDATE SET seq = excluded.seq, read_at = excluded.read_at
         WHERE (known.seq, known.read_at) < (excluded.seq, excluded.read_at)",
    )
    .bind(marks.iter().map(|mark| mark.room_id.as_uuid()).collect::<Vec<Uuid>>())
    .bind(marks.iter().map(|mark| mark.user_id.as_uuid()).collect::<Vec<Uuid>>())
    .bind(marks.iter().map(|mark| column::of_seq(mark.seq)).collect::<Vec<i64>>())
    .bind(marks.iter().map(|mark| mark.read_at.as_datetime()).collect::<Vec<OffsetDateTime>>())
    .execute(pool)
    .await?;
    Ok(())
}

/// How far people have read.
pub(super) async fn read(pool: &Pool, readers: &[(RoomId, UserId)]) -> Result<Vec<ReadMark>, StoreError> {
    let rows: Vec<(RoomId, UserId, i64, OffsetDateTime)> = sqlx::query_as(
        "SELECT event_id, user_id, seq, read_at FROM read_marks_by_event
         JOIN unnest($1::uuid[], $2::uuid[]) AS reader (room, id) ON event_id = reader.room AND user_id = reader.id",
    )
    .bind(readers.iter().map(|(room, _)| room.as_uuid()).collect::<Vec<Uuid>>())
    .bind(readers.iter().map(|(_, reader)| reader.as_uuid()).collect::<Vec<Uuid>>())
    .fetch_all(pool)
    .await?;
    let decode = |(room_id, user_id, seq, read_at): (RoomId, UserId, i64, OffsetDateTime)| {
        Ok(ReadMark { room_id, user_id, seq: column::seq(seq, TABLE, room_id)?, read_at: read_at.into() })
    };
    rows.into_iter().map(decode).collect()
}
