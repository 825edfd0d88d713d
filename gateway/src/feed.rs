//! What the log says, live, to the rooms that are here: one task a room, so that a room's order is kept
//! and rooms do not wait for each other.
//!
//! Live copies can go missing. Each says which seq came before it in its room; what lies between is
//! read from the stream before it is shown.

use std::{pin::Pin, sync::Arc, time::Duration};

use async_nats::Message;
use futures_util::{Stream, StreamExt as _};
use ops::{
    mutant::{self, Mutant},
    telemetry::HOP,
};
use schema::{
    frame::limit,
    id::RoomId,
    signal::Signal,
    subject::{LiveChatSubject, LiveRoomSubjects, LiveSignalSubject},
};
use tokio::sync::mpsc;

use crate::{
    config::Subscribe,
    hub::Room,
    log_reader::LogAway,
    render::LogMessage,
    state::Gateway,
    subscription::{self, subscribe},
    upstream::Upstream,
};

/// A live message on its way to its room.
pub(crate) type Live = Pin<Box<dyn Stream<Item = Message> + Send>>;

/// After a room was first subscribed to, when to look whether the subscription was late.
const DOUBT_AFTER: Duration = Duration::from_secs(1);
/// Between two tries to read what a room needs.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// Tries to fill a hole before the room goes on with the hole in plain sight.
const FILL_TRIES: usize = 20;
/// In `all` mode: live messages that may wait for one room's task.
const ROOM_INBOX_MAX: usize = 1_024;

/// Starts the feed of a room that was just made.
pub(crate) fn start(gateway: &Arc<Gateway>, room: &Arc<Room>) {
    let (gateway, room) = (Arc::clone(gateway), Arc::clone(room));
    gateway.lifecycle.clone().spawn(async move {
        let stopped = room.stopped().clone();
        tokio::select! {
            () = run(&gateway, &room) => {}
            () = stopped.cancelled() => {}
        }
    });
}

async fn run(gateway: &Arc<Gateway>, room: &Arc<Room>) {
    let live = live(gateway, room).await;
    gateway.presence.listen(room);
    follow(gateway, room, live).await;
}

/// Shows what the log says to a room whose live copies arrive on `live`.
pub(crate) async fn follow<U: Upstream>(upstream: &Arc<U>, room: &Arc<Room>, mut live: Live) {
    room.set_ready(top(upstream.as_ref(), room.id).await);
    let doubt = upstream.sleep(DOUBT_AFTER);
    tokio::pin!(doubt);
    let mut has_doubted = false;
    loop {
        tokio::select! {
            // What is here already may be what is looked for.
            biased;
            message = live.next() => match message {
                Some(message) => take(upstream, room, message).await,
                // The client ends a subscription only when it is closed for good.
                None => return,
            },
            to = room.doubted() => catch_up(upstream.as_ref(), room, to).await,
            () = &mut doubt, if !has_doubted => {
                has_doubted = true;
                catch_up(upstream.as_ref(), room, u64::MAX).await;
            }
        }
    }
}

/// What is said in a room, live.
async fn live(gateway: &Arc<Gateway>, room: &Room) -> Live {
    if gateway.config.subscribe == Subscribe::All {
        let (sender, receiver) = mpsc::channel(ROOM_INBOX_MAX);
        room.inbox.set(sender).expect("a room has one feed");
        return Box::pin(futures_util::stream::unfold(receiver, async |mut receiver| {
            let message = receiver.recv().await?;
            Some((message, receiver))
        }));
    }
    Box::pin(subscribe(gateway, LiveRoomSubjects(room.id).to_string()).await)
}

/// The room's last seq: in the stream, or in the store when the stream holds nothing of it any more.
async fn top(upstream: &impl Upstream, room: RoomId) -> u64 {
    loop {
        match read_top(upstream, room).await {
            Ok(top) => return top,
            Err(error) => tracing::warn!(room.id = %room, error, "the room's top is not known: trying again"),
        }
        upstream.sleep(RETRY_AFTER).await;
    }
}

async fn read_top(upstream: &impl Upstream, room: RoomId) -> Result<u64, String> {
    match upstream.top(room).await.map_err(|error| error.to_string())? {
        0 => upstream.last_stored(room).await.map_err(|error| error.to_string()),
        top => Ok(top),
    }
}

async fn take<U: Upstream>(upstream: &Arc<U>, room: &Arc<Room>, message: Message) {
    if LiveSignalSubject::parse(&message.subject).is_some() {
        upstream.signal(room, message);
        return;
    }
    if LiveChatSubject::parse(&message.subject).is_none() {
        return;
    }
    let Some(message) = LogMessage::read(message.headers, message.payload) else {
        tracing::warn!(room.id = %room.id, "a live copy without the server's headers");
        return;
    };
    if upstream.loses(&message) {
        return;
    }
    tracing::debug!(target: HOP, { message.id = message.id().map(tracing::field::display) }, "republished");
    let last = room.last();
    let prev = if mutant::is(Mutant::NoGapCheck) { 0 } else { message.prev.unwrap_or(0) };
    if message.seq > last && prev > last {
        upstream.measure().gaps_found.increment(1);
        fill(upstream.as_ref(), room, prev).await;
    }
    // If the hole could not be filled the frame says so: its prev is above what phones were told of,
    // and they join again.
    let known = room.last();
    upstream.is_in_log(&message);
    room.show(&message, if prev > known { prev } else { known });
}

pub(crate) fn signal(gateway: &Arc<Gateway>, room: &Arc<Room>, message: Message) {
    match serde_json::from_slice(&message.payload) {
        Ok(Signal::Typing { user_id, active }) => gateway.typing.hear(room, user_id, active),
        Ok(signal) => gateway.presence.hear(gateway, room, signal, message.reply),
        Err(error) => tracing::warn!(room.id = %room.id, %error, "a signal that does not decode"),
    }
}

/// Fills the room up to `to`, with some patience.
async fn fill(upstream: &impl Upstream, room: &Room, to: u64) {
    for _ in 0..FILL_TRIES {
        match read_on(upstream, room, to).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(room.id = %room.id, %error, "a hole is not filled yet"),
        }
        upstream.sleep(RETRY_AFTER).await;
    }
}

/// Shows what the stream holds above the room's last seq, as far as `to`.
async fn catch_up(upstream: &impl Upstream, room: &Room, to: u64) {
    if mutant::is(Mutant::NoGapCheck) {
        return;
    }
    if let Err(error) = read_on(upstream, room, to).await {
        // The wheel comes round again.
        tracing::warn!(room.id = %room.id, %error, "resync failed");
    }
}

async fn read_on(upstream: &impl Upstream, room: &Room, to: u64) -> Result<(), LogAway> {
    while room.last() < to {
        let page = upstream.page(room.id, room.last(), limit::REPLAY_PAGE).await?;
        let Some(next) = page.messages.first() else { break };
        // Asked after the page was read: what has aged out before or meanwhile is seen.
        let given_up = given_up(upstream, room, next.seq).await?;
        for message in &page.messages {
            // What was given up is in the store: phones see the hole, and join again.
            room.show(message, room.last().max(given_up));
        }
        if page.pending == 0 {
            break;
        }
    }
    Ok(())
}

/// Up to which seq the stream has given up what the room still lacks below `next`; 0 if it lacks nothing. Not less
/// than what is missing: a phone may have been told more of it elsewhere than this room knows.
async fn given_up(upstream: &impl Upstream, room: &Room, next: u64) -> Result<u64, LogAway> {
    let last = room.last();
    let first_seq = upstream.first_seq_near(last).await.map_err(LogAway::new)?;
    if last + 1 >= first_seq {
        return Ok(0);
    }
    let rows = upstream.rows(room.id, last, 1).await.map_err(LogAway::new)?;
    let lacks = rows.first().is_some_and(|row| row.seq < next);
    Ok(if lacks { first_seq.min(next) - 1 } else { 0 })
}

/// In `all` mode: hears every room's live traffic and hands it to the rooms that are here.
pub(crate) async fn hear_all(gateway: Arc<Gateway>) {
    subscription::hear(&gateway, subscribe(&gateway, LiveRoomSubjects::ALL), |message| {
        let room = LiveChatSubject::parse(&message.subject)
            .map(|LiveChatSubject(room)| room)
            .or_else(|| LiveSignalSubject::parse(&message.subject).map(|LiveSignalSubject(room)| room));
        let Some(room) = room else { return };
        let Some(room) = gateway.hub.find(room) else { return };
        // Before the feed listens nothing is lost: it reads the room's top after.
        if room.inbox.get().is_some_and(|inbox| inbox.try_send(message).is_err()) {
            gateway.measure.dropped_room_inbox.increment(1);
            room.doubt(u64::MAX);
        }
    })
    .await;
}
