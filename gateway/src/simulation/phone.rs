//! A client that keeps the protocol's rules, and complains of a server that does not.

use std::{
    io::{ErrorKind, Read as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::Arc,
};

use schema::id::{RoomId, UserId};
use serde::Deserialize;
use tokio::net::TcpStream;

use super::node::{Node, World};
use crate::socket::{Shared, Socket};

/// What a phone reads of a frame.
#[derive(Debug, Deserialize)]
struct Frame {
    r#type: String,
    room_id: Option<RoomId>,
    seq: Option<u64>,
    prev: Option<u64>,
    recovered: Option<bool>,
    content: Option<String>,
}

/// A connection of a phone.
#[derive(Debug)]
struct Line {
    node: Arc<Node>,
    socket: Arc<Socket>,
    wire: UnixStream,
    unread: Vec<u8>,
    /// Whether a `joined` is still to come.
    is_joining: bool,
    /// The log's last seq when the join began: what was deleted by then must not be told any more.
    began_at: u64,
    /// The greatest seq that this socket was told: no other may come again, unless the phone asks for it.
    told: u64,
    /// Whether it has asked, and what comes may be from before it was heard.
    is_restarting: bool,
    /// Texts that came before `joined`, by their seq.
    texts: Vec<u64>,
}

/// Somebody who wants to hear a room, wherever and as often as it takes.
#[derive(Debug)]
pub(super) struct Phone {
    me: UserId,
    room: RoomId,
    /// The greatest seq it was told of; none before the first `joined`.
    pub(super) last: Option<u64>,
    /// Where it began.
    pub(super) since: u64,
    /// What it was told, or read in history when it was told to.
    pub(super) heard: Vec<u64>,
    /// How often it was told to read history.
    pub(super) unrecovered: u64,
    /// How many of `heard` came over a socket.
    pub(super) told: u64,
    line: Option<Line>,
}

impl Phone {
    /// One that has not connected yet; it knows the room up to `since`.
    pub(super) const fn new(me: UserId, room: RoomId, since: Option<u64>) -> Self {
        let known = match since {
            Some(since) => since,
            None => 0,
        };
        Self { me, room, last: since, since: known, heard: Vec::new(), unrecovered: 0, told: 0, line: None }
    }

    pub(super) const fn room(&self) -> RoomId {
        self.room
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.line.is_some()
    }

    /// Whether it is connected and has heard `joined`.
    pub(super) fn is_live(&self) -> bool {
        self.line.as_ref().is_some_and(|line| !line.is_joining)
    }

    /// Whether its connection is with this gateway.
    pub(super) fn is_at(&self, node: &Arc<Node>) -> bool {
        self.line.as_ref().is_some_and(|line| Arc::ptr_eq(&line.node, node))
    }

    /// Connects and joins from where it is.
    pub(super) async fn connect(&mut self, node: &Arc<Node>) {
        let (ours, wire) = UnixStream::pair().unwrap();
        wire.set_nonblocking(true).unwrap();
        ours.set_nonblocking(true).unwrap();
        let stream = TcpStream::from_std(std::net::TcpStream::from(OwnedFd::from(ours))).unwrap();
        stream.writable().await.unwrap();
        let shared = Shared { measure: Arc::clone(&node.measure), budget: Arc::clone(&node.budget) };
        let socket = Arc::new(Socket::new(stream, None, 0, shared));
        let (node, unread, texts) = (Arc::clone(node), Vec::new(), Vec::new());
        let line =
            Line { node, socket, wire, unread, is_joining: false, began_at: 0, told: 0, is_restarting: false, texts };
        self.line = Some(line);
        self.join();
        self.line.as_mut().unwrap().is_restarting = false;
    }

    fn join(&mut self) {
        let Some(line) = &mut self.line else { return };
        line.is_joining = true;
        line.began_at = line.node.world.log.lock().last_seq();
        line.is_restarting = true;
        line.node.join(&line.socket, self.room, self.me, self.last);
    }

    /// The connection is lost; of what was on the wire the first `percent` arrive. `is_known` to the gateway if it lives.
    pub(super) fn disconnect(&mut self, percent: usize, is_known: bool) {
        let Some(line) = &mut self.line else { return };
        line.receive();
        let arrived = line.unread.len() * percent / 100;
        line.unread.truncate(arrived);
        self.apply();
        if let Some(line) = self.line.take_if(|_| is_known) {
            line.node.leave(&line.socket);
        }
        self.line = None;
    }

    /// Takes in what has come.
    pub(super) fn read(&mut self) {
        let Some(line) = &mut self.line else { return };
        line.receive();
        self.apply();
    }

    fn apply(&mut self) {
        while let Some(frame) = self.line.as_mut().and_then(Line::next) {
            assert!(frame.room_id.is_none_or(|room| room == self.room), "{frame:?} is of another room");
            match frame.r#type.as_str() {
                "joined" => self.joined(&frame),
                "error" => return self.disconnect(0, true),
                "presence" => {}
                _ => self.log_frame(&frame),
            }
        }
    }

    fn log_frame(&mut self, frame: &Frame) {
        let Some(line) = &mut self.line else { return };
        let (seq, prev) = (frame.seq.unwrap(), frame.prev.unwrap());
        let last = self.last.unwrap_or(0);
        if line.is_restarting && prev == last {
            line.is_restarting = false;
            line.told = last;
        }
        assert!(seq > prev && seq > line.told, "{frame:?} after {}: told twice, or out of order", line.told);
        line.told = seq;
        check(&line.node.world, frame, seq);
        if frame.content.is_some() && line.is_joining && !line.is_restarting {
            line.texts.push(seq);
        }
        if seq <= last {
            // Of a gateway that is behind what others have told.
            return;
        }
        if prev > last {
            // A hole in plain sight: what is missing is asked for, and this is told again.
            if !line.is_joining {
                self.join();
            }
            return;
        }
        self.heard.push(seq);
        self.told += 1;
        self.last = Some(seq);
    }

    fn joined(&mut self, frame: &Frame) {
        let Some(line) = &mut self.line else { return };
        (line.is_joining, line.is_restarting) = (false, false);
        let (seq, texts) = (frame.seq.unwrap(), std::mem::take(&mut line.texts));
        let log = line.node.world.log.lock();
        for text in texts {
            let deleted = log.deletion_of(text).filter(|deleted| *deleted <= seq.min(line.began_at));
            assert_eq!(deleted, None, "{text} was replayed after it was deleted; {frame:?}");
        }
        if frame.recovered != Some(true) || self.last.is_none() {
            line.told = seq;
        }
        let Some(last) = self.last else {
            // The first join: its life in the room begins here.
            (self.last, self.since) = (Some(seq), seq);
            return;
        };
        if frame.recovered == Some(true) {
            assert_eq!(seq, last, "`joined` names what was not replayed");
            return;
        }
        // What it reads in history instead.
        self.unrecovered += 1;
        self.heard.extend(log.seqs(self.room, last, seq));
        self.last = Some(last.max(seq));
    }
}

/// What stands at a seq is what the log has there.
fn check(world: &World, frame: &Frame, seq: u64) {
    let log = world.log.lock();
    let kind = log.kind(seq).map_or("skip", schema::envelope::Kind::as_str);
    // A second seq of an id is a skip to whoever knows the first.
    let may_be_skip = kind == "skip" || log.is_repeat(seq);
    assert!(frame.r#type == kind || (may_be_skip && frame.r#type == "skip"), "{frame:?} is a {kind} in the log");
}

impl Line {
    fn receive(&mut self) {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.wire.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => self.unread.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        if self.socket.is_behind() {
            drop(self.socket.flush());
        }
    }

    /// The next whole frame.
    fn next(&mut self) -> Option<Frame> {
        let (head, len) = match self.unread.as_slice() {
            [_, len @ 0..=125, ..] => (2, usize::from(*len)),
            [_, 126, a, b, ..] => (4, usize::from(u16::from_be_bytes([*a, *b]))),
            _ => return None,
        };
        if self.unread.len() < head + len {
            return None;
        }
        let frame: Vec<u8> = self.unread.drain(..head + len).skip(head).collect();
        Some(serde_json::from_slice(&frame).expect("a frame is JSON"))
    }
}
