//! One client socket: what is on its way out, what has come in and is not whole yet.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use anyhow::{Context, Result};
use rustix::{
    event::epoll::{self, EventData, EventFlags},
    fd::{AsFd, OwnedFd},
    net::{AddressFamily, SocketType, connect, socket, sockopt},
};

use crate::frame;

/// The receive buffer of a socket that will not read: small, so that the server feels it.
const STALLED_RECEIVE_BYTES: usize = 4_096;

/// How far a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The handshake is sent.
    Handshake,
    /// It is open, and not in its room yet.
    Entering,
    /// In its room.
    In,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    pub phase: Phase,
    partial: Vec<u8>,
    unsent: Vec<u8>,
    /// Rooms it still has to enter.
    pub to_enter: usize,
}

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Whole frames were handed over, or none.
    Frames,
    /// The connection ended.
    End,
}

impl Socket {
    /// Connects and says `greeting`.
    pub(super) fn open(
        target: SocketAddr,
        poll: &OwnedFd,
        id: usize,
        is_stalled: bool,
        greeting: &str,
    ) -> Result<Self> {
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        if is_stalled {
            sockopt::set_socket_recv_buffer_size(&fd, STALLED_RECEIVE_BYTES)?;
        }
        connect(&fd, &target).with_context(|| format!("cannot connect to {target}"))?;
        let stream = TcpStream::from(fd);
        stream.set_nodelay(true)?;
        // As a phone's kernel does once it talks: an acknowledgement for each read would be half of our own work.
        sockopt::set_tcp_quickack(&stream, false)?;
        stream.set_nonblocking(true)?;
        epoll::add(poll, &stream, EventData::new_u64(u64::try_from(id)?), EventFlags::IN)?;
        let mut socket = Self { stream, phase: Phase::Handshake, partial: Vec::new(), unsent: Vec::new(), to_enter: 1 };
        socket.put(greeting.as_bytes(), poll, id)?;
        Ok(socket)
    }

    /// Sends, or keeps what the kernel does not take.
    pub(super) fn put(&mut self, bytes: &[u8], poll: &OwnedFd, id: usize) -> Result<()> {
        let mut written = 0;
        if self.unsent.is_empty() {
            written = match self.stream.write(bytes) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error.into()),
            };
            if written == bytes.len() {
                return Ok(());
            }
            self.watch(poll, id, EventFlags::IN | EventFlags::OUT)?;
        }
        self.unsent.extend_from_slice(bytes.get(written..).unwrap_or_default());
        Ok(())
    }

    /// Sends what was kept.
    pub(super) fn flush(&mut self, poll: &OwnedFd, id: usize) -> Result<()> {
        match self.stream.write(&self.unsent) {
            Ok(written) => drop(self.unsent.drain(..written)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if self.unsent.is_empty() {
            self.watch(poll, id, EventFlags::IN)?;
        }
        Ok(())
    }

    fn watch(&self, poll: &OwnedFd, id: usize, flags: EventFlags) -> Result<()> {
        epoll::modify(poll, &self.stream, EventData::new_u64(u64::try_from(id)?), flags)?;
        Ok(())
    }

    /// Reads no more, for good.
    pub(super) fn stall(&self, poll: &OwnedFd) -> Result<()> {
        epoll::delete(poll, self.stream.as_fd())?;
        Ok(())
    }

    /// Takes in what the wire has and hands each whole frame to `take`.
    pub(super) fn read(&mut self, buffer: &mut [u8], mut take: impl FnMut(u8, &[u8])) -> Came {
        let len = match self.stream.read(buffer) {
            Ok(0) => return Came::End,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Came::Frames,
            Err(_reset) => return Came::End,
        };
        let fresh = buffer.get(..len).unwrap_or_default();
        if self.partial.is_empty() {
            let used = frames(fresh, &mut take);
            self.partial.extend_from_slice(fresh.get(used..).unwrap_or_default());
        } else {
            self.partial.extend_from_slice(fresh);
            let used = frames(&self.partial, &mut take);
            self.partial.drain(..used);
        }
        Came::Frames
    }

    /// The answer to the handshake, once it is whole: its status. What follows it stays for [`Self::read`].
    pub(super) fn read_answer(&mut self, buffer: &mut [u8], take: impl FnMut(u8, &[u8])) -> Result<Option<u16>> {
        let len = match self.stream.read(buffer) {
            Ok(0) => anyhow::bail!("the server hung up in the handshake"),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        self.partial.extend_from_slice(buffer.get(..len).unwrap_or_default());
        let Some(end) = memchr::memmem::find(&self.partial, b"\r\n\r\n") else { return Ok(None) };
        let status = self.partial.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        let status = status.and_then(|status| status.parse().ok()).context("no HTTP status")?;
        self.partial.drain(..end + 4);
        if status == 101 {
            let mut take = take;
            let used = frames(&self.partial, &mut take);
            self.partial.drain(..used);
            self.partial.shrink_to_fit();
        }
        Ok(Some(status))
    }
}

/// Hands over each whole frame at the front of `bytes`; says how many bytes they were.
fn frames(bytes: &[u8], take: &mut impl FnMut(u8, &[u8])) -> usize {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..)
        && let Some(head) = frame::parse_head(rest)
        && let Some(payload) = rest.get(head.payload_at..head.end)
    {
        take(head.opcode, payload);
        at += head.end;
    }
    at
}
