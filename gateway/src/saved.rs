//! Who waits to hear `saved`.
//!
//! The worker's report is a hint that may be lost: what is not reported in time is asked of the store,
//! by many ids at once and ever more seldom, until the sender's sockets are gone. `saved` never comes
//! before `sent`: a report that overtakes the answer waits for it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::Message;
use foldhash::HashMap;
use parking_lot::Mutex;
use schema::{
    frame::server::{ServerFrame, Status},
    id::{MessageId, RoomId, UserId},
    problem::Code,
    saved::SavedReport,
    subject::SavedSubject,
};

use crate::{
    publisher::Outgoing,
    state::Gateway,
    subscription::{self, subscribe},
};

/// How often those who wait too long are looked for.
const EVERY: Duration = Duration::from_millis(100);
/// Ids asked for in one query.
const IDS_PER_QUERY: usize = 256;
/// The longest wait between two questions for one id.
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// Messages waited for at most; beyond, clients ask by REST.
const WAITING_MAX: usize = 200_000;

/// The messages that are waited for.
#[derive(Debug, Default)]
pub struct SavedWatch(Mutex<HashMap<MessageId, Waiting>>);

#[derive(Debug)]
struct Waiting {
    user_id: UserId,
    room_id: RoomId,
    temp_id: String,
    /// The seq that was said in `sent`; none before.
    sent: Option<u64>,
    /// Publishes of it that wait for their answer: each socket that sent it hears `sent` before `saved`.
    open: u32,
    /// What was reported before every `sent` was said.
    early: Option<Result<u64, Code>>,
    ask_at: Instant,
    asked: u32,
}

impl SavedWatch {
    /// A publish begins: a report may come before its answer.
    pub fn expect(&self, outgoing: &Outgoing) {
        let mut waiting = self.0.lock();
        if waiting.len() < WAITING_MAX {
            let entry = waiting.entry(outgoing.body.id()).or_insert_with(|| Waiting {
                user_id: outgoing.user_id,
                room_id: outgoing.body.room_id(),
                temp_id: outgoing.temp_id.clone(),
                sent: None,
                early: None,
                ask_at: Instant::now() + AGAIN_MAX,
                asked: 0,
                open: 0,
            });
            entry.open += 1;
        }
    }

    /// `sent` was said: from now on `saved` may be.
    pub fn sent(&self, gateway: &Gateway, outgoing: &Outgoing, seq: u64, is_duplicate: bool) {
        let mut waiting = self.0.lock();
        let Some(entry) = waiting.get_mut(&outgoing.body.id()) else { return };
        entry.sent = Some(seq);
        entry.open = entry.open.saturating_sub(1);
        // The report of a duplicate may have been given long ago.
        let wait = if is_duplicate { Duration::ZERO } else { gateway.config.saved_within };
        entry.ask_at = Instant::now() + wait;
        let early = if entry.open == 0 { entry.early.take() } else { None };
        drop(waiting);
        if let Some(result) = early {
            self.settle(gateway, outgoing.body.id(), result);
        }
    }

    /// Nothing was stored by this publish, as far as is known.
    pub(crate) fn forget(&self, gateway: &Gateway, id: MessageId) {
        let mut waiting = self.0.lock();
        let Some(entry) = waiting.get_mut(&id) else { return };
        entry.open = entry.open.saturating_sub(1);
        if entry.open > 0 {
            return;
        }
        match entry.early.take().filter(|_| entry.sent.is_some()) {
            Some(result) => {
                drop(waiting);
                self.settle(gateway, id, result);
            }
            None if entry.sent.is_none() => drop(waiting.remove(&id)),
            None => {}
        }
    }

    /// The store has it, or never will: the sender's sockets hear it.
    fn settle(&self, gateway: &Gateway, id: MessageId, result: Result<u64, Code>) {
        let mut waiting = self.0.lock();
        match waiting.get_mut(&id) {
            Some(entry) if entry.sent.is_none() || entry.open > 0 => entry.early = Some(result),
            Some(_) => {
                let Some(entry) = waiting.remove(&id) else { return };
                drop(waiting);
                let frame = entry.frame(id, result);
                gateway.sockets.of(entry.user_id).iter().for_each(|socket| socket.say(&frame));
            }
            None => {}
        }
    }

    /// Those who have waited long enough; they are next due later. Who has no socket left is dropped.
    fn due(&self, gateway: &Gateway) -> Vec<MessageId> {
        let now = Instant::now();
        let mut waiting = self.0.lock();
        let due =
            waiting.iter_mut().filter(|(_, entry)| entry.sent.is_some() && entry.open == 0 && entry.ask_at <= now);
        let mut due: Vec<_> = due
            .take(IDS_PER_QUERY)
            .map(|(id, entry)| {
                entry.asked += 1;
                entry.ask_at = now + AGAIN_MAX.min(Duration::from_millis(100) * 2_u32.pow(entry.asked.min(9)));
                (*id, entry.user_id)
            })
            .collect();
        due.retain(|(id, user_id)| {
            let is_there = !gateway.sockets.of(*user_id).is_empty();
            if !is_there {
                waiting.remove(id);
            }
            is_there
        });
        due.into_iter().map(|(id, _)| id).collect()
    }
}

impl Waiting {
    fn frame(&self, id: MessageId, result: Result<u64, Code>) -> ServerFrame {
        let status = match result {
            Ok(seq) => Status::Saved { id, seq },
            Err(code) => Status::Failed {
                code,
                detail: "the store refused it: it is in nobody's history".into(),
                retry: code.may_retry(),
                retry_after_ms: None,
            },
        };
        ServerFrame::Status { room_id: Some(self.room_id), temp_id: self.temp_id.clone(), status }
    }
}

/// Hears the worker's reports until the process stops.
pub(crate) async fn hear(gateway: Arc<Gateway>) {
    let subject = SavedSubject(gateway.id.clone()).to_string();
    let take = |message: Message| match serde_json::from_slice::<SavedReport>(&message.payload) {
        Ok(report) => {
            report.saved.iter().for_each(|saved| gateway.saved.settle(&gateway, saved.id, Ok(saved.seq)));
            report.refused.iter().for_each(|refused| gateway.saved.settle(&gateway, refused.id, Err(refused.code)));
        }
        Err(error) => tracing::warn!(%error, "a report that does not decode"),
    };
    subscription::hear(&gateway, subscribe(&gateway, subject), take).await;
}

/// Asks the store for those who wait too long, until the process stops.
pub(crate) async fn ask(gateway: Arc<Gateway>) {
    let stopping = gateway.lifecycle.stopping().clone();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let due = gateway.saved.due(&gateway);
        if due.is_empty() {
            continue;
        }
        match gateway.store.find(&due).await {
            Ok(found) => found.iter().for_each(|found| gateway.saved.settle(&gateway, found.id, Ok(found.seq))),
            Err(error) => tracing::warn!(%error, "the store does not answer: senders wait for `saved`"),
        }
    }
}
