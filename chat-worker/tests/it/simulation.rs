//! Lanes, settling and verdicts against a world that is made up: a broker that delivers late, again and in any order, a
//! store that fails before and after it has written, workers that are killed with deliveries in hand. A seed is a run:
//! `SIMULATION_SEED=17 cargo x test -p chat-worker simulation` repeats one.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use chat_store::{Outcome, StoreError};
use chat_worker::{
    breaker::Breaker,
    dead_letter::NotBuried,
    delivery::Delivery,
    job::{Job, WriteError},
    lane::{BYTES_MAX, Item, Lanes, Work},
    settle::{Answer, Keeper, Settler},
    streams::StreamsError,
    trying::MarksError,
    verdict::{ALONE_FROM, MARKS_MAX, Reason},
};
use futures_util::FutureExt as _;
use ops::{clock::Clock, lifecycle::Lifecycle};
use schema::{clock::Timestamp, problem::Code};
use scripts::simulation::{self, Fate};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

const MESSAGES: u64 = 60;
const ROOMS: u64 = 4;
const WORKERS: usize = 2;
const WRITES_IN_FLIGHT: usize = 3;
/// What a broker waits for an answer.
const ACK_WAIT: u64 = 10_000_000;
/// Of a message that nobody can read.
const POISON: &[u8] = b"poison";

/// What happened to a message that the broker has.
#[derive(Debug)]
struct Pending {
    room: u64,
    body: Vec<u8>,
    due_at: u64,
    deliveries: u32,
}

/// What the world has of it all; only answers and writes of workers that live change it.
#[derive(Debug, Default)]
struct State {
    pending: BTreeMap<u64, Pending>,
    /// By seq: the room, and the time that was stored with it.
    rows: BTreeMap<u64, (u64, i64)>,
    skips: BTreeMap<u64, u64>,
    buried: BTreeMap<u64, Reason>,
    marks: BTreeMap<u64, u32>,
    refused: u64,
    redelivered: u64,
    together: u64,
}

#[derive(Debug)]
struct World {
    fate: Fate,
    state: Mutex<State>,
}

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// One life of a worker, as what it does reaches the world.
#[derive(Clone, Debug)]
struct Life {
    world: Arc<World>,
    is_over: Arc<AtomicBool>,
}

impl Life {
    /// Something takes a while; nothing comes of what the dead began.
    async fn wait(&self) {
        self.world.fate.wait(30_000).await;
        self.check().await;
    }

    async fn check(&self) {
        if self.is_over.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

/// Writes into the world's rows.
#[derive(Debug)]
struct SimulatedJob(Life);

#[derive(Clone, Copy, Debug)]
struct Row {
    room: u64,
    seq: u64,
    created_at: i64,
    deliveries: u32,
}

impl Job for SimulatedJob {
    type Item = Row;
    const STREAM: &'static str = "SIMULATED";
    const ROWS_MAX: usize = 8;

    fn lane(&self, delivery: &Delivery) -> Uuid {
        Uuid::from_u128(room(delivery).into())
    }

    fn read(&self, delivery: &Delivery) -> Result<Row, Reason> {
        if delivery.payload.starts_with(POISON) {
            return Err(Reason::NotARoom);
        }
        let created_at = delivery.logged_at.unix_millis();
        Ok(Row { room: room(delivery), seq: delivery.seq, created_at, deliveries: delivery.deliveries })
    }

    async fn write(&self, items: &[Row]) -> Result<Vec<Outcome>, WriteError> {
        let life = &self.0;
        life.wait().await;
        // An innocent message must not be refused alone so often that it is given up.
        let may_fail = items.iter().all(|row| row.deliveries < ALONE_FROM);
        if may_fail && life.world.fate.fault(15) {
            return Err(StoreError::Refused("before the write".into()).into());
        }
        let is_half = may_fail && life.world.fate.fault(10);
        let count = if is_half { items.len() / 2 } else { items.len() };
        for row in &items[..count] {
            let stored = (row.room, row.created_at);
            let before = life.world.state().rows.insert(row.seq, stored);
            assert!(before.is_none_or(|before| before == stored), "{row:?} was written as {before:?} before");
        }
        life.wait().await;
        if is_half || (may_fail && life.world.fate.fault(10)) {
            return Err(StoreError::Refused("after the write".into()).into());
        }
        Ok(vec![Outcome::Stored; items.len()])
    }

    async fn skip(&self, delivery: &Delivery) -> Result<(), StoreError> {
        self.0.wait().await;
        if self.0.world.fate.fault(10) {
            return Err(StoreError::Refused("no skip".into()));
        }
        self.0.world.state().skips.insert(delivery.seq, room(delivery));
        Ok(())
    }

    fn saved(&self, delivery: &Delivery, row: &Row, seq: u64) {
        assert_eq!((delivery.seq, row.seq), (seq, seq), "another message is said to be saved");
        if !self.0.is_over.load(Ordering::Relaxed) {
            assert!(self.0.world.state().rows.contains_key(&seq), "{seq} is said to be saved and is not");
        }
    }

    fn refused(&self, _delivery: &Delivery, _row: Option<&Row>, _code: Code) {
        self.0.world.state().refused += 1;
    }
}

impl Keeper for Life {
    async fn bury(&self, delivery: &Delivery, reason: Reason) -> Result<(), NotBuried> {
        self.wait().await;
        if self.world.fate.fault(20) {
            return Err(NotBuried::from(PublishError::from(PublishErrorKind::TimedOut)));
        }
        self.world.state().buried.insert(delivery.seq, reason);
        Ok(())
    }

    async fn count(&self, delivery: &Delivery) -> Result<u32, MarksError> {
        self.wait().await;
        Ok(self.world.state().marks.get(&delivery.seq).copied().unwrap_or(0))
    }

    async fn put(&self, delivery: &Delivery, count: u32) -> Result<(), MarksError> {
        self.wait().await;
        self.world.state().marks.insert(delivery.seq, count);
        Ok(())
    }

    async fn clear(&self, delivery: &Delivery) -> Result<(), MarksError> {
        self.wait().await;
        self.world.state().marks.remove(&delivery.seq);
        Ok(())
    }

    async fn mend(&self) -> Result<(), StreamsError> {
        Ok(())
    }
}

#[derive(Debug)]
struct Held(Delivery);

impl Item for Held {
    fn runs_alone(&self) -> bool {
        self.0.deliveries >= ALONE_FROM
    }

    fn size(&self) -> usize {
        self.0.payload.len()
    }
}

/// Where a worker's lanes end: settles, and answers the world's broker.
#[derive(Debug)]
struct Desk {
    settler: Settler<SimulatedJob, Life>,
    /// By room: what was pushed and is not worked on yet, and whether the lane is busy.
    lanes: Mutex<HashMap<u64, (VecDeque<u64>, bool)>>,
}

impl Work for Desk {
    type Item = Held;
    const ITEMS_MAX: usize = SimulatedJob::ROWS_MAX;

    async fn work(&self, group: Vec<Held>, place: OwnedSemaphorePermit) {
        let life = &self.settler.keeper;
        life.check().await;
        let room = room(&group[0].0);
        self.begin(room, &group);
        let deliveries: Vec<_> = group.into_iter().map(|held| held.0).collect();
        let answers = self.settler.settle(&deliveries, place).await;
        assert_eq!(answers.len(), deliveries.len(), "every message has its answer");
        life.check().await;
        for (delivery, answer) in deliveries.iter().zip(answers) {
            answered(&life.world, delivery, answer);
        }
        self.lanes.lock().unwrap().get_mut(&room).unwrap().1 = false;
    }
}

impl Desk {
    /// A group is what comes next in its lane, and the lane's only one.
    fn begin(&self, of: u64, group: &[Held]) {
        let mut lanes = self.lanes.lock().unwrap();
        let (pushed, is_busy) = lanes.get_mut(&of).unwrap();
        assert!(!std::mem::replace(is_busy, true), "two groups of room {of} at once");
        for held in group {
            assert_eq!(pushed.pop_front(), Some(held.0.seq), "room {of} is not worked on in order");
            assert_eq!(room(&held.0), of, "a group of two rooms");
        }
        let bytes: usize = group.iter().map(Item::size).sum();
        let is_alone = group.iter().any(Item::runs_alone);
        assert!(group.len() == 1 || (!is_alone && group.len() <= Self::ITEMS_MAX && bytes <= BYTES_MAX), "{group:?}");
        self.settler.keeper.world.state().together += u64::from(group.len() > 1);
    }
}

/// An answer is on its way to the broker, and may be lost.
fn answered(world: &World, delivery: &Delivery, answer: Answer) {
    let now = world.fate.time.now_micros();
    let is_lost = world.fate.fault(5);
    let mut state = world.state();
    match answer {
        Answer::Ack => assert!(state.rows.contains_key(&delivery.seq), "{} was acked and is not stored", delivery.seq),
        Answer::Term => {
            let is_out_of_the_way = state.buried.contains_key(&delivery.seq) && state.skips.contains_key(&delivery.seq);
            assert!(is_out_of_the_way, "{} was given up and is not in CHAT_DEAD, or has no skip", delivery.seq);
        }
        Answer::Nak(after) => {
            assert!(after >= Duration::from_secs(1), "delivered again at once");
            if let Some(pending) = state.pending.get_mut(&delivery.seq).filter(|_| !is_lost) {
                pending.due_at = now + u64::try_from(after.as_micros()).unwrap();
            }
            return;
        }
    }
    if !is_lost {
        state.pending.remove(&delivery.seq);
    }
}

fn room(delivery: &Delivery) -> u64 {
    delivery.subject.parse().unwrap()
}

struct Worker {
    lanes: Lanes<Desk>,
    life: Life,
}

impl Worker {
    fn start(world: &Arc<World>) -> Self {
        let lifecycle = Lifecycle::new();
        let life = Life { world: Arc::clone(world), is_over: Arc::default() };
        let writes = Arc::new(Semaphore::new(WRITES_IN_FLIGHT));
        let settler = Settler {
            job: SimulatedJob(life.clone()),
            keeper: life.clone(),
            breaker: Breaker::asking(|| async { Ok(()) }.boxed(), lifecycle.clone()),
            writes: Arc::clone(&writes),
            alone: Arc::default(),
            clock: Clock::default(),
        };
        let lanes = Lanes::new(Desk { settler, lanes: Mutex::default() }, writes, lifecycle);
        Self { lanes, life }
    }

    fn push(&self, delivery: Delivery) {
        let desk = self.lanes.work();
        desk.lanes.lock().unwrap().entry(room(&delivery)).or_default().0.push_back(delivery.seq);
        self.lanes.push(desk.settler.job.lane(&delivery), Held(delivery));
    }
}

struct Run {
    world: Arc<World>,
    workers: Vec<Worker>,
    kills_left: u32,
}

impl Run {
    fn new(seed: u64) -> Self {
        let world = Arc::new(World { fate: Fate::new(seed), state: Mutex::default() });
        let workers = (0..WORKERS).map(|_| Worker::start(&world)).collect();
        // With as many as there are marks a message that was in hand each time would be given up.
        Self { world, workers, kills_left: MARKS_MAX - 1 }
    }

    async fn go(mut self, seen: &Mutex<(u64, u64)>) {
        for seq in 1..=MESSAGES {
            self.append(seq);
            self.deliver();
            if self.kills_left > 0 && self.world.fate.below(30) == 0 {
                self.kills_left -= 1;
                let killed = usize::try_from(self.world.fate.below(2)).unwrap();
                let killed = std::mem::replace(&mut self.workers[killed], Worker::start(&self.world));
                killed.life.is_over.store(true, Ordering::Relaxed);
            }
            let pause = if self.world.fate.below(10) == 0 { 4_000_000 } else { 15_000 };
            let until = self.world.fate.time.now_micros() + 1 + self.world.fate.below(pause);
            while self.world.fate.time.step(until).await {}
        }
        self.world.fate.end_faults();
        for _ in 0..600 {
            if self.world.state().pending.is_empty() {
                break;
            }
            self.deliver();
            let until = self.world.fate.time.now_micros() + 1_000_000;
            while self.world.fate.time.step(until).await {}
        }
        self.check(seen);
    }

    fn append(&self, seq: u64) {
        let size = if self.world.fate.below(10) == 0 { BYTES_MAX / 2 } else { 10 };
        let body = if self.world.fate.below(15) == 0 { POISON.to_vec() } else { vec![b'm'; size] };
        let (room, due_at) =
            (self.world.fate.below(ROOMS), self.world.fate.time.now_micros() + self.world.fate.below(60_000));
        self.world.state().pending.insert(seq, Pending { room, body, due_at, deliveries: 0 });
    }

    /// Hands out what is due, in any order, to anybody.
    fn deliver(&self) {
        let now = self.world.fate.time.now_micros();
        loop {
            let due: Vec<u64> = {
                let state = self.world.state();
                state.pending.iter().filter(|(_, pending)| pending.due_at <= now).map(|(seq, _)| *seq).collect()
            };
            if due.is_empty() {
                return;
            }
            let seq = due[usize::try_from(self.world.fate.below(u64::try_from(due.len()).unwrap())).unwrap()];
            let delivery = self.hand_out(seq, now);
            let to = usize::try_from(self.world.fate.below(2)).unwrap();
            self.workers[to].push(delivery);
        }
    }

    fn hand_out(&self, seq: u64, now: u64) -> Delivery {
        let mut state = self.world.state();
        let pending = state.pending.get_mut(&seq).unwrap();
        pending.due_at = now + ACK_WAIT;
        pending.deliveries += 1;
        let (deliveries, subject, payload) =
            (pending.deliveries, pending.room.to_string().into(), pending.body.clone().into());
        state.redelivered += u64::from(deliveries > 1);
        let logged_at = Timestamp::from_unix_millis(i64::try_from(seq).unwrap()).unwrap();
        Delivery { stream: SimulatedJob::STREAM, seq, logged_at, deliveries, subject, headers: None, payload }
    }

    fn check(&self, seen: &Mutex<(u64, u64)>) {
        let state = self.world.state();
        assert!(state.pending.is_empty(), "never answered: {:?}", state.pending.keys());
        for seq in 1..=MESSAGES {
            let (is_stored, reason) = (state.rows.contains_key(&seq), state.buried.get(&seq));
            assert!(is_stored != reason.is_some(), "{seq}: stored {is_stored}, in CHAT_DEAD {reason:?}");
            assert!(matches!(reason, None | Some(Reason::NotARoom)), "{seq} is in CHAT_DEAD: {reason:?}");
        }
        assert_eq!(state.rows.len() + state.skips.len(), usize::try_from(MESSAGES).unwrap(), "every seq has one row");
        let mut seen = seen.lock().unwrap();
        seen.0 += state.redelivered;
        seen.1 += state.together;
    }
}

#[test]
fn what_is_acked_is_stored_or_dead_and_a_lane_keeps_its_order() {
    let seen = Mutex::default();
    if simulation::for_each_seed(|seed| Run::new(seed).go(&seen)) {
        let (redelivered, together) = *seen.lock().unwrap();
        assert!(redelivered > 1_000 && together > 1_000, "{redelivered} redeliveries, {together} groups");
    }
}
