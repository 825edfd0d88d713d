//! What a phone sends in which state.

use std::time::Duration;

use super::*;

const ROOM: Uuid = Uuid::from_u128(1);

fn ledger() -> Ledger {
    let mut ledger = Ledger::new(Uuid::nil(), "Ann".to_owned());
    ledger.open(ROOM, View::new(None));
    ledger.gain_socket();
    ledger
}

fn types(work: &Work) -> Vec<&str> {
    work.frames.iter().map(|frame| frame["type"].as_str().unwrap()).collect()
}

fn hear(ledger: &mut Ledger, text: &str) {
    ledger.hear(Incoming::parse(&text.replace("ROOM", &ROOM.to_string())).unwrap(), Instant::now());
}

fn joined(ledger: &mut Ledger, seq: u64) {
    hear(ledger, &format!(r#"{{"type":"joined","room_id":"ROOM","seq":{seq},"recovered":true,"replayed":0}}"#));
}

fn message(ledger: &mut Ledger, seq: u64, prev: u64) {
    let id = Uuid::from_u64_pair(9, seq);
    let text = format!(
        r#"{{"type":"message","room_id":"ROOM","id":"{id}","seq":{seq},"prev":{prev},"created_at":"2026-11-21T05:58:48.927Z"}}"#
    );
    hear(ledger, &text);
}

fn status(ledger: &mut Ledger, temp_id: &str, rest: &str) {
    hear(ledger, &format!(r#"{{"type":"status","room_id":"ROOM","temp_id":"{temp_id}",{rest}}}"#));
}

fn sent(seq: u64) -> String {
    format!(r#""status":"sent","id":"{}","seq":{seq}"#, Uuid::from_u64_pair(9, seq))
}

#[test]
fn nothing_is_said_in_a_room_that_is_not_live() {
    let mut ledger = ledger();
    ledger.intend("a-1".to_owned(), ROOM, "hi".to_owned(), Instant::now());
    assert_eq!(types(&ledger.work(Instant::now())), ["join"]);
    assert!(ledger.work(Instant::now()).frames.is_empty(), "asked once");
    joined(&mut ledger, 3);
    assert_eq!(types(&ledger.work(Instant::now())), ["message"]);
    assert!(ledger.work(Instant::now()).frames.is_empty(), "sent once");
}

#[test]
fn a_hole_is_closed_by_a_join_since_the_last_seq() {
    let mut ledger = ledger();
    ledger.work(Instant::now());
    joined(&mut ledger, 3);
    message(&mut ledger, 9, 5);
    let work = ledger.work(Instant::now());
    assert_eq!(work.frames, [json!({ "type": "join", "room_id": ROOM, "since": 3 })]);
    message(&mut ledger, 10, 9);
    assert!(ledger.work(Instant::now()).frames.is_empty());
    for (seq, prev) in [(5, 3), (9, 5), (10, 9)] {
        message(&mut ledger, seq, prev);
    }
    joined(&mut ledger, 10);
    assert_eq!(ledger.shown(ROOM), 3);
    assert_eq!(ledger.all_oddities().count(), 0);
    assert_eq!(ledger.heard.len(), 7, "everything heard is kept, shown or not");
}

#[test]
fn a_new_socket_joins_since_the_last_seq_and_sends_again_what_was_not_saved() {
    let mut ledger = ledger();
    ledger.work(Instant::now());
    joined(&mut ledger, 3);
    for temp_id in ["a-1", "a-2", "a-3"] {
        ledger.intend(temp_id.to_owned(), ROOM, "hi".to_owned(), Instant::now());
    }
    assert_eq!(ledger.work(Instant::now()).frames.len(), 3);
    status(&mut ledger, "a-1", &sent(4));
    status(&mut ledger, "a-1", &sent(4).replace("sent", "saved"));
    status(&mut ledger, "a-2", &sent(5));
    ledger.lose_socket(Instant::now());
    ledger.gain_socket();
    let work = ledger.work(Instant::now());
    assert_eq!(work.frames, [json!({ "type": "join", "room_id": ROOM, "since": 3 })]);
    joined(&mut ledger, 3);
    let work = ledger.work(Instant::now());
    let again: Vec<_> = work.frames.iter().map(|frame| (&frame["temp_id"], &frame["resend"])).collect();
    assert_eq!(again, [(&json!("a-2"), &json!(true)), (&json!("a-3"), &json!(true))]);
}

#[test]
fn one_that_waits_for_its_next_try_is_not_overtaken() {
    let mut ledger = ledger();
    ledger.work(Instant::now());
    joined(&mut ledger, 3);
    ledger.intend("a-1".to_owned(), ROOM, "hi".to_owned(), Instant::now());
    ledger.work(Instant::now());
    status(
        &mut ledger,
        "a-1",
        r#""status":"failed","code":"rate_limited","detail":"","retry":true,"retry_after_ms":60000"#,
    );
    ledger.intend("a-2".to_owned(), ROOM, "hi".to_owned(), Instant::now());
    let work = ledger.work(Instant::now());
    assert!(work.frames.is_empty());
    let next = work.next.unwrap();
    assert!(next > Instant::now() + Duration::from_secs(50));
    let names: Vec<_> = ledger.work(next).frames.iter().map(|frame| frame["temp_id"].clone()).collect();
    assert_eq!(names, ["a-1", "a-2"]);
}

#[test]
fn no_more_wait_for_an_answer_than_the_server_takes() {
    let mut ledger = ledger();
    ledger.work(Instant::now());
    joined(&mut ledger, 3);
    for n in 0..40 {
        ledger.intend(format!("a-{n}"), ROOM, "hi".to_owned(), Instant::now());
    }
    assert_eq!(ledger.work(Instant::now()).frames.len(), UNANSWERED_MAX);
    status(&mut ledger, "a-0", &sent(4));
    assert_eq!(ledger.work(Instant::now()).frames.len(), 1);
}

#[test]
fn what_was_not_asked_for_is_noted() {
    let mut ledger = ledger();
    status(&mut ledger, "b-1", &sent(4));
    status(&mut ledger, "b-1", &sent(4).replace("sent", "saved"));
    assert_eq!(ledger.oddities.len(), 1, "saved goes to all sockets of the sender, sent only to the one that asked");
    let other = Uuid::from_u128(2);
    hear(&mut ledger, &format!(r#"{{"type":"skip","room_id":"{other}","seq":4,"prev":3}}"#));
    assert_eq!(ledger.oddities.len(), 2);
}

#[test]
fn a_room_one_was_removed_from_is_not_joined_again() {
    let mut ledger = ledger();
    ledger.work(Instant::now());
    joined(&mut ledger, 3);
    hear(&mut ledger, r#"{"type":"removed","room_id":"ROOM","reason":"participant_removed"}"#);
    assert!(ledger.work(Instant::now()).frames.is_empty());
}
