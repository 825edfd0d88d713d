//! One socket's own task: reads what the client says, flushes what did not fit, and ends it in good
//! order.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::net::RecvFlags;
use schema::{
    frame::{client::ClientFrame, close::CloseReason, limit, server::ServerFrame},
    id::RoomId,
};
use tokio::{io::Interest, net::TcpStream, sync::Semaphore};

use crate::{
    codec::{Incoming, Opcode, Reader, encode},
    command,
    handshake::Admitted,
    rate::Bucket,
    socket::{Class, Socket},
    sockets::UserPlace,
    state::Gateway,
};

/// One read's worth. A worker thread has one buffer for all its sockets.
const READ_BYTES: usize = 16 * 1024;

/// For how long a client may say nothing, after it broke its framing, until its connection ends.
const BROKEN_QUIET: Duration = Duration::from_millis(500);

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// What one socket's task keeps for itself.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) socket: Arc<Socket>,
    /// The user's place; none before `auth`.
    pub(crate) place: Option<UserPlace>,
    /// The room its address named, to be joined once the user is known.
    pub(crate) joins_first: Option<(RoomId, Option<u64>)>,
    /// Publishes that wait for their answer.
    pub(crate) unanswered: Arc<Semaphore>,
    bad_frames: BadFrames,
    /// How fast its frames are looked at.
    frames: Bucket,
    /// Why nothing more can be read.
    broken: Option<CloseReason>,
    /// Whether the client has said that it closes.
    is_peer_done: bool,
}

#[derive(Debug, Default)]
struct BadFrames {
    since: Option<Instant>,
    count: usize,
}

/// Serves a socket until it ends.
pub(crate) async fn run(gateway: Arc<Gateway>, admitted: Box<Admitted>) {
    let Admitted { stream, rest, identity, place, room, since } = *admitted;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let now = gateway.now_millis();
    let socket = Arc::new(Socket::new(stream, room.as_ref().map(|(id, _)| *id), now, gateway.shared()));
    gateway.sockets.add(&socket);
    let mut connection = Connection {
        joins_first: room.as_ref().map(|(id, _)| (*id, since)),
        unanswered: Arc::new(Semaphore::new(limit::UNANSWERED_PER_SOCKET_MAX)),
        bad_frames: BadFrames::default(),
        frames: Bucket::per_second(limit::FRAMES_PER_SECOND, limit::FRAMES_BURST),
        broken: None,
        is_peer_done: false,
        gateway,
        socket,
        place,
    };
    connection.socket.say(&ServerFrame::Hello {
        protocol: ServerFrame::PROTOCOL,
        connection_id: connection.socket.id,
        user_id: identity.map(|identity| identity.user_id),
        ping_every_s: connection.gateway.config.ping_every.as_secs(),
        server_time: connection.gateway.clock.now(),
    });
    if let Some(identity) = identity {
        let membership = room.and_then(|(_, membership)| membership);
        Box::pin(command::auth::begin(&mut connection, identity, membership)).await;
    }
    connection.gateway.wheel.put(&connection.socket, now, now);
    let ended = connection.serve(rest).await;
    connection.end(ended);
}

impl Connection {
    async fn serve(&mut self, mut rest: Vec<u8>) -> io::Result<()> {
        let mut reader = Reader::default();
        let mut incoming = VecDeque::new();
        self.feed(&mut reader, &mut rest, &mut incoming);
        drop(rest);
        let write_within = self.gateway.config.write_within;
        loop {
            while let Some(message) = incoming.pop_front() {
                self.pace().await?;
                self.take(message).await?;
            }
            incoming.shrink_to_fit();
            if let Some(reason) = self.broken {
                self.socket.close(reason);
            }
            if self.socket.closing().is_some() {
                return self.linger(reader).await;
            }
            let has_ended = tokio::select! {
                ready = self.socket.stream().readable() => {
                    ready?;
                    self.read(&mut reader, &mut incoming)?
                }
                flushed = flushing(&self.socket, write_within) => {
                    flushed?;
                    false
                }
            };
            if has_ended {
                return Ok(());
            }
        }
    }

    /// Takes in what the wire has; says whether that was its end.
    fn read(&mut self, reader: &mut Reader, incoming: &mut VecDeque<Incoming>) -> io::Result<bool> {
        READ_BUFFER.with_borrow_mut(|buffer| match read_short(self.socket.stream(), buffer)? {
            None => Ok(false),
            Some(0) => Ok(true),
            Some(len) => {
                self.socket.heard(self.gateway.now_millis());
                self.feed(reader, buffer.get_mut(..len).unwrap_or_default(), incoming);
                Ok(false)
            }
        })
    }

    /// Waits, but for flushing, until the client may have its next frame looked at: who floods is read at this pace.
    async fn pace(&mut self) -> io::Result<()> {
        if !self.gateway.common_limits_are_on() {
            return Ok(());
        }
        while let Err(wait) = self.frames.take(Instant::now()) {
            let until = tokio::time::Instant::now() + wait;
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                flushed = flushing(&self.socket, self.gateway.config.write_within) => flushed?,
            }
            if self.socket.closing().is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What came whole before something broken is still answered.
    fn feed(&mut self, reader: &mut Reader, bytes: &mut [u8], incoming: &mut VecDeque<Incoming>) {
        if self.broken.is_none() {
            self.broken = reader.feed(bytes, incoming).err();
        }
    }

    async fn take(&mut self, message: Incoming) -> io::Result<()> {
        match message {
            Incoming::Close(_) => {
                self.is_peer_done = true;
                self.socket.close(CloseReason::Normal);
            }
            _ if self.socket.closing().is_some() => {}
            Incoming::Text(text) => {
                self.gateway.measure.frames_in.increment(1);
                match ClientFrame::parse(&text) {
                    Ok(frame) => {
                        if let Some(frame) = command::obey_at_once(self, frame) {
                            self.obey(frame).await?;
                        }
                    }
                    Err(bad) => {
                        self.socket.say(&ServerFrame::refusal(bad.code, bad.detail, bad.room_id, bad.temp_id));
                        self.note_bad_frame();
                    }
                }
            }
            Incoming::Ping(payload) => self.socket.offer(&encode(Opcode::Pong, &payload), Class::Durable),
            // The reader's rules take none.
            Incoming::Binary(_) => self.socket.close(CloseReason::Unsupported),
            Incoming::Pong => {}
        }
        Ok(())
    }

    /// Does what a frame asks for. The socket is not read meanwhile, but it is flushed.
    async fn obey(&mut self, frame: ClientFrame) -> io::Result<()> {
        let (socket, write_within) = (Arc::clone(&self.socket), self.gateway.config.write_within);
        let mut work = Box::pin(command::obey(self, frame));
        loop {
            tokio::select! {
                () = &mut work => return Ok(()),
                flushed = flushing(&socket, write_within) => flushed?,
            }
            if socket.closing().is_some() {
                return Ok(());
            }
        }
    }

    fn note_bad_frame(&mut self) {
        let now = Instant::now();
        if self.bad_frames.since.is_none_or(|since| now - since > Duration::from_mins(1)) {
            self.bad_frames = BadFrames { since: Some(now), count: 0 };
        }
        self.bad_frames.count += 1;
        if self.bad_frames.count > limit::BAD_FRAMES_PER_MINUTE_MAX {
            self.socket.close(CloseReason::ProtocolError);
        }
    }

    /// After a close frame: writes what is left, and reads until the client has closed too, for at most
    /// 5 s. To close over unread bytes would reset the connection and take the close frame with it. A
    /// client whose framing is broken can not be heard to close: it is read until it says nothing more.
    async fn linger(&mut self, mut reader: Reader) -> io::Result<()> {
        let goodbye = async {
            let mut incoming = VecDeque::new();
            while self.socket.is_behind() || !self.is_peer_done {
                let may_leave = self.broken.is_some() && !self.socket.is_behind();
                tokio::select! {
                    () = tokio::time::sleep(BROKEN_QUIET), if may_leave => return Ok(()),
                    ready = self.socket.stream().readable(), if !self.is_peer_done => {
                        ready?;
                        let has_ended = self.read(&mut reader, &mut incoming)?;
                        self.is_peer_done = has_ended || incoming.drain(..).any(|message| matches!(message, Incoming::Close(_)));
                    }
                    ready = self.socket.stream().writable(), if self.socket.is_behind() => {
                        ready?;
                        self.socket.flush()?;
                    }
                }
            }
            Ok(())
        };
        tokio::time::timeout(limit::CLOSE_WITHIN, goodbye).await.unwrap_or(Ok(()))
    }

    fn end(self, ended: io::Result<()>) {
        self.gateway.measure.closed(self.socket.closing());
        if let Err(error) = ended {
            tracing::debug!(connection.id = %self.socket.id, %error, "socket ended");
        }
        self.socket.set_gone();
        let rooms: Vec<_> = self.socket.seats().iter().map(|seat| seat.room.id).collect();
        for room in rooms {
            self.gateway.unseat(&self.socket, room);
        }
        // Last: when no socket is left nobody is in a room either.
        self.gateway.sockets.remove(&self.socket);
    }
}

/// Takes in what the wire has; `None` if it has nothing. A read that does not fill the buffer has emptied the wire:
/// tokio is told so, which saves the read that would only find that out.
fn read_short(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let mut read = None;
    let tried = stream.try_io(Interest::READABLE, || {
        let (len, _) = rustix::net::recv(stream, &mut *buffer, RecvFlags::empty())?;
        read = Some(len);
        if len < buffer.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match tried {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(read),
    }
}

/// Waits until something else than waiting is to be done for the outbox: it was filled, it was flushed
/// as far as the wire takes it, the wire has taken nothing for too long, or the socket is to close.
async fn flushing(socket: &Socket, write_within: Duration) -> io::Result<()> {
    let Some(stalled_since) = socket.stalled_since() else {
        socket.wake().notified().await;
        return Ok(());
    };
    tokio::select! {
        ready = socket.stream().writable() => {
            ready?;
            socket.flush()
        }
        () = tokio::time::sleep_until((stalled_since + write_within).into()) => {
            if socket.stalled_since().is_some_and(|since| since.elapsed() >= write_within) {
                socket.close_slow();
            }
            Ok(())
        }
        () = socket.wake().notified() => Ok(()),
    }
}
