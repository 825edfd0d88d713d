//! One socket's own task: reads what the client says, flushes what did not fit, and ends it in good
//! order.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    pin::pin,
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
    socket::{Class, Identity, Socket},
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
    reader: Reader,
    /// What was read and not yet looked at.
    incoming: VecDeque<Incoming>,
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
    // What is only needed to begin is not kept for as long as the socket is there.
    let mut connection = Box::pin(begin(gateway, admitted)).await;
    let ended = connection.serve().await;
    Box::pin(connection.end(ended)).await;
}

/// Greets the client, and seats it where it was admitted to.
async fn begin(gateway: Arc<Gateway>, admitted: Box<Admitted>) -> Box<Connection> {
    let of_gate = Arc::clone(&gateway);
    let turn = of_gate.gate.turn().await;
    let Admitted { stream, answer, mut rest, identity, place, room, since } = *admitted;
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
        reader: Reader::default(),
        incoming: VecDeque::new(),
        broken: None,
        is_peer_done: false,
        gateway,
        socket,
        place,
    };
    connection.greet(answer, identity);
    drop(turn);
    if let Some(identity) = identity {
        let membership = room.and_then(|(_, membership)| membership);
        command::auth::begin(&mut connection, identity, membership).await;
    }
    connection.gateway.wheel.put(&connection.socket, now, now);
    connection.feed(&mut rest);
    Box::new(connection)
}

impl Connection {
    /// Switches to WebSocket and says hello. Who is seated at once hears of the room in the same write.
    fn greet(&self, answer: String, identity: Option<Identity>) {
        let hello = ServerFrame::Hello {
            protocol: ServerFrame::PROTOCOL,
            connection_id: self.socket.id,
            user_id: identity.map(|identity| identity.user_id),
            ping_every_s: self.gateway.config.ping_every.as_secs(),
            server_time: self.gateway.clock.now(),
        };
        let soon = &self.gateway.hub.delivery().soon;
        self.socket.offer_soon(answer.into(), soon);
        if identity.is_some() && self.joins_first.is_some() {
            self.socket.say_soon(&hello, soon);
        } else {
            self.socket.say(&hello);
        }
    }

    async fn serve(&mut self) -> io::Result<()> {
        let write_within = self.gateway.config.write_within;
        loop {
            while let Some(message) = self.incoming.pop_front() {
                if let Err(wait) = self.next_frame() {
                    Box::pin(self.pace(wait)).await?;
                }
                if let Some(frame) = self.take(message) {
                    Box::pin(self.obey(frame)).await?;
                }
            }
            self.incoming.shrink_to_fit();
            if let Some(reason) = self.broken {
                self.socket.close(reason);
            }
            if self.socket.closing().is_some() {
                return Box::pin(self.linger()).await;
            }
            let has_ended = tokio::select! {
                ready = self.socket.stream().readable() => {
                    ready?;
                    self.read()?
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
    fn read(&mut self) -> io::Result<bool> {
        READ_BUFFER.with_borrow_mut(|buffer| match read_short(self.socket.stream(), buffer)? {
            None => Ok(false),
            Some(0) => Ok(true),
            Some(len) => {
                self.socket.heard(self.gateway.now_millis());
                self.feed(buffer.get_mut(..len).unwrap_or_default());
                Ok(false)
            }
        })
    }

    /// Whether the client may have its next frame looked at; or how long until it may.
    fn next_frame(&mut self) -> Result<(), Duration> {
        if !self.gateway.common_limits_are_on() {
            return Ok(());
        }
        self.frames.take(Instant::now())
    }

    /// Waits, but for flushing, for the next frame's time: who floods is read at this pace.
    async fn pace(&mut self, mut wait: Duration) -> io::Result<()> {
        loop {
            let until = tokio::time::Instant::now() + wait;
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                flushed = flushing(&self.socket, self.gateway.config.write_within) => flushed?,
            }
            if self.socket.closing().is_some() {
                return Ok(());
            }
            match self.next_frame() {
                Ok(()) => return Ok(()),
                Err(longer) => wait = longer,
            }
        }
    }

    /// What came whole before something broken is still answered.
    fn feed(&mut self, bytes: &mut [u8]) {
        if self.broken.is_none() {
            self.broken = self.reader.feed(bytes, &mut self.incoming).err();
        }
    }

    /// Answers a message at once, or says what is to be done for it.
    fn take(&mut self, message: Incoming) -> Option<ClientFrame> {
        match message {
            Incoming::Close(_) => {
                self.is_peer_done = true;
                self.socket.close(CloseReason::Normal);
            }
            _ if self.socket.closing().is_some() => {}
            Incoming::Text(text) => {
                self.gateway.measure.frames_in.increment(1);
                match ClientFrame::parse(&text) {
                    Ok(frame) => return command::obey_at_once(self, frame),
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
        None
    }

    /// Does what a frame asks for. The socket is not read meanwhile, but it is flushed.
    async fn obey(&mut self, frame: ClientFrame) -> io::Result<()> {
        let (socket, write_within) = (Arc::clone(&self.socket), self.gateway.config.write_within);
        let mut work = pin!(command::obey(self, frame));
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
    async fn linger(&mut self) -> io::Result<()> {
        let goodbye = async {
            while self.socket.is_behind() || !self.is_peer_done {
                let may_leave = self.broken.is_some() && !self.socket.is_behind();
                tokio::select! {
                    () = tokio::time::sleep(BROKEN_QUIET), if may_leave => return Ok(()),
                    ready = self.socket.stream().readable(), if !self.is_peer_done => {
                        ready?;
                        let has_ended = self.read()?;
                        self.is_peer_done = has_ended || self.incoming.drain(..).any(|message| matches!(message, Incoming::Close(_)));
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

    async fn end(self: Box<Self>, ended: io::Result<()>) {
        let gateway = Arc::clone(&self.gateway);
        let _turn = gateway.gate.turn().await;
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
    match socket.stalled_since() {
        None => {
            socket.wake().notified().await;
            Ok(())
        }
        // Few are behind: who is not does not hold the room for it.
        Some(stalled_since) => Box::pin(unblocking(socket, stalled_since + write_within, write_within)).await,
    }
}

async fn unblocking(socket: &Socket, until: Instant, write_within: Duration) -> io::Result<()> {
    tokio::select! {
        ready = socket.stream().writable() => {
            ready?;
            socket.flush()
        }
        () = tokio::time::sleep_until(until.into()) => {
            if socket.stalled_since().is_some_and(|since| since.elapsed() >= write_within) {
                socket.close_slow();
            }
            Ok(())
        }
        () = socket.wake().notified() => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_bytes<A, B, F: Future>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// Ten thousand phones say nothing most of the time: each byte here is paid for by all of them.
    #[test]
    fn a_connection_that_waits_is_small() {
        assert!(future_bytes(run) <= 512, "{}", future_bytes(run));
    }
}
