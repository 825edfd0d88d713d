//! Relays that compete for lanes, a broker that does not answer, takes what it does not confirm, or is gone with the
//! relay: a lane's rows are published in their order all the same. A seed is a run: `SIMULATION_SEED=17 cargo x test -p
//! api simulation` repeats one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use schema::id::ChangeId;
use scripts::simulation::{self, Fate};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Lane, Publish, round};
use crate::outbox::repository::Row;

const LANES: u128 = 4;
const ROWS: u128 = 30;
const RELAYS: usize = 3;
/// The microseconds that anything takes, at most.
const WAIT_MAX: u64 = 5_000;
/// The most rows of a round.
const ROWS_AT_ONCE: usize = 5;

/// Rows that are committed, and what the broker has.
#[derive(Debug, Default)]
struct State {
    /// By lane, in order: the row, and whether it is processed.
    lanes: BTreeMap<u128, Vec<(u128, bool)>>,
    pending: BTreeMap<u128, bool>,
    locked: BTreeMap<u128, bool>,
    /// By lane: what was published, the repeats of a row that is there already left out, as the broker does.
    published: BTreeMap<u128, Vec<u128>>,
    repeats: u64,
    conflicts: u64,
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

/// A transaction that holds a lane; what it writes counts once it is committed.
struct SimulatedLane {
    world: Arc<World>,
    id: u128,
    processed: Vec<ChangeId>,
    is_settled: bool,
}

/// The connection to the database was lost.
#[derive(Debug)]
struct Lost;

impl SimulatedLane {
    /// As `FOR UPDATE SKIP LOCKED` does.
    fn take(world: &Arc<World>) -> Option<Self> {
        let mut state = world.state();
        let pending: Vec<u128> = state.pending.iter().filter(|(_, is_so)| **is_so).map(|(id, _)| *id).collect();
        let locked = |id: &u128| state.locked.get(id).copied().unwrap_or(false);
        let free: Vec<u128> = pending.iter().copied().filter(|id| !locked(id)).collect();
        let conflicts = u64::from(free.len() < pending.len());
        state.conflicts += conflicts;
        let id =
            *free.get(usize::try_from(world.fate.below(LANES.try_into().unwrap())).unwrap() % free.len().max(1))?;
        state.locked.insert(id, true);
        Some(Self { world: Arc::clone(world), id, processed: Vec::new(), is_settled: false })
    }

    fn commit(self) {
        let mut state = self.world.state();
        for (row, is_processed) in state.lanes.get_mut(&self.id).unwrap() {
            *is_processed |= self.processed.contains(&ChangeId::from_uuid(Uuid::from_u128(*row)));
        }
        if self.is_settled {
            let is_left = state.lanes[&self.id].iter().any(|(_, is_processed)| !is_processed);
            state.pending.insert(self.id, is_left);
        }
    }
}

impl Drop for SimulatedLane {
    fn drop(&mut self) {
        self.world.state().locked.insert(self.id, false);
    }
}

impl Lane for SimulatedLane {
    type Away = Lost;

    async fn list(&mut self) -> Result<Vec<Row>, Lost> {
        self.world.fate.wait(WAIT_MAX).await;
        let state = self.world.state();
        let rows = state.lanes[&self.id].iter().filter(|(_, is_processed)| !is_processed).take(ROWS_AT_ONCE);
        Ok(rows.map(|(row, _)| row_of(self.id, *row)).collect())
    }

    async fn set_processed(&mut self, rows: &[ChangeId]) -> Result<(), Lost> {
        self.world.fate.wait(WAIT_MAX).await;
        if self.world.fate.fault(10) {
            return Err(Lost);
        }
        self.processed.extend(rows);
        Ok(())
    }

    async fn set_error(&mut self, _row: ChangeId, _error: &str) -> Result<(), Lost> {
        self.world.fate.wait(WAIT_MAX).await;
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), Lost> {
        self.world.fate.wait(WAIT_MAX).await;
        self.is_settled = true;
        Ok(())
    }
}

impl Publish for World {
    type Refusal = &'static str;

    fn is_of_log(_refusal: &Self::Refusal) -> bool {
        false
    }

    fn fault(refusal: &Self::Refusal) -> Option<String> {
        Some((*refusal).to_owned())
    }

    async fn publish(&self, row: &Row) -> Result<(), &'static str> {
        self.fate.wait(WAIT_MAX).await;
        if self.fate.fault(15) {
            return Err("not taken");
        }
        let (lane, id) = (row.subject.parse().unwrap(), row.id.as_uuid().as_u128());
        {
            let mut state = self.state();
            let published = state.published.entry(lane).or_default();
            if published.contains(&id) {
                state.repeats += 1;
            } else {
                published.push(id);
            }
        }
        self.fate.wait(WAIT_MAX).await;
        if self.fate.fault(15) { Err("taken, and not confirmed") } else { Ok(()) }
    }
}

fn row_of(lane: u128, id: u128) -> Row {
    Row {
        id: ChangeId::from_uuid(Uuid::from_u128(id)),
        subject: lane.to_string(),
        headers: Value::Null,
        body: String::new(),
        created_at: OffsetDateTime::UNIX_EPOCH,
    }
}

/// A relay, killed now and then with a lane in hand: its transaction is gone with it.
async fn relay(world: Arc<World>) {
    loop {
        if let Some(mut lane) = SimulatedLane::take(&world) {
            let work = round(&mut lane, world.as_ref());
            let lifetime = if world.fate.fault(20) { world.fate.below(20_000) } else { 60_000_000 };
            let is_done = tokio::select! {
                biased;
                done = work => done.is_ok(),
                () = world.fate.time.sleep(Duration::from_micros(lifetime)) => false,
            };
            if is_done {
                lane.commit();
            }
        }
        world.fate.wait(WAIT_MAX).await;
    }
}

async fn run(seed: u64, totals: &Mutex<(u64, u64)>) {
    let world = Arc::new(World { fate: Fate::new(seed), state: Mutex::default() });
    let mut relays = tokio::task::JoinSet::new();
    for _ in 0..RELAYS {
        relays.spawn(relay(Arc::clone(&world)));
    }
    for row in 1..=ROWS {
        let lane = u128::from(world.fate.below(LANES.try_into().unwrap()));
        // As `append` does, it waits for whoever has the lane.
        while world.state().locked.get(&lane).copied().unwrap_or(false) {
            let until = world.fate.time.now_micros() + 500;
            while world.fate.time.step(until).await {}
        }
        {
            let mut state = world.state();
            state.lanes.entry(lane).or_default().push((row, false));
            state.pending.insert(lane, true);
        }
        let until = world.fate.time.now_micros() + world.fate.below(8_000);
        while world.fate.time.step(until).await {}
    }
    world.fate.end_faults();
    let until = world.fate.time.now_micros() + 400_000;
    while world.fate.time.step(until).await {}
    relays.shutdown().await;
    let state = world.state();
    for (lane, rows) in &state.lanes {
        let appended: Vec<u128> = rows.iter().map(|(row, _)| *row).collect();
        assert_eq!(state.published.get(lane), Some(&appended), "lane {lane} is not published in its order");
        assert!(rows.iter().all(|(_, is_processed)| *is_processed), "lane {lane} is not processed: {rows:?}");
    }
    let mut totals = totals.lock().unwrap();
    totals.0 += state.repeats;
    totals.1 += state.conflicts;
}

#[test]
fn a_simulation_of_relays_publishes_each_lane_in_its_order() {
    let seen = Mutex::default();
    if simulation::for_each_seed(|seed| run(seed, &seen)) {
        let (repeats, conflicts) = *seen.lock().unwrap();
        assert!(repeats > 100 && conflicts > 100, "{repeats} repeats, {conflicts} conflicts");
    }
}
