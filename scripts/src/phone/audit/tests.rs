//! The auditor is audited: each broken promise, made by hand, is found, and a good ledger is left in peace.

use tokio::time::Instant;

use super::*;
use crate::phone::{
    Action, Incoming, Reaction,
    frame::{LogFrame, Word},
    view::View,
};

const ROOM: Uuid = Uuid::from_u128(1);
const ANN: Uuid = Uuid::from_u128(2);
const BEN: Uuid = Uuid::from_u128(3);
const SINCE: u64 = 10;

fn id(seq: u64) -> Uuid {
    Uuid::from_u64_pair(9, seq)
}

fn item(seq: u64) -> Item {
    Item {
        kind: "message".to_owned(),
        room_id: ROOM,
        id: id(seq),
        seq,
        created_at: "2026-11-21T05:58:48.927Z".to_owned(),
        sender_id: Some(ANN),
        temp_id: Some(format!("a-{seq}")),
        content: Some("hi".to_owned()),
        edited_at: None,
        deleted: false,
        reactions: Vec::new(),
    }
}

fn frame(seq: u64, prev: u64) -> Incoming {
    let Item { room_id, id, created_at, sender_id, temp_id, content, .. } = item(seq);
    Incoming::Message(LogFrame {
        room_id,
        id,
        seq,
        prev,
        created_at,
        sender_id,
        temp_id,
        content,
        ..LogFrame::default()
    })
}

fn letter(seq: u64) -> Letter {
    Letter { seq, body: b"{}".to_vec() }
}

fn reader(user: Uuid, name: &str) -> Ledger {
    let mut ledger = Ledger::new(user, name.to_owned());
    ledger.open(ROOM, View::new(None));
    ledger.gain_socket();
    ledger.work(Instant::now());
    hear(&mut ledger, Incoming::Joined { room_id: ROOM, seq: SINCE, recovered: true, replayed: 0 });
    ledger
}

fn hear(ledger: &mut Ledger, frame: Incoming) {
    ledger.hear(frame, Instant::now());
}

fn say(ledger: &mut Ledger, temp_id: &str, words: &[Word]) {
    ledger.intend(temp_id.to_owned(), ROOM, "hi".to_owned(), Instant::now());
    ledger.work(Instant::now());
    for word in words {
        hear(ledger, Incoming::Status { room_id: Some(ROOM), temp_id: temp_id.to_owned(), word: word.clone() });
    }
}

/// Ann says 11, 12 and 13, Ben listens, and all is well; 9 and 10 were there before they came.
fn good() -> Evidence {
    let (mut ann, mut ben) = (reader(ANN, "Ann"), reader(BEN, "Ben"));
    for seq in 11..=13 {
        let (id, sent) = (id(seq), Word::Sent { id: id(seq), seq });
        say(&mut ann, &format!("a-{seq}"), &[sent, Word::Saved { id, seq }]);
        hear(&mut ann, frame(seq, seq - 1));
        hear(&mut ben, frame(seq, seq - 1));
    }
    let history = |reader: &str| History { reader: reader.to_owned(), room: ROOM, items: (9..=13).map(item).collect() };
    let log = |keeper: &str| {
        let lines = (9..=13).map(|seq| (seq, Some(id(seq)))).collect();
        Log { keeper: keeper.to_owned(), room: ROOM, lines }
    };
    Evidence {
        ledgers: vec![ann, ben],
        histories: vec![history("Ann"), history("Ben, backwards")],
        logs: vec![log("the stream"), log("the table")],
        dead: vec![letter(8)],
        poison: vec![letter(8)],
    }
}

/// Breaks the good evidence and expects `rule` to be among what is found, `others` beside it at most.
fn check(name: &str, rule: Rule, others: &[Rule], break_it: impl FnOnce(&mut Evidence)) {
    let mut evidence = good();
    break_it(&mut evidence);
    let found = audit(&evidence);
    assert!(found.iter().any(|violation| violation.rule == rule), "{name}: {rule:?} is not in {found:?}");
    let stray: Vec<_> = found.iter().filter(|one| one.rule != rule && !others.contains(&one.rule)).collect();
    assert!(stray.is_empty(), "{name}: {stray:?}");
}

fn remove(evidence: &mut Evidence, seq: u64) {
    for history in &mut evidence.histories {
        history.items.retain(|item| item.seq != seq);
    }
}

/// As if the message were in history a second time, at `seq`.
fn add(evidence: &mut Evidence, temp_id: &str, seq: u64) {
    for history in &mut evidence.histories {
        history.items.push(Item { temp_id: Some(temp_id.to_owned()), ..item(seq) });
    }
}

#[test]
fn nothing_is_found_where_all_is_well() {
    let found = audit(&good());
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a1_a_sent_message_that_is_lost_moved_changed_or_doubled_is_found() {
    let beside = [Rule::A5, Rule::Log];
    check("lost", Rule::A1, &beside, |evidence| remove(evidence, 12));
    check("doubled", Rule::A1, &beside, |evidence| add(evidence, "a-12", 14));
    check("moved", Rule::A1, &beside, |evidence| {
        remove(evidence, 13);
        add(evidence, "a-13", 14);
    });
    check("changed", Rule::A1, &beside, |evidence| {
        for history in &mut evidence.histories {
            history.items[3].content = Some("ho".to_owned());
        }
    });
    check("nobody looked", Rule::A1, &beside, |evidence| evidence.histories.clear());
}

#[test]
fn a2_a_failed_message_in_history_is_found() {
    check("failed", Rule::A2, &[Rule::A5, Rule::Log], |evidence| {
        let failed = Word::Failed { code: "invalid_content".to_owned(), retry: false, retry_after_ms: None };
        say(&mut evidence.ledgers[0], "a-14", &[failed]);
        add(evidence, "a-14", 14);
    });
}

#[test]
fn a3_an_unresolved_message_may_be_there_once_but_not_twice() {
    let unresolved = |evidence: &mut Evidence, times: u64| {
        say(&mut evidence.ledgers[0], "a-14", &[]);
        for seq in 14..14 + times {
            add(evidence, "a-14", seq);
            for ledger in &mut evidence.ledgers {
                let Incoming::Message(frame) = frame(seq, seq - 1) else { panic!("a message") };
                hear(ledger, Incoming::Message(LogFrame { temp_id: Some("a-14".to_owned()), ..frame }));
            }
            for log in &mut evidence.logs {
                log.lines.push((seq, Some(id(seq))));
            }
        }
    };
    for times in [0, 1] {
        let mut evidence = good();
        unresolved(&mut evidence, times);
        let found = audit(&evidence);
        assert!(found.is_empty(), "{times}: {found:?}");
    }
    check("twice", Rule::A3, &[], |evidence| unresolved(evidence, 2));
}

#[test]
fn a4_a_history_out_of_order_or_different_for_a_reader_is_found() {
    check("out of order", Rule::A4, &[], |evidence| {
        for history in &mut evidence.histories {
            history.items.swap(2, 3);
        }
    });
    check("a seq twice", Rule::A4, &[], |evidence| {
        for history in &mut evidence.histories {
            let copy = Item { temp_id: None, ..history.items[4].clone() };
            history.items.insert(4, Item { id: copy.id, ..copy });
        }
    });
    check("shorter for one", Rule::A4, &[], |evidence| drop(evidence.histories[1].items.pop()));
    check("other words for one", Rule::A4, &[], |evidence| {
        evidence.histories[1].items[2].content = Some("ho".to_owned());
    });
}

#[test]
fn a4_a_sender_who_is_overtaken_by_themselves_is_found_unless_they_were_held_up() {
    check("overtaken", Rule::A4, &[], |evidence| evidence.ledgers[0].intents.swap(0, 1));
    let mut evidence = good();
    evidence.ledgers[0].intents.swap(0, 1);
    evidence.ledgers[0].intents[0].was_held_up = true;
    assert!(audit(&evidence).is_empty());
}

#[test]
fn a5_a_phone_that_misses_adds_changes_or_doubles_is_found() {
    fn view(evidence: &mut Evidence) -> &mut View {
        evidence.ledgers[1].rooms.get_mut(&ROOM).unwrap()
    }
    check("misses", Rule::A5, &[], |evidence| drop(view(evidence).shown.remove(&12)));
    check("misses the last", Rule::A5, &[], |evidence| drop(view(evidence).shown.remove(&13)));
    check("adds", Rule::A5, &[], |evidence| hear(&mut evidence.ledgers[1], frame(14, 13)));
    check("other words", Rule::A5, &[], |evidence| {
        view(evidence).shown.get_mut(&12).unwrap().content = Some("ho".to_owned());
    });
    check("another time", Rule::A5, &[], |evidence| {
        view(evidence).shown.get_mut(&12).unwrap().created_at = "2026-11-21T05:58:48.928Z".to_owned();
    });
    check("an id twice", Rule::A5, &[], |evidence| {
        view(evidence).shown.get_mut(&12).unwrap().id = id(11);
    });
}

/// Ann's second message, changed: as everybody reads it, and as `frame` tells those who listen.
fn changed(evidence: &mut Evidence, read: impl Fn(&mut Item), frame: impl Fn(LogFrame) -> Incoming) {
    for history in &mut evidence.histories {
        read(&mut history.items[3]);
    }
    for ledger in &mut evidence.ledgers {
        let Incoming::Message(message) = self::frame(14, 13) else { panic!("a message") };
        hear(ledger, frame(LogFrame { message_id: Some(id(12)), temp_id: None, ..message }));
    }
    for log in &mut evidence.logs {
        log.lines.push((14, None));
    }
}

#[test]
fn a5_a_change_that_was_shown_in_another_way_than_it_is_kept_is_found() {
    let says = |frame: LogFrame, content: &str| LogFrame { content: Some(content.to_owned()), ..frame };
    let edited = |item: &mut Item| {
        item.edited_at = Some(item.created_at.clone());
        item.content = Some("ho".to_owned());
    };
    let reacted = |item: &mut Item| item.reactions = vec![Reaction { emoji: "👍".to_owned(), count: 1 }];
    let reaction = |frame: LogFrame, emoji: &str| {
        Incoming::Reaction(LogFrame { emoji: Some(emoji.into()), action: Some(Action::Added), ..frame })
    };
    let mut evidence = good();
    changed(&mut evidence, edited, |frame| Incoming::MessageUpdated(says(frame, "ho")));
    assert_eq!(audit(&evidence).len(), 0, "{:?}", audit(&evidence));
    let mut evidence = good();
    changed(&mut evidence, reacted, |frame| reaction(frame, "👍"));
    assert_eq!(audit(&evidence).len(), 0, "{:?}", audit(&evidence));
    let mut evidence = good();
    changed(&mut evidence, |item| item.deleted = true, Incoming::MessageDeleted);
    assert_eq!(audit(&evidence).len(), 0, "{:?}", audit(&evidence));

    check("other words", Rule::A5, &[], |evidence| {
        changed(evidence, edited, |frame| Incoming::MessageUpdated(says(frame, "hu")));
    });
    check("of another message", Rule::A5, &[], |evidence| {
        changed(evidence, edited, |frame| {
            Incoming::MessageUpdated(LogFrame { message_id: Some(id(11)), ..says(frame, "ho") })
        });
    });
    check("another reaction", Rule::A5, &[], |evidence| changed(evidence, reacted, |frame| reaction(frame, "👎")));
    check("not deleted", Rule::A5, &[], |evidence| changed(evidence, |_| (), Incoming::MessageDeleted));
}

#[test]
fn a5_who_was_removed_need_not_see_the_rest_but_must_see_all_before() {
    fn removed(evidence: &mut Evidence) {
        let view = evidence.ledgers[1].rooms.get_mut(&ROOM).unwrap();
        view.removed = Some("participant_removed".to_owned());
        view.shown.remove(&13);
        view.last = Some(12);
    }
    let mut evidence = good();
    removed(&mut evidence);
    assert!(audit(&evidence).is_empty());
    check("misses one before", Rule::A5, &[], |evidence| {
        removed(evidence);
        evidence.ledgers[1].rooms.get_mut(&ROOM).unwrap().shown.remove(&11);
    });
}

#[test]
fn a6_a_message_given_up_is_found() {
    check("given up", Rule::A6, &[], |evidence| evidence.dead.push(letter(12)));
    check("given up instead", Rule::A6, &[], |evidence| evidence.dead = vec![letter(12)]);
    check("given up twice", Rule::A6, &[], |evidence| evidence.dead.push(letter(8)));
    check("not given up", Rule::A6, &[], |evidence| evidence.dead.clear());
    check("other bytes", Rule::A6, &[], |evidence| evidence.dead[0].body.truncate(1));
}

#[test]
fn a_log_or_table_that_tells_another_story_is_found() {
    check("not in the log", Rule::Log, &[], |evidence| evidence.logs[0].lines.truncate(4));
    check("not in the table", Rule::Log, &[], |evidence| evidence.logs[1].lines.truncate(4));
    check("not in history", Rule::Log, &[], |evidence| {
        for log in &mut evidence.logs {
            log.lines.push((14, Some(id(14))));
        }
    });
    let mut evidence = good();
    evidence.logs[0].lines.push((14, Some(id(11))));
    evidence.logs[1].lines.push((14, None));
    assert!(audit(&evidence).is_empty(), "the second seq of an id is a skip");
}

#[test]
fn what_the_protocol_does_not_allow_is_found() {
    check("saved before sent", Rule::Wire, &[Rule::A1], |evidence| {
        say(&mut evidence.ledgers[0], "a-9", &[Word::Saved { id: id(9), seq: 9 }]);
        evidence.ledgers[0].intents.rotate_right(1);
    });
    check("a broken chain", Rule::Wire, &[], |evidence| {
        let view = evidence.ledgers[1].rooms.get_mut(&ROOM).unwrap();
        view.skip(14, 12);
    });
    check("an error", Rule::Wire, &[], |evidence| {
        hear(&mut evidence.ledgers[0], Incoming::Error { code: "invalid_frame".to_owned(), detail: String::new() });
    });
}
