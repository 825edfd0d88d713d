//! What the server says, log frames apart: each frame with its keys in the protocol's order, `type` first.

use std::collections::BTreeSet;

use schema::{
    frame::server::{ServerFrame, Status},
    problem::Code,
};
use serde_json::Value;

use super::{
    record::history_message,
    sample::{ANN, BOB, MESSAGE, ROOM, golden, id, time},
};

/// Compares, reads back, and notes which frame it was.
#[derive(Default)]
struct Book(BTreeSet<&'static str>);

impl Book {
    fn check(&mut self, frame: &ServerFrame, expected: &str) {
        let expected = golden(expected);
        let json = String::from_utf8(frame.to_json()).expect("JSON is UTF-8");
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<ServerFrame>(&json).as_ref().ok(), Some(frame), "{json}");
        assert!(json.starts_with(&format!(r#"{{"type":"{}""#, kind(frame))), "{json}");
        self.0.insert(kind(frame));
    }
}

/// No wildcard: a new frame does not compile here until it has its golden text below.
const fn kind(frame: &ServerFrame) -> &'static str {
    match frame {
        ServerFrame::Hello { .. } => "hello",
        ServerFrame::Authenticated { .. } => "authenticated",
        ServerFrame::Joined { .. } => "joined",
        ServerFrame::Left { .. } => "left",
        ServerFrame::Skip { .. } => "skip",
        ServerFrame::Typing { .. } => "typing",
        ServerFrame::Presence { .. } => "presence",
        ServerFrame::Read { .. } => "read",
        ServerFrame::Status { .. } => "status",
        ServerFrame::RoomUpdated { .. } => "room_updated",
        ServerFrame::Removed { .. } => "removed",
        ServerFrame::Error { .. } => "error",
        ServerFrame::Pong { .. } => "pong",
        ServerFrame::Reconnect { .. } => "reconnect",
    }
}

#[test]
fn each_frame_reads_as_the_protocol_prints_it() {
    let mut book = Book::default();
    of_the_socket(&mut book);
    of_rooms(&mut book);
    of_people(&mut book);
    let kinds: Vec<_> = book.0.into_iter().collect();
    assert_eq!(
        kinds.join(" "),
        "authenticated error hello joined left pong presence read reconnect removed room_updated skip typing"
    );
}

fn of_the_socket(book: &mut Book) {
    let hello = |user_id| ServerFrame::Hello {
        protocol: ServerFrame::PROTOCOL,
        connection_id: id(MESSAGE),
        user_id,
        ping_every_s: 54,
        server_time: time(),
    };
    book.check(
        &hello(Some(id(ANN))),
        r#"{"type":"hello","protocol":1,"connection_id":"{message}","user_id":"{ann}","ping_every_s":54,"server_time":"{time}"}"#,
    );
    book.check(
        &hello(None),
        r#"{"type":"hello","protocol":1,"connection_id":"{message}","user_id":null,"ping_every_s":54,"server_time":"{time}"}"#,
    );
    book.check(
        &ServerFrame::Authenticated { user_id: id(ANN), expires_at: time() },
        r#"{"type":"authenticated","user_id":"{ann}","expires_at":"{time}"}"#,
    );
    book.check(
        &ServerFrame::refusal(Code::InvalidFrame, "no \"room\"".into(), None, None),
        r#"{"type":"error","code":"invalid_frame","detail":"no \"room\"","temp_id":null}"#,
    );
    book.check(
        &ServerFrame::refusal(Code::NotJoined, String::new(), Some(id(ROOM)), None),
        r#"{"type":"error","code":"not_joined","detail":"","temp_id":null,"room_id":"{room}"}"#,
    );
    book.check(&ServerFrame::Pong { nonce: Some("n-1".into()) }, r#"{"type":"pong","nonce":"n-1"}"#);
    book.check(&ServerFrame::Pong { nonce: None }, r#"{"type":"pong"}"#);
    book.check(&ServerFrame::Reconnect { after_ms: 1234 }, r#"{"type":"reconnect","after_ms":1234}"#);
}

fn of_rooms(book: &mut Book) {
    let joined = |recovered, replayed, oldest_seq| ServerFrame::Joined {
        room_id: id(ROOM),
        seq: 4711,
        recovered,
        replayed,
        me: id(ANN),
        oldest_seq,
    };
    book.check(
        &joined(true, 3, None),
        r#"{"type":"joined","room_id":"{room}","seq":4711,"recovered":true,"replayed":3,"me":"{ann}"}"#,
    );
    book.check(
        &joined(false, 0, Some(12)),
        r#"{"type":"joined","room_id":"{room}","seq":4711,"recovered":false,"replayed":0,"me":"{ann}","oldest_seq":12}"#,
    );
    book.check(&ServerFrame::Left { room_id: id(ROOM) }, r#"{"type":"left","room_id":"{room}"}"#);
    book.check(
        &ServerFrame::Skip { room_id: id(ROOM), seq: 4731, prev: 4730 },
        r#"{"type":"skip","room_id":"{room}","seq":4731,"prev":4730}"#,
    );
    let updated = |last_message| ServerFrame::RoomUpdated { room_id: id(ROOM), unread_count: 3, last_message };
    book.check(&updated(None), r#"{"type":"room_updated","room_id":"{room}","unread_count":3,"last_message":null}"#);
    let (item, text) = history_message();
    let expected = format!(r#"{{"type":"room_updated","room_id":"{{room}}","unread_count":3,"last_message":{text}}}"#);
    book.check(&updated(Some(Box::new(item))), &expected);
    book.check(
        &ServerFrame::Removed { room_id: id(ROOM), reason: "participant_removed".into() },
        r#"{"type":"removed","room_id":"{room}","reason":"participant_removed"}"#,
    );
}

fn of_people(book: &mut Book) {
    book.check(
        &ServerFrame::Typing { room_id: id(ROOM), user_id: id(BOB), active: true },
        r#"{"type":"typing","room_id":"{room}","user_id":"{bob}","active":true}"#,
    );
    let presence =
        |online, last_seen_at| ServerFrame::Presence { room_id: id(ROOM), user_id: id(BOB), online, last_seen_at };
    book.check(
        &presence(false, Some(time())),
        r#"{"type":"presence","room_id":"{room}","user_id":"{bob}","online":false,"last_seen_at":"{time}"}"#,
    );
    book.check(
        &presence(true, None),
        r#"{"type":"presence","room_id":"{room}","user_id":"{bob}","online":true,"last_seen_at":null}"#,
    );
    book.check(
        &ServerFrame::Read { room_id: id(ROOM), user_id: id(BOB), seq: 4722 },
        r#"{"type":"read","room_id":"{room}","user_id":"{bob}","seq":4722}"#,
    );
}

#[test]
fn a_status_says_sent_saved_unknown_or_failed() {
    let mut book = Book::default();
    let status = |status| ServerFrame::Status { room_id: Some(id(ROOM)), temp_id: "a-1".into(), status };
    book.check(
        &status(Status::Sent { id: id(MESSAGE), seq: 4712 }),
        r#"{"type":"status","room_id":"{room}","temp_id":"a-1","status":"sent","id":"{message}","seq":4712}"#,
    );
    book.check(
        &status(Status::Saved { id: id(MESSAGE), seq: 4712 }),
        r#"{"type":"status","room_id":"{room}","temp_id":"a-1","status":"saved","id":"{message}","seq":4712}"#,
    );
    book.check(
        &status(Status::Unknown { retry: true }),
        r#"{"type":"status","room_id":"{room}","temp_id":"a-1","status":"unknown","retry":true}"#,
    );
    let failed =
        Status::Failed { code: Code::RateLimited, detail: "slow".into(), retry: true, retry_after_ms: Some(800) };
    book.check(
        &status(failed),
        r#"{"type":"status","room_id":"{room}","temp_id":"a-1","status":"failed","code":"rate_limited","detail":"slow","retry":true,"retry_after_ms":800}"#,
    );
    book.check(
        &ServerFrame::refusal(Code::InvalidContent, "empty".into(), None, Some("a-1".into())),
        r#"{"type":"status","temp_id":"a-1","status":"failed","code":"invalid_content","detail":"empty","retry":false}"#,
    );
}

#[test]
fn a_refusal_says_retry_for_what_passes_and_for_nothing_else() {
    for code in Code::ALL {
        let refusal = ServerFrame::refusal(*code, String::new(), None, Some("a-1".into()));
        let json: Value = serde_json::from_slice(&refusal.to_json()).expect("JSON");
        assert_eq!(json["retry"], code.may_retry(), "{code}");
    }
    // The protocol's five; the rest are answers of REST, of the handshake or of a process that drains.
    for code in [Code::RateLimited, Code::NotSettled, Code::Backlog, Code::LogBehind, Code::Unavailable] {
        assert!(code.may_retry(), "{code}");
    }
}
