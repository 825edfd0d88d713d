//! Months: the log of a room, and a person's messages, lie in one partition for each month of log time.
//!
//! A clock that steps back over the end of a month interleaves two months, so pages are merged by seq.

use schema::{
    clock::Timestamp,
    id::{RoomId, UserId},
};
use uuid::Uuid;

use super::{
    ScyllaStore,
    mutation::{Mutation, Partition},
    statement::{higher_wins, lower_wins},
};
use crate::{StoreError, column};

/// The month of a log time, as 202611.
pub(super) fn month(at: Timestamp) -> i32 {
    let at = at.as_datetime();
    at.year() * 100 + i32::from(u8::from(at.month()))
}

/// The seqs that a month may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) month: i32,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
}

#[derive(::scylla::DeserializeRow)]
struct Row {
    bucket: i32,
    first_seq: Option<i64>,
    last_seq: Option<i64>,
}

/// The months of a room, in no order.
pub(super) async fn of_room(store: &ScyllaStore, room: RoomId) -> Result<Vec<Bucket>, StoreError> {
    let rows: Vec<Row> = store.rows(&store.statements.room_buckets, (room.as_uuid(),)).await?;
    rows.iter().map(|row| decode(row, "chat_buckets_by_event", room.as_uuid())).collect()
}

/// The months of a person, in no order.
pub(super) async fn of_user(store: &ScyllaStore, user: UserId) -> Result<Vec<Bucket>, StoreError> {
    let rows: Vec<Row> = store.rows(&store.statements.user_buckets, (user.as_uuid(),)).await?;
    rows.iter().map(|row| decode(row, "chat_buckets_by_user", user.as_uuid())).collect()
}

fn decode(row: &Row, table: &'static str, id: Uuid) -> Result<Bucket, StoreError> {
    Ok(Bucket {
        month: row.bucket,
        // The two are written together; should one be missing, the month is read in any case.
        first_seq: column::seq(row.first_seq.unwrap_or(0), table, id)?,
        last_seq: column::seq(row.last_seq.unwrap_or(i64::MAX), table, id)?,
    })
}

/// Says that a room has seqs in these months.
pub(super) fn widen_room(store: &ScyllaStore, room: RoomId, bucket: Bucket) -> [Mutation; 2] {
    let statements = &store.statements;
    widen(room.as_uuid(), bucket, [&statements.room_bucket_first, &statements.room_bucket_last])
}

/// Says that a person has messages in these months.
pub(super) fn widen_user(store: &ScyllaStore, user: Uuid, bucket: Bucket) -> [Mutation; 2] {
    let statements = &store.statements;
    widen(user, bucket, [&statements.user_bucket_first, &statements.user_bucket_last])
}

fn widen(
    key: Uuid,
    bucket: Bucket,
    statements: [&::scylla::statement::prepared::PreparedStatement; 2],
) -> [Mutation; 2] {
    let [first, last] = statements;
    let Bucket { month, first_seq, last_seq } = bucket;
    [
        Mutation::new(Partition::One(key), first, (lower_wins(first_seq), column::of_seq(first_seq), key, month)),
        Mutation::new(Partition::One(key), last, (higher_wins(last_seq), column::of_seq(last_seq), key, month)),
    ]
}

/// Which way a page goes from its pivot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// Below it, nearest first.
    Down,
    /// From it upwards, nearest first.
    Up,
}

/// The nearest rows of all months that were read so far.
pub(super) struct Merge<T> {
    direction: Direction,
    wanted: usize,
    seq_of: fn(&T) -> u64,
    rows: Vec<T>,
}

impl<T> Merge<T> {
    pub(super) fn new(direction: Direction, wanted: usize, seq_of: fn(&T) -> u64) -> Self {
        Self { direction, wanted, seq_of, rows: Vec::new() }
    }

    /// The months that may hold a row beyond `pivot` (below it, or from it upwards), nearest first.
    pub(super) fn order(&self, mut buckets: Vec<Bucket>, pivot: u64) -> Vec<Bucket> {
        match self.direction {
            Direction::Down => {
                buckets.retain(|bucket| bucket.first_seq < pivot);
                buckets.sort_unstable_by_key(|bucket| std::cmp::Reverse(bucket.last_seq));
            }
            Direction::Up => {
                buckets.retain(|bucket| bucket.last_seq >= pivot);
                buckets.sort_unstable_by_key(|bucket| bucket.first_seq);
            }
        }
        buckets
    }

    /// Whether `bucket`, and so those that come after it in [`Self::order`], may hold a row nearer than those found.
    pub(super) fn wants(&self, bucket: &Bucket) -> bool {
        let Some(farthest) = self.wanted.checked_sub(1) else { return false };
        let Some(farthest) = self.rows.get(farthest).map(self.seq_of) else { return true };
        match self.direction {
            Direction::Down => bucket.last_seq > farthest,
            Direction::Up => bucket.first_seq < farthest,
        }
    }

    /// Adds what a month holds.
    pub(super) fn add(&mut self, rows: Vec<T>) {
        self.rows.extend(rows);
        match self.direction {
            Direction::Down => self.rows.sort_by_key(|row| std::cmp::Reverse((self.seq_of)(row))),
            Direction::Up => self.rows.sort_by_key(self.seq_of),
        }
        self.rows.truncate(self.wanted);
    }

    /// The nearest rows, nearest first.
    pub(super) fn into_rows(self) -> Vec<T> {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Merges months that hold these seqs, and says how many of them were read.
    fn check(direction: Direction, pivot: u64, wanted: usize, months: &[&[u64]], expected: &[u64], reads: usize) {
        let buckets = months
            .iter()
            .zip(202_601..)
            .map(|(seqs, month)| Bucket { month, first_seq: seqs[0], last_seq: seqs[seqs.len() - 1] })
            .collect();
        let mut merge = Merge::new(direction, wanted, |seq: &u64| *seq);
        let mut read = 0;
        for bucket in merge.order(buckets, pivot) {
            if !merge.wants(&bucket) {
                break;
            }
            read += 1;
            let month = months[usize::try_from(bucket.month - 202_601).unwrap()].iter().copied();
            merge.add(match direction {
                Direction::Down => month.rev().filter(|seq| *seq < pivot).take(wanted).collect(),
                Direction::Up => month.filter(|seq| *seq >= pivot).take(wanted).collect(),
            });
        }
        assert_eq!((merge.into_rows(), read), (expected.to_vec(), reads));
    }

    #[test]
    fn months_that_overlap_are_merged_and_those_out_of_reach_are_not_read() {
        let apart: [&[u64]; 3] = [&[1, 2, 3], &[4, 5], &[6, 7, 8]];
        check(Direction::Down, u64::MAX, 2, &apart, &[8, 7], 1);
        check(Direction::Down, 7, 3, &apart, &[6, 5, 4], 2);
        check(Direction::Up, 3, 2, &apart, &[3, 4], 2);
        check(Direction::Up, 6, 9, &apart, &[6, 7, 8], 1);
        check(Direction::Up, 1, 0, &apart, &[], 0);
        let overlapping: [&[u64]; 2] = [&[1, 2, 5, 7], &[3, 4, 6, 8]];
        check(Direction::Down, u64::MAX, 3, &overlapping, &[8, 7, 6], 2);
        check(Direction::Up, 2, 4, &overlapping, &[2, 3, 4, 5], 2);
    }

    #[test]
    fn a_month_is_that_of_the_time_in_utc() {
        assert_eq!(month(Timestamp::parse("2026-12-01T00:30:00+01:00").unwrap()), 202_611);
        assert_eq!(month(Timestamp::parse("2026-12-01T00:00:00Z").unwrap()), 202_612);
    }
}
