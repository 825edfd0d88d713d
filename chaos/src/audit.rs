//! What the phones' audit can not know: what was said over REST, edits, unread counts, removals, and what the operators'
//! own check says.

use std::collections::HashMap;

use anyhow::{Context, Result};
use reqwest::Method;
use scripts::phone::{
    Incoming, Item, Ledger,
    audit::{Evidence, Rule, Violation},
};
use serde_json::Value;
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use crate::{
    Person,
    people::{Notes, Posted, Removal, Told},
};

/// From when until when something was broken, healing included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// When it broke.
    pub begun: Instant,
    /// When everything worked again.
    pub healed: Instant,
}

/// After so long nobody hears of a room they were taken out of.
const REMOVED_WITHIN: Duration = Duration::from_secs(1);
/// The most that a count of unread messages says.
const UNREAD_MAX: usize = 100;

fn broken(rule: Rule, what: String) -> Violation {
    Violation { rule, what }
}

/// Holds `notes` against what is kept, and what the guest heard against when they were there.
pub(crate) fn check(evidence: &Evidence, notes: &Notes, guest: &Ledger, faults: &[Span]) -> Vec<Violation> {
    let mut violations: Vec<_> = notes.oddities.iter().map(|what| broken(Rule::Wire, what.clone())).collect();
    let items: Vec<&Item> = first_histories(evidence).into_values().flatten().collect();
    for posted in &notes.posted {
        let found: Vec<_> = items.iter().filter(|item| is_it(posted, item)).map(|item| (item.id, item.seq)).collect();
        let (rule, is_kept) = match posted.told {
            Told::Said(id, seq) => (Rule::A1, found == [(id, seq)]),
            Told::Refused => (Rule::A2, found.is_empty()),
            Told::Nothing => (Rule::A3, found.len() <= 1),
        };
        if !is_kept {
            let Posted { temp_id, sender, told, .. } = posted;
            violations.push(broken(rule, format!("{temp_id} of {sender} was answered {told:?} and is at {found:?}")));
        }
    }
    for item in items.iter().filter(|item| item.edited_at.is_some() && !item.deleted) {
        let wanted = notes.edits.get(&item.id).into_iter().flatten().any(|edit| item.content.as_ref() == Some(edit));
        if !wanted {
            violations.push(broken(Rule::A1, format!("nobody wanted {} to say {:?}", item.id, item.content)));
        }
    }
    violations.extend(notes.removals.iter().filter_map(|removal| late(guest, removal, faults)));
    violations
}

/// Each room's first history: all are the same, or the phones' audit has said so.
fn first_histories(evidence: &Evidence) -> HashMap<Uuid, &[Item]> {
    let mut first = HashMap::new();
    for history in &evidence.histories {
        first.entry(history.room).or_insert(history.items.as_slice());
    }
    first
}

fn is_it(posted: &Posted, item: &Item) -> bool {
    item.room_id == posted.room
        && item.sender_id == Some(posted.sender)
        && item.temp_id.as_deref() == Some(posted.temp_id.as_str())
}

/// Frames that came to somebody too long after they were taken out. A removal reaches the gateways over the outbox and
/// NATS: what was broken then is waited for.
fn late(guest: &Ledger, removal: &Removal, faults: &[Span]) -> Option<Violation> {
    let in_force = faults
        .iter()
        .filter(|span| span.begun <= removal.at + REMOVED_WITHIN && removal.at <= span.healed)
        .map(|span| span.healed)
        .max()
        .map_or(removal.at, |healed| healed.max(removal.at));
    let (from, until) = (in_force + REMOVED_WITHIN, removal.until);
    let is_late = |at: Instant| at > from && until.is_none_or(|until| at < until);
    let late: Vec<_> = guest
        .heard
        .iter()
        .filter(|heard| is_late(heard.at) && is_of_room(&heard.frame, removal.room))
        .map(|heard| heard.at - removal.at)
        .collect();
    let worst = late.iter().max()?;
    Some(broken(Rule::A10, format!("{} frames after a removal, the last {worst:?} later", late.len())))
}

/// Whether a frame says anything of the room but that one is out of it.
fn is_of_room(frame: &Incoming, room: Uuid) -> bool {
    frame.room() == Some(room) && !matches!(frame, Incoming::Removed { .. } | Incoming::Left { .. })
}

/// Counts anew what is unread for each of `people` and asks the api what it says.
pub(crate) async fn unread(people: &[Person], evidence: &Evidence) -> Result<Vec<Violation>> {
    let histories = first_histories(evidence);
    let mut violations = Vec::new();
    for Person { account, .. } in people {
        let list: Value = account.call(Method::GET, "/rooms?limit=100", None).await?.expect(200)?;
        for room in list.get("items").and_then(Value::as_array).context("a list of rooms")? {
            let id: Uuid = room.get("id").and_then(Value::as_str).context("a room has an id")?.parse()?;
            let Some(items) = histories.get(&id) else { continue };
            let marks: Value =
                account.call(Method::GET, &format!("/rooms/{id}/read_marks"), None).await?.expect(200)?;
            let mine = marks.get("items").and_then(Value::as_array).into_iter().flatten();
            let mine = mine.filter(|mark| mark.get("user_id") == Some(&account.id.to_string().into()));
            let mark = mine.filter_map(|mark| mark.get("seq")?.as_u64()).max().unwrap_or_default();
            let is_unread = |item: &&Item| {
                item.seq > mark && !item.deleted && item.kind == "message" && item.sender_id != Some(account.id)
            };
            let count = items.iter().filter(is_unread).count().min(UNREAD_MAX);
            let said = room.get("unread_count").and_then(Value::as_u64);
            if said != u64::try_from(count).ok() {
                let what = format!("{} has {count} unread in {id} above {mark}, the api says {said:?}", account.name);
                violations.push(broken(Rule::A7, what));
            }
        }
    }
    Ok(violations)
}

/// What workers said of messages that left the log unstored. The operators' check finds only what is missing when it asks;
/// a worker says so once, when it finds it.
pub(crate) fn aged_out(logs: &[String]) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for log in logs {
        let said = std::fs::read_to_string(log).with_context(|| format!("cannot read {log}"))?;
        let told = said.lines().filter(|line| line.contains(r#""newly_lost":"#));
        violations.extend(told.map(|line| broken(Rule::A9, line.to_owned())));
    }
    Ok(violations)
}

/// What the operators' check found, under the promise it is about.
pub(crate) fn verified(report: &Value) -> Vec<Violation> {
    let findings = report.get("findings").and_then(Value::as_array).into_iter().flatten();
    let mut violations: Vec<_> = findings
        .map(|finding| {
            let kind = finding.get("kind").and_then(Value::as_str).unwrap_or_default();
            let rule = match kind {
                "mark_too_high" => Rule::A7,
                "lost" => Rule::A9,
                _ if kind.starts_with("history_") || kind.starts_with("outbox_") => Rule::A8,
                _ => Rule::Log,
            };
            broken(rule, format!("verify: {finding}"))
        })
        .collect();
    if violations.is_empty() && report.get("clean") != Some(&Value::Bool(true)) {
        violations.push(broken(Rule::Log, "verify does not say that all is well".to_owned()));
    }
    violations
}
