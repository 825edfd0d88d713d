//! When who sends: the rooms in turn, and each room's senders in turn, at one fixed rate.

use std::time::Duration;

use super::client::Room;

/// The order of senders and the time of the next.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Clients in the order in which they send.
    senders: Vec<usize>,
    every: Duration,
    began_at: Option<u64>,
    taken: u32,
}

impl Schedule {
    pub(super) fn new(rooms: &[Room], rate: f64) -> Self {
        let rounds = rooms.iter().map(|room| room.senders.len()).max().unwrap_or(0);
        let round = |at: usize| rooms.iter().filter_map(move |room| room.senders.get(at).copied());
        let senders = if rate > 0.0 { (0..rounds).flat_map(round).collect() } else { Vec::new() };
        let every = if rate > 0.0 { Duration::from_secs_f64(rate.recip()) } else { Duration::ZERO };
        Self { senders, every, began_at: None, taken: 0 }
    }

    /// Begins at `now`.
    pub(super) fn start(&mut self, now: u64) {
        self.began_at = Some(now);
    }

    /// Sends no more.
    pub(super) fn stop(&mut self) {
        self.began_at = None;
    }

    /// When the next message is meant to be sent.
    pub(super) fn next_at(&self) -> Option<u64> {
        let began_at = self.began_at.filter(|_| !self.senders.is_empty())?;
        Some(began_at + u64::try_from((self.every * self.taken).as_micros()).unwrap_or(u64::MAX))
    }

    /// Who sends now, and when that was meant to be; `None` while nobody is due.
    pub(super) fn take(&mut self, now: u64) -> Option<(usize, u64)> {
        let meant_at = self.next_at().filter(|at| *at <= now)?;
        let turn = usize::try_from(self.taken).unwrap_or_default() % self.senders.len();
        self.taken += 1;
        Some((*self.senders.get(turn)?, meant_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_take_turns_at_the_asked_rate() {
        let room = |senders: &[usize]| Room { senders: senders.to_vec(), ..Room::default() };
        let mut schedule = Schedule::new(&[room(&[0, 1]), room(&[5])], 1_000.0);
        assert_eq!(schedule.take(0), None, "before it begins");
        schedule.start(100);
        let due: Vec<_> = std::iter::from_fn(|| schedule.take(3_100)).collect();
        assert_eq!(due, [(0, 100), (5, 1_100), (1, 2_100), (0, 3_100)]);
        assert_eq!(schedule.next_at(), Some(4_100));
        schedule.stop();
        assert_eq!(schedule.take(10_000), None);
    }
}
