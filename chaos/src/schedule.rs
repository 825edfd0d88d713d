//! Which faults come when: the same for the same seed.

use std::time::Duration;

use clap::ValueEnum as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use scripts::stack::Store;

use crate::fault::{Fault, Kind};

/// How long what breaks stays broken in a short run.
const SHORT: Duration = Duration::from_secs(5);
const LONG: std::ops::Range<f64> = 5.0..15.0;
/// The one long outage of a long run.
const STORE_AWAY: Duration = Duration::from_mins(1);

/// Faults without end, every kind once before any comes again.
#[derive(Debug)]
pub(crate) struct Schedule {
    rng: StdRng,
    kinds: Vec<Kind>,
    left: Vec<Kind>,
    is_short: bool,
    rounds: u32,
}

impl Schedule {
    /// The faults of `seed`; of `only` these, if there are any.
    pub(crate) fn new(seed: u64, (store, nats_servers): (Store, u16), only: &[Kind], is_short: bool) -> Self {
        let all = if only.is_empty() { Kind::value_variants() } else { only };
        let kinds = all.iter().copied().filter(|kind| kind.is_possible(store, nats_servers)).collect();
        Self { rng: StdRng::seed_from_u64(seed), kinds, left: Vec::new(), is_short, rounds: 0 }
    }

    /// The faults of one round.
    pub(crate) fn round_len(&self) -> usize {
        self.kinds.len()
    }

    /// What breaks next.
    pub(crate) fn next(&mut self) -> Option<Fault> {
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
            self.left.shuffle(&mut self.rng);
            self.rounds += 1;
        }
        let kind = self.left.pop()?;
        let drawn = Duration::from_secs_f64(self.rng.random_range(LONG));
        let victim = self.rng.random_range(0..2);
        let lasts = match kind {
            _ if self.is_short => SHORT,
            // Once in a run, an outage whose backlog has to be worked off.
            Kind::KillWorkers | Kind::HoldWorkersStore if self.rounds == 1 => STORE_AWAY,
            _ => drawn,
        };
        Some(Fault { kind, lasts, victim })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(seed: u64, count: usize) -> Vec<Kind> {
        let mut schedule = Schedule::new(seed, (Store::Postgres, 1), &[], true);
        (0..count).map(|_| schedule.next().unwrap().kind).collect()
    }

    #[test]
    fn a_round_has_every_possible_kind_once_and_a_seed_says_in_which_order() {
        let round = Schedule::new(1, (Store::Postgres, 1), &[], true).round_len();
        assert_eq!(round, Kind::value_variants().len() - 5, "there are no CQL server and no cluster to break");
        let mut first = kinds(1, round);
        assert_eq!(first, kinds(1, round));
        assert_ne!(first, kinds(2, round));
        first.sort_by_key(|kind| kind.as_str());
        first.dedup();
        assert_eq!(first.len(), round);
    }
}
