//! How far people have read. A mark goes to the stream `CHAT_MARKS` with an ack, one publish at a time for each person
//! and room, and what is said meanwhile replaces what waits; what the stream republishes is shown to the room, many
//! people in one write, a few times a second. Nothing of it waits for a database.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use foldhash::HashMap;
use parking_lot::Mutex;
use schema::{
    frame::{limit, server::ServerFrame},
    id::{RoomId, UserId},
    mark::Mark,
    subject::LiveMarkSubject,
};
use tokio::time::Instant;

use crate::{
    codec::{Opcode, encode},
    hub::{Room, concat},
    state::Gateway,
    subscription::{self, subscribe},
};

/// Between two publishes of one mark.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);
/// Between two tries of a publish that failed.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Readers of one room that are kept at most; of more, the quiet ones are forgotten.
const READERS_MAX: usize = 5_000;

/// The marks of a room, as far as this gateway has heard or said them.
#[derive(Debug, Default)]
pub(crate) struct Marks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    readers: HashMap<UserId, Reader>,
    /// Whose marks the room has still to be told.
    untold: Vec<UserId>,
    /// Whether a task is on its way to tell.
    is_telling: bool,
}

#[derive(Debug, Default)]
struct Reader {
    /// What the room was told, or is about to be.
    shown: u64,
    /// What is known to stand in the stream.
    known: u64,
    /// What the reader has said, on this gateway.
    wanted: u64,
    is_publishing: bool,
    is_untold: bool,
}

/// Raises a mark; a lower one is not worth a word.
pub(crate) fn raise(gateway: &Arc<Gateway>, room: &Arc<Room>, user: UserId, seq: u64) {
    let mut state = room.marks().0.lock();
    let reader = state.reader(user);
    if seq <= reader.known.max(reader.wanted) {
        return;
    }
    reader.wanted = seq;
    if std::mem::replace(&mut reader.is_publishing, true) {
        return;
    }
    drop(state);
    let (gateway, room) = (Arc::clone(gateway), Arc::clone(room));
    gateway.lifecycle.clone().spawn(async move { publish(&gateway, &room, user).await });
}

/// Publishes a reader's mark until what they said last stands, or the time for it is over.
async fn publish(gateway: &Arc<Gateway>, room: &Room, user: UserId) {
    let stopping = gateway.lifecycle.stopping().clone();
    let mut deadline = Instant::now() + gateway.config.publish_within;
    while let Some(seq) = room.marks().next(user) {
        let pause = match (Mark { seq }).raise(&gateway.broker.js, room.id, user).await {
            Ok(stands) => {
                room.marks().stands(user, stands.seq);
                deadline = Instant::now() + gateway.config.publish_within;
                PUBLISH_EVERY
            }
            Err(error) if Instant::now() + RETRY_AFTER < deadline => {
                tracing::debug!(room.id = %room.id, %error, "a mark is raised later");
                RETRY_AFTER
            }
            Err(error) => {
                tracing::warn!(room.id = %room.id, %error, "a mark was not raised: the client says it again");
                return room.marks().give_up(user);
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopping.cancelled() => {}
        }
    }
}

/// Hears what the stream republishes, until the process stops.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    subscription::hear(&gateway, subscribe(&gateway, LiveMarkSubject::ALL), |message| {
        let Some(LiveMarkSubject(room, user)) = LiveMarkSubject::parse(&message.subject) else { return };
        let Some(room) = gateway.hub.find(room) else { return };
        match serde_json::from_slice(&message.payload) {
            Ok(Mark { seq }) => hear(&gateway, &room, user, seq),
            Err(error) => tracing::warn!(room.id = %room.id, %error, "a mark that does not decode"),
        }
    })
    .await;
}

/// Somebody's mark stands at `seq`: the room hears it soon.
fn hear(gateway: &Arc<Gateway>, room: &Arc<Room>, user: UserId, seq: u64) {
    if room.marks().hear(user, seq) {
        let (gateway, room) = (Arc::clone(gateway), Arc::clone(room));
        gateway.lifecycle.clone().spawn(async move { tell(&room).await });
    }
}

/// Tells the room what it was not told, in the pace that it bears.
async fn tell(room: &Room) {
    while let Some(frames) = room.marks().take_untold(room.id) {
        room.show_ephemeral(frames);
        tokio::select! {
            () = tokio::time::sleep(limit::READ_EVERY) => {}
            () = room.stopped().cancelled() => return,
        }
    }
}

impl Marks {
    /// The seq that is to be published for a reader; `None`, and nobody publishes any more, when it stands.
    fn next(&self, user: UserId) -> Option<u64> {
        let mut state = self.0.lock();
        let reader = state.reader(user);
        reader.is_publishing = reader.wanted > reader.known;
        reader.is_publishing.then_some(reader.wanted)
    }

    fn stands(&self, user: UserId, seq: u64) {
        let mut state = self.0.lock();
        let reader = state.reader(user);
        reader.known = reader.known.max(seq);
    }

    fn give_up(&self, user: UserId) {
        let mut state = self.0.lock();
        let reader = state.reader(user);
        reader.wanted = reader.known;
        reader.is_publishing = false;
    }

    /// Notes a live mark; true if the caller has to tell.
    fn hear(&self, user: UserId, seq: u64) -> bool {
        let mut state = self.0.lock();
        let reader = state.reader(user);
        reader.known = reader.known.max(seq);
        if seq <= reader.shown {
            return false;
        }
        reader.shown = seq;
        if !std::mem::replace(&mut reader.is_untold, true) {
            state.untold.push(user);
        }
        !std::mem::replace(&mut state.is_telling, true)
    }

    /// The next frames, encoded as one buffer; `None`, and nobody tells any more, when there is none.
    fn take_untold(&self, room_id: RoomId) -> Option<Bytes> {
        let mut state = self.0.lock();
        if state.untold.is_empty() {
            state.is_telling = false;
            return None;
        }
        let count = state.untold.len().min(limit::READ_CHANGES_MAX);
        let users: Vec<UserId> = state.untold.drain(..count).collect();
        let mut frame = |user_id| {
            let reader = state.reader(user_id);
            reader.is_untold = false;
            encode(Opcode::Text, &ServerFrame::Read { room_id, user_id, seq: reader.shown }.to_json())
        };
        Some(concat(&users.into_iter().map(&mut frame).collect::<Vec<_>>()))
    }
}

impl State {
    fn reader(&mut self, user: UserId) -> &mut Reader {
        if self.readers.len() >= READERS_MAX && !self.readers.contains_key(&user) {
            self.readers.retain(|_, reader| reader.is_publishing || reader.is_untold);
        }
        self.readers.entry(user).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(marks: &Marks, room: RoomId) -> usize {
        marks
            .take_untold(room)
            .map_or(0, |frames| frames.windows(13).filter(|bytes| *bytes == br#"{"type":"read"#).count())
    }

    #[test]
    fn the_newest_of_each_reader_is_told_and_never_a_lower_one() {
        let (marks, room) = (Marks::default(), RoomId::random());
        let (ann, ben) = (UserId::random(), UserId::random());
        assert!(marks.hear(ann, 5), "somebody has to tell");
        assert!(!marks.hear(ann, 7) && !marks.hear(ann, 6) && !marks.hear(ben, 1), "who tells is on the way");
        assert_eq!(told(&marks, room), 2);
        assert!(!marks.hear(ann, 7));
        assert_eq!(told(&marks, room), 0, "that is known");
        assert!(marks.hear(ann, 8));
        assert_eq!(told(&marks, room), 1);
    }

    #[test]
    fn a_crowd_is_told_in_turns() {
        let (marks, room) = (Marks::default(), RoomId::random());
        for _ in 0..=limit::READ_CHANGES_MAX {
            marks.hear(UserId::random(), 1);
        }
        assert_eq!([told(&marks, room), told(&marks, room), told(&marks, room)], [limit::READ_CHANGES_MAX, 1, 0]);
    }

    #[test]
    fn what_was_said_last_is_published_once_it_is_above_what_stands() {
        let (marks, user) = (Marks::default(), UserId::random());
        marks.0.lock().reader(user).wanted = 3;
        assert_eq!(marks.next(user), Some(3));
        marks.stands(user, 3);
        assert_eq!(marks.next(user), None);
        marks.hear(user, 9);
        marks.0.lock().reader(user).wanted = 8;
        assert_eq!(marks.next(user), None, "another device is further");
    }
}
