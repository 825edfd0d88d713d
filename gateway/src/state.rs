//! What every part of a gateway shares: one handle, and the ways to leave a room.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use chat_store::MessageStore;
use ops::{broker::Broker, clock::Clock, lifecycle::Lifecycle, log_health::LogHealth};
use schema::{id::RoomId, subject::GatewayId};

use crate::{
    admission::Admission,
    budget::Budget,
    config::Config,
    gate::Gate,
    hub::{Delivery, Hub, Room},
    log_reader::LogReader,
    measure::Measure,
    presence::Presence,
    publisher::Publisher,
    render::LogMessage,
    replay::Pages,
    saved::SavedWatch,
    socket::{Shared, Socket},
    sockets::Sockets,
    tokens::Tokens,
    typing::TypingWatch,
    updates::Updates,
    wheel::Wheel,
};

/// A gateway's parts.
pub struct Gateway {
    /// Its name on NATS.
    pub id: GatewayId,
    /// Its settings.
    pub config: Config,
    /// Its time of day.
    pub clock: Clock,
    /// Its life.
    pub lifecycle: Lifecycle,
    /// NATS.
    pub broker: Broker,
    /// The stream, read directly.
    pub log: LogReader,
    /// The message store.
    pub store: Arc<dyn MessageStore>,
    /// Who may be where.
    pub admission: Admission,
    /// Who holds which credential.
    pub tokens: Tokens,
    /// What is counted.
    pub measure: Arc<Measure>,
    /// How much waits for slow readers.
    pub budget: Arc<Budget>,
    /// Who may come in.
    pub gate: Gate,
    /// Who hears what.
    pub hub: Hub,
    /// Who is there.
    pub sockets: Sockets,
    /// What is on its way to the log.
    pub publisher: Publisher,
    /// Who waits to hear `saved`.
    pub saved: SavedWatch,
    /// What may be promised.
    pub health: Arc<LogHealth>,
    /// When to look after which socket.
    pub wheel: Wheel,
    /// Who types.
    pub typing: TypingWatch,
    /// Who is online.
    pub presence: Presence,
    /// Rooms of which people here are to hear what is new.
    pub updates: Updates,
    /// Replays that are being read.
    pub pages: Pages,
    started: Instant,
    live_copies_to_lose: AtomicU32,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a gateway is made of and does not make itself.
pub struct Parts {
    /// Settings.
    pub config: Config,
    /// NATS.
    pub broker: Broker,
    /// The message store.
    pub store: Arc<dyn MessageStore>,
    /// PostgreSQL.
    pub pg: ops::database::Pool,
    /// Who holds which credential.
    pub tokens: Tokens,
    /// Redis.
    pub redis: deadpool_redis::Pool,
    /// The process's life.
    pub lifecycle: Lifecycle,
    /// What is counted.
    pub measure: Measure,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

impl Gateway {
    /// Puts the parts together; nothing runs yet.
    pub fn new(parts: Parts) -> Self {
        let Parts { config, broker, store, pg, tokens, redis, lifecycle, measure } = parts;
        let measure = Arc::new(measure);
        let budget = Arc::new(Budget::new(config.queued_bytes_max, measure.queued_bytes.clone()));
        let clock = config.common.clock.clock();
        let delivery = Delivery {
            window: config.coalesce,
            lifecycle: lifecycle.clone(),
            measure: Arc::clone(&measure),
            soon: Arc::default(),
        };
        Self {
            id: config.gateway_id.clone().unwrap_or_else(made_up_id),
            clock,
            log: LogReader::new(broker.client.clone()),
            admission: Admission::new(pg, &lifecycle),
            hub: Hub::new(delivery),
            gate: Gate::new(&config, Arc::clone(&budget)),
            budget,
            sockets: Sockets::new(measure.connections.clone()),
            measure,
            publisher: Publisher::new(broker.client.new_inbox()),
            saved: SavedWatch::default(),
            health: Arc::new(LogHealth::new(broker.clone(), clock)),
            wheel: Wheel::default(),
            typing: TypingWatch::default(),
            presence: Presence::new(&config, clock, redis),
            updates: Updates::default(),
            pages: Pages::default(),
            started: Instant::now(),
            live_copies_to_lose: AtomicU32::new(0),
            config,
            lifecycle,
            broker,
            store,
            tokens,
        }
    }

    /// Milliseconds since this process began: what sockets count in.
    pub fn now_millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether rates and numbers per user, room and address are limited.
    pub const fn common_limits_are_on(&self) -> bool {
        self.config.common.limits.are_on()
    }

    /// What a socket shares with the others.
    pub(crate) fn shared(&self) -> Shared {
        Shared { measure: Arc::clone(&self.measure), budget: Arc::clone(&self.budget) }
    }

    /// Waits until the process stops and nobody is left to be told anything.
    pub(crate) async fn over(&self) {
        self.lifecycle.stopping().cancelled().await;
        while !(self.sockets.is_empty() && self.publisher.is_idle()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Takes a socket's seat in a room, and starts the room's feed if it is the first.
    pub(crate) fn enter(self: &Arc<Self>, room: RoomId) -> Arc<Room> {
        let (room, is_new) = self.hub.enter(room);
        if is_new {
            crate::feed::start(self, &room);
        }
        room
    }

    /// Counts a socket's seat, if it still has it, in the room's presence; once.
    pub(crate) fn arrive(&self, socket: &Socket, room: &Arc<Room>) {
        // Under the lock of its seats: whoever takes the seat away sees whether it counted.
        let mut seats = socket.seats();
        let seat = seats.iter_mut().find(|seat| Arc::ptr_eq(&seat.room, room) && !seat.is_present);
        if let Some(seat) = seat {
            seat.is_present = true;
            self.presence.arrive(room, seat.me);
        }
    }

    /// Takes a socket out of a room; says whether it was in it.
    pub fn unseat(&self, socket: &Socket, room: RoomId) -> bool {
        let Some(seat) = socket.take_seat(room) else { return false };
        seat.room.remove(socket.id);
        if seat.is_present {
            self.presence.leave(&seat.room, seat.me);
        }
        self.hub.exit(&seat.room);
        true
    }

    /// For fault tests: the next `count` live copies are not heard, as if the network had lost them.
    pub fn lose_live_copies(&self, count: u32) {
        self.live_copies_to_lose.store(count, Ordering::Relaxed);
    }

    /// Whether this live copy is to be lost.
    pub(crate) fn loses(&self, _copy: &LogMessage) -> bool {
        let lose = |left: u32| left.checked_sub(1);
        // Zero outside fault tests: one relaxed load.
        self.live_copies_to_lose.load(Ordering::Relaxed) > 0
            && self.live_copies_to_lose.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lose).is_ok()
    }
}

fn made_up_id() -> GatewayId {
    let id = schema::id::ConnectionId::random().to_string();
    GatewayId::parse(&id).expect("an id has 36 letters, digits and hyphens")
}
