//! One message's way into the log: published, and again, until an answer comes or the budget is over. Decides
//! and does nothing.

use std::time::Duration;

use async_nats::{HeaderMap, Subject, jetstream::ErrorCode};
use bytes::Bytes;
use ops::{
    log_health::is_new,
    mutant::{self, Mutant},
};
use rand::RngExt as _;
use schema::{
    clock::Timestamp,
    envelope::Headers,
    header,
    id::MessageId,
    problem::Code,
    subject::{ChatSubject, GatewayId},
};
use serde::Deserialize;
use tokio::time::Instant;

use super::Outgoing;

/// The first two repeats come after this, later ones after [`AGAIN_LATER`].
const AGAIN_SOON: Duration = Duration::from_millis(250);
const AGAIN_LATER: Duration = Duration::from_secs(2);
/// A cluster's "duplicate message id is in process".
const IN_PROCESS: u64 = ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT.0;

/// What became of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Sent { seq: u64, is_duplicate: bool },
    Failed(Code, String),
    Unknown,
}

/// What one try says.
#[derive(Debug)]
pub(super) enum Answer {
    /// The log has it.
    Stored { seq: u64, is_duplicate: bool },
    /// The log did not take it, for this reason.
    Refused(String),
    /// Nobody listens: this try is not stored.
    Nobody,
    /// It may be stored or not: something that is no answer of the log's, or a cluster that is still at an earlier try,
    /// maybe another gateway's, of the same message.
    Undecided,
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
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Answer {
    pub(super) fn parse(payload: &[u8]) -> Self {
        match serde_json::from_slice(payload) {
            Ok(PubAck { seq: Some(seq), duplicate, error: None }) => Self::Stored { seq, is_duplicate: duplicate },
            Ok(PubAck { error: Some(PubError { err_code: IN_PROCESS, .. }), .. }) => Self::Undecided,
            Ok(PubAck { error, .. }) => Self::Refused(error.map(|error| error.description).unwrap_or_default()),
            Err(_not_json) => Self::Undecided,
        }
    }
}

/// A message and its tries.
#[derive(Debug)]
pub(super) struct Attempt {
    outgoing: Outgoing,
    subject: Subject,
    headers: Headers,
    body: Bytes,
    deadline: Instant,
    again_at: Instant,
    tries: u32,
    /// The greatest number that the log was known to have given before the first try: a new message's is above it.
    above: u64,
    /// Tries without an answer.
    open: u32,
    /// Whether a try was answered with something that says neither yes nor no.
    is_doubtful: bool,
}

impl Attempt {
    pub(super) fn new(outgoing: Outgoing, gateway: &GatewayId) -> Self {
        let headers = Headers {
            sender: Some(outgoing.user_id),
            gateway: Some(gateway.clone()),
            is_resend: outgoing.is_resend,
            is_moderator: outgoing.is_moderator,
        };
        let now = Instant::now();
        Self {
            subject: Subject::from(ChatSubject(outgoing.body.room_id()).to_string()),
            headers,
            body: outgoing.body.to_bytes(),
            deadline: now,
            again_at: now,
            tries: 0,
            above: 0,
            open: 0,
            // An earlier try of what is sent again may be in the log, whatever becomes of this one.
            is_doubtful: outgoing.is_resend,
            outgoing,
        }
    }

    /// The id of what it publishes.
    pub(super) const fn id(&self) -> MessageId {
        self.outgoing.body.id()
    }

    /// Its time begins.
    pub(super) fn begin(&mut self, within: Duration) {
        let now = Instant::now();
        self.deadline = now + within;
        self.again_at = now + within;
    }

    /// What one try publishes, at `now`, when `greatest` was the log's greatest number.
    pub(super) fn message(&mut self, now: Timestamp, greatest: u64) -> (Subject, HeaderMap, Bytes) {
        if self.tries == 0 {
            self.above = greatest;
        }
        self.tries += 1;
        self.open += 1;
        let later = || AGAIN_LATER.mul_f64(rand::rng().random_range(0.8..1.2));
        self.again_at = Instant::now() + if self.tries <= 2 { AGAIN_SOON } else { later() };
        let mut headers = self.headers.to_map(self.outgoing.body.id());
        headers.insert(header::TIMINGLE_ACCEPTED, self.outgoing.accepted_at.to_string());
        headers.insert(header::TIMINGLE_PUBLISHED, now.to_string());
        (self.subject.clone(), headers, self.body.clone())
    }

    /// Whether another try is due; it is not due again before it was made.
    pub(super) fn must_repeat(&mut self, now: Instant) -> bool {
        let is_due = now >= self.again_at;
        if is_due {
            self.again_at = self.deadline;
        }
        is_due
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.deadline || (mutant::is(Mutant::TimeoutIsFailed) && self.open > 0 && now >= self.again_at)
    }

    /// What an answer means for the message; `None` if it means nothing yet.
    pub(super) fn take(&mut self, answer: Answer) -> Option<Outcome> {
        self.open = self.open.saturating_sub(1);
        match answer {
            Answer::Stored { seq, is_duplicate: false } => return Some(taken(seq, self.above)),
            Answer::Stored { seq, is_duplicate: true } => return Some(Outcome::Sent { seq, is_duplicate: true }),
            // Refused for good, and no earlier try can be stored.
            Answer::Refused(why) if self.open == 0 && !self.is_doubtful => {
                return Some(Outcome::Failed(Code::Unavailable, format!("the log refused it: {why}")));
            }
            Answer::Refused(_) | Answer::Nobody => {}
            Answer::Undecided => self.is_doubtful = true,
        }
        None
    }

    /// The greatest number that the log was known to have given before the first try.
    pub(super) const fn above(&self) -> u64 {
        self.above
    }

    /// What is said when the time is over.
    pub(super) fn last_word(&self) -> Outcome {
        // What was never tried may be sent again just as well, and sounds no worse than an outage does.
        let nobody_knows = self.is_doubtful || self.open > 0 || self.tries == 0;
        if nobody_knows && !mutant::is(Mutant::TimeoutIsFailed) {
            Outcome::Unknown
        } else {
            Outcome::Failed(Code::Unavailable, "the log takes nothing now".into())
        }
    }

    pub(super) fn into_outgoing(self) -> Outgoing {
        self.outgoing
    }
}

/// What it means that the log has given a new message `seq`, when it had given all numbers up to `above`.
fn taken(seq: u64, above: u64) -> Outcome {
    if is_new(seq, above) { Outcome::Sent { seq, is_duplicate: false } } else { Outcome::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_given_before_is_no_place() {
        assert_eq!(taken(11, 10), Outcome::Sent { seq: 11, is_duplicate: false });
        assert_eq!(taken(10, 10), Outcome::Unknown);
    }

    #[test]
    fn a_try_that_a_cluster_is_still_at_is_no_refusal() {
        let in_process =
            br#"{"error":{"code":409,"err_code":10158,"description":"duplicate message id is in process"}}"#;
        let full = br#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}"#;
        let strange = b"what?";
        assert!(matches!(Answer::parse(in_process), Answer::Undecided));
        assert!(matches!(Answer::parse(full), Answer::Refused(why) if why == "maximum bytes exceeded"));
        assert!(matches!(Answer::parse(strange), Answer::Undecided));
    }
}
