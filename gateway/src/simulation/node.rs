//! One life of a gateway in a run: its rooms are the real ones, its upstream is the run's log.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::Message;
use chat_store::{Found, LogRow, StoreError};
use ops::lifecycle::Lifecycle;
use parking_lot::Mutex;
use schema::{
    id::{MessageId, RoomId, UserId},
    subject::LiveChatSubject,
    text::DisplayName,
};
use scripts::simulation::Fate;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::log::{Log, server_headers};
use crate::{
    budget::Budget,
    feed,
    hub::{Delivery, Hub, Room, Seat},
    log_reader::{LogAway, LogPage},
    measure::Measure,
    render::LogMessage,
    replay::{self, Pages},
    resync,
    socket::Socket,
    soon,
    upstream::Upstream,
};

/// Live copies that may wait for one room's task.
const INBOX_MAX: usize = 1_024;

/// What all of a run share.
#[derive(Debug)]
pub(super) struct World {
    pub(super) fate: Fate,
    pub(super) log: Mutex<Log>,
    /// Live copies that came after one that had not.
    pub(super) holes: AtomicU64,
}

/// A gateway until it is killed.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) world: Arc<World>,
    pub(super) hub: Hub,
    pub(super) measure: Arc<Measure>,
    pub(super) budget: Arc<Budget>,
    pages: Pages,
    lifecycle: Lifecycle,
    killed: CancellationToken,
    /// Whether NATS can not be reached.
    is_cut: AtomicBool,
    feeds: Mutex<BTreeMap<RoomId, mpsc::Sender<Message>>>,
}

impl Node {
    pub(super) fn start(world: &Arc<World>) -> Arc<Self> {
        let (measure, lifecycle) = (Arc::new(Measure::new()), Lifecycle::new());
        let delivery = Delivery {
            window: Duration::ZERO,
            lifecycle: lifecycle.clone(),
            measure: Arc::clone(&measure),
            soon: Arc::default(),
        };
        let node = Arc::new(Self {
            world: Arc::clone(world),
            hub: Hub::new(delivery.clone()),
            budget: Arc::new(Budget::new(usize::MAX, measure.queued_bytes.clone())),
            measure,
            pages: Pages::default(),
            lifecycle,
            killed: CancellationToken::new(),
            is_cut: AtomicBool::new(false),
            feeds: Mutex::default(),
        });
        node.spawn(async move { soon::write(&delivery).await });
        node
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let killed = self.killed.clone();
        self.lifecycle.spawn(async move { killed.run_until_cancelled_owned(task).await.unwrap_or_default() });
    }

    pub(super) fn kill(&self) {
        self.killed.cancel();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }

    /// Loses NATS: what is on its way to it is lost as well.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }

    /// Has NATS again, and looks for what it has missed.
    pub(super) fn heal(&self) {
        self.is_cut.store(false, Ordering::Relaxed);
        self.resync();
    }

    /// What the wheel does, and a reconnect.
    pub(super) fn resync(&self) {
        if self.is_cut() {
            return;
        }
        let tops: Vec<_> = {
            let log = self.world.log.lock();
            let mut rooms: Vec<_> = self.hub.rooms().iter().map(|room| room.id).collect();
            rooms.sort_unstable();
            rooms.into_iter().map(|room| (room, log.stream_top(room))).collect()
        };
        resync::doubt(&self.hub, tops.iter().map(|(room, top)| (room, top)));
        self.hub.rooms().iter().for_each(|room| room.trim());
    }

    /// A copy of something new is on its way here: it may go missing, come twice, or late.
    pub(super) fn send_copy(self: &Arc<Self>, room: RoomId, message: &LogMessage) {
        let copies = if self.world.fate.fault(12) { 0 } else { 1 + u32::from(self.world.fate.fault(6)) };
        for _ in 0..copies {
            let late = if self.world.fate.chance(20) { 40_000 } else { 2_000 };
            let (node, message) = (Arc::clone(self), message.clone());
            self.spawn(async move {
                node.world.fate.wait(late).await;
                node.hear(room, &message);
            });
        }
    }

    fn hear(&self, room: RoomId, message: &LogMessage) {
        let feed = self.feeds.lock().get(&room).cloned();
        let Some(feed) = feed.filter(|_| !self.is_cut()) else { return };
        let last = self.hub.find(room).map_or(0, |room| room.last());
        self.world.holes.fetch_add(u64::from(message.prev > Some(last)), Ordering::Relaxed);
        let subject = LiveChatSubject(room).to_string().into();
        let (headers, payload) = (Some(server_headers(message)), message.body.clone());
        let copy = Message { subject, reply: None, payload, headers, status: None, description: None, length: 0 };
        drop(feed.try_send(copy));
    }

    /// What a handshake or a `join` does: a seat, and a replay.
    pub(super) fn join(self: &Arc<Self>, socket: &Arc<Socket>, id: RoomId, me: UserId, since: Option<u64>) {
        let seated = socket.seats().iter().find(|seat| seat.room.id == id).map(|seat| Arc::clone(&seat.room));
        let room = seated.unwrap_or_else(|| self.seat(socket, id, me));
        self.spawn(replay::join(Arc::clone(self), Arc::clone(socket), room, me, since));
    }

    fn seat(self: &Arc<Self>, socket: &Socket, id: RoomId, me: UserId) -> Arc<Room> {
        let (room, is_new) = self.hub.enter(id);
        if is_new {
            self.feed(&room);
        }
        let (name, checked_at) = (DisplayName::parse("Ann").unwrap(), std::time::Instant::now());
        let room_seat = Arc::clone(&room);
        let seat = Seat { room: room_seat, me, name, is_silent: false, checked_at, typed_at: None, is_present: false };
        socket.seats().push(seat);
        room
    }

    fn feed(self: &Arc<Self>, room: &Arc<Room>) {
        let (node, room) = (Arc::clone(self), Arc::clone(room));
        self.spawn(async move {
            let stopped = room.stopped().clone();
            let run = async {
                // The subscription is late, too.
                node.world.fate.wait(3_000).await;
                let (sender, receiver) = mpsc::channel(INBOX_MAX);
                node.feeds.lock().insert(room.id, sender);
                let live = Box::pin(futures_util::stream::unfold(receiver, async |mut receiver| {
                    let message = receiver.recv().await?;
                    Some((message, receiver))
                }));
                feed::follow(&node, &room, live).await;
            };
            stopped.run_until_cancelled(run).await.unwrap_or_default();
        });
    }

    /// The socket has ended.
    pub(super) fn leave(&self, socket: &Socket) {
        socket.set_gone();
        let rooms: Vec<_> = socket.seats().iter().map(|seat| seat.room.id).collect();
        for room in rooms {
            self.unseat(socket, room);
        }
    }

    async fn ask<T>(&self, answer: impl FnOnce(&Log) -> T + Send) -> Result<T, String> {
        self.world.fate.wait(1_500).await;
        if self.is_cut() || self.world.fate.fault(8) {
            self.world.fate.wait(20_000).await;
            return Err("away".into());
        }
        let answer = answer(&self.world.log.lock());
        // What is said was so a while ago.
        self.world.fate.wait(1_500).await;
        Ok(answer)
    }
}

fn away(why: String) -> StoreError {
    StoreError::Unavailable(why.into())
}

impl Upstream for Node {
    async fn page(&self, room: RoomId, after: u64, limit: usize) -> Result<LogPage, LogAway> {
        self.ask(|log| log.page(room, after, limit)).await.map_err(LogAway::new)
    }

    async fn top(&self, room: RoomId) -> Result<u64, LogAway> {
        self.ask(|log| log.stream_top(room)).await.map_err(LogAway::new)
    }

    async fn first_seq_near(&self, _cursor: u64) -> Result<u64, String> {
        self.ask(Log::first_seq).await
    }

    async fn rows(&self, room: RoomId, after: u64, limit: usize) -> Result<Vec<LogRow>, StoreError> {
        self.ask(|log| log.rows(room, after, limit)).await.map_err(away)
    }

    async fn last_stored(&self, room: RoomId) -> Result<u64, StoreError> {
        self.ask(|log| log.top(room)).await.map_err(away)
    }

    async fn find(&self, ids: &[MessageId]) -> Result<Vec<Found>, StoreError> {
        self.ask(|log| log.find(ids)).await.map_err(away)
    }

    async fn sleep(&self, duration: Duration) {
        self.world.fate.time.sleep(duration).await;
    }

    async fn turn(&self) {
        tokio::task::yield_now().await;
    }

    fn loses(&self, _message: &LogMessage) -> bool {
        false
    }

    fn is_in_log(self: &Arc<Self>, _message: &LogMessage) {}

    fn signal(self: &Arc<Self>, _room: &Arc<Room>, _message: Message) {}

    fn unseat(&self, socket: &Socket, room: RoomId) {
        if let Some(seat) = socket.take_seat(room) {
            seat.room.remove(socket.id);
            self.hub.exit(&seat.room);
        }
    }

    fn budget(&self) -> &Budget {
        &self.budget
    }

    fn measure(&self) -> &Measure {
        &self.measure
    }

    fn pages(&self) -> &Pages {
        &self.pages
    }
}
