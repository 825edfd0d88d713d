//! What a sender may count on: A1, A2, A3, and the part of A4 that is theirs.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::{Evidence, Rule, Violation};
use crate::phone::{Intent, Item, Ledger, Outcome};

/// Items by sender and `temp_id`.
type Found<'a> = HashMap<(Uuid, &'a str), Vec<&'a Item>>;

pub(super) fn check(evidence: &Evidence, violations: &mut Vec<Violation>) {
    let rooms: BTreeSet<_> =
        evidence.ledgers.iter().flat_map(|ledger| &ledger.intents).map(|intent| intent.room).collect();
    for room in rooms {
        let Some(history) = evidence.history(room) else {
            violations.push(Violation { rule: Rule::A1, what: format!("nobody read the history of {room}") });
            continue;
        };
        let mut found = Found::new();
        for item in &history.items {
            if let (Some(sender), Some(temp_id)) = (item.sender_id, &item.temp_id) {
                found.entry((sender, temp_id.as_str())).or_default().push(item);
            }
        }
        for ledger in &evidence.ledgers {
            check_ledger(ledger, room, &found, violations);
        }
    }
}

fn check_ledger(ledger: &Ledger, room: Uuid, found: &Found<'_>, violations: &mut Vec<Violation>) {
    let mut last = None;
    for intent in ledger.intents.iter().filter(|intent| intent.room == room) {
        let items = found.get(&(ledger.user, intent.temp_id.as_str())).map_or(&[][..], Vec::as_slice);
        if let Some((rule, what)) = fate(intent, items) {
            let what = format!("{}'s {} in {room} {what}", ledger.name, intent.temp_id);
            violations.push(Violation { rule, what });
        }
        // One that was held up may have been overtaken; one that is not there has no place.
        let ([item], false) = (items, intent.was_held_up) else { continue };
        if let Some((before, temp_id)) = last
            && item.seq < before
        {
            let what = format!("{}'s {temp_id} was said before {} and stands behind it", ledger.name, intent.temp_id);
            violations.push(Violation { rule: Rule::A4, what });
        }
        last = Some((item.seq, intent.temp_id.as_str()));
    }
}

/// What is wrong with where a message is.
fn fate(intent: &Intent, items: &[&Item]) -> Option<(Rule, String)> {
    let count = items.len();
    match &intent.outcome {
        Outcome::Sent { id, seq } | Outcome::Saved { id, seq } => match items {
            [item] if (item.id, item.seq) != (*id, *seq) => {
                let what = format!("is {id} at {seq} for its sender and {} at {} in history", item.id, item.seq);
                Some((Rule::A1, what))
            }
            [item] if !item.deleted && item.edited_at.is_none() && item.content.as_ref() != Some(&intent.text) => {
                Some((Rule::A1, format!("says {:?} in history and not {:?}", item.content, intent.text)))
            }
            [_] => None,
            _ => Some((Rule::A1, format!("was sent, at {seq}, and is there {count} times"))),
        },
        Outcome::Failed { code } if count > 0 => Some((Rule::A2, format!("failed with {code} and is in history"))),
        Outcome::None | Outcome::Unknown if count > 1 => Some((Rule::A3, format!("is there {count} times"))),
        Outcome::Failed { .. } | Outcome::None | Outcome::Unknown => None,
    }
}
