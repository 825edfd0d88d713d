//! The socket's sizes and rates. Those that are settings name their default here.

use std::time::Duration;

/// The most bytes of a whole message, its fragments together.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// The most rooms a socket may be in.
pub const ROOMS_PER_SOCKET_MAX: usize = 100;
/// The most publishes of one socket that may wait for their answer; then it is not read.
pub const UNANSWERED_PER_SOCKET_MAX: usize = 16;
/// The most bytes queued to a socket; then it is closed with `slow_consumer`.
pub const QUEUED_BYTES_MAX: usize = 256 * 1024;
/// Above this many queued bytes ephemeral frames are dropped.
pub const QUEUED_BYTES_EPHEMERAL_MAX: usize = 16 * 1024;
/// The most sockets of one user on one gateway.
pub const SOCKETS_PER_USER_MAX: usize = 10;
/// Messages a second a user may send, and how many at once.
pub const USER_MESSAGES_PER_SECOND: u32 = 10;
/// The burst that goes with [`USER_MESSAGES_PER_SECOND`].
pub const USER_MESSAGES_BURST: u32 = 20;
/// Messages a second that a room takes on one gateway.
pub const ROOM_MESSAGES_PER_SECOND: u32 = 50;
/// Frames a second of one socket that are looked at; who sends more is read more slowly.
pub const FRAMES_PER_SECOND: u32 = 100;
/// The burst that goes with [`FRAMES_PER_SECOND`].
pub const FRAMES_BURST: u32 = 200;
/// Bad frames a minute; one more closes the socket.
pub const BAD_FRAMES_PER_MINUTE_MAX: usize = 10;
/// The most frames a replay gives; beyond, the client pages history.
pub const REPLAY_FRAMES_MAX: u64 = 10_000;
/// Frames in one page of a replay.
pub const REPLAY_PAGE: usize = 200;
/// The longest `nonce` of a `ping`, in characters.
pub const NONCE_CHARS_MAX: usize = 64;
/// The longest emoji of a reaction, in bytes.
pub const EMOJI_BYTES_MAX: usize = 64;
/// How often the server pings.
pub const PING_EVERY: Duration = Duration::from_secs(54);
/// How long a socket may be silent.
pub const SILENCE_MAX: Duration = Duration::from_mins(1);
/// How long a write may make no progress.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(10);
/// How long a socket may wait with its first frame `auth`.
pub const AUTH_WITHIN: Duration = Duration::from_secs(5);
/// How long after a close frame the connection may still be there.
pub const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// Between two `typing` signals of one person in one room.
pub const TYPING_EVERY: Duration = Duration::from_secs(1);
/// After this a `typing` that was not renewed lapses.
pub const TYPING_LAPSES: Duration = Duration::from_secs(10);
/// Between two times that a room's sockets are told who came and went.
pub const PRESENCE_EVERY: Duration = Duration::from_secs(1);
/// The most people whose coming or going one such time tells; the others wait for the next.
pub const PRESENCE_CHANGES_MAX: usize = 50;
/// The most people that a socket is told of when it joins; in a bigger room the client asks by REST.
pub const PRESENCE_SNAPSHOT_MAX: usize = 100;
/// Between two times that a room's sockets are told who has read how far.
pub const READ_EVERY: Duration = Duration::from_millis(250);
/// The most people whose marks one such time tells; the others wait for the next.
pub const READ_CHANGES_MAX: usize = 20;
/// Between two `room_updated` of one room to the same people.
pub const ROOM_UPDATES_EVERY: Duration = Duration::from_secs(1);
/// The same where everybody has joined the room anyway.
pub const ROOM_UPDATES_JOINED_EVERY: Duration = Duration::from_secs(2);
/// The most people of one room on a gateway that are told in [`ROOM_UPDATES_EVERY`]; in a bigger room it is longer.
pub const ROOM_UPDATES_MAX: usize = 50;
