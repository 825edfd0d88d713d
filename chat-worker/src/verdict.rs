//! What is done with a message, decided from what happened to it and nothing else.

use std::time::Duration;

use chat_store::{Outcome, StoreError};
use ops::mutant::{self, Mutant};
use schema::{envelope::Malformed, problem::Code};

/// Why a message is given up: the words in `Timingle-Dead-Reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is no envelope.
    Malformed(Malformed),
    /// Its subject names no room.
    NotARoom,
    /// It is no change of an event, room or session, or not the one its subject says.
    NotAChange,
    /// It is no mark of a member of a room.
    NotAMark,
    /// Its sender may not do what it asks.
    NotAllowed,
    /// No store can hold it.
    Unstorable(Code),
    /// Tried alone, time and again, it ended the worker or was refused by a store that took others.
    GaveUp,
}

impl Reason {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed(Malformed::Version) => "unknown_version",
            Self::Malformed(Malformed::Headers) => "malformed_header",
            Self::Malformed(Malformed::TooLarge) => "too_large",
            Self::Malformed(Malformed::NotUtf8) => "not_utf8",
            Self::Malformed(Malformed::NotAnEnvelope) => "not_an_envelope",
            Self::Malformed(Malformed::OtherRoom) => "other_room",
            Self::NotARoom => "not_a_room",
            Self::NotAChange => "not_a_change",
            Self::NotAMark => "not_a_mark",
            Self::NotAllowed => "not_allowed",
            Self::Unstorable(code) => code.as_str(),
            Self::GaveUp => "gave_up",
        }
    }

    /// What its sender is told, if it can be read who that is.
    pub const fn code(self) -> Code {
        match self {
            Self::Malformed(_) | Self::NotARoom | Self::NotAChange | Self::NotAMark => Code::InvalidFrame,
            Self::NotAllowed => Code::Forbidden,
            Self::Unstorable(code) => code,
            Self::GaveUp => Code::Internal,
        }
    }
}

/// Why a call of the store brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The store is away or slow: never the message's fault.
    Unavailable,
    /// The store answered that it will not: the message's fault, or that of everything at once.
    Refused,
    /// The store was not asked, because something else is away: neither the store's fault nor the message's.
    NotAsked,
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable,
            StoreError::Refused(_) | StoreError::Corrupt { .. } => Self::Refused,
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the store: acknowledge, and tell the sender.
    Stored,
    /// The store has it at this lower seq: acknowledge, and tell the sender that seq.
    Duplicate(u64),
    /// It will never be stored, which is the sender's own affair: acknowledge, and say why.
    Refused(Code),
    /// Deliver it again, but not before this long.
    Retry(Duration),
    /// Nobody but an operator can do something about it: to `CHAT_DEAD`.
    Dead(Reason),
}

/// The shortest wait before another delivery.
pub const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest wait before another delivery.
pub const BACKOFF_MAX: Duration = Duration::from_mins(1);
/// From this delivery on a message is tried alone, after a mark.
pub const ALONE_FROM: u32 = 4;
/// So many marks, found at a delivery, and the message is given up.
pub const MARKS_MAX: u32 = 3;

/// What is to be done with a message after `outcome` of its write, at its `deliveries`-th delivery.
///
/// No failure of the store is a reason to give a message up: deliveries grow in an outage as well, and
/// prove nothing. Giving up takes marks ([`crate::trying`]), which only a try alone can leave.
pub fn of(outcome: Result<Outcome, Failure>, deliveries: u32) -> Verdict {
    match outcome {
        Ok(Outcome::Stored) => Verdict::Stored,
        Ok(Outcome::Duplicate { first_seq }) => Verdict::Duplicate(first_seq),
        // A name used twice is the sender's mistake, and the store still holds the first message; the
        // rest a gateway lets nobody send, so an operator should see it.
        Ok(Outcome::Refused(Code::TempIdReused)) => Verdict::Refused(Code::TempIdReused),
        Ok(Outcome::Refused(Code::NotAMember | Code::Forbidden)) => Verdict::Dead(Reason::NotAllowed),
        Ok(Outcome::Refused(code)) => Verdict::Dead(Reason::Unstorable(code)),
        Err(Failure::Unavailable) if mutant::is(Mutant::DeadLetterOutage) => Verdict::Dead(Reason::GaveUp),
        Err(Failure::Unavailable | Failure::Refused | Failure::NotAsked) => Verdict::Retry(backoff(deliveries)),
    }
}

/// 1, 2, 4 … 60 s.
pub fn backoff(deliveries: u32) -> Duration {
    let doublings = deliveries.saturating_sub(1).min(6);
    BACKOFF_MAX.min(BACKOFF_MIN * 2_u32.pow(doublings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_verdict() {
        let check = |outcome, deliveries, expected| assert_eq!(of(outcome, deliveries), expected);
        let seconds = Duration::from_secs;
        check(Ok(Outcome::Stored), 1, Verdict::Stored);
        check(Ok(Outcome::Stored), 900, Verdict::Stored);
        check(Ok(Outcome::Duplicate { first_seq: 7 }), 1, Verdict::Duplicate(7));
        check(Ok(Outcome::Refused(Code::TempIdReused)), 1, Verdict::Refused(Code::TempIdReused));
        check(Ok(Outcome::Refused(Code::NotAMember)), 1, Verdict::Dead(Reason::NotAllowed));
        let unstorable = Reason::Unstorable(Code::InvalidContent);
        check(Ok(Outcome::Refused(Code::InvalidContent)), 1, Verdict::Dead(unstorable));
        check(Err(Failure::Unavailable), 1, Verdict::Retry(seconds(1)));
        check(Err(Failure::Unavailable), 2, Verdict::Retry(seconds(2)));
        check(Err(Failure::Unavailable), 6, Verdict::Retry(seconds(32)));
        check(Err(Failure::Unavailable), 7, Verdict::Retry(seconds(60)));
        check(Err(Failure::Refused), u32::MAX, Verdict::Retry(seconds(60)));
    }

    #[test]
    fn no_failure_of_the_store_gives_a_message_up() {
        for deliveries in 0..10_000 {
            for failure in [Failure::Unavailable, Failure::Refused, Failure::NotAsked] {
                assert!(matches!(of(Err(failure), deliveries), Verdict::Retry(after) if after >= BACKOFF_MIN));
            }
        }
    }

    #[test]
    fn an_error_of_the_store_is_an_outage_or_a_refusal() {
        let error = || -> Box<dyn std::error::Error + Send + Sync> { "why".into() };
        let check = |error: StoreError, expected| assert_eq!(Failure::from(&error), expected);
        check(StoreError::Unavailable(error()), Failure::Unavailable);
        check(StoreError::Refused(error()), Failure::Refused);
        check(StoreError::Corrupt { table: "t", column: "c", id: "i".into() }, Failure::Refused);
    }
}
