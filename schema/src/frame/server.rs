//! What the server says on the socket, log frames apart: those are spliced from the log's own bytes
//! ([`crate::envelope`]).

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    frame::history::HistoryItem,
    id::{ConnectionId, MessageId, RoomId, UserId},
    problem::Code,
};

/// What became of something the client sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Status {
    /// It is in the log.
    Sent {
        /// Which message.
        id: MessageId,
        /// Where it stands.
        seq: u64,
    },
    /// It is in the message store.
    Saved {
        /// Which message.
        id: MessageId,
        /// Where it stands.
        seq: u64,
    },
    /// No answer in time: send it again with `resend`.
    Unknown {
        /// Always true.
        retry: bool,
    },
    /// It is provably not stored.
    Failed {
        /// Why.
        code: Code,
        /// What was wrong this time.
        detail: String,
        /// Whether the same frame may succeed later.
        retry: bool,
        /// When to try.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
}

impl Status {
    /// The whole frame, for what is said of every message there is: a fifth of the work of a serialiser that has to
    /// flatten. The golden tests hold both ways to the same bytes.
    fn to_json(&self, room_id: RoomId, temp_id: &str) -> Option<Vec<u8>> {
        let (name, id, seq) = match self {
            Self::Sent { id, seq } => ("sent", id, seq),
            Self::Saved { id, seq } => ("saved", id, seq),
            Self::Unknown { .. } | Self::Failed { .. } => return None,
        };
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let mut json = Vec::with_capacity(192 + temp_id.len());
        json.extend_from_slice(br#"{"type":"status","room_id":""#);
        json.extend_from_slice(room_id.as_uuid().hyphenated().encode_lower(&mut text).as_bytes());
        json.extend_from_slice(br#"","temp_id":"#);
        serde_json::to_writer(&mut json, temp_id).ok()?;
        json.extend_from_slice(br#","status":""#);
        json.extend_from_slice(name.as_bytes());
        json.extend_from_slice(br#"","id":""#);
        json.extend_from_slice(id.as_uuid().hyphenated().encode_lower(&mut text).as_bytes());
        json.extend_from_slice(br#"","seq":"#);
        serde_json::to_writer(&mut json, seq).ok()?;
        json.push(b'}');
        Some(json)
    }
}

/// A frame to the client, with `type` first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// The first frame of every socket.
    Hello {
        /// The protocol's version.
        protocol: u8,
        /// This socket, in the server's logs.
        connection_id: ConnectionId,
        /// Whose socket it is; null until `auth`.
        user_id: Option<UserId>,
        /// How often the server pings, in seconds.
        ping_every_s: u64,
        /// The server's clock.
        server_time: Timestamp,
    },
    /// The token was accepted.
    Authenticated {
        /// Whose it is.
        user_id: UserId,
        /// When it ends; send `auth` with a new one before.
        expires_at: Timestamp,
    },
    /// The room is live from here on.
    Joined {
        /// Which room.
        room_id: RoomId,
        /// The room's last seq.
        seq: u64,
        /// Whether everything after `since` was replayed.
        recovered: bool,
        /// How many frames were.
        replayed: u64,
        /// How the room sees this user.
        me: UserId,
        /// Where to page history from, when too much was missed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        oldest_seq: Option<u64>,
    },
    /// The room is no longer heard on this socket.
    Left {
        /// Which room.
        room_id: RoomId,
    },
    /// A seq that can not be shown.
    Skip {
        /// Where.
        room_id: RoomId,
        /// Which seq.
        seq: u64,
        /// The room's seq before it.
        prev: u64,
    },
    /// Somebody types, or has stopped.
    Typing {
        /// Where.
        room_id: RoomId,
        /// Who.
        user_id: UserId,
        /// Whether they type.
        active: bool,
    },
    /// Somebody came or went.
    Presence {
        /// Where.
        room_id: RoomId,
        /// Who.
        user_id: UserId,
        /// Whether they are there.
        online: bool,
        /// When they were last there; null while they are, or when it is not known.
        last_seen_at: Option<Timestamp>,
    },
    /// Somebody has read up to here.
    Read {
        /// Where.
        room_id: RoomId,
        /// Who.
        user_id: UserId,
        /// Up to which seq.
        seq: u64,
    },
    /// What became of something this client sent.
    Status {
        /// Where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room_id: Option<RoomId>,
        /// The client's own name for it.
        temp_id: String,
        /// What became of it.
        #[serde(flatten)]
        status: Status,
    },
    /// A room of the user's moved.
    RoomUpdated {
        /// Which room.
        room_id: RoomId,
        /// What is unread in it.
        unread_count: u32,
        /// The newest message.
        last_message: Option<Box<HistoryItem>>,
    },
    /// The user is no longer in the room.
    Removed {
        /// Which room.
        room_id: RoomId,
        /// Why: `participant_removed`, `event_deleted` …
        reason: String,
    },
    /// A frame was refused that named no `temp_id`.
    Error {
        /// Why.
        code: Code,
        /// What was wrong this time.
        detail: String,
        /// What the frame called itself, if that could be read.
        temp_id: Option<String>,
        /// Which room the frame was for, if that could be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room_id: Option<RoomId>,
    },
    /// The answer to a `ping`.
    Pong {
        /// What the ping carried.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nonce: Option<String>,
    },
    /// The process goes away: connect again after the wait.
    Reconnect {
        /// How long to wait.
        after_ms: u64,
    },
}

impl ServerFrame {
    /// The version in `hello`.
    pub const PROTOCOL: u8 = 1;

    /// The JSON of the frame.
    pub fn to_json(&self) -> Vec<u8> {
        if let Self::Status { room_id: Some(room_id), temp_id, status } = self
            && let Some(json) = status.to_json(*room_id, temp_id)
        {
            return json;
        }
        serde_json::to_vec(self).expect("strings, numbers and ids serialise")
    }

    /// A refusal: `status failed` for what named itself, else `error`.
    pub fn refusal(code: Code, detail: String, room_id: Option<RoomId>, temp_id: Option<String>) -> Self {
        match temp_id {
            Some(temp_id) => {
                let status = Status::Failed { code, detail, retry: code.may_retry(), retry_after_ms: None };
                Self::Status { room_id, temp_id, status }
            }
            None => Self::Error { code, detail, temp_id: None, room_id },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_is_written_by_hand_is_the_serialisers() {
        let id = MessageId::from_uuid(uuid::Uuid::from_u128(7));
        for status in [Status::Sent { id, seq: 0 }, Status::Saved { id, seq: u64::MAX }] {
            for temp_id in ["a-1", "\"quoted\\ \n", "안녕"] {
                let room_id = Some(RoomId::from_uuid(uuid::Uuid::from_u128(9)));
                let frame = ServerFrame::Status { room_id, temp_id: temp_id.into(), status: status.clone() };
                assert_eq!(frame.to_json(), serde_json::to_vec(&frame).unwrap());
            }
        }
    }
}
