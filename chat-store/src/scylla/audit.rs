//! Pages of everything, for the check that the tables agree: rooms and ids in the order of their tokens, a room's seqs
//! through its months, as readers find them.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use schema::{
    clock::Timestamp,
    envelope::Kind,
    id::{MessageId, RoomId, UserId},
};
use uuid::Uuid;

use super::{
    ScyllaStore,
    bucket::{self, Bucket, Direction},
    claim::Known,
    history, item_row,
    log::{self, Place},
    mutation::IN_FLIGHT_MAX,
    reaction,
};
use crate::{
    LogRow, StoreError,
    audit::{
        self, AuditPage, Audited, AuditedChange, AuditedId, AuditedReaction, Fault, IdPage, IdPlace, Logged, MarkRow,
    },
    column,
};

/// Rooms that are read together when they are small.
const ROOMS_AT_ONCE: usize = 8;

/// Every seq of the log and of history, room by room.
pub(super) async fn page(
    store: &ScyllaStore,
    after: Option<(RoomId, u64)>,
    above: u64,
    limit: usize,
) -> Result<AuditPage, StoreError> {
    let mut page = AuditPage { rows: Vec::new(), next: after };
    if let Some((room, seq)) = after {
        let rows = room_page(store, room, seq.max(above), limit).await?;
        if page.add(room, rows, limit) {
            return Ok(page);
        }
    }
    while page.rows.len() < limit {
        let rooms = rooms(store, page.next.map(|(room, _)| room), ROOMS_AT_ONCE).await?;
        if rooms.is_empty() {
            page.next = None;
            break;
        }
        let reads = rooms.iter().map(|room| room_page(store, *room, above, limit));
        let read: Vec<_> = stream::iter(reads.collect::<Vec<_>>()).buffered(ROOMS_AT_ONCE).try_collect().await?;
        for (room, rows) in rooms.into_iter().zip(read) {
            if page.add(room, rows, limit) {
                break;
            }
        }
    }
    Ok(page)
}

impl AuditPage {
    /// Adds what a room gave; whether it may have more.
    fn add(&mut self, room: RoomId, rows: Vec<Audited>, limit: usize) -> bool {
        let last = rows.last().map_or(0, |row| row.seq);
        let has_more = rows.len() >= limit;
        self.rows.extend(rows);
        // Where it was read to, or past its end.
        self.next = Some((room, if has_more { last } else { u64::MAX }));
        has_more
    }
}

/// Rooms after `after`, in the order of their tokens.
async fn rooms(store: &ScyllaStore, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomId>, StoreError> {
    let (statements, limit) = (&store.statements, column::of_limit(limit));
    let rows: Vec<(Uuid,)> = match after {
        None => store.rows(&statements.rooms_first, (limit,)).await?,
        Some(room) => store.rows(&statements.rooms_after, (room.as_uuid(), limit)).await?,
    };
    Ok(rows.into_iter().map(|(room,)| RoomId::from_uuid(room)).collect())
}

/// The seqs of a room above `after`.
async fn room_page(store: &ScyllaStore, room: RoomId, after: u64, limit: usize) -> Result<Vec<Audited>, StoreError> {
    if after == u64::MAX {
        return Ok(Vec::new());
    }
    let buckets = bucket::of_room(store, room).await?;
    let (rows, items) = tokio::try_join!(
        log::read(store, room, after, limit),
        item_row::nearest(store, room, &buckets, Direction::Up, after.saturating_add(1), limit),
    )?;
    let rows = rows.into_iter().map(|row| (room, row)).collect();
    let (mut rows, _end) = audit::merge(rows, items, limit);
    fill(store, &mut rows).await?;
    look_beside(store, room, &mut rows).await?;
    Ok(rows)
}

/// Adds what is wrong with the tables that lists are read from: of rooms by their newest activity, and of what somebody
/// wrote.
async fn look_beside(store: &ScyllaStore, room: RoomId, rows: &mut [Audited]) -> Result<(), StoreError> {
    // After the rows: what was written meanwhile has raised it.
    let head = history::head(store, room).await?.map_or(0, |(_, seq)| seq);
    for row in rows.iter_mut().filter(|row| row.item.is_some() && column::of_seq(row.seq) > head) {
        row.beside.push(Fault::HeadBehind);
    }
    let wrote: Vec<(UserId, Place)> = rows.iter().filter_map(written).collect();
    let authors: HashSet<UserId> = wrote.iter().map(|(author, _)| *author).collect();
    let reads = authors
        .into_iter()
        .map(|author| async move { Ok::<_, StoreError>((author, bucket::of_user(store, author).await?)) });
    let months: HashMap<UserId, Vec<Bucket>> =
        stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(IN_FLIGHT_MAX).try_collect().await?;
    let reads = wrote.iter().map(|(author, place)| {
        let months = months.get(author).map_or(&[][..], Vec::as_slice);
        is_listed(store, *author, place, months)
    });
    let listed: Vec<bool> = stream::iter(reads.collect::<Vec<_>>()).buffered(IN_FLIGHT_MAX).try_collect().await?;
    let unlisted: HashSet<u64> =
        wrote.iter().zip(listed).filter(|(_, is_listed)| !is_listed).map(|((_, place), _)| place.seq).collect();
    for row in rows.iter_mut().filter(|row| unlisted.contains(&row.seq)) {
        row.beside.push(Fault::Unlisted);
    }
    Ok(())
}

/// Who wrote it and where it stands, if it is a message.
fn written(row: &Audited) -> Option<(UserId, Place)> {
    let (log, at) = row.row.as_ref().zip(row.place)?;
    let is_first = (at.room_id, at.seq) == (row.room_id, row.seq);
    let author = at.sender.filter(|_| is_first && log.kind == Some(Kind::Message))?;
    Some((author, Place { room_id: row.room_id, seq: row.seq, created_at: log.created_at }))
}

/// Whether who reads what `author` wrote, month by month, comes to the message.
async fn is_listed(store: &ScyllaStore, author: UserId, place: &Place, months: &[Bucket]) -> Result<bool, StoreError> {
    let (room, month, seq) = place.key();
    let is_in = |bucket: &Bucket| bucket.month == month && (bucket.first_seq..=bucket.last_seq).contains(&place.seq);
    if !months.iter().any(is_in) {
        return Ok(false);
    }
    let rows: Vec<(Uuid,)> = store.rows(&store.statements.by_user_at, (author.as_uuid(), month, seq)).await?;
    Ok(rows.contains(&(room,)))
}

/// Adds what stands under the ids of `rows`, and under those of the messages that they change.
async fn fill(store: &ScyllaStore, rows: &mut [Audited]) -> Result<(), StoreError> {
    let targets: HashMap<u64, MessageId> = rows.iter().filter_map(|row| Some((row.seq, row.target()?))).collect();
    let ids = rows.iter().filter_map(Audited::id).chain(targets.values().copied());
    let known = store.known(ids).await?;
    let nothing = Known::default();
    for row in rows {
        let Some(id) = row.id() else { continue };
        let own = known.get(&id).unwrap_or(&nothing);
        row.place =
            own.first().map(|claim| IdPlace { room_id: claim.at.room_id, seq: claim.at.seq, sender: claim.at.sender });
        if let Some(target) = targets.get(&row.seq) {
            let known = known.get(target).unwrap_or(&nothing);
            let has_reactions = row.kind() == Some(Kind::Reaction);
            let (changes, reactions) = (changes(store, known).await?, reactions(store, *target, has_reactions).await?);
            row.keep(Some(&changes), Some(&reactions));
        } else {
            row.changes = changes(store, own).await?;
            let has_reactions = own.has_reactions || row.item.as_ref().is_some_and(|item| item.has_reactions);
            row.reactions = reactions(store, id, has_reactions).await?;
        }
    }
    Ok(())
}

async fn changes(store: &ScyllaStore, known: &Known) -> Result<Vec<AuditedChange>, StoreError> {
    let mut changes = Vec::with_capacity(known.changes.len());
    for kept in &known.changes {
        let change = kept.change.clone();
        let place = Place { room_id: change.room_id, seq: change.seq, created_at: change.created_at };
        let is_refused =
            !known.claims.is_empty() && !known.admits(change.kind, change.room_id, change.sender, change.is_moderator);
        let is_logged = is_refused || log::id(store, &place).await? == Some(kept.id.as_uuid());
        changes.push(AuditedChange { change, is_refused, is_logged });
    }
    Ok(changes)
}

async fn reactions(store: &ScyllaStore, message: MessageId, has_any: bool) -> Result<Vec<AuditedReaction>, StoreError> {
    if !has_any {
        return Ok(Vec::new());
    }
    let mut reactions = Vec::new();
    for (place, emoji, is_added) in reaction::list(store, message).await? {
        let is_logged = log::id(store, &place).await?.is_some();
        reactions.push(AuditedReaction { seq: place.seq, emoji, is_added, is_logged });
    }
    Ok(reactions)
}

/// What the log has at these places, in their order.
pub(super) async fn log_at(
    store: &ScyllaStore,
    places: &[(RoomId, u64, Timestamp)],
) -> Result<Vec<Option<LogRow>>, StoreError> {
    let reads = places.iter().map(|(room_id, seq, created_at)| {
        let place = Place { room_id: *room_id, seq: *seq, created_at: *created_at };
        async move { log::at(store, &place).await }
    });
    stream::iter(reads.collect::<Vec<_>>()).buffered(IN_FLIGHT_MAX).try_collect().await
}

/// Ids after `after`, in the order of their tokens, and what the log has where they stand.
pub(super) async fn ids(store: &ScyllaStore, after: Option<MessageId>, limit: usize) -> Result<IdPage, StoreError> {
    let (statements, rows_max) = (&store.statements, column::of_limit(limit));
    let rows: Vec<(Uuid,)> = match after {
        None => store.rows(&statements.ids_first, (rows_max,)).await?,
        Some(id) => store.rows(&statements.ids_after, (id.as_uuid(), rows_max)).await?,
    };
    let next = rows.last().filter(|_| rows.len() >= limit).map(|(id,)| MessageId::from_uuid(*id));
    let known = store.known(rows.iter().map(|(id,)| MessageId::from_uuid(*id))).await?;
    let reads = known.into_iter().map(|(id, known)| async move {
        // Without a claim it stands nowhere yet.
        let Some(first) = known.first() else { return Ok(None) };
        let logged = match log::at(store, &first.place()).await? {
            None => Logged::Nothing,
            Some(LogRow { id: None, .. }) => Logged::Skip,
            Some(row) if row.id == Some(id) => Logged::Own,
            Some(_) => Logged::Other,
        };
        let (room_id, seq, kind, created_at) = (first.at.room_id, first.at.seq, first.at.kind, first.created_at);
        Ok::<_, StoreError>(Some(AuditedId { id, room_id, seq, created_at, kind, logged }))
    });
    let ids: Vec<Option<AuditedId>> =
        stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(IN_FLIGHT_MAX).try_collect().await?;
    Ok(IdPage { ids: ids.into_iter().flatten().collect(), next })
}

/// Read marks after `after`: the rest of its room, then rooms in the order of their tokens.
pub(super) async fn marks(
    store: &ScyllaStore,
    after: Option<(RoomId, UserId)>,
    limit: usize,
) -> Result<Vec<MarkRow>, StoreError> {
    let (statements, rows_max) = (&store.statements, column::of_limit(limit));
    let mut rows: Vec<(Uuid, Uuid, Option<i64>)> = match after {
        None => store.rows(&statements.marks_first, (rows_max,)).await?,
        Some((room, user)) => store.rows(&statements.marks_of_room, (room.as_uuid(), user.as_uuid(), rows_max)).await?,
    };
    if let Some((room, _)) = after.filter(|_| rows.is_empty()) {
        rows = store.rows(&statements.marks_after, (room.as_uuid(), rows_max)).await?;
    }
    let mark = |(room, user, seq): (Uuid, Uuid, Option<i64>)| {
        let seq = column::seq(seq.unwrap_or(0), "read_marks_by_event", room)?;
        Ok(MarkRow { room_id: RoomId::from_uuid(room), user_id: UserId::from_uuid(user), seq })
    };
    rows.into_iter().map(mark).collect()
}
