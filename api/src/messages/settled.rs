//! How far the worker is: every seq up to the ack floor of its consumer is in the message store.
//!
//! The floor must be read after the reader asked and before the page is read: then what a phone was told is saved is in
//! every page it asks for afterwards. Readers that ask at the same time share one question, but only one that began
//! after they asked.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use ops::broker::Broker;
use schema::stream::{self, CHAT_MESSAGES};
use tokio::sync::Mutex;

/// Asks for the floor.
#[derive(Debug)]
pub(crate) struct SettledSeq {
    broker: Broker,
    /// Orders questions and their askers.
    ticks: AtomicU64,
    last: Mutex<Answer>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Answer {
    /// When the question began, in ticks.
    began: u64,
    floor: u64,
}

/// How long one question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

impl SettledSeq {
    pub(crate) fn new(broker: Broker) -> Self {
        Self { broker, ticks: AtomicU64::new(1), last: Mutex::default() }
    }

    /// The floor as of now. While NATS is away, the last one that was seen: the worker can not have taken it back.
    pub(crate) async fn get(&self) -> u64 {
        let asked = self.ticks.fetch_add(1, Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if last.began > asked {
            return last.floor;
        }
        let began = self.ticks.fetch_add(1, Ordering::SeqCst);
        if let Some(floor) = self.ask().await {
            *last = Answer { began, floor };
        }
        last.floor
    }

    async fn ask(&self) -> Option<u64> {
        if !self.broker.is_connected() {
            return None;
        }
        let question = stream::ask_worker(&self.broker.js, CHAT_MESSAGES);
        match tokio::time::timeout(ANSWER_WITHIN, question).await {
            Ok(Ok(worker)) => Some(worker.ack_floor.stream_sequence),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the worker's floor is not known");
                None
            }
            Err(_elapsed) => {
                tracing::warn!("the worker's floor is not known: no answer in time");
                None
            }
        }
    }
}
