//! What lies in the log: each envelope's body, the frame that is made of it, and its headers.

use async_nats::HeaderMap;
use schema::{
    change::ChangeKind,
    envelope::{self, BODY_BYTES_MAX, Body, Headers, Kind, Malformed, MessageType, ReactionAction},
    subject::{ChatSubject, GatewayId},
    text::{DisplayName, MessageText, TempId},
};
use serde_json::json;

use super::sample::{ANN, BOB, MESSAGE, ROOM, TARGET, golden, id, time};

const MESSAGE_BODY: &str = r#"{"type":"message","room_id":"{room}","id":"{message}","sender_id":"{ann}","sender_name":"Ann \"A\" 안","temp_id":"a-1","content":"안녕 }\n👋","message_type":"image","reply_to_id":null}"#;
const REPLY_BODY: &str = r#"{"type":"message","room_id":"{room}","id":"{message}","sender_id":"{ann}","sender_name":"Ann","temp_id":"a-1","content":"hi","message_type":"text","reply_to_id":"{target}"}"#;
const UPDATED_BODY: &str = r#"{"type":"message_updated","room_id":"{room}","id":"{message}","message_id":"{target}","content":"hi!","sender_id":"{ann}","temp_id":"a-2"}"#;
const DELETED_BODY: &str = r#"{"type":"message_deleted","room_id":"{room}","id":"{message}","message_id":"{target}","sender_id":"{ann}","temp_id":"a-3"}"#;
const ADDED_BODY: &str = r#"{"type":"reaction","room_id":"{room}","id":"{message}","message_id":"{target}","emoji":"👍","action":"added","sender_id":"{ann}","temp_id":"a-4"}"#;
const REMOVED_BODY: &str = r#"{"type":"reaction","room_id":"{room}","id":"{message}","message_id":"{target}","emoji":"👍","action":"removed","sender_id":"{ann}","temp_id":"a-5"}"#;
const SYSTEM_BODY: &str = r#"{"type":"system","room_id":"{room}","id":"{message}","change":"event.confirmed","actor_id":"{bob}","data":{"title":"Lunch"}}"#;
const NOBODYS_BODY: &str =
    r#"{"type":"system","room_id":"{room}","id":"{message}","change":"event.completed","actor_id":null,"data":{}}"#;

fn bodies() -> Vec<(Body, &'static str)> {
    let message = |sender_name: &str, content: &str, message_type, reply_to_id| Body::Message {
        room_id: id(ROOM),
        id: id(MESSAGE),
        sender_id: id(ANN),
        sender_name: sender_name.into(),
        temp_id: "a-1".into(),
        content: content.into(),
        message_type,
        reply_to_id,
    };
    let reaction = |action, temp_id: &str| Body::Reaction {
        room_id: id(ROOM),
        id: id(MESSAGE),
        message_id: id(TARGET),
        emoji: "👍".into(),
        action,
        sender_id: id(ANN),
        temp_id: temp_id.into(),
    };
    let system = |change, actor_id, data| Body::System { room_id: id(ROOM), id: id(MESSAGE), change, actor_id, data };
    let updated = Body::MessageUpdated {
        room_id: id(ROOM),
        id: id(MESSAGE),
        message_id: id(TARGET),
        content: "hi!".into(),
        sender_id: id(ANN),
        temp_id: "a-2".into(),
    };
    let deleted = Body::MessageDeleted {
        room_id: id(ROOM),
        id: id(MESSAGE),
        message_id: id(TARGET),
        sender_id: id(ANN),
        temp_id: "a-3".into(),
    };
    vec![
        (message("Ann \"A\" 안", "안녕 }\n👋", MessageType::Image, None), MESSAGE_BODY),
        (message("Ann", "hi", MessageType::Text, Some(id(TARGET))), REPLY_BODY),
        (updated, UPDATED_BODY),
        (deleted, DELETED_BODY),
        (reaction(ReactionAction::Added, "a-4"), ADDED_BODY),
        (reaction(ReactionAction::Removed, "a-5"), REMOVED_BODY),
        (system(ChangeKind::EventConfirmed, Some(id(BOB)), json!({"title": "Lunch"})), SYSTEM_BODY),
        (system(ChangeKind::EventCompleted, None, json!({})), NOBODYS_BODY),
    ]
}

#[test]
fn each_body_reads_as_the_protocol_prints_it() {
    let headers = plain().to_map(id(MESSAGE));
    for (body, expected) in bodies() {
        let bytes = body.to_bytes();
        assert_eq!(String::from_utf8_lossy(&bytes), golden(expected));
        let (_, read) = envelope::read(ChatSubject(id(ROOM)), Some(&headers), &bytes).expect("what we wrote");
        assert_eq!(read, body);
    }
    for kind in Kind::ALL {
        assert!(bodies().iter().any(|(body, _)| body.kind() == kind), "{kind} has no golden body");
    }
}

#[test]
fn a_frame_is_the_body_with_three_more_keys_at_its_end() {
    for (body, expected) in bodies() {
        let frame = envelope::splice(&body.to_bytes(), 4712, 4709, time());
        let cut = expected.strip_suffix('}').expect("an object");
        let expected = golden(&format!(r#"{cut},"seq":4712,"prev":4709,"created_at":"{{time}}"}}"#));
        assert_eq!(String::from_utf8_lossy(&frame), expected);
    }
    // One of them written out, as a phone gets it.
    let frame = envelope::splice(golden(DELETED_BODY).as_bytes(), u64::MAX, 0, time());
    insta::assert_snapshot!(String::from_utf8_lossy(&frame), @r#"{"type":"message_deleted","room_id":"11111111-1111-4111-8111-111111111111","id":"22222222-2222-8222-8222-222222222222","message_id":"44444444-4444-8444-8444-444444444444","sender_id":"33333333-3333-4333-8333-333333333333","temp_id":"a-3","seq":18446744073709551615,"prev":0,"created_at":"2026-11-21T05:58:48.927Z"}"#);
}

#[test]
fn the_largest_message_fits_its_envelope() {
    let body = Body::Message {
        room_id: id(ROOM),
        id: id(MESSAGE),
        sender_id: id(ANN),
        sender_name: "\"".repeat(DisplayName::CHARS_MAX),
        temp_id: "\\".repeat(TempId::CHARS_MAX),
        // Six bytes each on the wire: no character takes more.
        content: "\u{1}".repeat(MessageText::CHARS_MAX),
        message_type: MessageType::Image,
        reply_to_id: Some(id(TARGET)),
    };
    assert!(body.to_bytes().len() <= BODY_BYTES_MAX, "{} bytes", body.to_bytes().len());
}

fn plain() -> Headers {
    Headers { sender: None, gateway: None, is_resend: false, is_moderator: false }
}

fn printed(map: &HeaderMap) -> String {
    let mut lines: Vec<_> = map
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| format!("{name}: {}", value.as_str())))
        .collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn headers_tell_what_phones_must_not_see() {
    let gateway = GatewayId::parse("gateway-1").expect("a gateway's name");
    let full = Headers { sender: Some(id(ANN)), gateway: Some(gateway), is_resend: true, is_moderator: false };
    insta::assert_snapshot!(printed(&full.to_map(id(MESSAGE))), @r"
    Nats-Msg-Id: 22222222-2222-8222-8222-222222222222
    Timingle-Gateway: gateway-1
    Timingle-Resend: 1
    Timingle-Sender: 33333333-3333-4333-8333-333333333333
    Timingle-V: 1
    ");
    insta::assert_snapshot!(printed(&plain().to_map(id(MESSAGE))), @r"
    Nats-Msg-Id: 22222222-2222-8222-8222-222222222222
    Timingle-V: 1
    ");
    for headers in [full, plain()] {
        assert_eq!(Headers::parse(Some(&headers.to_map(id(MESSAGE)))), Ok(headers));
    }
}

#[test]
fn headers_that_lie_are_refused() {
    let check = |name: &str, value: &str, expected: Malformed| {
        let mut map = plain().to_map(id(MESSAGE));
        map.insert(name, value);
        assert_eq!(Headers::parse(Some(&map)), Err(expected), "{name}: {value}");
    };
    check("Timingle-V", "2", Malformed::Version);
    check("Timingle-V", "", Malformed::Version);
    check("Timingle-Sender", "ann", Malformed::Headers);
    check("Timingle-Gateway", "a.b", Malformed::Headers);
    check("Timingle-Gateway", "*", Malformed::Headers);
    check("Timingle-Gateway", "", Malformed::Headers);
    assert_eq!(Headers::parse(None), Err(Malformed::Version));
    assert_eq!(Headers::parse(Some(&HeaderMap::new())), Err(Malformed::Version));
}

#[test]
fn the_worker_refuses_a_body_without_the_fields_of_its_type() {
    let headers = plain().to_map(id(MESSAGE));
    let read = |body: &str| {
        envelope::read(ChatSubject(id(ROOM)), Some(&headers), golden(body).as_bytes()).map(|(_, body)| body.kind())
    };
    assert_eq!(read(REPLY_BODY), Ok(Kind::Message));
    let without = |field: &str| REPLY_BODY.replace(field, "other");
    for field in ["room_id", "sender_id", "sender_name", "temp_id", "content", "message_type"] {
        assert_eq!(read(&without(field)), Err(Malformed::NotAnEnvelope), "without {field}");
    }
    assert_eq!(read(&REPLY_BODY.replace(r#""hi""#, "7")), Err(Malformed::NotAnEnvelope));
    assert_eq!(read(&REPLY_BODY.replace(r#""text""#, r#""poem""#)), Err(Malformed::NotAnEnvelope));
    assert_eq!(read(&REPLY_BODY.replace(r#""message","#, r#""typing","#)), Err(Malformed::NotAnEnvelope));
    assert_eq!(read(&SYSTEM_BODY.replace("event.confirmed", "event.sold")), Err(Malformed::NotAnEnvelope));
    assert_eq!(read(&REPLY_BODY.replace("{room}", BOB)), Err(Malformed::OtherRoom));
    // Newer fields are not this version's business.
    assert_eq!(read(&REPLY_BODY.replace(r#","temp_id""#, r#","mood":[{}],"temp_id""#)), Ok(Kind::Message));
}
