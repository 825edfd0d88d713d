//! How far the workers are, what the streams dropped, and whether the log's numbers went back.

use ops::broker::Broker;
use schema::stream::{self, CHAT_MESSAGES, EVENTS};

use crate::{Check, VerifyError, finding::Place};

/// A stream as it was found, and how far its worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: u64,
    pub(crate) last: u64,
    floor: u64,
    is_idle: bool,
}

impl Extent {
    /// Up to this seq everything is in the store.
    pub(crate) fn settled(&self) -> u64 {
        // With nothing left to do the worker is through, whatever was deleted at the end.
        if self.is_idle { self.last } else { self.floor }
    }

    /// Messages that aged out unseen.
    pub(crate) fn lost(&self) -> u64 {
        stream::lost(self.first, self.floor)
    }
}

pub(crate) async fn extent(broker: &Broker, name: &'static str) -> Result<Extent, VerifyError> {
    let away = |reason: String| VerifyError::Broker { stream: name, reason };
    // The worker first: what it has done by then is not beyond the stream's end.
    let found = stream::ask_worker(&broker.js, name).await.map_err(|error| away(error.to_string()))?;
    let is_idle = found.num_pending == 0 && found.num_ack_pending == 0;
    let floor = found.ack_floor.stream_sequence;
    let last_idle = found.delivered.stream_sequence;
    let stream = broker.js.get_stream(name).await.map_err(|error| away(error.to_string()))?;
    let state = &stream.cached_info().state;
    // What came between the two questions is not done.
    let is_idle = is_idle && state.last_sequence <= last_idle;
    Ok(Extent { first: state.first_sequence, last: state.last_sequence, floor, is_idle })
}

impl Check<'_> {
    /// The loss formula, and the log's numbers.
    pub(crate) async fn standing(&mut self) -> Result<(), VerifyError> {
        for (name, extent) in [(CHAT_MESSAGES, self.log), (EVENTS, extent(&self.parts.broker, EVENTS).await?)] {
            if extent.lost() > 0 {
                let detail = format!("{} messages aged out before they were stored", extent.lost());
                self.findings.add("lost", Place::Stream { stream: name }, detail);
            }
        }
        let mark = self.parts.store.high_water().await?;
        if mark > self.log.last {
            let detail = format!("the store has seen seq {mark}, the log ends at {}", self.log.last);
            self.findings.add("log_behind", Place::Stream { stream: CHAT_MESSAGES }, detail);
            self.end = None;
        }
        Ok(())
    }

    /// Whether the log has never given this seq.
    pub(crate) async fn is_beyond(&mut self, seq: u64) -> Result<bool, VerifyError> {
        let Some(end) = self.end else { return Ok(false) };
        if seq > end {
            self.end = Some(extent(&self.parts.broker, CHAT_MESSAGES).await?.last);
        }
        Ok(self.end.is_some_and(|end| seq > end))
    }
}
