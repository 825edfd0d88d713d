//! How much of a room its readers have not seen: derived from their marks, never counted up. One look down from the
//! room's top serves them all.

use std::cmp::Reverse;

use schema::{
    envelope::Kind,
    id::{RoomId, UserId},
};
use uuid::Uuid;

use super::{ScyllaStore, bucket};
use crate::{StoreError, column, store::UNREAD_MAX};

/// How many rows are looked at at once.
const PAGE: usize = 200;

#[derive(::scylla::DeserializeRow)]
struct Seen {
    seq: i64,
    kind: Option<String>,
    sender: Option<Uuid>,
    deleted_seq: Option<i64>,
}

/// A reader, and what was counted for them.
struct Reader {
    id: Uuid,
    mark: i64,
    unread: u32,
}

pub(super) async fn count(
    store: &ScyllaStore,
    room: RoomId,
    readers: &[(UserId, u64)],
) -> Result<Vec<u32>, StoreError> {
    let reader = |(id, mark): &(UserId, u64)| Reader { id: id.as_uuid(), mark: column::of_seq(*mark), unread: 0 };
    let mut readers: Vec<Reader> = readers.iter().map(reader).collect();
    let mut buckets = bucket::of_room(store, room).await?;
    buckets.sort_unstable_by_key(|bucket| Reverse(bucket.last_seq));
    for bucket in buckets {
        let mut below = i64::MAX;
        // A month that ends at everybody's mark holds nothing above it.
        while let Some(mark) = lowest_mark(&readers).filter(|mark| column::of_seq(bucket.last_seq) > *mark) {
            let key = (room.as_uuid(), bucket.month, mark, below, column::of_limit(PAGE));
            let rows: Vec<Seen> = store.rows(&store.statements.unread, key).await?;
            rows.iter().filter(|row| row.is_message()).for_each(|row| {
                let readers = readers.iter_mut().filter(|reader| reader.has_not_seen(row));
                readers.for_each(|reader| reader.unread += 1);
            });
            if rows.len() < PAGE {
                break;
            }
            below = rows.last().map_or(below, |row| row.seq);
        }
    }
    Ok(readers.iter().map(|reader| reader.unread).collect())
}

/// The lowest mark of those for whom there may be more to count.
fn lowest_mark(readers: &[Reader]) -> Option<i64> {
    readers.iter().filter(|reader| reader.unread < UNREAD_MAX).map(|reader| reader.mark).min()
}

impl Seen {
    fn is_message(&self) -> bool {
        self.kind.as_deref() == Some(Kind::Message.as_str()) && self.deleted_seq.is_none()
    }
}

impl Reader {
    fn has_not_seen(&self, row: &Seen) -> bool {
        self.unread < UNREAD_MAX && row.seq > self.mark && row.sender != Some(self.id)
    }
}
