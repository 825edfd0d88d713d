//! The floor program: rooms with one `send` of the same bytes for each delivery, and nothing else. No log, no
//! membership, no second thread. What a gateway costs above this is what its promises cost.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use anyhow::{Context, Result};
use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, EventData, EventFlags},
};

use crate::frame::{self, opcode};

/// Events taken at once.
const EVENTS: usize = 1_024;
const READ_BYTES: usize = 64 * 1024;
/// The listener's number among the event sources; sockets count from 0.
const LISTENER: u64 = u64::MAX;
const BACKLOG: i32 = 4_096;

/// One socket.
#[derive(Debug)]
struct Conn {
    stream: TcpStream,
    /// Its room, once the handshake is done.
    room: Option<usize>,
    /// What came and is not a whole frame yet.
    partial: Vec<u8>,
    /// What the kernel did not take.
    unsent: Vec<u8>,
}

#[derive(Debug, Default)]
struct Floor {
    conns: Vec<Option<Conn>>,
    rooms: Vec<Vec<usize>>,
    names: HashMap<String, usize>,
}

/// Serves until it is killed.
pub fn serve(listen: SocketAddr) -> Result<()> {
    let listener = bind(listen)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut floor = Floor::default();
    let mut events = Vec::with_capacity(EVENTS);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let source = event.data.u64();
            if source == LISTENER {
                floor.accept(&listener, &poll)?;
                continue;
            }
            let id = usize::try_from(source)?;
            let flags = event.flags;
            if flags.contains(EventFlags::OUT) {
                floor.flush(id, &poll)?;
            }
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                floor.read(id, &mut buffer, &poll)?;
            }
        }
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener> {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address).with_context(|| format!("cannot bind {address}"))?;
    listen(&socket, BACKLOG)?;
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener, poll: &impl std::os::fd::AsFd) -> Result<()> {
        loop {
            let (stream, _) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let id = u64::try_from(self.conns.len())?;
            epoll::add(poll, &stream, EventData::new_u64(id), EventFlags::IN)?;
            self.conns.push(Some(Conn { stream, room: None, partial: Vec::new(), unsent: Vec::new() }));
        }
    }

    fn read(&mut self, id: usize, buffer: &mut [u8], poll: &impl std::os::fd::AsFd) -> Result<()> {
        let Some(Some(conn)) = self.conns.get_mut(id) else { return Ok(()) };
        let len = match conn.stream.read(buffer) {
            Ok(len @ 1..) => len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Ok(0) | Err(_) => {
                self.leave(id);
                return Ok(());
            }
        };
        conn.partial.extend_from_slice(buffer.get(..len).unwrap_or_default());
        let Some(room) = conn.room else { return self.enter(id) };
        let mut bytes = std::mem::take(&mut conn.partial);
        let mut at = 0;
        while let Some(rest) = bytes.get_mut(at..)
            && let Some(head) = frame::parse_head(rest)
            && let Some(payload) = rest.get_mut(head.payload_at..head.end)
        {
            match (head.opcode, head.mask) {
                (opcode::TEXT, Some(mask)) => {
                    frame::apply_mask(payload, mask);
                    self.send(room, payload, poll)?;
                }
                (opcode::CLOSE, _) => {
                    self.leave(id);
                    return Ok(());
                }
                _ => {}
            }
            at += head.end;
        }
        bytes.drain(..at);
        if let Some(Some(conn)) = self.conns.get_mut(id) {
            conn.partial = bytes;
        }
        Ok(())
    }

    /// The handshake: whoever names a room is in it.
    fn enter(&mut self, id: usize) -> Result<()> {
        let Some(Some(conn)) = self.conns.get_mut(id) else { return Ok(()) };
        let Some(end) = memchr::memmem::find(&conn.partial, b"\r\n\r\n") else { return Ok(()) };
        let head = String::from_utf8_lossy(conn.partial.get(..end).unwrap_or_default()).into_owned();
        conn.partial.drain(..end + 4);
        let name = head.split(' ').nth(1).unwrap_or_default().to_owned();
        conn.stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: unchecked\r\n\r\n",
        )?;
        let rooms = &mut self.rooms;
        let room = *self.names.entry(name).or_insert_with(|| {
            rooms.push(Vec::new());
            rooms.len() - 1
        });
        conn.room = Some(room);
        if let Some(members) = self.rooms.get_mut(room) {
            members.push(id);
        }
        Ok(())
    }

    fn send(&mut self, room: usize, payload: &[u8], poll: &impl std::os::fd::AsFd) -> Result<()> {
        let mut bytes = Vec::with_capacity(payload.len() + 10);
        frame::put_plain(&mut bytes, opcode::TEXT, payload);
        for id in self.rooms.get(room).into_iter().flatten() {
            let Some(Some(conn)) = self.conns.get_mut(*id) else { continue };
            let mut written = 0;
            if conn.unsent.is_empty() {
                written = match conn.stream.write(&bytes) {
                    Ok(written) => written,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                    Err(_reset) => continue,
                };
                if written == bytes.len() {
                    continue;
                }
                let data = EventData::new_u64(u64::try_from(*id)?);
                epoll::modify(poll, &conn.stream, data, EventFlags::IN | EventFlags::OUT)?;
            }
            conn.unsent.extend_from_slice(bytes.get(written..).unwrap_or_default());
        }
        Ok(())
    }

    fn flush(&mut self, id: usize, poll: &impl std::os::fd::AsFd) -> Result<()> {
        let Some(Some(conn)) = self.conns.get_mut(id) else { return Ok(()) };
        match conn.stream.write(&conn.unsent) {
            Ok(written) => drop(conn.unsent.drain(..written)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_reset) => conn.unsent.clear(),
        }
        if conn.unsent.is_empty() {
            epoll::modify(poll, &conn.stream, EventData::new_u64(u64::try_from(id)?), EventFlags::IN)?;
        }
        Ok(())
    }

    fn leave(&mut self, id: usize) {
        let conn = self.conns.get_mut(id).and_then(Option::take);
        if let Some(room) = conn.and_then(|conn| conn.room).and_then(|room| self.rooms.get_mut(room)) {
            room.retain(|member| *member != id);
        }
    }
}
