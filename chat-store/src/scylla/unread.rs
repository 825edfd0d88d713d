//! How much of a room its readers have not seen: derived from their marks, never counted up. One look down from a
//! room's top serves all of its readers.

use std::{cmp::Reverse, collections::HashMap};

use futures_util::{StreamExt, TryStreamExt, stream};
use ops::mutant::{self, Mutant};
use schema::{
    envelope::Kind,
    id::{RoomId, UserId},
};
use uuid::Uuid;

use super::{ScyllaStore, bucket};
use crate::{StoreError, column, store::UNREAD_MAX};

/// How many rows are looked at at once.
const PAGE: usize = 200;
/// How many rooms are counted at once.
const ROOMS_AT_ONCE: usize = 16;

#[derive(::scylla::DeserializeRow)]
struct Seen {
    seq: i64,
    kind: Option<String>,
    sender: Option<Uuid>,
    deleted_seq: Option<i64>,
}

/// A reader, and what was counted for them.
struct Reader {
    /// Their place among those asked about.
    place: usize,
    id: Uuid,
    mark: i64,
    unread: u32,
}

pub(super) async fn count(store: &ScyllaStore, asked: &[(RoomId, UserId, u64)]) -> Result<Vec<u32>, StoreError> {
    let mut rooms: HashMap<RoomId, Vec<Reader>> = HashMap::new();
    for (place, (room, reader, mark)) in asked.iter().enumerate() {
        let reader = Reader { place, id: reader.as_uuid(), mark: column::of_seq(*mark), unread: 0 };
        rooms.entry(*room).or_default().push(reader);
    }
    let counted = rooms.into_iter().map(|(room, readers)| in_room(store, room, readers));
    let counted: Vec<Vec<Reader>> =
        stream::iter(counted.collect::<Vec<_>>()).buffer_unordered(ROOMS_AT_ONCE).try_collect().await?;
    let mut counted: Vec<Reader> = counted.into_iter().flatten().collect();
    counted.sort_unstable_by_key(|reader| reader.place);
    Ok(counted.into_iter().map(|reader| reader.unread).collect())
}

async fn in_room(store: &ScyllaStore, room: RoomId, mut readers: Vec<Reader>) -> Result<Vec<Reader>, StoreError> {
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
    Ok(readers)
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
        self.unread < UNREAD_MAX
            && row.seq > self.mark
            && (row.sender != Some(self.id) || mutant::is(Mutant::CounterUnread))
    }
}
