//! What the simulations of all crates share: seeds, and time that stands still while anything can be done.
//!
//! A run is one thread, one generator and this time, so its seed says everything that happens in it.

use std::{
    collections::BTreeMap,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::oneshot;

/// The runs of each simulation.
pub const SEEDS: Range<u64> = 0..200;
/// Names the one run that is to be repeated.
const SEED: &str = "SIMULATION_SEED";
/// So often everybody has a turn until nobody is thought to have anything to do. A task that has more to do goes on at
/// the next instant: the same at every run.
const TURNS: usize = 6;

/// Runs `run` with every seed, each in a runtime of its own; or with the one that the environment names. Says whether
/// it was all of them.
///
/// # Panics
///
/// When a run does, and says how to repeat it.
pub fn for_each_seed<F: Future<Output = ()>>(mut run: impl FnMut(u64) -> F) -> bool {
    let named: Option<u64> = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    for seed in named.map_or(SEEDS, |seed| seed..seed + 1) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime takes no more than a few open files");
        let went_well = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { run(seed).await }))).is_ok();
        assert!(went_well, "the run above failed: {SEED}={seed} repeats it");
    }
    named.is_none()
}

/// What decides all that happens in a run.
#[derive(Debug)]
pub struct Fate {
    /// Its time.
    pub time: Time,
    random: Mutex<StdRng>,
    is_faulty: AtomicBool,
}

impl Fate {
    /// Of the run with this seed.
    pub fn new(seed: u64) -> Self {
        Self { time: Time::default(), random: StdRng::seed_from_u64(seed).into(), is_faulty: AtomicBool::new(true) }
    }

    /// Some number below `max`.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn below(&self, max: u64) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..max)
    }

    /// Happens so often.
    pub fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Goes wrong so often, until faults are over.
    pub fn fault(&self, percent: u64) -> bool {
        self.chance(percent) && self.is_faulty.load(Ordering::Relaxed)
    }

    /// From here on all goes well.
    pub fn end_faults(&self) {
        self.is_faulty.store(false, Ordering::Relaxed);
    }

    /// Something takes a while, below `micros_max`.
    pub async fn wait(&self, micros_max: u64) {
        let micros = self.below(micros_max);
        self.time.sleep(Duration::from_micros(micros)).await;
    }
}

/// A run's time.
#[derive(Debug, Default)]
pub struct Time {
    now_micros: AtomicU64,
    /// Who is to be woken when, in the order in which they fell asleep.
    sleepers: Mutex<BTreeMap<(u64, u64), oneshot::Sender<()>>>,
    slept: AtomicU64,
}

impl Time {
    /// Microseconds since the run began.
    pub fn now_micros(&self) -> u64 {
        self.now_micros.load(Ordering::Relaxed)
    }

    /// Answers when so much time has passed.
    pub async fn sleep(&self, duration: Duration) {
        let at = self.now_micros().saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
        let (waker, woken) = oneshot::channel();
        let number = self.slept.fetch_add(1, Ordering::Relaxed);
        self.sleepers().insert((at, number), waker);
        drop(woken.await);
    }

    /// Goes on to the next instant at which something happens, but not beyond `until`; says whether there was one.
    pub async fn step(&self, until: u64) -> bool {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        let mut sleepers = self.sleepers();
        while let Some(next) = sleepers.first_entry() {
            let at = next.key().0;
            if at > until {
                break;
            }
            // Who was dropped in its sleep is not woken.
            if next.remove().send(()).is_ok() {
                self.now_micros.store(at, Ordering::Relaxed);
                return true;
            }
        }
        self.now_micros.store(until, Ordering::Relaxed);
        false
    }

    fn sleepers(&self) -> MutexGuard<'_, BTreeMap<(u64, u64), oneshot::Sender<()>>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
