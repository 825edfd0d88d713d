//! Puts messages into the log and tells their senders what became of them.
//!
//! At most one publish is in flight for a (sender, room), so a retry never overtakes. No answer is no
//! failure: the same id is published again until an answer comes or the budget is over, and then the
//! outcome is `unknown`. `failed` is said only of what is provably not stored.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_nats::{HeaderMap, client::RequestErrorKind};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use parking_lot::Mutex;
use rand::RngExt as _;
use schema::{
    envelope::{Body, Headers},
    frame::server::{ServerFrame, Status},
    id::{RoomId, UserId},
    problem::Code,
    subject::ChatSubject,
};
use serde::Deserialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{render::LogMessage, socket::Socket, state::Gateway};

/// Publishes of this process that wait for their answer.
const IN_FLIGHT_MAX: usize = 1_000;
/// The first two repeats come after this, later ones after [`AGAIN_LATER`].
const AGAIN_SOON: Duration = Duration::from_millis(250);
const AGAIN_LATER: Duration = Duration::from_secs(2);
/// How long a sender is told to wait when the store has not settled.
const SETTLES_IN: Duration = Duration::from_secs(2);
/// How long the look-up of a resend may take.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(2);

/// Something on its way to the log.
#[derive(Debug)]
pub struct Outgoing {
    /// Who hears what became of it.
    pub socket: Arc<Socket>,
    /// Who really sends it.
    pub user_id: UserId,
    /// What.
    pub body: Body,
    /// The sender's own name for it.
    pub temp_id: String,
    /// Whether it was sent before.
    pub is_resend: bool,
    /// The socket's place among its unanswered publishes.
    pub permit: OwnedSemaphorePermit,
}

/// Publishes, in order per sender and room.
#[derive(Debug)]
pub struct Publisher {
    lanes: Mutex<HashMap<(UserId, RoomId), VecDeque<Outgoing>>>,
    in_flight: Semaphore,
}

/// What became of a publish.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Sent { seq: u64, is_duplicate: bool },
    Failed(Code, String),
    Unknown,
}

#[derive(Deserialize)]
struct PubAck {
    seq: Option<u64>,
    #[serde(default)]
    duplicate: bool,
    error: Option<PubError>,
}

#[derive(Deserialize)]
struct PubError {
    #[serde(default)]
    description: String,
}

/// What one try says.
enum Try {
    Answered(PubAck),
    /// Nobody listens: this try is not stored.
    Nobody,
    /// It may be stored or not.
    Silent,
}

impl Publisher {
    /// Publishes nothing yet.
    pub fn new() -> Self {
        Self { lanes: Mutex::default(), in_flight: Semaphore::new(IN_FLIGHT_MAX) }
    }

    /// Takes a message over; its sender hears of it.
    pub fn submit(&self, gateway: &Arc<Gateway>, outgoing: Outgoing) {
        let key = (outgoing.user_id, outgoing.body.room_id());
        gateway.saved.expect(&outgoing);
        let mut lanes = self.lanes.lock();
        if let Some(waiting) = lanes.get_mut(&key) {
            waiting.push_back(outgoing);
            return;
        }
        lanes.insert(key, VecDeque::new());
        drop(lanes);
        let gateway = Arc::clone(gateway);
        gateway.lifecycle.clone().spawn(async move {
            let mut next = Some(outgoing);
            while let Some(outgoing) = next {
                publish(&gateway, outgoing).await;
                next = gateway.publisher.next(key);
            }
        });
    }

    /// The lane's next message; without one the lane is given up.
    fn next(&self, key: (UserId, RoomId)) -> Option<Outgoing> {
        let mut lanes = self.lanes.lock();
        let next = lanes.get_mut(&key).and_then(VecDeque::pop_front);
        if next.is_none() {
            lanes.remove(&key);
        }
        next
    }

    /// Whether nothing is on its way.
    pub fn is_idle(&self) -> bool {
        self.lanes.lock().is_empty()
    }
}

impl Default for Publisher {
    fn default() -> Self {
        Self::new()
    }
}

async fn publish(gateway: &Arc<Gateway>, outgoing: Outgoing) {
    let id = outgoing.body.id();
    let started = Instant::now();
    let outcome = decide(gateway, &outgoing).await;
    gateway.measure.publish_seconds.record(started.elapsed());
    let room_id = outgoing.body.room_id();
    let status = match &outcome {
        Outcome::Sent { seq, .. } => Status::Sent { id, seq: *seq },
        Outcome::Unknown => Status::Unknown { retry: true },
        Outcome::Failed(code, detail) => {
            let (code, detail) = (*code, detail.clone());
            let retry_after_ms = (code == Code::NotSettled).then(|| u64::try_from(SETTLES_IN.as_millis()).unwrap_or(0));
            Status::Failed { code, detail, retry: code.may_retry(), retry_after_ms }
        }
    };
    let frame = ServerFrame::Status { room_id: Some(room_id), temp_id: outgoing.temp_id.clone(), status };
    outgoing.socket.say(&frame);
    match outcome {
        Outcome::Sent { seq, is_duplicate } => {
            if is_duplicate && let Some(room) = gateway.hub.find(room_id) {
                // A duplicate is not shown again: its live copy may be the one that went missing.
                room.doubt(seq);
            }
            gateway.saved.sent(gateway, &outgoing, seq, is_duplicate);
        }
        Outcome::Failed(..) | Outcome::Unknown => gateway.saved.forget(gateway, id),
    }
}

async fn decide(gateway: &Arc<Gateway>, outgoing: &Outgoing) -> Outcome {
    if outgoing.is_resend {
        match look_up(gateway, outgoing).await {
            Ok(Some(seq)) => return Outcome::Sent { seq, is_duplicate: true },
            Ok(None) if gateway.health.is_settled() => {}
            Ok(None) | Err(()) => {
                return Outcome::Failed(Code::NotSettled, "whether it is stored is not known yet".into());
            }
        }
    }
    let Ok(_place) = gateway.publisher.in_flight.acquire().await else { return Outcome::Unknown };
    let outcome = attempt(gateway, outgoing).await;
    match outcome {
        Outcome::Sent { seq, is_duplicate: true } if says_something_else(gateway, outgoing, seq).await => {
            Outcome::Failed(Code::TempIdReused, "this temp_id names other content in this room".into())
        }
        outcome => outcome,
    }
}

/// Where a resent message stands in the store, if it does.
async fn look_up(gateway: &Gateway, outgoing: &Outgoing) -> Result<Option<u64>, ()> {
    let ids = [outgoing.body.id()];
    match tokio::time::timeout(LOOK_UP_WITHIN, gateway.store.find(&ids)).await {
        Ok(Ok(found)) => Ok(found.first().map(|found| found.seq)),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a resend can not be looked up");
            Err(())
        }
        Err(_elapsed) => Err(()),
    }
}

/// Whether the log holds other content under this id.
async fn says_something_else(gateway: &Gateway, outgoing: &Outgoing, seq: u64) -> bool {
    let stored = gateway.log.at(seq).await.ok().flatten();
    let stored = stored.and_then(|LogMessage { body, .. }| serde_json::from_slice::<Body>(&body).ok());
    stored.is_some_and(|stored| stored.id() == outgoing.body.id() && !stored.says_the_same(&outgoing.body))
}

/// Publishes, and again, until an answer comes or the budget is over.
async fn attempt(gateway: &Gateway, outgoing: &Outgoing) -> Outcome {
    let headers =
        Headers { sender: Some(outgoing.user_id), gateway: Some(gateway.id.clone()), is_resend: outgoing.is_resend };
    let headers = headers.to_map(outgoing.body.id());
    let subject = ChatSubject(outgoing.body.room_id()).to_string();
    let payload = outgoing.body.to_bytes();
    let deadline = Instant::now() + gateway.config.publish_within;
    let mut tries = FuturesUnordered::new();
    let mut is_doubtful = false;
    let mut repeats = 0_u32;
    let mut again_at = Instant::now();
    loop {
        let now = Instant::now();
        if now >= deadline {
            return if is_doubtful || !tries.is_empty() {
                Outcome::Unknown
            } else {
                Outcome::Failed(Code::Unavailable, "the log takes nothing now".into())
            };
        }
        if now >= again_at {
            tries.push(one_try(gateway, &subject, &headers, &payload, deadline - now));
            repeats += 1;
            again_at =
                now + if repeats <= 2 { AGAIN_SOON } else { AGAIN_LATER.mul_f64(rand::rng().random_range(0.8..1.2)) };
        }
        let answer = tokio::select! {
            Some(answer) = tries.next(), if !tries.is_empty() => answer,
            () = tokio::time::sleep_until(again_at.min(deadline)) => continue,
        };
        match answer {
            Try::Answered(PubAck { seq: Some(seq), duplicate, error: None }) => {
                return Outcome::Sent { seq, is_duplicate: duplicate };
            }
            // Refused for good, and no earlier try can be stored.
            Try::Answered(ack) if tries.is_empty() && !is_doubtful => {
                let detail = ack.error.map(|error| error.description).unwrap_or_default();
                return Outcome::Failed(Code::Unavailable, format!("the log refused it: {detail}"));
            }
            Try::Answered(_) | Try::Nobody => {}
            Try::Silent => is_doubtful = true,
        }
    }
}

async fn one_try(gateway: &Gateway, subject: &str, headers: &HeaderMap, payload: &Bytes, within: Duration) -> Try {
    let request = async_nats::Request::new().payload(payload.clone()).headers(headers.clone()).timeout(Some(within));
    match gateway.broker.client.send_request(subject.to_owned(), request).await {
        Ok(answer) => serde_json::from_slice(&answer.payload).map_or(Try::Silent, Try::Answered),
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Try::Nobody,
        Err(_timed_out) => Try::Silent,
    }
}
