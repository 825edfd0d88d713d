//! The gateway's metrics: every name is spelled here, and once. Handles are made at the start and held,
//! because a look-up by name costs more than what it counts.

use std::collections::HashMap;

use metrics::{Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use schema::{frame::close::CloseReason, problem::Code};

/// What a gateway counts.
#[derive(Debug)]
pub struct Measure {
    /// Sockets that are open.
    pub(crate) connections: Gauge,
    /// Rooms that have a socket here.
    pub(crate) rooms: Gauge,
    /// Text frames of clients.
    pub(crate) frames_in: Counter,
    /// Frames handed to sockets, each for each socket.
    pub(crate) frames_out: Counter,
    /// Of these, frames of a room's log, live.
    pub(crate) deliveries: Counter,
    /// Writes that carried more than one frame of a room's log.
    pub(crate) coalesced_writes: Counter,
    /// Bytes that wait for slow readers.
    pub(crate) queued_bytes: Gauge,
    /// Signals that a socket did not get because it was behind.
    pub(crate) dropped_socket_behind: Counter,
    /// Signals that a socket did not get because the whole gateway was behind.
    pub(crate) dropped_gateway_behind: Counter,
    /// Live copies that a room's full inbox did not take; they are read from the stream instead.
    pub(crate) dropped_room_inbox: Counter,
    /// From a publish to its answer, repeats and look-ups included.
    pub(crate) publish_seconds: Histogram,
    /// Live copies that went missing.
    pub(crate) gaps_found: Counter,
    /// Comings and goings that rooms were told of.
    pub(crate) presence_told: Counter,
    /// Sockets that were told who is online when they joined.
    pub(crate) presence_snapshots: Counter,
    /// Frames `room_updated`, each for each socket.
    pub(crate) room_updates: Counter,
    /// Envelopes that can not be shown.
    pub(crate) envelopes_refused: Counter,
    resumes_memory: Resumes,
    resumes_stream: Resumes,
    resumes_store: Resumes,
    closes: HashMap<CloseReason, Counter>,
    closes_without_a_word: Counter,
    refusals: HashMap<Code, Counter>,
}

/// Where a replay was read, the fastest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The room's newest frames, held here.
    Memory,
    /// The log.
    Stream,
    /// What the log no longer holds.
    Store,
}

/// Resumes out of one source.
#[derive(Debug)]
pub(crate) struct Resumes {
    /// Joins with `since` that read nothing slower than this.
    pub(crate) joins: Counter,
    /// Frames read from here.
    pub(crate) frames: Counter,
}

impl Measure {
    /// Makes every handle, with the recorder that is in force here.
    pub fn new() -> Self {
        describe();
        let dropped = |reason| counter!("gateway_frames_dropped_total", "reason" => reason);
        let closes =
            |code: u16, reason| counter!("gateway_closes_total", "code" => code.to_string(), "reason" => reason);
        let refused = |code: Code| counter!("gateway_handshakes_refused_total", "code" => code.as_str());
        Self {
            connections: gauge!("gateway_connections"),
            rooms: gauge!("gateway_rooms"),
            frames_in: counter!("gateway_frames_in_total"),
            frames_out: counter!("gateway_frames_out_total"),
            deliveries: counter!("gateway_deliveries_total"),
            coalesced_writes: counter!("gateway_coalesced_writes_total"),
            queued_bytes: gauge!("gateway_queued_bytes"),
            dropped_socket_behind: dropped("socket_behind"),
            dropped_gateway_behind: dropped("gateway_behind"),
            dropped_room_inbox: dropped("room_inbox"),
            publish_seconds: metrics::histogram!("gateway_publish_seconds"),
            gaps_found: counter!("gateway_gaps_found_total"),
            presence_told: counter!("gateway_presence_told_total"),
            presence_snapshots: counter!("gateway_presence_snapshots_total"),
            room_updates: counter!("gateway_room_updates_total"),
            envelopes_refused: counter!("gateway_envelopes_refused_total"),
            resumes_memory: Resumes::out_of("memory"),
            resumes_stream: Resumes::out_of("stream"),
            resumes_store: Resumes::out_of("store"),
            closes: CloseReason::ALL.iter().map(|why| (*why, closes(why.code(), why.as_str()))).collect(),
            // The number that RFC 6455, 7.1.5 gives to an end without a close frame.
            closes_without_a_word: closes(1006, "gone"),
            refusals: Code::ALL.iter().map(|code| (*code, refused(*code))).collect(),
        }
    }

    /// Resumes out of this source.
    pub(crate) const fn resumed(&self, source: Source) -> &Resumes {
        match source {
            Source::Memory => &self.resumes_memory,
            Source::Stream => &self.resumes_stream,
            Source::Store => &self.resumes_store,
        }
    }

    /// A socket has ended, for this reason if the server gave one.
    pub(crate) fn closed(&self, reason: Option<CloseReason>) {
        reason.and_then(|reason| self.closes.get(&reason)).unwrap_or(&self.closes_without_a_word).increment(1);
    }

    /// A connection was refused before it became a socket.
    pub(crate) fn refused(&self, code: Code) {
        if let Some(refused) = self.refusals.get(&code) {
            refused.increment(1);
        }
    }
}

impl Default for Measure {
    fn default() -> Self {
        Self::new()
    }
}

impl Resumes {
    fn out_of(source: &'static str) -> Self {
        Self {
            joins: counter!("gateway_resumes_total", "source" => source),
            frames: counter!("gateway_resumed_frames_total", "source" => source),
        }
    }
}

fn describe() {
    describe_gauge!("gateway_connections", "sockets that are open");
    describe_gauge!("gateway_rooms", "rooms that have a socket here");
    describe_counter!("gateway_frames_in_total", "text frames of clients");
    describe_counter!("gateway_frames_out_total", "frames handed to sockets, each for each socket");
    describe_counter!("gateway_deliveries_total", "of these, frames of a room's log, live");
    describe_counter!("gateway_coalesced_writes_total", "writes that carried more than one frame of a room's log");
    describe_gauge!("gateway_queued_bytes", "bytes that wait for slow readers");
    describe_counter!("gateway_frames_dropped_total", "frames that were not written, by reason");
    describe_histogram!("gateway_publish_seconds", "from a publish to its answer, repeats included");
    describe_counter!("gateway_gaps_found_total", "holes found between live copies");
    describe_counter!("gateway_presence_told_total", "comings and goings that rooms were told of");
    describe_counter!("gateway_presence_snapshots_total", "sockets that were told who is online when they joined");
    describe_counter!("gateway_room_updates_total", "frames room_updated, each for each socket");
    describe_counter!("gateway_envelopes_refused_total", "envelopes that can not be shown");
    describe_counter!("gateway_resumes_total", "joins with since, by the slowest source they needed");
    describe_counter!("gateway_resumed_frames_total", "frames of replays, by where they were read");
    describe_counter!("gateway_closes_total", "sockets that ended, by close code; 1006 without one");
    describe_counter!("gateway_handshakes_refused_total", "connections refused before the upgrade, by problem code");
}
