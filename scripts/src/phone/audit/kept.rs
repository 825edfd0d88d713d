//! What the log, the store's tables and `CHAT_DEAD` keep: A6, and that all of them tell one story.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use super::{Evidence, Log, Rule, Violation};

pub(super) fn check(evidence: &Evidence, violations: &mut Vec<Violation>) {
    check_letters(evidence, violations);
    for log in &evidence.logs {
        check_log(evidence, log, violations);
    }
    let Some((first, others)) = evidence.logs.split_first() else { return };
    for other in others {
        // The first keeper's log of the same room is what the others are compared with.
        let first = evidence.logs.iter().find(|log| log.room == other.room).unwrap_or(first);
        let (a, b): (Vec<_>, Vec<_>) = (visible(first).collect(), visible(other).collect());
        if first.room == other.room && a != b {
            let what =
                format!("{} and {} keep {} differently: {a:?} and {b:?}", first.keeper, other.keeper, first.room);
            violations.push(Violation { rule: Rule::Log, what });
        }
    }
}

/// What was given up is what was broken on purpose, each once and to the byte.
fn check_letters(evidence: &Evidence, violations: &mut Vec<Violation>) {
    let mut broken =
        |seq: u64, what: &str| violations.push(Violation { rule: Rule::A6, what: format!("{seq} {what}") });
    let mut given_up = BTreeMap::new();
    for letter in &evidence.dead {
        if given_up.insert(letter.seq, &letter.body).is_some() {
            broken(letter.seq, "was given up twice");
        }
    }
    for letter in &evidence.poison {
        match given_up.remove(&letter.seq) {
            None => broken(letter.seq, "had to be given up and was not"),
            Some(body) if *body != letter.body => broken(letter.seq, "was given up with other bytes"),
            Some(_) => {}
        }
    }
    for seq in given_up.into_keys() {
        broken(seq, "was given up and is sound");
    }
}

/// The seqs that can be shown: of an id that stands twice, the lower one.
fn visible(log: &Log) -> impl Iterator<Item = (u64, Uuid)> {
    let mut known = HashSet::new();
    let lines: BTreeMap<_, _> = log.lines.iter().copied().collect();
    lines.into_iter().filter_map(move |(seq, id)| id.filter(|id| known.insert(*id)).map(|id| (seq, id)))
}

fn check_log(evidence: &Evidence, log: &Log, violations: &mut Vec<Violation>) {
    let Some(history) = evidence.history(log.room) else { return };
    let kept: HashSet<_> = visible(log).collect();
    let read: HashSet<_> = history.items.iter().map(|item| (item.seq, item.id)).collect();
    for (seq, id) in kept.difference(&read) {
        let what = format!("{} keeps {id} at {seq} of {}, history does not", log.keeper, log.room);
        violations.push(Violation { rule: Rule::Log, what });
    }
    for (seq, id) in read.difference(&kept) {
        let what = format!("history has {id} at {seq} of {}, {} does not", log.room, log.keeper);
        violations.push(Violation { rule: Rule::Log, what });
    }
}
