//! Every way the server says no, in one table: REST and the socket share the codes.
//!
//! A code is a promise: clients match on it, texts may change.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $retry:literal, $title:literal;)*) => {
        /// What went wrong, in a form a program can act on.
        #[expect(clippy::doc_markdown, reason = "titles are answered as they stand, to people and not to rustdoc")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $(#[doc = $title] $(#[$doc])* #[serde(rename = $code)] $name,)*
        }

        impl Code {
            /// Every code there is, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as clients read it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The status of an HTTP answer with this code.
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// Whether the same request may succeed later, unchanged.
            pub const fn may_retry(self) -> bool {
                match self { $(Self::$name => $retry,)* }
            }

            /// The meaning, in one line for a person.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    // Who are you.
    InvalidToken = "invalid_token", 401, false, "The credential is missing, malformed, expired or revoked";
    InvalidCredentials = "invalid_credentials", 401, false, "E-mail or password is wrong";
    SessionRevoked = "session_revoked", 401, false, "The session was signed out";
    Banned = "banned", 403, false, "The account is banned";
    // May you.
    NotAMember = "not_a_member", 403, false, "Not a member of this room or event, or there is none";
    Forbidden = "forbidden", 403, false, "Not allowed to this role";
    OriginNotAllowed = "origin_not_allowed", 403, false, "This web origin may not connect";
    // Is it well-formed.
    InvalidRequest = "invalid_request", 400, false, "The request is malformed";
    InvalidSignature = "invalid_signature", 400, false, "The notice is not signed with the shared secret";
    InvalidJson = "invalid_json", 400, false, "The body is not the JSON this route takes";
    InvalidCursor = "invalid_cursor", 400, false, "The cursor was not made by this list";
    NotFound = "not_found", 404, false, "There is nothing at this address";
    MethodNotAllowed = "method_not_allowed", 405, false, "This address does not take this method";
    BodyTooLarge = "body_too_large", 413, false, "The body is larger than this route takes";
    UnsupportedMediaType = "unsupported_media_type", 415, false, "This route takes application/json";
    HeadersTooLarge = "headers_too_large", 431, false, "The request's head is larger than 16 KiB";
    InvalidFields = "invalid_fields", 422, false, "Some fields do not hold what they must";
    UpgradeRequired = "upgrade_required", 426, false, "This address speaks WebSocket, version 13";
    InvalidFrame = "invalid_frame", 400, false, "The frame is not one JSON object with the fields of its type";
    UnknownType = "unknown_type", 400, false, "No frame has this type";
    UnsupportedType = "unsupported_type", 400, false, "The server does not take this type of frame yet";
    UnsupportedField = "unsupported_field", 400, false, "The server does not take this field yet";
    InvalidTempId = "invalid_temp_id", 422, false, "temp_id must have 1 to 64 printable characters";
    InvalidContent = "invalid_content", 422, false, "content must have text and no U+0000";
    ContentTooLong = "content_too_long", 422, false, "content may have at most 4,000 characters";
    FrameTooLarge = "frame_too_large", 413, false, "The frame is larger than 64 KiB";
    // Does it fit what is there.
    NotJoined = "not_joined", 409, false, "This socket has not joined the room";
    TooManyRooms = "too_many_rooms", 409, false, "A socket may join at most 100 rooms";
    UserMismatch = "user_mismatch", 409, false, "A live socket may renew the token of its own user only";
    BadTransition = "bad_transition", 409, false, "The event's status does not allow this change";
    EmailTaken = "email_taken", 409, false, "This e-mail has an account already";
    SlotTaken = "slot_taken", 409, false, "The slot is booked, closed or over";
    AlreadyParticipant = "already_participant", 409, false, "This person is in the event already";
    Conflict = "conflict", 409, false, "Something else was there first";
    TempIdReused = "temp_id_reused", 409, false, "This temp_id already names other content";
    Stale = "stale", 412, false, "The object changed since it was read";
    IdempotencyKeyReused = "idempotency_key_reused", 422, false, "This Idempotency-Key came with another body";
    // Not now.
    RateLimited = "rate_limited", 429, true, "Too fast: slow down";
    TooManyConnections = "too_many_connections", 429, true, "Too many connections";
    TooManyHandshakes = "too_many_handshakes", 503, true, "Too many handshakes a second: connect again later";
    TooManyUnfinished = "too_many_unfinished", 503, true, "Too many connections have not finished their handshake: connect again later";
    Overloaded = "overloaded", 503, true, "Too much waits for slow readers: connect again later";
    NotSettled = "not_settled", 503, true, "The store has not caught up with the log: ask again soon";
    Backlog = "backlog", 503, true, "The store is too far behind for new messages";
    LogBehind = "log_behind", 503, true, "The log's numbers went back: an operator must look";
    Unknown = "unknown", 503, true, "No answer in time: it may be stored or not; send it again with resend";
    Unavailable = "unavailable", 503, true, "A part that this needs is away";
    Draining = "draining", 503, true, "This process is going away: connect again";
    Internal = "internal", 500, false, "A defect on our side; it was logged under the request's id";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One field that was refused, in a 422.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The field's name in the request.
    pub field: String,
    /// What is wrong with it: `required`, `too_long`, `invalid` …
    pub code: String,
}

/// An RFC 9457 answer (`application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A name for the kind of problem: `urn:timingle:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's meaning.
    pub title: String,
    /// The answer's status.
    pub status: u16,
    /// What clients match on.
    pub code: Code,
    /// What was wrong this time.
    pub detail: String,
    /// The name under which the server logged it; also in `X-Request-Id`.
    pub request_id: String,
    /// The refused fields of a 422.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// The media type of an answer that holds one.
    pub const CONTENT_TYPE: &'static str = "application/problem+json";

    /// Says `code`, with what was wrong this time.
    pub fn new(code: Code, detail: impl Into<String>, request_id: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:timingle:problem:{code}"),
            title: code.title().into(),
            status: code.http_status(),
            code,
            detail: detail.into(),
            request_id: request_id.into(),
            errors: Vec::new(),
        }
    }
}
