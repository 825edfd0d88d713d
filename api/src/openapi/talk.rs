//! The shapes of rooms, of what is said there, and of who has read it.

use serde_json::{Value, json};

use super::schemas::{array, boolean, nullable, object, one_of, page, reference, string, text, time, uuid, whole};

/// Rooms, and what is said there.
pub(super) fn rooms() -> Vec<(&'static str, Value)> {
    let room = [
        ("id", uuid()),
        ("room_type", one_of(&["event", "direct", "team", "matching"])),
        ("name", string()),
        ("description", nullable(string())),
        ("display_mode", one_of(&["open", "blind"])),
        ("is_archived", boolean()),
        ("notice", nullable(string())),
        ("created_by", uuid()),
        ("created_at", time()),
        ("updated_at", time()),
        ("last_message_at?", nullable(time())),
        ("last_message?", nullable(reference("HistoryItem"))),
        ("unread_count?", whole()),
    ];
    let member = object(&[
        ("user_id", uuid()),
        ("display_name", string()),
        ("role", string()),
        ("anonymous_name", nullable(string())),
        ("group_label", nullable(string())),
        ("is_muted", boolean()),
        ("joined_at", time()),
    ]);
    let present = object(&[("user_id", uuid()), ("online", boolean()), ("last_seen_at", nullable(time()))]);
    let history = object(&[
        ("items", array(reference("HistoryItem"))),
        ("has_more_before", boolean()),
        ("has_more_after", boolean()),
        ("settled_seq", whole()),
    ]);
    let new = object(&[
        ("temp_id", text(64)),
        ("content", text(4_000)),
        ("message_type?", one_of(&["text", "image", "file"])),
        ("reply_to_id?", nullable(uuid())),
        ("resend?", boolean()),
    ]);
    let status = object(&[("status", one_of(&["saved", "absent", "unknown"])), ("id?", uuid()), ("seq?", whole())]);
    vec![
        ("Room", object(&room)),
        ("Rooms", page("Room")),
        ("Member", member),
        ("Members", page("Member")),
        ("Present", present),
        ("Presence", page("Present")),
        ("HistoryItem", item()),
        ("History", history),
        ("Written", page("HistoryItem")),
        ("NewMessage", new),
        ("NewContent", object(&[("temp_id?", text(64)), ("content", text(4_000))])),
        ("MessageStatus", status),
    ]
}

/// A row of history: of a message, or of something that happened.
fn item() -> Value {
    object(&[
        ("type", one_of(&["message", "system"])),
        ("room_id", uuid()),
        ("id", uuid()),
        ("sender_id?", uuid()),
        ("sender_name?", string()),
        ("temp_id?", string()),
        ("content?", nullable(string())),
        ("message_type?", one_of(&["text", "image", "file"])),
        ("reply_to_id?", nullable(uuid())),
        ("change?", string()),
        ("actor_id?", nullable(uuid())),
        ("data?", json!({"type": "object"})),
        ("seq", whole()),
        ("created_at", time()),
        ("edited_at", nullable(time())),
        ("deleted", boolean()),
        ("reactions", array(object(&[("emoji", string()), ("count", whole()), ("me", boolean())]))),
    ])
}

/// How far people have read, and what they missed.
pub(super) fn reading() -> Vec<(&'static str, Value)> {
    let seq = || json!({"type": "integer", "format": "int64", "minimum": 0});
    let mark = object(&[("user_id", uuid()), ("seq", seq()), ("read_at", nullable(time()))]);
    let frame =
        json!({"type": "object", "description": "as on the socket", "required": ["type", "room_id", "seq", "prev"]});
    let room = object(&[("room_id", uuid()), ("frames", array(frame)), ("limited", boolean())]);
    vec![
        ("UpTo", object(&[("seq?", seq()), ("message_id?", uuid())])),
        ("Reader", object(&[("room_id", uuid()), ("user_id", uuid()), ("seq", seq())])),
        ("ReadMark", mark),
        ("ReadMarks", page("ReadMark")),
        ("Sync", object(&[("rooms", array(room)), ("next_since", seq())])),
    ]
}
