//! Every NATS subject, printed and read; whatever is not exactly one of ours is refused.

use std::fmt::Display;

use schema::{
    change::ChangeKind,
    id::RoomId,
    subject::{
        ChatSubject, DeadSubject, GatewayId, LiveChatSubject, LiveMarkSubject, LiveRoomSubjects, LiveSignalSubject,
        MarkSubject, SavedSubject,
    },
};

use super::sample::{ANN, ROOM, id};

/// An id whose upper case is another text.
const MIXED: &str = "0191e0a4-7c3b-7e2f-9a51-0f6d2c4b8e01";

fn check<S: Display + PartialEq + std::fmt::Debug>(subject: &S, parse: fn(&str) -> Option<S>, expected: &str) {
    assert_eq!(subject.to_string(), expected);
    assert_eq!(parse(expected).as_ref(), Some(subject), "{expected}");
}

#[test]
fn a_subject_is_printed_and_read_back() {
    let (room, ann) = (id(ROOM), id(ANN));
    check(&ChatSubject(room), ChatSubject::parse, "chat.message.11111111-1111-4111-8111-111111111111");
    check(&LiveChatSubject(room), LiveChatSubject::parse, "live.chat.message.11111111-1111-4111-8111-111111111111");
    check(&LiveSignalSubject(room), LiveSignalSubject::parse, "live.chat.signal.11111111-1111-4111-8111-111111111111");
    check(&DeadSubject(room), DeadSubject::parse, "chat.dead.11111111-1111-4111-8111-111111111111");
    check(
        &MarkSubject(room, ann),
        MarkSubject::parse,
        "chat.mark.11111111-1111-4111-8111-111111111111.33333333-3333-4333-8333-333333333333",
    );
    check(
        &LiveMarkSubject(room, ann),
        LiveMarkSubject::parse,
        "live.chat.mark.11111111-1111-4111-8111-111111111111.33333333-3333-4333-8333-333333333333",
    );
    let gateway = GatewayId::parse("gw_1-A").expect("a gateway's name");
    check(&SavedSubject(gateway), SavedSubject::parse, "chat.saved.gw_1-A");
    assert_eq!(LiveRoomSubjects(room).to_string(), format!("live.chat.*.{ROOM}"));
}

#[test]
fn filters_match_what_they_are_for() {
    insta::assert_snapshot!(
        [
            ChatSubject::ALL,
            LiveChatSubject::ALL,
            LiveSignalSubject::ALL,
            DeadSubject::ALL,
            MarkSubject::ALL,
            LiveMarkSubject::ALL,
            LiveRoomSubjects::ALL,
            SavedSubject::ALL,
        ]
        .join("\n"),
        @r"
    chat.message.*
    live.chat.message.*
    live.chat.signal.*
    chat.dead.*
    chat.mark.*.*
    live.chat.mark.*.*
    live.chat.*.*
    chat.saved.*
    "
    );
}

#[test]
fn a_room_is_named_in_one_spelling_and_by_nothing_else() {
    let parses = |token: &str| {
        let found = [
            ChatSubject::parse(&format!("chat.message.{token}")).is_some(),
            LiveChatSubject::parse(&format!("live.chat.message.{token}")).is_some(),
            LiveSignalSubject::parse(&format!("live.chat.signal.{token}")).is_some(),
            DeadSubject::parse(&format!("chat.dead.{token}")).is_some(),
            MarkSubject::parse(&format!("chat.mark.{token}.{ANN}")).is_some(),
            MarkSubject::parse(&format!("chat.mark.{ANN}.{token}")).is_some(),
            LiveMarkSubject::parse(&format!("live.chat.mark.{token}.{ANN}")).is_some(),
        ];
        assert!(found.iter().all(|one| *one == found[0]), "{token:?}: {found:?}");
        found[0]
    };
    assert!(parses(ROOM));
    assert!(parses(MIXED));
    let upper = MIXED.to_uppercase();
    let (simple, braced, urn) = (MIXED.replace('-', ""), format!("{{{MIXED}}}"), format!("urn:uuid:{MIXED}"));
    let (dotted, twice, padded) = (MIXED.replace('-', "."), format!("{MIXED}.{MIXED}"), format!(" {MIXED}"));
    let (short, long) = (&MIXED[1..], format!("{MIXED}0"));
    for token in [&upper, &simple, &braced, &urn, &dotted, &twice, &padded, short, &long, "", "*", ">", "a", "\r\n"] {
        assert!(!parses(token), "{token:?}");
    }
}

#[test]
fn a_subject_of_another_kind_is_refused() {
    assert_eq!(ChatSubject::parse(&LiveChatSubject(id(ROOM)).to_string()), None);
    assert_eq!(LiveChatSubject::parse(&ChatSubject(id(ROOM)).to_string()), None);
    assert_eq!(LiveSignalSubject::parse(&LiveChatSubject(id(ROOM)).to_string()), None);
    assert_eq!(ChatSubject::parse(ROOM), None);
    assert_eq!(ChatSubject::parse(&format!("CHAT.MESSAGE.{ROOM}")), None);
    assert_eq!(MarkSubject::parse(&format!("chat.mark.{ROOM}")), None);
    assert_eq!(MarkSubject::parse(&format!("chat.mark.{ROOM}.{ANN}.{ANN}")), None);
}

#[test]
fn a_gateway_is_one_token() {
    for name in ["a", "gateway-1", "GW_2", &"x".repeat(64)] {
        assert!(GatewayId::parse(name).is_ok(), "{name}");
    }
    for name in ["", "a.b", "*", ">", "a b", "ä", "a\n", &"x".repeat(65)] {
        assert!(GatewayId::parse(name).is_err(), "{name:?}");
        assert_eq!(SavedSubject::parse(&format!("chat.saved.{name}")), None, "{name:?}");
    }
}

#[test]
fn a_change_is_published_under_its_own_name() {
    let names: Vec<_> = ChangeKind::ALL.iter().map(|kind| kind.subject()).collect();
    insta::assert_snapshot!(names.join("\n"), @r"
    event.created
    event.updated
    event.confirmed
    event.cancelled
    event.completed
    event.deleted
    event.participants_changed
    room.members_changed
    user.sessions_revoked
    ");
    for kind in ChangeKind::ALL {
        assert_eq!(ChangeKind::parse(kind.subject()), Some(*kind));
        assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.subject());
    }
    assert_eq!(ChangeKind::parse("event.sold"), None);
    assert_eq!(ChangeKind::parse("event.*"), None);
}

#[test]
fn an_id_on_a_frame_may_be_in_upper_case_and_is_printed_in_lower() {
    let room: RoomId = "0191E0A4-7C3B-7E2F-9A51-0F6D2C4B8E01".parse().expect("RFC 9562: read either case");
    assert_eq!(ChatSubject(room).to_string(), "chat.message.0191e0a4-7c3b-7e2f-9a51-0f6d2c4b8e01");
    for text in ["0191e0a47c3b7e2f9a510f6d2c4b8e01", "{0191e0a4-7c3b-7e2f-9a51-0f6d2c4b8e01}", "", "*"] {
        assert!(text.parse::<RoomId>().is_err(), "{text:?}");
    }
}
