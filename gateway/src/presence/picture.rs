//! Who is in one room, as far as this gateway knows, and who was told what of it. Nothing here asks a
//! clock or touches a wire.
//!
//! A person is online while they have a seat here or another gateway says that they have one there. What
//! changes is noted, not told: telling takes the newest state of each, so that who came and went in
//! between is not mentioned at all.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use schema::{
    clock::Timestamp,
    frame::{limit, server::ServerFrame},
    id::{RoomId, UserId},
    subject::GatewayId,
};

use crate::codec::{Opcode, encode};

/// Other gateways that are listened to in one room.
const GATEWAYS_MAX: usize = 256;
/// People of one other gateway that are noted in one room.
const ELSEWHERE_MAX: usize = 20_000;
/// In a room that was just opened here nobody is told anything for so long: other gateways answer
/// meanwhile, and who is there is told at once instead of one after the other.
pub(super) const OPENING: Duration = Duration::from_millis(100);

/// One room's people.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    people: HashMap<UserId, Person>,
    elsewhere: HashMap<GatewayId, Elsewhere>,
    /// Whose state may not be what the room was told, in the order in which it changed.
    changed: VecDeque<UserId>,
    /// Of them, who has left, and when.
    left: HashMap<UserId, Timestamp>,
    /// Whose state here may not be what other gateways were told.
    unsaid: HashSet<UserId>,
    snapshot: Option<Snapshot>,
    /// Since when the room's feed listens; nothing is told before.
    listens_since: Option<Instant>,
    told_at: Option<Instant>,
    /// When other gateways were last told everything, and when they next are.
    said_all_at: Option<Instant>,
    pub(super) say_all_at: Option<Instant>,
    /// Whether they are then asked, too.
    pub(super) is_to_ask: bool,
    /// For when it is in the queue.
    pub(super) due_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Person {
    /// Seats on this gateway.
    here: u32,
    /// Gateways that say they have a seat there.
    elsewhere: u16,
    is_queued: bool,
    /// What the room was told.
    is_told: bool,
    /// What other gateways were told.
    is_said: bool,
}

/// What another gateway says.
#[derive(Debug)]
struct Elsewhere {
    users: HashSet<UserId>,
    heard_at: Instant,
    /// People of the parts heard so far of everybody it has, and how many parts that were.
    gathered: Vec<UserId>,
    parts: u32,
}

/// Who the room was told is online, encoded: the same bytes for everybody who joins until it changes.
#[derive(Debug)]
struct Snapshot {
    users: Vec<UserId>,
    bytes: Bytes,
}

/// Who came to this gateway and who is gone from it, as other gateways are told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    pub(crate) came: Vec<UserId>,
    pub(crate) gone: Vec<UserId>,
}

impl Person {
    const fn is_online(&self) -> bool {
        self.here > 0 || self.elsewhere > 0
    }

    const fn is_forgotten(&self) -> bool {
        !(self.is_online() || self.is_told || self.is_queued || self.is_said)
    }
}

impl Picture {
    /// A socket of theirs has taken a seat here.
    pub(crate) fn arrive(&mut self, user: UserId, now: Timestamp) {
        let person = self.people.entry(user).or_default();
        person.here += 1;
        if person.here == 1 {
            self.unsaid.insert(user);
            self.note(user, now);
        }
    }

    /// A socket of theirs has given its seat here up; says whether it was the last.
    pub(crate) fn leave(&mut self, user: UserId, now: Timestamp) -> bool {
        let Some(person) = self.people.get_mut(&user).filter(|person| person.here > 0) else { return false };
        person.here -= 1;
        let is_last = person.here == 0;
        if is_last {
            self.unsaid.insert(user);
            self.note(user, now);
        }
        is_last
    }

    /// Another gateway says who came and who is gone.
    pub(crate) fn hear_moves(&mut self, gateway: &GatewayId, moves: Moves, now: Instant, at: Timestamp) {
        let Some(known) = self.elsewhere(gateway, now) else { return };
        let room_for = ELSEWHERE_MAX.saturating_sub(known.users.len());
        let came: Vec<_> = moves.came.into_iter().filter(|user| !known.users.contains(user)).take(room_for).collect();
        known.users.extend(&came);
        let gone: Vec<_> = moves.gone.into_iter().filter(|user| known.users.remove(user)).collect();
        self.move_elsewhere(&came, &gone, at);
    }

    /// Another gateway says who is there: part `part` of `parts`. A part that is not the next one makes the
    /// ones before it worthless, until the gateway begins again.
    pub(crate) fn hear_all(
        &mut self,
        gateway: &GatewayId,
        (part, parts): (u32, u32),
        users: Vec<UserId>,
        now: Instant,
        at: Timestamp,
    ) {
        let Some(known) = self.elsewhere(gateway, now) else { return };
        if part == 1 {
            known.gathered.clear();
            known.parts = 0;
        }
        if part != known.parts + 1 {
            known.gathered = Vec::new();
            known.parts = 0;
            return;
        }
        known.parts = part;
        let room_for = ELSEWHERE_MAX.saturating_sub(known.gathered.len());
        known.gathered.extend(users.into_iter().take(room_for));
        if part < parts {
            return;
        }
        known.parts = 0;
        let users: HashSet<UserId> = std::mem::take(&mut known.gathered).into_iter().collect();
        let came: Vec<_> = users.difference(&known.users).copied().collect();
        let gone: Vec<_> = known.users.difference(&users).copied().collect();
        let is_given_up = users.is_empty();
        known.users = users;
        if is_given_up {
            self.elsewhere.remove(gateway);
        }
        self.move_elsewhere(&came, &gone, at);
    }

    /// Forgets what gateways said that were not heard for so long. Answers who went offline by that, and
    /// when they were last known to be there.
    pub(crate) fn lapse(
        &mut self,
        now: Instant,
        lapses: Duration,
        time_of: impl Fn(Instant) -> Timestamp,
    ) -> Vec<(UserId, Timestamp)> {
        let silent: Vec<_> = self
            .elsewhere
            .extract_if(|_, known| known.heard_at + lapses <= now)
            .map(|(_, known)| (time_of(known.heard_at), known.users))
            .collect();
        let mut offline = Vec::new();
        for (at, users) in silent {
            let gone: Vec<UserId> = users.into_iter().collect();
            self.move_elsewhere(&[], &gone, at);
            let is_offline = |user: &&UserId| self.people.get(user).is_none_or(|person| !person.is_online());
            offline.extend(gone.iter().filter(is_offline).map(|user| (*user, at)));
        }
        offline
    }

    /// While nothing can be heard nobody is silent.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.elsewhere.values_mut().for_each(|known| known.heard_at = now);
    }

    /// The room's feed listens: other gateways can be asked, and the room can soon be told.
    pub(crate) fn listen(&mut self, now: Instant) {
        self.listens_since = Some(now);
        self.say_all_at = Some(now);
        self.is_to_ask = true;
    }

    /// Other gateways are to be told everything, but not twice within a second, whoever asks.
    pub(crate) fn want_all(&mut self, now: Instant) {
        let at = self.said_all_at.map_or(now, |at| now.max(at + limit::PRESENCE_EVERY));
        if let Some(planned) = &mut self.say_all_at {
            *planned = at.min(*planned);
        }
    }

    /// Whether other gateways had the time to say who is there.
    pub(crate) fn is_settled(&self, now: Instant) -> bool {
        self.listens_since.is_some_and(|since| since + OPENING <= now)
    }

    /// When something is next to be done; `None` before the feed listens.
    pub(crate) fn next(&self, lapses: Duration) -> Option<Instant> {
        let has_words = !self.changed.is_empty() || !self.unsaid.is_empty();
        let tell_at = if has_words { self.may_tell_at() } else { None };
        let lapse_at = self.elsewhere.values().map(|known| known.heard_at + lapses).min();
        self.listens_since.and([tell_at, self.say_all_at, lapse_at].into_iter().flatten().min())
    }

    /// At once after a quiet second, else when the second is over.
    fn may_tell_at(&self) -> Option<Instant> {
        let open_at = self.listens_since? + OPENING;
        Some(self.told_at.map_or(open_at, |at| open_at.max(at + limit::PRESENCE_EVERY)))
    }

    /// Whether the room may be told something now.
    pub(crate) fn may_tell(&self, now: Instant) -> bool {
        self.may_tell_at().is_some_and(|at| at <= now)
    }

    /// What the room is to hear now: the newest state of at most 50 people, each of whom was last told to be
    /// something else.
    pub(crate) fn tell(&mut self, room_id: RoomId, now: Instant) -> Vec<ServerFrame> {
        let mut frames = Vec::new();
        while frames.len() < limit::PRESENCE_CHANGES_MAX
            && let Some(user_id) = self.changed.pop_front()
        {
            let left_at = self.left.remove(&user_id);
            let Some(person) = self.people.get_mut(&user_id) else { continue };
            person.is_queued = false;
            let online = person.is_online();
            if online != person.is_told {
                person.is_told = online;
                let last_seen_at = left_at.filter(|_| !online);
                frames.push(ServerFrame::Presence { room_id, user_id, online, last_seen_at });
            }
            self.forget(user_id);
        }
        if !frames.is_empty() {
            self.told_at = Some(now);
            self.snapshot = None;
        }
        frames
    }

    /// What other gateways are to hear now of who came and went here.
    pub(crate) fn say_moves(&mut self, now: Instant) -> Moves {
        let mut moves = Moves::default();
        for user in std::mem::take(&mut self.unsaid) {
            let Some(person) = self.people.get_mut(&user) else { continue };
            let is_here = person.here > 0;
            if is_here != person.is_said {
                person.is_said = is_here;
                if is_here { &mut moves.came } else { &mut moves.gone }.push(user);
            }
            self.forget(user);
        }
        if moves != Moves::default() {
            self.told_at = Some(now);
        }
        moves
    }

    /// What other gateways are to hear when they are told everything: who is here.
    pub(crate) fn say_all(&mut self, now: Instant, next: Instant) -> Vec<UserId> {
        self.said_all_at = Some(now);
        self.say_all_at = Some(next);
        self.unsaid.clear();
        // In a quiet room nobody joins for whom it would be kept.
        self.snapshot = None;
        let mut here = Vec::new();
        self.people.retain(|user, person| {
            person.is_said = person.here > 0;
            if person.is_said {
                here.push(*user);
            }
            !person.is_forgotten()
        });
        here
    }

    /// Who is online, whatever the room was told.
    pub(crate) fn online(&self, at_most: usize) -> Vec<UserId> {
        self.people.iter().filter(|(_, person)| person.is_online()).map(|(user, _)| *user).take(at_most).collect()
    }

    /// Who has a seat here.
    pub(crate) fn here(&self) -> Vec<UserId> {
        self.people.iter().filter(|(_, person)| person.here > 0).map(|(user, _)| *user).collect()
    }

    /// What a socket hears when it joins: its own user, if the room was not told yet, and whom the room was
    /// told of; changes that come later follow on that without a gap.
    pub(crate) fn greet(&mut self, room_id: RoomId, me: UserId) -> (Option<Bytes>, Bytes) {
        let people = &self.people;
        let snapshot = self.snapshot.get_or_insert_with(|| Snapshot::of(room_id, people));
        let knows_me = snapshot.users.binary_search(&me).is_ok();
        let is_here = people.get(&me).is_some_and(|person| person.here > 0);
        let mine = (is_here && !knows_me).then(|| frame(room_id, me));
        (mine, snapshot.bytes.clone())
    }

    fn elsewhere(&mut self, gateway: &GatewayId, now: Instant) -> Option<&mut Elsewhere> {
        if !self.elsewhere.contains_key(gateway) {
            if self.elsewhere.len() >= GATEWAYS_MAX {
                return None;
            }
            let nothing = Elsewhere { users: HashSet::new(), heard_at: now, gathered: Vec::new(), parts: 0 };
            self.elsewhere.insert(gateway.clone(), nothing);
        }
        let known = self.elsewhere.get_mut(gateway)?;
        known.heard_at = now;
        Some(known)
    }

    fn move_elsewhere(&mut self, came: &[UserId], gone: &[UserId], at: Timestamp) {
        for user in came {
            let person = self.people.entry(*user).or_default();
            person.elsewhere = person.elsewhere.saturating_add(1);
            self.note(*user, at);
        }
        for user in gone {
            if let Some(person) = self.people.get_mut(user) {
                person.elsewhere = person.elsewhere.saturating_sub(1);
                self.note(*user, at);
            }
        }
    }

    /// Notes that somebody's state may have changed, at `at`.
    fn note(&mut self, user: UserId, at: Timestamp) {
        let Some(person) = self.people.get_mut(&user) else { return };
        let online = person.is_online();
        if online != person.is_told && !person.is_queued {
            person.is_queued = true;
            self.changed.push_back(user);
        }
        if online {
            self.left.remove(&user);
        } else if person.is_told {
            self.left.insert(user, at);
        }
        self.forget(user);
    }

    fn forget(&mut self, user: UserId) {
        if self.people.get(&user).is_some_and(Person::is_forgotten) {
            self.people.remove(&user);
        }
    }
}

impl Snapshot {
    fn of(room_id: RoomId, people: &HashMap<UserId, Person>) -> Self {
        let told = people.iter().filter(|(_, person)| person.is_told).map(|(user, _)| *user);
        let mut users: Vec<UserId> = told.take(limit::PRESENCE_SNAPSHOT_MAX).collect();
        users.sort_unstable();
        let mut bytes = BytesMut::new();
        for user in &users {
            bytes.extend_from_slice(&frame(room_id, *user));
        }
        Self { users, bytes: bytes.freeze() }
    }
}

fn frame(room_id: RoomId, user_id: UserId) -> Bytes {
    let online = ServerFrame::Presence { room_id, user_id, online: true, last_seen_at: None };
    encode(Opcode::Text, &online.to_json())
}

#[cfg(test)]
mod tests;
