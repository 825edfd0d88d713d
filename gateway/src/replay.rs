//! Catching-up joins: a socket reads on from the seq it was told of, at its own pace, until it is where
//! the room is; then it becomes live. Nothing is queued for it meanwhile.
//!
//! Pages come out of memory, else out of the stream, and below the stream's first seq out of the store.
//! Sockets that resume a room from the same seq share their pages.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use ops::mutant::{self, Mutant};
use parking_lot::Mutex;
use schema::{
    frame::{limit, server::ServerFrame},
    id::{RoomId, UserId},
    problem::Code,
};

use crate::{
    erased,
    hub::{GoLive, Joining, Room, concat},
    measure::Source,
    render::{LogMessage, Rendered},
    socket::Socket,
    upstream::{Upstream, within},
};

/// How long a room may take until its feed listens, a gateway until it is where the client is, and slow
/// readers until there is room for another page.
const ROOM_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks whether this gateway is where the client is.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A stretch of a replay, encoded.
#[derive(Debug)]
struct Page {
    bytes: Bytes,
    frames: u64,
    first_seq: Option<u64>,
    /// The seq of its last frame; the cursor it was asked with, if it has none.
    last_seq: u64,
    /// How many frames follow, where that is known.
    pending: u64,
    /// The slowest of what was read for it.
    source: Source,
}

type SharedPage = Shared<BoxFuture<'static, Result<Arc<Page>, Arc<str>>>>;

/// Pages that are being read.
#[derive(Debug, Default)]
pub struct Pages(Mutex<HashMap<(RoomId, u64), SharedPage>>);

/// Takes a socket that has a seat in `room` to the room's top, and makes it live there.
pub(crate) async fn join<U: Upstream>(
    upstream: Arc<U>,
    socket: Arc<Socket>,
    room: Arc<Room>,
    me: UserId,
    since: Option<u64>,
) {
    // One replay per socket at a time: a second join of the room waits for the first.
    let _turn = socket.replay_turn().await;
    room.remove(socket.id);
    let joined = tokio::select! {
        biased;
        joined = catch_up(&upstream, &socket, &room, me, since) => joined,
        () = socket.gone() => return,
        // Everybody has left it: if this socket has a seat again, that is another's.
        () = room.stopped().cancelled() => return,
    };
    if let Err(detail) = joined {
        upstream.unseat(&socket, room.id);
        let code = Code::Unavailable;
        socket.say(&ServerFrame::Error { code, detail, temp_id: None, room_id: Some(room.id) });
    }
}

/// Acts if the socket is still in this room; `None` if it left, or was removed, in mid-replay. Under the lock
/// of its seats, so that nobody is told anything of a room after `left` or `removed`.
fn while_seated<T>(socket: &Socket, room: &Arc<Room>, act: impl FnOnce() -> T) -> Option<T> {
    let seats = socket.seats();
    let is_seated = seats.iter().any(|seat| Arc::ptr_eq(&seat.room, room));
    is_seated.then(act)
}

async fn catch_up<U: Upstream>(
    upstream: &Arc<U>,
    socket: &Arc<Socket>,
    room: &Arc<Room>,
    me: UserId,
    since: Option<u64>,
) -> Result<(), String> {
    let ready = within(upstream.as_ref(), ROOM_WITHIN, room.ready()).await;
    ready.ok_or("the log does not answer")?;
    // All who waited for the room are ready at once.
    upstream.turn().await;
    let mut joining = Joining { me, replayed: 0, is_recovered: true, oldest_seq: None };
    let Some(mut cursor) = since else {
        while_seated(socket, room, || room.go_live(socket, None, joining));
        socket.drained().await;
        return Ok(());
    };
    if cursor > room.last() && !reach(upstream.as_ref(), room, cursor).await? {
        joining.is_recovered = false;
    }
    let mut source = Source::Memory;
    loop {
        match while_seated(socket, room, || room.go_live(socket, Some(cursor), joining)) {
            Some(GoLive::Live) => {
                upstream.measure().resumed(source).joins.increment(1);
                // `joined` is outside the cap, and who is online nearly as long as a socket may be behind: the
                // next room has to wait for them.
                socket.drained().await;
                return Ok(());
            }
            None => return Ok(()),
            // It was reached a moment ago, and a room's last seq never falls.
            Some(GoLive::Ahead) => joining.is_recovered = false,
            Some(GoLive::Behind) => {
                upstream.budget().eased(ROOM_WITHIN).await;
                let page = upstream.pages().read(upstream, room, cursor).await.map_err(|error| error.to_string())?;
                if joining.replayed + page.frames + page.pending > limit::REPLAY_FRAMES_MAX {
                    joining.is_recovered = false;
                    joining.oldest_seq = page.first_seq;
                    continue;
                }
                if page.last_seq == cursor {
                    // Nothing is to be had above the cursor, yet the room has moved: the frames have
                    // aged out of the stream and are not in the store.
                    joining.is_recovered = false;
                    continue;
                }
                joining.replayed += page.frames;
                cursor = page.last_seq;
                source = source.max(page.source);
                while_seated(socket, room, || socket.replay(&page.bytes, page.frames));
                socket.drained().await;
            }
        }
    }
}

/// Waits for this gateway to know a seq that a client was told of by another; false if there is none such. While the log
/// does not answer nobody can say so.
async fn reach(upstream: &impl Upstream, room: &Arc<Room>, seq: u64) -> Result<bool, String> {
    if upstream.top(room.id).await.map_err(|error| error.to_string())? < seq {
        return Ok(false);
    }
    room.doubt(seq);
    let reached = async {
        // Only a client that is ahead of this gateway makes somebody wait: looking now and then is enough.
        while room.last() < seq {
            upstream.sleep(LOOK_AGAIN).await;
        }
    };
    within(upstream, ROOM_WITHIN, reached).await.map(|()| true).ok_or_else(|| "the log does not answer".to_owned())
}

impl Pages {
    /// Reads the page of `room` after `cursor`, together with whoever else reads it now.
    async fn read<U: Upstream>(&self, upstream: &Arc<U>, room: &Arc<Room>, cursor: u64) -> Result<Arc<Page>, Arc<str>> {
        let key = (room.id, cursor);
        let page = {
            let mut pages = self.0.lock();
            pages.entry(key).or_insert_with(|| read(Arc::clone(upstream), Arc::clone(room), cursor)).clone()
        };
        // Also when this reader gives up: what nobody waits for must not be found by those who come later.
        let _forgotten = Forgotten { pages: self, key };
        page.await
    }
}

/// Takes a page out of those that are being read, at the latest when its reader is gone.
struct Forgotten<'a> {
    pages: &'a Pages,
    key: (RoomId, u64),
}

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        drop(self.pages.0.lock().remove(&self.key));
    }
}

fn read<U: Upstream>(upstream: Arc<U>, room: Arc<Room>, cursor: u64) -> SharedPage {
    async move {
        let page = read_page(upstream.as_ref(), &room, cursor).await;
        page.map(Arc::new).map_err(|error| Arc::from(error.as_str()))
    }
    .boxed()
    .shared()
}

async fn read_page(upstream: &impl Upstream, room: &Room, cursor: u64) -> Result<Page, String> {
    let page = upstream.page(room.id, cursor, limit::REPLAY_PAGE).await.map_err(|error| error.to_string())?;
    // Asked after the page was read: what has aged out before or meanwhile is found in the store.
    let first_seq = upstream.first_seq_near(cursor).await?;
    let deleted = erased::look_ahead(upstream, room, cursor, &page).await.map_err(|error| error.to_string())?;
    let mut stretch = Stretch { room: room.id, prev: cursor, frames: Vec::new(), source: Source::Stream };
    if cursor + 1 < first_seq {
        let border = page.messages.first().map_or(first_seq, |message| message.seq.min(first_seq));
        if !stretch.read_store(upstream, border).await? {
            room.blank(&mut stretch.frames, &deleted);
            return Ok(Page::new(&stretch, cursor, 0));
        }
    }
    let is_short = mutant::is(Mutant::DuplicateReplay) && page.messages.len() > 1;
    stretch.read_stream(upstream, page.messages.get(usize::from(is_short)..).unwrap_or_default()).await?;
    room.blank(&mut stretch.frames, &deleted);
    Ok(Page::new(&stretch, cursor, page.pending))
}

/// A stretch in the making: each frame is told which one was before it, wherever it came from.
struct Stretch {
    room: RoomId,
    prev: u64,
    frames: Vec<Rendered>,
    /// The slowest of what was read for it.
    source: Source,
}

impl Stretch {
    fn push(&mut self, seq: u64, render: impl FnOnce(RoomId, u64) -> Rendered) {
        self.frames.push(render(self.room, self.prev));
        self.prev = seq;
    }

    /// What the stream still holds.
    async fn read_stream(&mut self, upstream: &impl Upstream, messages: &[LogMessage]) -> Result<(), String> {
        let shown_twice = second_seqs(upstream, messages).await?;
        for message in messages {
            let is_second = shown_twice.contains(&message.seq);
            self.push(message.seq, |room, prev| {
                if is_second {
                    Rendered::skip(room, message.seq, prev)
                } else {
                    Rendered::new(room, message, prev, upstream.measure())
                }
            });
        }
        upstream.measure().resumed(Source::Stream).frames.increment(count(messages.len()));
        Ok(())
    }

    /// What the stream has given up, below `border`; never what the stream still holds, because the store
    /// fills out of order. Says whether that was all of it.
    async fn read_store(&mut self, upstream: &impl Upstream, border: u64) -> Result<bool, String> {
        let rows = upstream.rows(self.room, self.prev, limit::REPLAY_PAGE).await;
        let rows = rows.map_err(|error| error.to_string())?;
        let is_all = rows.len() < limit::REPLAY_PAGE || rows.last().is_some_and(|row| row.seq >= border);
        self.source = Source::Store;
        for row in rows.into_iter().take_while(|row| row.seq < border) {
            let head = erased::head(&row);
            self.push(row.seq, |room, prev| match (head, row.body) {
                (Some(head), Some(body)) => Rendered::show(room, head, row.seq, prev, body.into(), row.created_at),
                _ => Rendered::skip(room, row.seq, prev),
            });
        }
        upstream.measure().resumed(Source::Store).frames.increment(count(self.frames.len()));
        Ok(is_all)
    }
}

/// Of messages that said they may be in the log twice: those whose id stands at a lower seq.
async fn second_seqs(upstream: &impl Upstream, messages: &[LogMessage]) -> Result<Vec<u64>, String> {
    let resent = messages.iter().filter(|message| message.is_resend());
    let resent: Vec<_> = resent.filter_map(|message| Some((message.id()?, message.seq))).collect();
    if resent.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = resent.iter().map(|(id, _)| *id).collect();
    let found = upstream.find(&ids).await.map_err(|error| error.to_string())?;
    let is_second = |(id, seq): &&(_, u64)| found.iter().any(|first| first.id == *id && first.seq < *seq);
    Ok(resent.iter().filter(is_second).map(|(_, seq)| *seq).collect())
}

impl Page {
    fn new(stretch: &Stretch, cursor: u64, pending: u64) -> Self {
        let frames = &stretch.frames;
        let bytes: Vec<Bytes> = frames.iter().map(|frame| frame.bytes.clone()).collect();
        Self {
            bytes: concat(&bytes),
            frames: count(frames.len()),
            first_seq: frames.first().map(|frame| frame.seq),
            last_seq: frames.last().map_or(cursor, |frame| frame.seq),
            pending,
            source: stretch.source,
        }
    }
}

fn count(frames: usize) -> u64 {
    u64::try_from(frames).unwrap_or(u64::MAX)
}
