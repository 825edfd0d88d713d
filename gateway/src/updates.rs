//! `room_updated`: what is new in rooms, for everybody who has a socket here and is in them, joined or not.
//!
//! The worker says which rooms and marks have changed in the store (a hint that may be lost). Rooms that are due are
//! taken together: who is in them is asked of PostgreSQL, what is new of the message store, nothing of it on a
//! message's way. A room is told at once after a quiet time and then in a pace that keeps the work bounded; what comes
//! meanwhile is in the next one. Counts are derived from marks, never counted up.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_nats::Message;
use chat_store::{Head, StoreError};
use parking_lot::Mutex;
use schema::{
    frame::{limit, server::ServerFrame},
    id::{RoomId, UserId},
    moved::{Marked, Moved},
    subject::MOVED,
};
use tokio::{sync::Notify, time::Instant};

use crate::{
    codec::{Opcode, encode},
    socket::Class,
    state::Gateway,
    subscription::{self, subscribe},
};

/// Rooms that are looked after together.
const ROOMS_A_ROUND: usize = 64;
/// Rooms that may wait; of more nobody hears.
const ROOMS_MAX: usize = 50_000;
/// After a database did not answer, when to ask again.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// Readers that are counted in one question.
const READERS_A_QUESTION: usize = 500;

/// Rooms that have moved.
#[derive(Debug, Default)]
pub struct Updates {
    rooms: Mutex<HashMap<RoomId, Due>>,
    wake: Notify,
}

/// When a room may be told next, and who is to hear it.
#[derive(Debug)]
struct Due {
    at: Instant,
    /// None: the room is quiet.
    whom: Option<Whom>,
}

/// Who is to hear what is new in a room.
#[derive(Clone, Debug)]
enum Whom {
    Everybody,
    /// Those whose own marks have moved.
    Readers(HashSet<UserId>),
}

impl Updates {
    fn hear(&self, gateway: &Gateway, moved: Moved) {
        let mut rooms = self.rooms.lock();
        for room in moved.rooms {
            add(&mut rooms, room, Whom::Everybody);
        }
        for Marked { room_id, user_id } in moved.marks {
            if !gateway.sockets.of(user_id).is_empty() {
                add(&mut rooms, room_id, Whom::Readers(HashSet::from([user_id])));
            }
        }
        drop(rooms);
        self.wake.notify_one();
    }

    /// The rooms whose time has come, and when the next one's comes.
    fn take(&self) -> (Vec<(RoomId, Whom)>, Option<Instant>) {
        let now = Instant::now();
        let mut rooms = self.rooms.lock();
        rooms.retain(|_, due| due.whom.is_some() || due.at > now);
        let is_due = |(_, due): &(&RoomId, &mut Due)| due.whom.is_some() && due.at <= now;
        let taken = rooms.iter_mut().filter(is_due).take(ROOMS_A_ROUND);
        let taken: Vec<_> = taken.filter_map(|(room, due)| Some((*room, due.whom.take()?))).collect();
        let next = rooms.values().filter(|due| due.whom.is_some()).map(|due| due.at).min();
        (taken, next)
    }

    fn pause(&self, room: RoomId, pause: Duration) {
        let at = Instant::now() + pause;
        self.rooms.lock().entry(room).or_insert(Due { at, whom: None }).at = at;
    }
}

fn add(rooms: &mut HashMap<RoomId, Due>, room: RoomId, more: Whom) {
    if rooms.len() >= ROOMS_MAX && !rooms.contains_key(&room) {
        return;
    }
    let due = rooms.entry(room).or_insert_with(|| Due { at: Instant::now(), whom: None });
    due.whom = Some(match (due.whom.take(), more) {
        (None, more) => more,
        (Some(Whom::Readers(mut readers)), Whom::Readers(more)) => {
            readers.extend(more);
            Whom::Readers(readers)
        }
        (Some(_), _) => Whom::Everybody,
    });
}

/// Hears the worker's hints until the process stops.
pub(crate) async fn hear(gateway: Arc<Gateway>) {
    let take = |message: Message| match serde_json::from_slice::<Moved>(&message.payload) {
        Ok(moved) => gateway.updates.hear(&gateway, moved),
        Err(error) => tracing::warn!(%error, "a hint that does not decode"),
    };
    subscription::hear(&gateway, subscribe(&gateway, MOVED), take).await;
}

/// Tells what is due until the process stops.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let stopping = gateway.lifecycle.stopping().clone();
    loop {
        let (due, next) = gateway.updates.take();
        if due.is_empty() {
            tokio::select! {
                () = gateway.updates.wake.notified() => {}
                () = until(next) => {}
                () = stopping.cancelled() => return,
            }
            continue;
        }
        if let Err(error) = round(&gateway, &due).await {
            tracing::warn!(%error, "what is new in rooms is told later");
            let mut rooms = gateway.updates.rooms.lock();
            for (room, whom) in due {
                add(&mut rooms, room, whom);
                rooms.entry(room).and_modify(|due| due.at = Instant::now() + RETRY_AFTER);
            }
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Why a round told nothing; it is done again.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("who is in the rooms is not known")]
    Members(#[from] sqlx::Error),
    #[error("what is new is not known")]
    Store(#[from] StoreError),
}

async fn round(gateway: &Gateway, due: &[(RoomId, Whom)]) -> Result<(), RoundError> {
    let people = people(gateway, due).await?;
    for (room, _) in due {
        let here = people.get(room).map(Vec::as_slice).unwrap_or_default();
        gateway.updates.pause(*room, pace(gateway, *room, here));
    }
    let rooms: Vec<RoomId> = people.keys().copied().collect();
    let readers: Vec<(RoomId, UserId)> =
        people.into_iter().flat_map(|(room, users)| users.into_iter().map(move |user| (room, user))).collect();
    if readers.is_empty() {
        return Ok(());
    }
    let heads = gateway.store.heads(&rooms).await?;
    let heads: HashMap<RoomId, Head> = heads.into_iter().map(|head| (head.room_id, head)).collect();
    for readers in readers.chunks(READERS_A_QUESTION) {
        tell(gateway, readers, &heads).await?;
    }
    Ok(())
}

/// Who has a socket here and is in one of these rooms, and is to hear of it.
async fn people(gateway: &Gateway, due: &[(RoomId, Whom)]) -> Result<HashMap<RoomId, Vec<UserId>>, sqlx::Error> {
    let rooms: Vec<RoomId> = due.iter().map(|(room, _)| *room).collect();
    let whom: HashMap<RoomId, &Whom> = due.iter().map(|(room, whom)| (*room, whom)).collect();
    let mut people: HashMap<RoomId, Vec<UserId>> = HashMap::new();
    for (room, user) in gateway.admission.all_of(&rooms).await? {
        let is_meant = match whom.get(&room) {
            Some(Whom::Everybody) => true,
            Some(Whom::Readers(readers)) => readers.contains(&user),
            None => false,
        };
        if is_meant && !gateway.sockets.of(user).is_empty() {
            people.entry(room).or_default().push(user);
        }
    }
    Ok(people)
}

/// How long a room then rests: so long that no more than so many people a second are told; and where everybody hears
/// the room itself, which says the same, longer.
fn pace(gateway: &Gateway, room: RoomId, here: &[UserId]) -> Duration {
    let hears = |user: &UserId| gateway.sockets.of(*user).iter().all(|socket| socket.has_seat(room));
    let turns = u32::try_from(here.len() / limit::ROOM_UPDATES_MAX).unwrap_or(u32::MAX).saturating_add(1);
    let every = if here.iter().all(hears) { limit::ROOM_UPDATES_JOINED_EVERY } else { limit::ROOM_UPDATES_EVERY };
    every.max(limit::ROOM_UPDATES_EVERY.saturating_mul(turns))
}

async fn tell(
    gateway: &Gateway,
    readers: &[(RoomId, UserId)],
    heads: &HashMap<RoomId, Head>,
) -> Result<(), StoreError> {
    let marks = gateway.store.read_marks(readers).await?;
    let marks: HashMap<(RoomId, UserId), u64> =
        marks.into_iter().map(|mark| ((mark.room_id, mark.user_id), mark.seq)).collect();
    let mark = |reader: &(RoomId, UserId)| (reader.0, reader.1, marks.get(reader).copied().unwrap_or(0));
    let counts = gateway.store.unread(&readers.iter().map(mark).collect::<Vec<_>>()).await?;
    for ((room_id, user), unread_count) in readers.iter().copied().zip(counts) {
        let last_message = heads.get(&room_id).and_then(|head| head.last_message.clone()).map(Box::new);
        let bytes = encode(Opcode::Text, &ServerFrame::RoomUpdated { room_id, unread_count, last_message }.to_json());
        for socket in gateway.sockets.of(user) {
            gateway.measure.room_updates.increment(1);
            gateway.measure.frames_out.increment(1);
            socket.offer(&bytes, Class::Ephemeral);
        }
    }
    Ok(())
}
