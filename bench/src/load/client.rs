//! One client of a run: its socket, its place in its room, and what it has got.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use rustix::fd::OwnedFd;

use super::{
    Load,
    dialect::{self, Heard},
    ledger::{Marker, Received},
    socket::{Came, Phase, Socket},
};
use crate::{
    frame::{self, opcode},
    plan::{Plan, Seat},
};

/// After a refused handshake.
const AGAIN_AFTER_MICROS: u64 = 300_000;

#[derive(Debug)]
pub(super) struct Client {
    pub seat: Seat,
    socket: Option<Socket>,
    room: usize,
    /// Its place among the room's senders.
    sender: Option<u32>,
    received: Received,
    /// The last seq it was told of, where there are any.
    last_seq: Option<u64>,
    /// Where it connects to now.
    target: usize,
    /// When it was dropped or sent away, until it is back.
    away_since: Option<u64>,
    /// How long it was asked to wait before it comes back.
    come_back_after: u64,
    /// The end of what came last, where one line may lie in two frames.
    torn: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Room {
    pub senders: Vec<usize>,
    /// By sender: how many messages.
    pub sent: Vec<u32>,
}

/// Something a client was told.
#[derive(Debug)]
pub(super) enum Told {
    Heard(Heard),
    /// A frame that must be answered with these bytes.
    Ping(Vec<u8>),
    Close(u16),
}

/// Gives everybody a place in their room.
pub(super) fn seat(seats: &[Seat]) -> Result<(Vec<Client>, Vec<Room>)> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut rooms: Vec<Room> = Vec::new();
    let mut places = Vec::with_capacity(seats.len());
    for (id, seat) in seats.iter().enumerate() {
        let number = *numbers.entry(&seat.room).or_insert_with(|| {
            rooms.push(Room::default());
            rooms.len() - 1
        });
        let room = rooms.get_mut(number).context("the room was just made")?;
        let sender = if seat.sends { Some(u32::try_from(room.senders.len())?) } else { None };
        if sender.is_some() {
            room.senders.push(id);
            room.sent.push(0);
        }
        places.push((number, sender));
    }
    let client = |(seat, (room, sender)): (&Seat, (usize, Option<u32>))| Client {
        seat: seat.clone(),
        socket: None,
        room,
        sender,
        received: Received::new(rooms.get(room).map_or(0, |room| room.senders.len())),
        last_seq: None,
        target: seat.target,
        away_since: None,
        come_back_after: 0,
        torn: Vec::new(),
    };
    Ok((seats.iter().zip(places).map(client).collect(), rooms))
}

/// Rooms whose members saw different orders.
pub(super) fn different_orders(clients: &[Client], rooms: &[Room]) -> Vec<String> {
    let mut orders: BTreeMap<usize, u64> = BTreeMap::new();
    let complete = clients.iter().filter(|client| !client.seat.is_stalled && client.has_all(rooms));
    let differs =
        |client: &&Client| *orders.entry(client.room).or_insert(client.received.order) != client.received.order;
    complete.filter(differs).map(|client| format!("another order in room {}", client.seat.room)).collect()
}

impl Client {
    pub(super) fn is_in(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.phase == Phase::In)
    }

    /// Whether everything is here that was sent in its room; a socket that does not read need not have it.
    pub(super) fn has_all(&self, rooms: &[Room]) -> bool {
        self.seat.is_stalled || rooms.get(self.room).is_some_and(|room| self.received.has_all(&room.sent))
    }

    pub(super) fn stall(&self, poll: &OwnedFd) -> Result<()> {
        self.socket.as_ref().map_or(Ok(()), |socket| socket.stall(poll))
    }

    /// Ends the connection without a word.
    pub(super) fn drop_socket(&mut self, now: u64) {
        self.socket = None;
        self.away_since = Some(now);
    }

    pub(super) fn open(&mut self, plan: &Plan, poll: &OwnedFd, id: usize) -> Result<()> {
        let target = plan.targets.get(self.target).context("a target of the plan")?;
        let handshake = plan.dialect.handshake(&self.seat, self.last_seq);
        self.socket = Some(Socket::open(*target, poll, id, self.seat.is_stalled, &handshake)?);
        Ok(())
    }

    /// Sends its next message; says whether it could.
    pub(super) fn say(
        &mut self,
        plan: &Plan,
        poll: &OwnedFd,
        id: usize,
        meant_at: u64,
        rooms: &mut [Room],
    ) -> Result<bool> {
        let sent = self.sender.and_then(|sender| {
            let sent = rooms.get_mut(self.room)?.sent.get_mut(usize::try_from(sender).ok()?)?;
            Some((sender, sent))
        });
        let (Some((sender, sent)), Some(socket)) = (sent, self.socket.as_mut()) else { return Ok(false) };
        if socket.phase != Phase::In {
            return Ok(false);
        }
        let marker = Marker { sender, number: *sent, meant_at };
        let message = plan.dialect.message(&self.seat, &plan.run, marker, plan.content_bytes);
        let mut bytes = Vec::with_capacity(message.len() + 14);
        frame::put_masked(&mut bytes, plan.dialect.opcode(), message.as_bytes());
        socket.put(&bytes, poll, id)?;
        *sent += 1;
        Ok(true)
    }

    /// It is in: says since when it was away.
    fn entered(&mut self, seq: Option<u64>) -> Option<u64> {
        self.last_seq = self.last_seq.max(seq);
        let socket = self.socket.as_mut()?;
        socket.to_enter = socket.to_enter.saturating_sub(1);
        if socket.to_enter > 0 || socket.phase == Phase::In {
            return None;
        }
        socket.phase = Phase::In;
        self.away_since.take()
    }
}

impl Load {
    pub(super) fn flush(&mut self, id: usize) -> Result<()> {
        let socket = self.clients.get_mut(id).and_then(|client| client.socket.as_mut());
        socket.map_or(Ok(()), |socket| socket.flush(&self.poll, id))
    }

    /// Reads what came for one client and does what it asks for.
    pub(super) fn read(&mut self, id: usize) -> Result<()> {
        let dialect = self.plan.dialect;
        let follows_seqs = self.plan.storm_at.is_some() || self.plan.refuge.is_some();
        let Some(client) = self.clients.get_mut(id) else { return Ok(()) };
        let Some(socket) = client.socket.as_mut() else { return Ok(()) };
        let (heard, frame_bytes, last_seq) = (&mut self.heard, &mut self.frame_bytes, &mut client.last_seq);
        let torn = &mut client.torn;
        let mut take = |opcode: u8, payload: &[u8]| match opcode {
            opcode::TEXT | opcode::BINARY => {
                let first = heard.len();
                dialect.read(payload, torn, |meaning| heard.push(Told::Heard(meaning)));
                if let Some(Told::Heard(Heard::Delivery(_))) = heard.get(first) {
                    *frame_bytes += u64::try_from(payload.len()).unwrap_or(0);
                    if follows_seqs {
                        *last_seq = (*last_seq).max(dialect::number(payload, br#""seq":"#));
                    }
                }
            }
            opcode::PING => heard.push(Told::Ping(payload.to_vec())),
            opcode::CLOSE => {
                heard.push(Told::Close(payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code))));
            }
            _ => {}
        };
        let mut has_ended = false;
        if socket.phase == Phase::Handshake {
            match socket.read_answer(&mut self.buffer, &mut take) {
                Ok(None) => return Ok(()),
                Ok(Some(101)) => self.upgraded(id)?,
                Ok(Some(status)) => {
                    self.refused(id, format!("http_{status}"));
                    return Ok(());
                }
                Err(_hung_up) => {
                    self.refused(id, "hung_up".to_owned());
                    return Ok(());
                }
            }
        } else {
            has_ended = socket.read(&mut self.buffer, take) == Came::End;
        }
        let mut told = std::mem::take(&mut self.heard);
        let now = self.now();
        for told in told.drain(..) {
            has_ended |= self.obey(id, told, now)?;
        }
        self.heard = told;
        if has_ended {
            self.ended(id, now);
        }
        Ok(())
    }

    fn upgraded(&mut self, id: usize) -> Result<()> {
        self.opening -= 1;
        let dialect = self.plan.dialect;
        let Some(client) = self.clients.get_mut(id) else { return Ok(()) };
        let greeting = dialect.greeting(&client.seat);
        let Some(socket) = client.socket.as_mut() else { return Ok(()) };
        socket.phase = Phase::Entering;
        socket.to_enter = 1 + client.seat.also.len();
        let mut bytes = Vec::new();
        for words in greeting {
            frame::put_masked(&mut bytes, dialect.opcode(), words.as_bytes());
        }
        if !bytes.is_empty() {
            socket.put(&bytes, &self.poll, id)?;
        }
        if dialect.enters_by_handshake() {
            client.entered(None);
        }
        Ok(())
    }

    fn refused(&mut self, id: usize, why: String) {
        self.opening -= 1;
        *self.report.refused.entry(why).or_default() += 1;
        if let Some(client) = self.clients.get_mut(id) {
            client.socket = None;
        }
        self.later.push((self.now() + AGAIN_AFTER_MICROS, id));
    }

    /// Does what was told; says whether the connection is over.
    fn obey(&mut self, id: usize, told: Told, now: u64) -> Result<bool> {
        let Some(client) = self.clients.get_mut(id) else { return Ok(false) };
        match told {
            Told::Heard(Heard::Delivery(marker)) => {
                self.report.delivered += 1;
                // Who was away gets late what it missed; that is no delay of the server's.
                let is_timed = !client.seat.is_in_storm && client.target == client.seat.target;
                if is_timed && marker.meant_at >= self.window.0 && marker.meant_at < self.window.1 {
                    self.latencies.push(now.saturating_sub(marker.meant_at));
                }
                if let Err(wrong) = client.received.note(marker) {
                    self.report.violation_count += 1;
                    if self.report.violations.len() < super::VIOLATIONS_SHOWN {
                        self.report.violations.push(format!("client {id}: {wrong}"));
                    }
                }
            }
            Told::Heard(Heard::Acknowledged) => self.report.acknowledged += 1,
            Told::Heard(Heard::Entered(seq)) => {
                if let Some(away_since) = client.entered(seq) {
                    self.returned.push(now - away_since);
                    self.returned_at = now;
                }
            }
            Told::Heard(Heard::Refused(code)) => *self.report.refused.entry(code).or_default() += 1,
            Told::Heard(Heard::Reconnect(after_ms)) => client.come_back_after = after_ms * 1_000,
            Told::Heard(Heard::Asked) => {
                let words = self.plan.dialect.presence();
                self.answer(id, self.plan.dialect.opcode(), words)?;
            }
            Told::Ping(payload) => self.answer(id, opcode::PONG, &payload)?,
            Told::Close(code) => {
                *self.report.closes.entry(code).or_default() += 1;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn answer(&mut self, id: usize, opcode: u8, payload: &[u8]) -> Result<()> {
        let mut bytes = Vec::new();
        frame::put_masked(&mut bytes, opcode, payload);
        let socket = self.clients.get_mut(id).and_then(|client| client.socket.as_mut());
        socket.map_or(Ok(()), |socket| socket.put(&bytes, &self.poll, id))
    }

    /// The connection is over: whoever has a refuge goes there when it was asked to.
    fn ended(&mut self, id: usize, now: u64) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.drop_socket(now);
        if let Some(refuge) = self.plan.refuge {
            client.target = refuge;
            self.later.push((now + client.come_back_after, id));
        }
    }
}
