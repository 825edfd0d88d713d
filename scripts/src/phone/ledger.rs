//! All that a phone meant, was told and heard. Whoever holds the ledger can say afterwards whether a promise was broken.
//!
//! No input or output here: the session asks [`Ledger::work`] what to send and tells the ledger what it heard.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    frame::{Incoming, Word},
    intent::{Intent, Outcome},
    view::{Standing, Verdict, View},
};

/// Messages that may wait for `sent` at once: the server stops reading a socket above 16.
const UNANSWERED_MAX: usize = 16;
/// What a phone can hold; more than any test says.
const HEARD_MAX: usize = 200_000;
const ODDITIES_MAX: usize = 1000;
/// How soon a room is asked for again that the server could not open.
const JOIN_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A frame and when it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When.
    pub at: Instant,
    /// On which of the phone's sockets, counted from 1.
    pub socket: u32,
    /// What.
    pub frame: Incoming,
}

/// Why a phone does not come back by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The server closed the socket for good.
    Closed {
        /// The close code.
        code: u16,
        /// The close reason.
        reason: String,
    },
    /// The handshake was refused for good.
    Refused {
        /// The HTTP status.
        status: u16,
    },
}

/// The ledger of one phone.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Whose phone.
    pub user: Uuid,
    /// Their name.
    pub name: String,
    /// What they meant to say, in order.
    pub intents: Vec<Intent>,
    /// Every frame, in order of arrival.
    pub heard: Vec<Heard>,
    /// The rooms on the screen.
    pub rooms: BTreeMap<Uuid, View>,
    /// How many sockets were opened so far.
    pub sockets: u32,
    /// Whether the last of them stands.
    pub is_connected: bool,
    /// Whether `failed` is the end of a message, though it may succeed later: then it must not be stored ever.
    pub gives_up: bool,
    /// Set when the phone does not come back.
    pub end: Option<End>,
    /// What the server must not do, in words; see also [`View::oddities`].
    pub oddities: Vec<String>,
    by_temp_id: HashMap<(Uuid, String), usize>,
}

/// What is to be done now.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) frames: Vec<Value>,
    /// When there will be more to do, should nothing else happen.
    pub(super) next: Option<Instant>,
}

impl Ledger {
    pub(super) fn new(user: Uuid, name: String) -> Self {
        Self {
            user,
            name,
            intents: Vec::new(),
            heard: Vec::new(),
            rooms: BTreeMap::new(),
            sockets: 0,
            is_connected: false,
            gives_up: false,
            end: None,
            oddities: Vec::new(),
            by_temp_id: HashMap::new(),
        }
    }

    /// Whether nothing more is to be expected of any message.
    pub fn is_settled(&self) -> bool {
        self.intents.iter().all(Intent::is_over)
    }

    /// How many messages the server said are in the log.
    pub fn sent(&self) -> usize {
        self.intents.iter().filter(|intent| intent.place().is_some()).count()
    }

    /// How many messages the server said are in the store.
    pub fn saved(&self) -> usize {
        self.intents.iter().filter(|intent| matches!(intent.outcome, Outcome::Saved { .. })).count()
    }

    /// Whether the room is live on the present socket.
    pub fn is_live(&self, room: Uuid) -> bool {
        self.is_connected && self.rooms.get(&room).is_some_and(View::is_live)
    }

    /// How many lines of the room are on the screen.
    pub fn shown(&self, room: Uuid) -> usize {
        self.rooms.get(&room).map_or(0, |view| view.shown.len())
    }

    /// Everything the server did that it must not.
    pub fn all_oddities(&self) -> impl Iterator<Item = &str> {
        let views = self.rooms.values().flat_map(|view| &view.oddities);
        self.oddities.iter().chain(views).map(String::as_str)
    }

    pub(super) fn open(&mut self, room: Uuid, view: View) {
        self.rooms.insert(room, view);
    }

    pub(super) fn intend(&mut self, temp_id: String, room: Uuid, text: String, now: Instant) {
        self.by_temp_id.insert((room, temp_id.clone()), self.intents.len());
        self.intents.push(Intent::new(temp_id, room, text, now));
    }

    pub(super) fn gain_socket(&mut self) {
        self.sockets += 1;
        self.is_connected = true;
    }

    pub(super) fn lose_socket(&mut self, now: Instant) {
        self.is_connected = false;
        for view in self.rooms.values_mut() {
            view.standing = Standing::Out;
        }
        for intent in &mut self.intents {
            intent.lose_socket(now);
        }
    }

    /// The frames to send now on the present socket, rooms first; they count as sent.
    pub(super) fn work(&mut self, now: Instant) -> Work {
        let mut work = Work::default();
        for (room, view) in &mut self.rooms {
            if view.standing == Standing::Out && view.removed.is_none() {
                if let Some(due) = view.due.filter(|due| *due > now) {
                    work.next = Some(work.next.map_or(due, |next| next.min(due)));
                    continue;
                }
                view.due = None;
                view.standing = Standing::Joining;
                let mut join = json!({ "type": "join", "room_id": room });
                if let (Some(last), Some(fields)) = (view.last, join.as_object_mut()) {
                    fields.insert("since".to_owned(), last.into());
                }
                work.frames.push(join);
            }
        }
        let mut unanswered = self.intents.iter().filter(|intent| intent.is_unanswered).count();
        // In a room, one that waits for its next try holds up those behind it: nothing shall overtake.
        let mut held_up = Vec::new();
        for intent in &mut self.intents {
            let Some(due) = intent.due else { continue };
            let is_live = self.rooms.get(&intent.room).is_some_and(View::is_live);
            if !is_live || held_up.contains(&intent.room) {
                continue;
            }
            if due > now {
                held_up.push(intent.room);
                work.next = Some(work.next.map_or(due, |next| next.min(due)));
                continue;
            }
            if unanswered >= UNANSWERED_MAX {
                break;
            }
            unanswered += 1;
            work.frames.push(intent.frame());
        }
        work
    }

    /// Takes a frame.
    pub(super) fn hear(&mut self, frame: Incoming, now: Instant) {
        match &frame {
            Incoming::Hello { protocol, .. } if *protocol != 1 => self.odd(format!("hello speaks protocol {protocol}")),
            Incoming::Joined { room_id, seq, recovered, .. } => match self.rooms.get_mut(room_id) {
                Some(view) => view.joined(*seq, *recovered),
                None => self.odd(format!("joined {room_id}, which was not asked for")),
            },
            Incoming::Skip { room_id, seq, prev } => match self.rooms.get_mut(room_id) {
                Some(view) => drop::<Verdict>(view.skip(*seq, *prev)),
                None => self.odd(format!("a skip of {room_id}, which was not asked for")),
            },
            Incoming::Status { room_id, temp_id, word } => self.hear_status(*room_id, temp_id, word, now),
            Incoming::Removed { room_id, reason } => {
                if let Some(view) = self.rooms.get_mut(room_id) {
                    view.removed = Some(reason.clone());
                    view.standing = Standing::Out;
                }
            }
            Incoming::Error { code, .. } if code == "unavailable" => self.join_later(now),
            Incoming::Error { code, detail } => self.odd(format!("an error: {code}, {detail}")),
            Incoming::Message(_)
            | Incoming::MessageUpdated(_)
            | Incoming::MessageDeleted(_)
            | Incoming::Reaction(_)
            | Incoming::System(_) => self.hear_log_frame(&frame, now),
            Incoming::Hello { .. }
            | Incoming::Authenticated { .. }
            | Incoming::Left { .. }
            | Incoming::Pong { .. }
            | Incoming::Reconnect { .. }
            | Incoming::Typing(_)
            | Incoming::Presence(_)
            | Incoming::Read(_)
            | Incoming::RoomUpdated(_)
            | Incoming::Other => {}
        }
        if self.heard.len() < HEARD_MAX {
            self.heard.push(Heard { at: now, socket: self.sockets, frame });
        } else {
            self.odd(format!("more than {HEARD_MAX} frames"));
        }
    }

    fn hear_log_frame(&mut self, frame: &Incoming, now: Instant) {
        let Some((kind, frame)) = frame.log_frame() else { return };
        match self.rooms.get_mut(&frame.room_id) {
            Some(view) => drop::<Verdict>(view.take(kind, frame, now)),
            None => self.odd(format!("a {kind} of {}, which was not asked for", frame.room_id)),
        }
    }

    fn hear_status(&mut self, room: Option<Uuid>, temp_id: &str, word: &Word, now: Instant) {
        let known = room.and_then(|room| self.by_temp_id.get(&(room, temp_id.to_owned())).copied());
        match known.and_then(|index| self.intents.get_mut(index)) {
            Some(intent) => {
                let last = match word {
                    Word::Failed { code, .. } if self.gives_up && !intent.is_resend => {
                        &Word::Failed { code: code.clone(), retry: false, retry_after_ms: None }
                    }
                    word => word,
                };
                if let Err(oddity) = intent.hear(last, now) {
                    self.odd(oddity);
                }
            }
            // `saved` goes to all the sender's sockets, also to this one, which did not send it.
            None if matches!(word, Word::Saved { .. }) => {}
            None => self.odd(format!("a status of {temp_id} in {room:?}, which was not sent: {word:?}")),
        }
    }

    /// Rooms that the server can not open now are asked for again.
    fn join_later(&mut self, now: Instant) {
        for view in self.rooms.values_mut().filter(|view| view.standing == Standing::Joining) {
            view.standing = Standing::Out;
            view.due = Some(now + JOIN_AGAIN_AFTER);
        }
    }

    /// Notes what the server must not do.
    pub(super) fn odd(&mut self, what: String) {
        if self.oddities.len() < ODDITIES_MAX {
            self.oddities.push(what);
        }
    }
}

#[cfg(test)]
mod tests;
