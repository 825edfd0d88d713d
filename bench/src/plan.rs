//! What the load generator is told to do.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// How the server under test is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Our gateway: `GET /api/v1/ws?event_id=…`, frames as in docs/socket.md.
    Timingle,
    /// `GET /rooms/<id>`; each text goes to everybody in the room as it is.
    Room,
    /// The NATS protocol over WebSocket, on nats-server's own listener.
    Nats,
}

/// One socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seat {
    /// The room it enters.
    pub room: String,
    /// Its access token; unused by other dialects.
    pub token: String,
    /// Which of the targets it connects to.
    pub target: usize,
    /// Whether it sends.
    pub sends: bool,
    /// Whether it stops reading once it is in.
    pub is_stalled: bool,
    /// Whether the storm drops it.
    pub is_in_storm: bool,
    /// Rooms it enters besides, in which nobody speaks.
    pub also: Vec<String>,
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// This run's name: no two runs may name a message alike.
    pub run: String,
    /// The language.
    pub dialect: Dialect,
    /// Where the servers listen.
    pub targets: Vec<SocketAddr>,
    /// The processes whose time and memory are measured, by name.
    pub processes: Vec<(String, i32)>,
    /// Every socket.
    pub seats: Vec<Seat>,
    /// Handshakes under way at once.
    pub handshakes: usize,
    /// Messages a second, of all senders together; 0 for none.
    pub rate: f64,
    /// Bytes of a message's text.
    pub content_bytes: usize,
    /// Seconds of load before the measurement.
    pub warm_up: f64,
    /// Seconds of measurement.
    pub measure: f64,
    /// Seconds without load between the last handshake and the warm-up, after which memory is read.
    pub settle: f64,
    /// Seconds into the measurement at which the storm's sockets are dropped and come back, if they do.
    pub storm_at: Option<f64>,
    /// The port to which sockets go that were sent away (1012), as an index of `targets`.
    pub refuge: Option<usize>,
    /// Seconds that what is on its way may take after the last message.
    pub patience: f64,
    /// A file that appears when the measurement begins: what else is to happen then waits for it.
    pub begun_file: Option<String>,
}
