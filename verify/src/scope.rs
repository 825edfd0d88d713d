//! What part of everything is checked.

use std::str::FromStr;

use ops::{broker::Broker, stored};
use schema::{clock::Timestamp, id::RoomId, stream::CHAT_MESSAGES, subject::ChatSubject};

use crate::{VerifyError, standing::Extent};

/// What is checked of rooms. Events and the outbox are checked whole, or for the one room's event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// Only this room, and its event.
    pub room: Option<RoomId>,
    /// Only what is younger.
    pub since: Option<Since>,
}

/// From where on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Above this seq.
    Seq(u64),
    /// At this time and later.
    Time(Timestamp),
}

/// The text is neither a seq nor a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a seq nor an RFC 3339 time")]
pub struct NotSince;

impl FromStr for Since {
    type Err = NotSince;

    fn from_str(text: &str) -> Result<Self, NotSince> {
        match text.parse() {
            Ok(seq) => Ok(Self::Seq(seq)),
            Err(_no_number) => Timestamp::parse(text).map(Self::Time).map_err(|_no_time| NotSince),
        }
    }
}

/// The same in seqs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolved {
    pub(crate) room: Option<RoomId>,
    /// Only what stands above.
    pub(crate) above: u64,
}

impl Scope {
    pub(crate) async fn resolve(self, broker: &Broker, log: &Extent) -> Result<Resolved, VerifyError> {
        let above = match self.since {
            None => 0,
            Some(Since::Seq(seq)) => seq,
            Some(Since::Time(time)) => seq_before(broker, log, time).await?,
        };
        Ok(Resolved { room: self.room, above })
    }
}

impl Resolved {
    pub(crate) fn subject(&self) -> String {
        self.room.map_or_else(|| ChatSubject::ALL.to_owned(), |room| ChatSubject(room).to_string())
    }

    /// Whether nothing is left out. Ids are in no order of rooms or seqs: of a part of the store they are looked at from the
    /// log's side only.
    pub(crate) const fn is_whole(&self) -> bool {
        self.room.is_none() && self.above == 0
    }

    pub(crate) fn has(&self, room: RoomId, seq: u64) -> bool {
        seq > self.above && self.room.is_none_or(|only| only == room)
    }
}

/// The greatest seq that is older than `time`; 0 when the log no longer tells.
async fn seq_before(broker: &Broker, log: &Extent, time: Timestamp) -> Result<u64, VerifyError> {
    let (mut low, mut high) = (log.first, log.last + 1);
    // The first seq from `low` on whose message is not older, if any.
    while low < high {
        let middle = low + (high - low) / 2;
        let found = stored::page(&broker.client, CHAT_MESSAGES, ChatSubject::ALL, middle, 1).await?;
        match found.first() {
            Some(message) if message.stored_at < time => low = message.seq + 1,
            Some(_) | None => high = middle,
        }
    }
    // Before the log's beginning the store may have more of that time.
    Ok(if low <= log.first { 0 } else { low - 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_seq_or_a_time() {
        assert_eq!("4711".parse(), Ok(Since::Seq(4711)));
        let time = Timestamp::parse("2026-11-21T05:58:48.927Z").unwrap();
        assert_eq!("2026-11-21T05:58:48.927Z".parse(), Ok(Since::Time(time)));
        assert_eq!("yesterday".parse::<Since>(), Err(NotSince));
    }
}
