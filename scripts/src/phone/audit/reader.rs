//! What a reader may count on: A4 and A5, and that no socket says what the protocol does not allow.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{Evidence, History, Rule, Violation};
use crate::phone::{Item, Ledger, Shown, View};

pub(super) fn check(evidence: &Evidence, violations: &mut Vec<Violation>) {
    for history in &evidence.histories {
        check_ascent(history, violations);
        check_equality(evidence, history, violations);
    }
    for ledger in &evidence.ledgers {
        violations.extend(ledger.all_oddities().map(|what| {
            let what = format!("{}: {what}", ledger.name);
            Violation { rule: Rule::Wire, what }
        }));
        for (room, view) in &ledger.rooms {
            check_view(evidence, ledger, *room, view, violations);
        }
    }
}

fn check_ascent(history: &History, violations: &mut Vec<Violation>) {
    for (item, next) in history.items.iter().zip(history.items.iter().skip(1)) {
        if item.seq >= next.seq {
            let what = format!("{} reads {} before {} in {}", history.reader, item.seq, next.seq, history.room);
            violations.push(Violation { rule: Rule::A4, what });
        }
    }
}

fn check_equality(evidence: &Evidence, history: &History, violations: &mut Vec<Violation>) {
    let Some(first) = evidence.history(history.room) else { return };
    let pairs = first.items.iter().zip(&history.items);
    let difference = pairs.clone().find(|(a, b)| a != b).map(|(a, b)| format!("{a:?} and {b:?}"));
    let difference = difference.or_else(|| {
        let (a, b) = (first.items.len(), history.items.len());
        (a != b).then(|| format!("{a} items and {b}"))
    });
    if let Some(difference) = difference {
        let what = format!("{} and {} read {}: {difference}", first.reader, history.reader, history.room);
        violations.push(Violation { rule: Rule::A4, what });
    }
}

fn check_view(evidence: &Evidence, ledger: &Ledger, room: Uuid, view: &View, violations: &mut Vec<Violation>) {
    let mut broken = |what: String| {
        violations.push(Violation { rule: Rule::A5, what: format!("{} in {room}: {what}", ledger.name) });
    };
    // Who was never let in has nothing to show; who was removed need not see the rest.
    let Some(since) = view.since else { return };
    let Some(history) = evidence.history(room) else { return broken("nobody read the history".to_owned()) };
    let until = if view.removed.is_some() { view.last.unwrap_or(since) } else { u64::MAX };
    let expected: BTreeMap<u64, &Item> = history
        .items
        .iter()
        .filter(|item| item.seq > since && item.seq <= until)
        .map(|item| (item.seq, item))
        .collect();
    for item in expected.values().filter(|item| !view.shown.contains_key(&item.seq)) {
        broken(format!("{} at {} is in history and was not shown", item.id, item.seq));
    }
    let mut by_id = HashMap::new();
    for shown in view.shown.values().filter(|shown| shown.seq > since) {
        if let Some(before) = by_id.insert(shown.id, shown.seq) {
            broken(format!("{} was shown at {before} and again at {}", shown.id, shown.seq));
        }
        if let Some(what) = difference(shown, expected.get(&shown.seq).copied(), view.removed.is_none()) {
            broken(format!("{} at {} {what}", shown.id, shown.seq));
        }
    }
}

/// How what is shown differs from history; of who was removed, not in what may have changed since.
fn difference(shown: &Shown, item: Option<&Item>, is_present: bool) -> Option<String> {
    // Changes of a message are no items of history: they show in the message's present state.
    if !["message", "system"].contains(&shown.kind.as_str()) {
        return None;
    }
    let Some(item) = item else { return Some("was shown and is not in history".to_owned()) };
    let same = (shown.id, &shown.kind, shown.sender, &shown.temp_id, &shown.created_at)
        == (item.id, &item.kind, item.sender_id, &item.temp_id, &item.created_at)
        && (is_same_state(shown, item) || !is_present && (item.deleted || item.edited_at.is_some()));
    (!same).then(|| format!("was shown as {shown:?} and is {item:?} in history"))
}

/// Whether the changes that a phone heard have made of a message what history says it is.
fn is_same_state(shown: &Shown, item: &Item) -> bool {
    if shown.deleted || item.deleted {
        return shown.deleted == item.deleted;
    }
    let counted = item.reactions.iter().map(|reaction| (reaction.emoji.as_str(), reaction.count)).collect();
    let are_reactions_same = shown.reactions.as_ref().is_none_or(|reactions| {
        let heard = reactions.iter().map(|(emoji, people)| (&**emoji, people.len()));
        heard.filter(|(_, count)| *count > 0).collect::<BTreeMap<_, _>>() == counted
    });
    (&shown.content, &shown.edited_at) == (&item.content, &item.edited_at) && are_reactions_same
}
