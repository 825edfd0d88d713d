//! Names of the headers on NATS messages: ours, and those of the server that we read.

/// The envelope's version; this code speaks [`VERSION`].
pub const TIMINGLE_V: &str = "Timingle-V";
/// The value of [`TIMINGLE_V`].
pub const VERSION: &str = "1";
/// Who really sent it; frames may show an alias.
pub const TIMINGLE_SENDER: &str = "Timingle-Sender";
/// The gateway that waits to hear `saved`.
pub const TIMINGLE_GATEWAY: &str = "Timingle-Gateway";
/// Set to `1` on a message that may be in the log already.
pub const TIMINGLE_RESEND: &str = "Timingle-Resend";
/// Set to `1` on a deletion by who runs the room: its publisher has looked, and the worker looks again.
pub const TIMINGLE_MODERATOR: &str = "Timingle-Moderator";
/// When a gateway or an api took it in (RFC 3339), by its own clock: for whoever looks for lost time, and for nothing else.
pub const TIMINGLE_ACCEPTED: &str = "Timingle-Accepted";
/// When the try that is in the log was published, likewise.
pub const TIMINGLE_PUBLISHED: &str = "Timingle-Published";

/// The publisher's name for a message: inside the stream's duplicate window a second one is not stored.
pub const NATS_MSG_ID: &str = "Nats-Msg-Id";
/// The stream sequence, on republished copies and direct gets.
pub const NATS_SEQUENCE: &str = "Nats-Sequence";
/// The subject's previous sequence, on republished copies.
pub const NATS_LAST_SEQUENCE: &str = "Nats-Last-Sequence";
/// When the server stored it (RFC 3339, nanoseconds), on republished copies and direct gets.
pub const NATS_TIME_STAMP: &str = "Nats-Time-Stamp";
/// The subject it was stored under, on direct gets.
pub const NATS_SUBJECT: &str = "Nats-Subject";
/// How many more a batched direct get has to give.
pub const NATS_NUM_PENDING: &str = "Nats-Num-Pending";

/// Why a message lies in `CHAT_DEAD`.
pub const DEAD_REASON: &str = "Timingle-Dead-Reason";
/// The seq it had in its stream.
pub const DEAD_SEQ: &str = "Timingle-Dead-Seq";
/// When its stream stored it.
pub const DEAD_TIME: &str = "Timingle-Dead-Time";
/// How often it had been delivered.
pub const DEAD_DELIVERIES: &str = "Timingle-Dead-Deliveries";
/// The subject it was stored under.
pub const DEAD_SUBJECT: &str = "Timingle-Dead-Subject";
