//! What is said to a server and what its answers mean, in each of the languages.

use std::sync::LazyLock;

use memchr::memmem;

use super::ledger::Marker;
use crate::{
    frame::opcode,
    plan::{Dialect, Seat},
};

/// Built once: the generator looks for it in every frame.
static BEGIN: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(Marker::BEGIN));

/// What a frame meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The socket is in its room; so many seqs were told of, where there are any.
    Entered(Option<u64>),
    /// A message.
    Delivery(Marker),
    /// A message is in the log.
    Acknowledged,
    /// A message was refused, or something else went wrong.
    Refused(String),
    /// The server asks to come back elsewhere after so many milliseconds.
    Reconnect(u64),
    /// The server wants to be answered.
    Asked,
}

impl Dialect {
    /// The opening handshake.
    pub(super) fn handshake(self, seat: &Seat, since: Option<u64>) -> String {
        let Seat { room, token, .. } = seat;
        let (path, credential) = match self {
            Self::Timingle => {
                let since = since.map_or_else(String::new, |since| format!("&since={since}"));
                (format!("/api/v1/ws?room_id={room}{since}"), format!("Authorization: Bearer {token}\r\n"))
            }
            Self::Room => (format!("/rooms/{room}"), String::new()),
            Self::Nats => ("/".to_owned(), String::new()),
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{credential}\r\n"
        )
    }

    /// What the client says first; nothing where the handshake said it all.
    pub(super) fn greeting(self, seat: &Seat) -> Vec<String> {
        match self {
            Self::Timingle => seat.also.iter().map(|room| format!(r#"{{"type":"join","room_id":"{room}"}}"#)).collect(),
            Self::Room => Vec::new(),
            Self::Nats => {
                let options = r#"{"verbose":false,"pedantic":false,"headers":true,"protocol":1}"#;
                vec![format!("CONNECT {options}\r\nSUB live.chat.message.{} 1\r\nPING\r\n", seat.room)]
            }
        }
    }

    /// Whether the handshake alone puts a socket into its room.
    pub(super) const fn enters_by_handshake(self) -> bool {
        matches!(self, Self::Room)
    }

    /// What kind of frame carries what is said.
    pub(super) const fn opcode(self) -> u8 {
        match self {
            Self::Timingle | Self::Room => opcode::TEXT,
            Self::Nats => opcode::BINARY,
        }
    }

    /// One message.
    pub(super) fn message(self, seat: &Seat, run: &str, marker: Marker, bytes: usize) -> String {
        let text = marker.text(bytes);
        match self {
            Self::Timingle => {
                let Marker { sender, number, .. } = marker;
                format!(r#"{{"type":"message","temp_id":"{run}-{sender}-{number}","content":"{text}"}}"#)
            }
            Self::Room => text,
            Self::Nats => format!("PUB chat.message.{} {}\r\n{text}\r\n", seat.room, text.len()),
        }
    }

    /// What the client answers when it was asked whether it is there.
    pub(super) const fn presence(self) -> &'static [u8] {
        match self {
            Self::Timingle | Self::Room => b"",
            Self::Nats => b"PONG\r\n",
        }
    }

    /// Tells `hear` what a frame's payload means, in order. `torn` is what an earlier frame left unfinished.
    pub(super) fn read(self, payload: &[u8], torn: &mut Vec<u8>, mut hear: impl FnMut(Heard)) {
        match self {
            Self::Timingle => timingle(payload, &mut hear),
            Self::Room => {
                markers(payload, &mut hear);
            }
            Self::Nats => {
                if payload.starts_with(b"PING") {
                    hear(Heard::Asked);
                } else if memmem::find(payload, b"-ERR").is_some() {
                    hear(Heard::Refused(String::from_utf8_lossy(payload).trim().to_owned()));
                }
                if memmem::find(payload.get(..512).unwrap_or(payload), b"PONG\r\n").is_some() {
                    hear(Heard::Entered(None));
                }
                torn.extend_from_slice(payload);
                let read = markers(torn, &mut hear);
                // What may yet become a marker stays.
                let keep = torn.len().saturating_sub(Marker::BYTES - 1).max(read);
                torn.drain(..keep);
            }
        }
    }
}

/// Tells of each whole marker; says where the last one ends.
fn markers(payload: &[u8], hear: &mut impl FnMut(Heard)) -> usize {
    let mut read = 0;
    for at in BEGIN.find_iter(payload) {
        if let Some(marker) = payload.get(at + Marker::BEGIN.len()..).and_then(Marker::parse) {
            hear(Heard::Delivery(marker));
            read = at + Marker::BYTES;
        }
    }
    read
}

fn timingle(payload: &[u8], hear: &mut impl FnMut(Heard)) {
    let Some(rest) = payload.strip_prefix(br#"{"type":""#) else {
        return hear(Heard::Refused("a frame without a type".to_owned()));
    };
    let kind = rest.split(|byte| *byte == b'"').next().unwrap_or_default();
    match kind {
        b"message" => {
            markers(payload, hear);
        }
        b"joined" if memmem::find(payload, br#""recovered":false"#).is_some() => {
            hear(Heard::Refused("not_recovered".to_owned()));
        }
        b"joined" => hear(Heard::Entered(number(payload, br#""seq":"#))),
        b"status" if memmem::find(payload, br#""status":"sent""#).is_some() => hear(Heard::Acknowledged),
        b"status" if memmem::find(payload, br#""status":"saved""#).is_some() => {}
        b"reconnect" => hear(Heard::Reconnect(number(payload, br#""after_ms":"#).unwrap_or(0))),
        b"status" | b"error" | b"removed" => hear(Heard::Refused(code_of(payload))),
        _ => {}
    }
}

fn code_of(payload: &[u8]) -> String {
    let code = memmem::find(payload, br#""code":""#).and_then(|at| payload.get(at + 8..));
    let code = code.and_then(|code| code.split(|byte| *byte == b'"').next());
    String::from_utf8_lossy(code.unwrap_or(payload)).into_owned()
}

/// The whole number after the last `key` in the payload.
pub(super) fn number(payload: &[u8], key: &[u8]) -> Option<u64> {
    let digits = payload.get(memmem::rfind(payload, key)? + key.len()..)?;
    let digits = digits.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(dialect: Dialect, payload: &str) -> Vec<Heard> {
        let mut all = Vec::new();
        dialect.read(payload.as_bytes(), &mut Vec::new(), |heard| all.push(heard));
        all
    }

    #[test]
    fn our_frames_are_told_apart() {
        let marker = Marker { sender: 1, number: 2, meant_at: 3 };
        let check = |payload: &str, expected: Vec<Heard>| assert_eq!(heard(Dialect::Timingle, payload), expected);
        let message = format!(r#"{{"type":"message","content":"{}","seq":9}}"#, marker.text(50));
        check(&message, vec![Heard::Delivery(marker)]);
        check(r#"{"type":"joined","room_id":"r","seq":4711,"recovered":true}"#, vec![Heard::Entered(Some(4711))]);
        check(r#"{"type":"status","temp_id":"a","status":"sent","seq":4}"#, vec![Heard::Acknowledged]);
        let refused = vec![Heard::Refused("rate_limited".to_owned())];
        check(r#"{"type":"status","temp_id":"a","status":"failed","code":"rate_limited"}"#, refused);
        check(r#"{"type":"reconnect","after_ms":120}"#, vec![Heard::Reconnect(120)]);
        check(r#"{"type":"typing"}"#, Vec::new());
    }

    #[test]
    fn one_nats_frame_may_carry_many_messages() {
        let marker = |number| Marker { sender: 0, number, meant_at: 3 };
        let payload = format!("MSG a 1 40\r\n{}\r\nMSG a 1 40\r\n{}\r\n", marker(0).text(40), marker(1).text(40));
        assert_eq!(heard(Dialect::Nats, &payload), [Heard::Delivery(marker(0)), Heard::Delivery(marker(1))]);
        let (mut torn, mut found) = (Vec::new(), Vec::new());
        for piece in payload.as_bytes().chunks(7) {
            Dialect::Nats.read(piece, &mut torn, |heard| found.push(heard));
        }
        assert_eq!(found, [Heard::Delivery(marker(0)), Heard::Delivery(marker(1))], "in pieces");
        assert_eq!(heard(Dialect::Nats, "PONG\r\n"), [Heard::Entered(None)]);
        assert_eq!(heard(Dialect::Nats, "PING\r\n"), [Heard::Asked]);
    }
}
