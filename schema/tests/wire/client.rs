//! What phones say: each frame of the protocol's table, with all its fields and with none it can do without.

use schema::{
    envelope::MessageType,
    frame::client::ClientFrame,
    text::{Emoji, MessageText, TempId},
};

use super::sample::{MESSAGE, ROOM, TARGET, golden, id};

fn check(text: &str, expected: &ClientFrame) {
    assert_eq!(ClientFrame::parse(&golden(text)).as_ref(), Ok(expected), "{text}");
}

fn temp_id(text: &str) -> TempId {
    TempId::parse(text).expect("a temp_id")
}

fn content(text: &str) -> MessageText {
    MessageText::parse(text).expect("a content")
}

#[test]
fn auth_carries_a_token() {
    check(r#"{"type":"auth","token":"a.b.c"}"#, &ClientFrame::Auth { token: "a.b.c".into() });
}

#[test]
fn a_room_is_joined_from_a_seq_or_from_now_and_left() {
    let room_id = Some(id(ROOM));
    check(r#"{"type":"join","room_id":"{room}"}"#, &ClientFrame::Join { room_id, since: None });
    check(r#"{"type":"join","room_id":"{room}","since":0}"#, &ClientFrame::Join { room_id, since: Some(0) });
    let since = Some(18_446_744_073_709_551_615);
    check(r#"{"type":"join","since":18446744073709551615}"#, &ClientFrame::Join { room_id: None, since });
    check(r#"{"type":"leave","room_id":"{room}"}"#, &ClientFrame::Leave { room_id });
    check(r#"{"type":"leave"}"#, &ClientFrame::Leave { room_id: None });
}

#[test]
fn a_message_has_two_names_and_defaults() {
    let full = |message_type| ClientFrame::Message {
        room_id: Some(id(ROOM)),
        temp_id: temp_id("a-1"),
        content: content("안녕 👋"),
        message_type,
        reply_to_id: Some(id(TARGET)),
        is_resend: true,
    };
    for (name, kind) in [("text", MessageType::Text), ("image", MessageType::Image), ("file", MessageType::File)] {
        let text = r#"{"type":"message","room_id":"{room}","temp_id":"a-1","content":"안녕 👋",
            "message_type":"{kind}","reply_to_id":"{target}","resend":true}"#;
        check(&text.replace("{kind}", name), &full(kind));
    }
    let short = ClientFrame::Message {
        room_id: None,
        temp_id: temp_id("a-1"),
        content: content("hi"),
        message_type: MessageType::Text,
        reply_to_id: None,
        is_resend: false,
    };
    check(r#"{"type":"message","temp_id":"a-1","content":"hi"}"#, &short);
    check(r#"{"type":"send","temp_id":"a-1","content":"hi"}"#, &short);
}

#[test]
fn a_message_is_edited_and_deleted_by_its_id() {
    let (room_id, message_id) = (Some(id(ROOM)), id(MESSAGE));
    check(
        r#"{"type":"edit","room_id":"{room}","temp_id":"a-2","message_id":"{message}","message_temp_id":"a-1","content":"hi!"}"#,
        &ClientFrame::Edit {
            room_id,
            temp_id: temp_id("a-2"),
            message_id,
            message_temp_id: Some(temp_id("a-1")),
            content: content("hi!"),
            is_resend: false,
        },
    );
    check(
        r#"{"type":"edit","temp_id":"a-2","message_id":"{message}","content":"hi!"}"#,
        &ClientFrame::Edit {
            room_id: None,
            temp_id: temp_id("a-2"),
            message_id,
            message_temp_id: None,
            content: content("hi!"),
            is_resend: false,
        },
    );
    // `content` stands in the protocol's row of both; a deletion has no use for it.
    for rest in [r#","message_temp_id":"a-1"}"#, r#","message_temp_id":"a-1","content":"hi"}"#] {
        check(
            &(r#"{"type":"delete","room_id":"{room}","temp_id":"a-3","message_id":"{message}""#.to_owned() + rest),
            &ClientFrame::Delete {
                room_id,
                temp_id: temp_id("a-3"),
                message_id,
                message_temp_id: Some(temp_id("a-1")),
                is_resend: false,
            },
        );
    }
    check(
        r#"{"type":"delete","temp_id":"a-3","message_id":"{message}"}"#,
        &ClientFrame::Delete {
            room_id: None,
            temp_id: temp_id("a-3"),
            message_id,
            message_temp_id: None,
            is_resend: false,
        },
    );
}

#[test]
fn an_emoji_is_put_and_taken_away() {
    for (name, is_added) in [("react", true), ("unreact", false)] {
        let text = r#"{"type":"{name}","room_id":"{room}","temp_id":"a-4","message_id":"{message}","emoji":"👩‍👩‍👧","resend":true}"#;
        check(
            &text.replace("{name}", name),
            &ClientFrame::React {
                room_id: Some(id(ROOM)),
                temp_id: temp_id("a-4"),
                message_id: id(MESSAGE),
                emoji: Emoji::parse("👩‍👩‍👧").expect("an emoji"),
                is_added,
                is_resend: true,
            },
        );
    }
}

#[test]
fn reading_typing_and_pings_need_next_to_nothing() {
    let room_id = Some(id(ROOM));
    check(r#"{"type":"read","room_id":"{room}","seq":4722}"#, &ClientFrame::Read { room_id, seq: Some(4722) });
    check(r#"{"type":"read"}"#, &ClientFrame::Read { room_id: None, seq: None });
    check(r#"{"type":"typing","room_id":"{room}","active":true}"#, &ClientFrame::Typing { room_id, is_active: true });
    check(r#"{"type":"typing","active":false}"#, &ClientFrame::Typing { room_id: None, is_active: false });
    check(r#"{"type":"ping","nonce":"n-1"}"#, &ClientFrame::Ping { nonce: Some("n-1".into()) });
    check(r#"{"type":"ping"}"#, &ClientFrame::Ping { nonce: None });
}

#[test]
fn type_may_stand_anywhere_and_be_escaped() {
    check(r#" {"nonce":"n", "\u0074ype":"p\u0069ng"} "#, &ClientFrame::Ping { nonce: Some("n".into()) });
}
