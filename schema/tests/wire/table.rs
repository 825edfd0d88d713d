//! The numbers and words that clients match on: a change of one must be seen.

use std::{collections::HashSet, fmt::Write as _};

use schema::{
    envelope::{Kind, MessageType},
    frame::{close::CloseReason, limit},
    header,
    problem::Code,
    text::{Description, DisplayName, Location, MessageText, RoomName, TempId, Title},
};

/// Code, status, may-retry and title, one a line.
#[test]
fn problem_codes_stay_as_they_are() {
    let mut table = String::new();
    for code in Code::ALL {
        let retry = if code.may_retry() { "retry" } else { "-" };
        writeln!(table, "{:24} {} {retry:5} {}", code.as_str(), code.http_status(), code.title()).expect("a String");
        assert_eq!(serde_json::to_value(code).expect("JSON"), code.as_str());
    }
    insta::assert_snapshot!(table);
    let distinct: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(distinct.len(), Code::ALL.len());
}

/// Number, whether to come back, and reason, one a line.
#[test]
fn close_codes_stay_as_they_are() {
    let mut table = String::new();
    for reason in CloseReason::ALL {
        let promise = if reason.may_come_back() { "back" } else { "stay" };
        writeln!(table, "{} {promise} {}", reason.code(), reason.as_str()).expect("a String");
        // RFC 6455: a control frame has at most 125 bytes, two of them the code.
        assert!(reason.as_str().len() <= 123, "{}", reason.code());
    }
    insta::assert_snapshot!(table);
    let distinct: HashSet<_> = CloseReason::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(distinct.len(), CloseReason::ALL.len());
}

#[test]
fn names_of_kinds_and_types_are_read_back() {
    for kind in Kind::ALL {
        assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.as_str());
    }
    for kind in [MessageType::Text, MessageType::Image, MessageType::File] {
        assert_eq!(MessageType::parse(kind.as_str()), Some(kind));
        assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.as_str());
    }
    assert_eq!((Kind::parse("typing"), MessageType::parse("system")), (None, None));
}

#[test]
fn header_names_stay_as_they_are() {
    insta::assert_snapshot!(
        [
            header::TIMINGLE_V,
            header::TIMINGLE_SENDER,
            header::TIMINGLE_GATEWAY,
            header::TIMINGLE_RESEND,
            header::NATS_MSG_ID,
            header::NATS_SEQUENCE,
            header::NATS_LAST_SEQUENCE,
            header::NATS_TIME_STAMP,
            header::NATS_SUBJECT,
            header::NATS_NUM_PENDING,
            header::DEAD_REASON,
            header::DEAD_SEQ,
            header::DEAD_TIME,
            header::DEAD_DELIVERIES,
            header::DEAD_SUBJECT,
        ]
        .join("\n"),
        @r"
    Timingle-V
    Timingle-Sender
    Timingle-Gateway
    Timingle-Resend
    Nats-Msg-Id
    Nats-Sequence
    Nats-Last-Sequence
    Nats-Time-Stamp
    Nats-Subject
    Nats-Num-Pending
    Timingle-Dead-Reason
    Timingle-Dead-Seq
    Timingle-Dead-Time
    Timingle-Dead-Deliveries
    Timingle-Dead-Subject
    "
    );
}

#[test]
fn limits_are_those_the_protocol_promises() {
    assert_eq!(limit::FRAME_BYTES_MAX, 65_536);
    assert_eq!(limit::ROOMS_PER_SOCKET_MAX, 100);
    assert_eq!(limit::UNANSWERED_PER_SOCKET_MAX, 16);
    assert_eq!(limit::QUEUED_BYTES_MAX, 262_144);
    assert_eq!(limit::SOCKETS_PER_USER_MAX, 10);
    assert_eq!((limit::USER_MESSAGES_PER_SECOND, limit::USER_MESSAGES_BURST), (10, 20));
    assert_eq!(limit::ROOM_MESSAGES_PER_SECOND, 50);
    assert_eq!(limit::BAD_FRAMES_PER_MINUTE_MAX, 10);
    assert_eq!((limit::REPLAY_FRAMES_MAX, limit::REPLAY_PAGE), (10_000, 200));
    assert_eq!(limit::NONCE_CHARS_MAX, 64);
    let seconds = [
        limit::PING_EVERY,
        limit::SILENCE_MAX,
        limit::WRITE_STALL_MAX,
        limit::AUTH_WITHIN,
        limit::CLOSE_WITHIN,
        limit::TYPING_EVERY,
        limit::TYPING_LAPSES,
        limit::PRESENCE_EVERY,
    ];
    assert_eq!(seconds.map(|duration| duration.as_secs()), [54, 60, 10, 5, 5, 1, 10, 1]);
    assert_eq!((limit::PRESENCE_CHANGES_MAX, limit::PRESENCE_SNAPSHOT_MAX), (50, 100));
}

#[test]
fn texts_are_as_long_as_the_protocol_allows() {
    assert_eq!((MessageText::CHARS_MAX, TempId::CHARS_MAX, DisplayName::CHARS_MAX), (4000, 64, 64));
    assert_eq!((Title::CHARS_MAX, RoomName::CHARS_MAX), (200, 200));
    assert_eq!((Description::CHARS_MAX, Location::CHARS_MAX), (4000, 500));
}
