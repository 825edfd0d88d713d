//! What the load generator found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One process over the time of measurement.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Its name in the plan.
    pub name: String,
    /// Microseconds of processor time, user and system.
    pub cpu_micros: f64,
    /// Resident bytes before the first socket.
    pub rss_before: u64,
    /// Resident bytes with all sockets there, before any load.
    pub rss_idle: u64,
    /// Resident bytes at the end of the measurement.
    pub rss_after: u64,
    /// The most resident bytes seen, looked at every 100 ms.
    pub rss_peak: u64,
}

/// Times from the moment a message was meant to be sent to its arrival, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Half are quicker.
    pub p50: u64,
    /// One of a hundred is slower.
    pub p99: u64,
    /// The slowest.
    pub max: u64,
}

/// Sockets that were dropped and came back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Return {
    /// How many.
    pub sockets: usize,
    /// Microseconds until half were back in their room.
    pub p50: u64,
    /// Microseconds until all were.
    pub all: u64,
    /// Microseconds from the beginning of the measurement to the last return.
    pub last_at: u64,
}

/// One run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Sockets that were in their room.
    pub sockets: usize,
    /// Seconds from the first handshake until all were in.
    pub entered_within: f64,
    /// Messages sent in the time of measurement.
    pub sent: u64,
    /// Messages that the server said are in the log, over the whole run.
    pub acknowledged: u64,
    /// Refusals by their code, over the whole run.
    pub refused: BTreeMap<String, u64>,
    /// Deliveries in the time of measurement.
    pub delivered: u64,
    /// Mean bytes of a delivery's frame payload.
    pub frame_bytes: f64,
    /// The length of the measurement in seconds.
    pub seconds: f64,
    /// How late sends began: the 99th percentile in microseconds.
    pub send_lag_p99: u64,
    /// The longest of them: a pause of the generator's own.
    pub send_lag_max: u64,
    /// Send to receive.
    pub latency: Latency,
    /// The generator's own share of a core.
    pub own_share: f64,
    /// The processes under test.
    pub spent: Vec<Spent>,
    /// Closes by code, over the whole run; 0 = without a close frame.
    pub closes: BTreeMap<u16, u64>,
    /// Who came back after the storm or the drain.
    pub returned: Return,
    /// What was not once and in order, the first few of them.
    pub violations: Vec<String>,
    /// How many there were.
    pub violation_count: u64,
}
