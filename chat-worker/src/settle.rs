//! What is done with a group of messages of one lane, from the write to the answer for the broker.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chat_store::{Outcome, StoreError};
use ops::clock::Clock;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::{
    breaker::Breaker,
    dead_letter::{DeadLetters, NotBuried},
    delivery::Delivery,
    job::{Job, WriteError},
    measure,
    streams::{Streams, StreamsError},
    trying::{Marks, MarksError},
    verdict::{self, ALONE_FROM, Failure, MARKS_MAX, Reason, Verdict},
};

/// What the broker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Ack,
    /// Deliver it again, but not before this long.
    Nak(Duration),
    /// Never deliver it again.
    Term,
}

/// What settling keeps on the broker; a simulation keeps it elsewhere.
pub trait Keeper: std::fmt::Debug + Send + Sync + 'static {
    /// Buries a message in `CHAT_DEAD`.
    fn bury(&self, delivery: &Delivery, reason: Reason) -> impl Future<Output = Result<(), NotBuried>> + Send;
    /// How many tries have left their mark on a message.
    fn count(&self, delivery: &Delivery) -> impl Future<Output = Result<u32, MarksError>> + Send;
    /// Leaves a mark: `count` with this try.
    fn put(&self, delivery: &Delivery, count: u32) -> impl Future<Output = Result<(), MarksError>> + Send;
    /// Takes all marks off a message.
    fn clear(&self, delivery: &Delivery) -> impl Future<Output = Result<(), MarksError>> + Send;
    /// Makes again what may be gone.
    fn mend(&self) -> impl Future<Output = Result<(), StreamsError>> + Send;
}

/// The broker's own: a stream for the hopeless, a bucket for marks.
#[derive(Debug)]
pub struct OnBroker {
    /// What must be on the broker.
    pub streams: Arc<Streams>,
    /// Where the hopeless go.
    pub dead_letters: DeadLetters,
    /// What earlier tries have left.
    pub marks: Marks,
}

impl Keeper for OnBroker {
    async fn bury(&self, delivery: &Delivery, reason: Reason) -> Result<(), NotBuried> {
        self.dead_letters.bury(delivery, reason).await
    }

    async fn count(&self, delivery: &Delivery) -> Result<u32, MarksError> {
        self.marks.count(delivery).await
    }

    async fn put(&self, delivery: &Delivery, count: u32) -> Result<(), MarksError> {
        self.marks.put(delivery, count).await
    }

    async fn clear(&self, delivery: &Delivery) -> Result<(), MarksError> {
        self.marks.clear(delivery).await
    }

    async fn mend(&self) -> Result<(), StreamsError> {
        self.streams.ensure().await
    }
}

/// Settles the messages of one stream.
#[derive(Debug)]
pub struct Settler<J, K = OnBroker> {
    /// What is done with them.
    pub job: J,
    /// What it keeps on the broker.
    pub keeper: K,
    /// Whether the store is there.
    pub breaker: Arc<Breaker>,
    /// The writes in flight, of all lanes.
    pub writes: Arc<Semaphore>,
    /// One message at a time is tried alone, of all streams: when it takes the worker down, no other is blamed.
    pub alone: Arc<Mutex<()>>,
    /// For measuring.
    pub clock: Clock,
}

/// A store that has not answered by now is away, as far as the message is concerned.
const WRITE_WITHIN: Duration = Duration::from_secs(20);
/// How long a message is held while the store is away; then it goes back, for a worker that can reach it.
const HELD_WITHOUT_STORE: Duration = Duration::from_secs(5);

impl<J: Job, K: Keeper> Settler<J, K> {
    /// Writes a group and says what to answer for each of it. `place` is one of the writes in flight.
    pub async fn settle(&self, group: &[Delivery], place: OwnedSemaphorePermit) -> Vec<Answer> {
        match group {
            [delivery] if delivery.deliveries >= ALONE_FROM => {
                // The wait for the others that run alone must not take a place from those that do not.
                drop(place);
                vec![self.settle_alone(delivery).await]
            }
            _ => self.settle_together(group, place).await,
        }
    }

    async fn settle_together(&self, group: &[Delivery], place: OwnedSemaphorePermit) -> Vec<Answer> {
        let mut reasons = Vec::with_capacity(group.len());
        let mut items = Vec::with_capacity(group.len());
        for delivery in group {
            reasons.push(self.job.read(delivery).map(|item| items.push(item)).err());
        }
        let outcomes = self.write(items.len(), self.job.write(&items)).await;
        drop(place);
        let mut written = items.iter().zip(outcomes);
        let mut answers = Vec::with_capacity(group.len());
        for (delivery, reason) in group.iter().zip(reasons) {
            answers.push(if let Some(reason) = reason {
                self.bury(delivery, None, reason).await
            } else {
                let (item, outcome) = written.next().expect("what was read was written, in this order");
                self.conclude(delivery, item, outcome).await
            });
        }
        answers
    }

    /// Tries a message that came again and again: behind a mark that survives the worker.
    async fn settle_alone(&self, delivery: &Delivery) -> Answer {
        let _alone = self.alone.lock().await;
        let again = Answer::Nak(verdict::backoff(delivery.deliveries));
        let marks = match self.keeper.count(delivery).await {
            Ok(marks) => marks,
            Err(error) => {
                tracing::warn!(%error, seq = delivery.seq, "a message can not be tried alone now");
                self.mend().await;
                return again;
            }
        };
        if marks >= MARKS_MAX {
            let answer = self.bury(delivery, None, Reason::GaveUp).await;
            return if answer == Answer::Term { self.clear_marks(delivery, answer).await } else { answer };
        }
        if let Err(error) = self.keeper.put(delivery, marks + 1).await {
            tracing::warn!(%error, seq = delivery.seq, "a message can not be tried alone now");
            return again;
        }
        let item = match self.job.read(delivery) {
            Ok(item) => item,
            Err(reason) => {
                let answer = self.bury(delivery, None, reason).await;
                return self.clear_marks(delivery, answer).await;
            }
        };
        let outcome = {
            let _place = self.writes.acquire().await;
            let writing = self.job.write_alone(std::slice::from_ref(&item));
            self.write(1, writing).await.pop().unwrap_or(Err(Failure::Refused))
        };
        let answer = self.conclude(delivery, &item, outcome).await;
        if outcome == Err(Failure::Refused) && self.breaker.stored_lately() {
            // The store takes others and not this one: the mark stays.
            return answer;
        }
        self.clear_marks(delivery, answer).await
    }

    async fn clear_marks(&self, delivery: &Delivery, answer: Answer) -> Answer {
        if let Err(error) = self.keeper.clear(delivery).await {
            // A mark too many counts only if the message is delivered again, and fades.
            tracing::debug!(%error, seq = delivery.seq, "marks stay");
        }
        answer
    }

    /// Does the writing of so many items, unless the store is away; one outcome each.
    async fn write(
        &self,
        count: usize,
        writing: impl Future<Output = Result<Vec<Outcome>, WriteError>> + Send,
    ) -> Vec<Result<Outcome, Failure>> {
        let all = |failure| vec![Err(failure); count];
        if count == 0 {
            return Vec::new();
        }
        if !self.breaker.closed_within(HELD_WITHOUT_STORE).await {
            return all(Failure::Unavailable);
        }
        let begun = Instant::now();
        let written = tokio::time::timeout(WRITE_WITHIN, writing).await;
        measure::wrote(J::STREAM, count, begun.elapsed());
        let failure = match written {
            Ok(Ok(outcomes)) if outcomes.len() == count => {
                self.breaker.succeeded();
                return outcomes.into_iter().map(Ok).collect();
            }
            Ok(Ok(outcomes)) => {
                tracing::error!(asked = count, answered = outcomes.len(), "the store lost count");
                Failure::Refused
            }
            Ok(Err(error)) => {
                match &error {
                    WriteError::Store(error) => note(J::STREAM, error),
                    WriteError::Roles(_) => tracing::warn!(stream = J::STREAM, %error, "a write has to wait"),
                }
                Failure::from(&error)
            }
            Err(_elapsed) => {
                tracing::warn!(stream = J::STREAM, "the message store did not answer in {WRITE_WITHIN:?}");
                Failure::Unavailable
            }
        };
        match failure {
            Failure::Unavailable => self.breaker.trip(),
            Failure::Refused | Failure::NotAsked => {}
        }
        all(failure)
    }

    async fn conclude(&self, delivery: &Delivery, item: &J::Item, outcome: Result<Outcome, Failure>) -> Answer {
        match verdict::of(outcome, delivery.deliveries) {
            Verdict::Stored => {
                self.job.saved(delivery, item, delivery.seq);
                measure::stored(J::STREAM, self.age(delivery));
                Answer::Ack
            }
            Verdict::Duplicate(first_seq) => {
                self.job.saved(delivery, item, first_seq);
                measure::duplicate(J::STREAM);
                Answer::Ack
            }
            Verdict::Refused(code) => {
                self.job.refused(delivery, Some(item), code);
                measure::refused(J::STREAM);
                Answer::Ack
            }
            Verdict::Retry(after) => {
                measure::retried(J::STREAM);
                Answer::Nak(after)
            }
            Verdict::Dead(reason) => self.bury(delivery, Some(item), reason).await,
        }
    }

    /// First where an operator finds it, then out of the room's way, and only then gone from the stream.
    async fn bury(&self, delivery: &Delivery, item: Option<&J::Item>, reason: Reason) -> Answer {
        let again = Answer::Nak(verdict::backoff(delivery.deliveries));
        // Buried now and skipped only when the store is back, it would be buried a second time by then.
        if !self.breaker.closed_within(HELD_WITHOUT_STORE).await {
            return again;
        }
        if let Err(error) = self.keeper.bury(delivery, reason).await {
            tracing::warn!(error = %error, seq = delivery.seq, reason = reason.as_str(), "not buried yet");
            self.mend().await;
            return again;
        }
        if let Err(error) = self.job.skip(delivery).await {
            note(J::STREAM, &error);
            if Failure::from(&error) == Failure::Unavailable {
                self.breaker.trip();
            }
            return again;
        }
        tracing::warn!(stream = J::STREAM, seq = delivery.seq, reason = reason.as_str(), "a message is in CHAT_DEAD");
        measure::dead(J::STREAM, reason);
        self.job.refused(delivery, item, reason.code());
        Answer::Term
    }

    /// The stream or the bucket may be gone: the next try should find it.
    async fn mend(&self) {
        if let Err(error) = self.keeper.mend().await {
            tracing::warn!(%error, "the streams are not as they must be");
        }
    }

    fn age(&self, delivery: &Delivery) -> Duration {
        let millis = self.clock.now().unix_millis() - delivery.logged_at.unix_millis();
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

fn note(stream: &'static str, error: &StoreError) {
    match error {
        // Once for the breaker is enough: in an outage this is said for every write in flight.
        StoreError::Unavailable(source) => tracing::debug!(stream, %source, "the message store is away"),
        StoreError::Refused(_) | StoreError::Corrupt { .. } => {
            tracing::error!(stream, %error, "the message store refuses a write");
        }
    }
}
