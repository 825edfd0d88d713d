//! Every reason to close a socket has a number, a sentence and a promise: 4000-4499 and 1012 mean come
//! back, 4500-4999 do not.

macro_rules! reasons {
    ($($(#[doc = $meaning:literal])+ $name:ident = $code:literal, $reason:literal;)*) => {
        /// Why the server closes a socket.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CloseReason {
            $($(#[doc = $meaning])+ $name,)*
        }

        impl CloseReason {
            /// Every reason there is, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The close frame's code.
            pub const fn code(self) -> u16 {
                match self { $(Self::$name => $code,)* }
            }

            /// What it means, for the documentation.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($meaning),+).trim(),)* }
            }

            /// The close frame's reason.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $reason,)* }
            }
        }
    };
}

reasons! {
    /// The client closed first; the server answers in kind.
    Normal = 1000, "bye";
    /// The bytes are no WebSocket frames.
    BrokenFraming = 1002, "broken_framing";
    /// Binary frames are not part of the protocol.
    Unsupported = 1003, "binary_not_supported";
    /// A text frame is not UTF-8.
    NotUtf8 = 1007, "not_utf8";
    /// A message is larger than 64 KiB.
    TooBig = 1009, "too_big";
    /// The process goes away.
    Restarting = 1012, "restarting";
    /// The client reads too slowly.
    SlowConsumer = 4001, "slow_consumer";
    /// Nothing was heard from the client for too long.
    PingTimeout = 4002, "ping_timeout";
    /// The access token ended and was not renewed.
    TokenExpired = 4003, "token_expired";
    /// The socket's only room is closed to it now.
    RemovedFromRoom = 4004, "removed_from_room";
    /// The server can not check the credential now.
    Unavailable = 4005, "unavailable";
    /// Token missing or malformed.
    InvalidToken = 4500, "invalid_token";
    /// Not a member of the room the address names.
    NotAMember = 4501, "not_a_member";
    /// Too many bad frames.
    ProtocolError = 4502, "protocol_error";
    /// The account is banned.
    Banned = 4503, "banned";
    /// The session was signed out.
    SessionRevoked = 4504, "session_revoked";
    /// The user has too many sockets on this gateway.
    TooManyConnections = 4505, "too_many_connections";
}

impl CloseReason {
    /// Whether the client should connect again by itself.
    pub const fn may_come_back(self) -> bool {
        matches!(self.code(), 1012 | 4000..=4499)
    }
}
