//! Records that one service writes and another reads: changes, reports, signals, tickets, claims, history, problems.

use std::fmt::Debug;

use schema::{
    change::{Change, ChangeKind, FieldChange},
    envelope::MessageType,
    frame::history::{HistoryItem, ReactionCount},
    problem::{Code, FieldError, Problem},
    saved::{Refused, Saved, SavedReport},
    signal::{PresenceAnswer, Signal},
    subject::GatewayId,
    ticket::Ticket,
    token::Claims,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::sample::{ANN, BOB, MESSAGE, ROOM, SESSION, TARGET, golden, id, time};

fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, expected: &str) {
    let json = serde_json::to_string(value).expect("records serialise");
    assert_eq!(json, golden(expected));
    assert_eq!(serde_json::from_str::<T>(&json).as_ref().ok(), Some(value), "{json}");
}

fn change(kind: ChangeKind) -> Change {
    Change {
        id: id(MESSAGE),
        change: kind,
        event_id: None,
        room_id: None,
        user_id: None,
        sid: None,
        version: 1,
        actor_id: None,
        changed_at: time(),
        fields: Vec::new(),
        added: Vec::new(),
        removed: Vec::new(),
        hash: None,
    }
}

#[test]
fn a_change_says_who_changed_what_and_leaves_out_what_it_is_not_about() {
    check(
        &Change {
            event_id: Some(id(ROOM)),
            version: 2,
            actor_id: Some(id(ANN)),
            fields: vec![FieldChange::new("title", json!(null), json!("Lunch"))],
            ..change(ChangeKind::EventUpdated)
        },
        r#"{"id":"{message}","change":"event.updated","event_id":"{room}","version":2,"actor_id":"{ann}","changed_at":"{time}","fields":[{"field":"title","old":null,"new":"Lunch"}]}"#,
    );
    check(
        &Change {
            event_id: Some(id(ROOM)),
            room_id: Some(id(ROOM)),
            added: vec![id(ANN)],
            removed: vec![id(BOB), id(TARGET)],
            ..change(ChangeKind::EventParticipantsChanged)
        },
        r#"{"id":"{message}","change":"event.participants_changed","event_id":"{room}","room_id":"{room}","version":1,"actor_id":null,"changed_at":"{time}","added":["{ann}"],"removed":["{bob}","{target}"]}"#,
    );
    check(
        &Change { user_id: Some(id(ANN)), sid: Some(id(SESSION)), ..change(ChangeKind::UserSessionsRevoked) },
        r#"{"id":"{message}","change":"user.sessions_revoked","user_id":"{ann}","sid":"{sid}","version":1,"actor_id":null,"changed_at":"{time}"}"#,
    );
}

#[test]
fn a_report_names_many_messages_and_where_they_stand() {
    check(&SavedReport::default(), r#"{"saved":[]}"#);
    check(
        &SavedReport {
            saved: vec![Saved { id: id(MESSAGE), room_id: id(ROOM), seq: 7 }],
            refused: vec![Refused { id: id(TARGET), room_id: id(ROOM), seq: 8, code: Code::TempIdReused }],
        },
        r#"{"saved":[{"id":"{message}","room_id":"{room}","seq":7}],"refused":[{"id":"{target}","room_id":"{room}","seq":8,"code":"temp_id_reused"}]}"#,
    );
}

#[test]
fn a_full_report_fits_into_one_message_of_the_broker() {
    let saved = vec![Saved { id: id(MESSAGE), room_id: id(ROOM), seq: u64::MAX }; SavedReport::IDS_MAX];
    let report = serde_json::to_vec(&SavedReport { saved, refused: Vec::new() }).expect("JSON");
    assert!(report.len() < 128 * 1024, "{} bytes", report.len());
}

#[test]
fn a_signal_says_who_types() {
    check(&Signal::Typing { user_id: id(ANN), active: true }, r#"{"type":"typing","user_id":"{ann}","active":true}"#);
}

#[test]
fn a_signal_says_who_came_and_went_and_who_is_there() {
    let gateway = GatewayId::parse("gw-1").expect("a gateway's name");
    check(
        &Signal::PresenceChanged { gateway: gateway.clone(), came: vec![id(ANN)], gone: vec![id(BOB)] },
        r#"{"type":"presence_changed","gateway":"gw-1","came":["{ann}"],"gone":["{bob}"]}"#,
    );
    check(
        &Signal::PresenceAll { gateway: gateway.clone(), part: 2, parts: 3, users: vec![id(ANN)] },
        r#"{"type":"presence_all","gateway":"gw-1","part":2,"parts":3,"users":["{ann}"]}"#,
    );
    check(&Signal::PresenceAsked { gateway: Some(gateway) }, r#"{"type":"presence_asked","gateway":"gw-1"}"#);
    check(&Signal::PresenceAsked { gateway: None }, r#"{"type":"presence_asked","gateway":null}"#);
    check(&PresenceAnswer { online: vec![id(ANN), id(BOB)] }, r#"{"online":["{ann}","{bob}"]}"#);
    let forged = r#"{"type":"presence_asked","gateway":"a.*"}"#;
    assert!(serde_json::from_str::<Signal>(forged).is_err(), "a gateway's name is one token");
}

#[test]
fn when_somebody_was_last_seen_lies_with_the_rooms_other_keys() {
    let key = schema::last_seen::redis_key("timingle", id(ROOM), id(ANN));
    assert_eq!(key, format!("timingle:seen:{{{ROOM}}}:{ANN}"));
    assert_eq!(schema::last_seen::KEPT_FOR.as_secs(), 30 * 24 * 60 * 60);
}

#[test]
fn the_longest_signal_and_answer_fit_the_broker() {
    let users = |count| vec![id(ANN); count];
    let gateway = GatewayId::parse(&"x".repeat(64)).expect("a gateway's name");
    let all = Signal::PresenceAll { gateway, part: 1, parts: 1, users: users(Signal::USERS_MAX) };
    assert!(serde_json::to_vec(&all).expect("JSON").len() < 20 * 1024);
    let answer = PresenceAnswer { online: users(PresenceAnswer::USERS_MAX) };
    assert!(serde_json::to_vec(&answer).expect("JSON").len() < 200 * 1024, "max_payload is 256 KB");
}

#[test]
fn a_ticket_lies_under_its_hash() {
    // `printf secret | sha256sum`
    assert_eq!(
        Ticket::redis_key("timingle", "secret"),
        "timingle:ticket:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
    );
    check(
        &Ticket { user_id: id(ANN), sid: id(SESSION), exp: 1_795_240_728 },
        r#"{"user_id":"{ann}","sid":"{sid}","exp":1795240728}"#,
    );
}

#[test]
fn claims_are_all_there_or_the_token_is_none() {
    let claims = Claims {
        iss: "timingle".into(),
        aud: "timingle-clients".into(),
        sub: id(ANN),
        sid: id(SESSION),
        iat: 1_795_239_828,
        exp: 1_795_240_728,
    };
    check(
        &claims,
        r#"{"iss":"timingle","aud":"timingle-clients","sub":"{ann}","sid":"{sid}","iat":1795239828,"exp":1795240728}"#,
    );
    for claim in ["iss", "aud", "sub", "sid", "iat", "exp"] {
        let mut incomplete = serde_json::to_value(&claims).expect("JSON");
        incomplete.as_object_mut().expect("an object").remove(claim);
        assert!(serde_json::from_value::<Claims>(incomplete).is_err(), "without {claim}");
    }
}

/// A row of history, and its golden text.
pub(super) fn history_message() -> (HistoryItem, &'static str) {
    let item = HistoryItem::Message {
        room_id: id(ROOM),
        id: id(MESSAGE),
        sender_id: id(ANN),
        sender_name: "Ann".into(),
        temp_id: "a-1".into(),
        content: Some("hi!".into()),
        message_type: MessageType::Text,
        reply_to_id: Some(id(TARGET)),
        seq: 4712,
        created_at: time(),
        edited_at: Some(time()),
        deleted: false,
        reactions: vec![ReactionCount { emoji: "👍".into(), count: 2, me: true }],
    };
    let text = r#"{"type":"message","room_id":"{room}","id":"{message}","sender_id":"{ann}","sender_name":"Ann","temp_id":"a-1","content":"hi!","message_type":"text","reply_to_id":"{target}","seq":4712,"created_at":"{time}","edited_at":"{time}","deleted":false,"reactions":[{"emoji":"👍","count":2,"me":true}]}"#;
    (item, text)
}

#[test]
fn history_shows_a_frame_in_its_present_state() {
    let (item, text) = history_message();
    check(&item, text);
    let mut gone = item;
    if let HistoryItem::Message { content, reply_to_id, edited_at, deleted, reactions, .. } = &mut gone {
        (*content, *reply_to_id, *edited_at, *deleted) = (None, None, None, true);
        reactions.clear();
    }
    check(
        &gone,
        r#"{"type":"message","room_id":"{room}","id":"{message}","sender_id":"{ann}","sender_name":"Ann","temp_id":"a-1","content":null,"message_type":"text","reply_to_id":null,"seq":4712,"created_at":"{time}","edited_at":null,"deleted":true,"reactions":[]}"#,
    );
    check(
        &HistoryItem::System {
            room_id: id(ROOM),
            id: id(MESSAGE),
            change: ChangeKind::EventCancelled,
            actor_id: Some(id(ANN)),
            data: json!({"reason": "rain"}),
            seq: 4730,
            created_at: time(),
            edited_at: None,
            deleted: false,
            reactions: Vec::new(),
        },
        r#"{"type":"system","room_id":"{room}","id":"{message}","change":"event.cancelled","actor_id":"{ann}","data":{"reason":"rain"},"seq":4730,"created_at":"{time}","edited_at":null,"deleted":false,"reactions":[]}"#,
    );
}

#[test]
fn a_problem_is_one_of_rfc_9457() {
    check(
        &Problem::new(Code::NotAMember, "ask to be added", "req-1"),
        r#"{"type":"urn:timingle:problem:not_a_member","title":"Not a member of this room or event, or there is none","status":403,"code":"not_a_member","detail":"ask to be added","request_id":"req-1"}"#,
    );
    let errors = vec![FieldError { field: "title".into(), code: "too_long".into() }];
    check(
        &Problem { errors, ..Problem::new(Code::InvalidFields, "", "req-2") },
        r#"{"type":"urn:timingle:problem:invalid_fields","title":"Some fields do not hold what they must","status":422,"code":"invalid_fields","detail":"","request_id":"req-2","errors":[{"field":"title","code":"too_long"}]}"#,
    );
}
