//! What many rooms have to write at the same time goes to the store in one call, where that costs it less.
//!
//! Whoever's turn it is raises the high-water mark over all that waits, ends the turn, and writes it. What comes
//! meanwhile waits for the next turn, so it is the raise that gathers: a quiet worker waits for nothing, and many calls
//! are on their way at once.
//!
//! The price is that the rooms of one call are done at the same time. A call that the store refuses, or that takes long,
//! is made again for each room by itself. (Not of help when the store is at the first one still: what the rooms share
//! then is a wait for a row that somebody else has locked.)

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use chat_store::{Entry, MessageStore, Outcome, StoreError};
use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as Turn, oneshot},
    time::timeout,
};

use crate::high_water::HighWater;

/// The most entries of one call.
pub const ENTRIES_MAX: usize = 256;
/// The most bytes of one call.
pub const BYTES_MAX: usize = 256 * 1024;
/// A call that takes longer is given up, and each room goes on by itself: one of them may wait for something of its own.
const TOGETHER_WITHIN: Duration = Duration::from_secs(5);

/// Writes for many rooms.
pub struct Together {
    store: Arc<dyn MessageStore>,
    high_water: Arc<HighWater>,
    waiting: Mutex<Waiting>,
    turn: Turn<()>,
}

#[derive(Default)]
struct Waiting {
    groups: VecDeque<Group>,
    /// How many have ever waited.
    count: u64,
}

/// What one room has to write.
struct Group {
    number: u64,
    entries: Vec<Entry>,
    answer: oneshot::Sender<Result<Vec<Outcome>, StoreError>>,
}

impl Together {
    /// Writes into `store` what `high_water` covers.
    pub fn new(store: Arc<dyn MessageStore>, high_water: Arc<HighWater>) -> Self {
        Self { store, high_water, waiting: Mutex::default(), turn: Turn::default() }
    }

    /// Writes the entries of one room, together with what else waits.
    pub async fn write(&self, entries: &[Entry]) -> Result<Vec<Outcome>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let number = self.waiting.lock().push(entries.to_vec(), answer);
        while self.waiting.lock().has(number) {
            if let Some((groups, covered)) = self.cover_up_to(number).await {
                self.write_groups(groups, covered).await;
            }
        }
        match answered.await {
            Ok(answer) => answer,
            // The call was refused, or whoever made it gave up or died of it: was it for these entries?
            Err(_dropped) => self.write_alone(entries).await,
        }
    }

    /// Writes entries by themselves.
    pub async fn write_alone(&self, entries: &[Entry]) -> Result<Vec<Outcome>, StoreError> {
        self.high_water.cover(greatest_of(entries)).await?;
        self.high_water.under(self.store.write(entries)).await
    }

    /// When it is its turn: takes and covers those that wait longest, unless this one was taken meanwhile.
    async fn cover_up_to(&self, number: u64) -> Option<(Vec<Group>, Result<(), StoreError>)> {
        let _turn = self.turn.lock().await;
        let groups = self.waiting.lock().take(number)?;
        let seq = groups.iter().map(|group| greatest_of(&group.entries)).max().unwrap_or(0);
        let covered = self.high_water.cover(seq).await;
        Some((groups, covered))
    }

    /// Answers them all, or, if each of many is to be tried by itself, none.
    async fn write_groups(&self, groups: Vec<Group>, covered: Result<(), StoreError>) {
        let (mut entries, mut answers) = (Vec::new(), Vec::new());
        for group in groups {
            answers.push((group.entries.len(), group.answer));
            entries.extend(group.entries);
        }
        let written = match covered {
            Ok(()) => {
                let writing = self.high_water.under(self.store.write(&entries));
                if answers.len() == 1 {
                    writing.await
                } else {
                    let Ok(written) = timeout(TOGETHER_WITHIN, writing).await else { return };
                    written
                }
            }
            Err(error) => Err(error),
        };
        // Nobody listens whose lane gave up meanwhile.
        match written {
            Ok(outcomes) if outcomes.len() == entries.len() => {
                let mut outcomes = outcomes.into_iter();
                for (count, answer) in answers {
                    drop(answer.send(Ok(outcomes.by_ref().take(count).collect())));
                }
            }
            Err(StoreError::Unavailable(source)) => {
                for (_, answer) in answers {
                    drop(answer.send(Err(StoreError::Unavailable(source.to_string().into()))));
                }
            }
            refused => {
                if let Ok([(_, answer)]) = <[_; 1]>::try_from(answers) {
                    drop(answer.send(refused));
                }
            }
        }
    }
}

impl Waiting {
    fn push(&mut self, entries: Vec<Entry>, answer: oneshot::Sender<Result<Vec<Outcome>, StoreError>>) -> u64 {
        let number = self.count;
        self.count += 1;
        self.groups.push_back(Group { number, entries, answer });
        number
    }

    /// Whether this one still waits: they go in their order.
    fn has(&self, number: u64) -> bool {
        self.groups.front().is_some_and(|first| first.number <= number)
    }

    /// As many as fit into one call, if `number` is still among those that wait.
    fn take(&mut self, number: u64) -> Option<Vec<Group>> {
        // Whose lane gave up is delivered again.
        self.groups.retain(|group| !group.answer.is_closed());
        if !self.has(number) {
            return None;
        }
        let first = self.groups.pop_front()?;
        let (mut count, mut bytes) = (first.entries.len(), first.bytes());
        let mut taken = vec![first];
        while let Some(group) = self.groups.pop_front_if(|group| {
            count += group.entries.len();
            bytes += group.bytes();
            count <= ENTRIES_MAX && bytes <= BYTES_MAX
        }) {
            taken.push(group);
        }
        Some(taken)
    }
}

impl Group {
    fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.raw.len()).sum()
    }
}

fn greatest_of(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.seq).max().unwrap_or(0)
}

impl fmt::Debug for Together {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Together").field("waiting", &self.waiting.lock().groups.len()).finish_non_exhaustive()
    }
}
