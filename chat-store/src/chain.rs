//! Whether an event's history is as it was written: every change is there once, fits its own hash, and hangs on the one
//! before it, up to the hash in the event's own row.

use schema::{
    change::FieldChange,
    history::Link,
    id::{ChangeId, EventId},
};
use serde::Serialize;

use crate::{EventChange, MessageStore, StoreError};

/// Something that was done to a history after it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ChainFault {
    /// At which version of the event.
    pub version: i64,
    /// At which change; none when it is missing.
    pub id: Option<ChangeId>,
    /// `missing`, `repeated`, `value_changed`, `hash_wrong`, `end_wrong` or `unsealed`.
    #[serde(rename = "problem")]
    pub what: &'static str,
}

/// Changes read at a time.
const PAGE: usize = 500;

/// The whole history of an event, ascending in version: all of it, or at least `changes_max` of its changes.
pub async fn read(
    store: &dyn MessageStore,
    event: EventId,
    changes_max: usize,
) -> Result<Vec<EventChange>, StoreError> {
    let mut changes: Vec<EventChange> = Vec::new();
    loop {
        let after = changes.last().map(|last| (last.changed_at, last.id));
        let page = store.event_history(event, after, PAGE).await?;
        let is_last = page.len() < PAGE;
        changes.extend(page);
        if is_last || changes.len() >= changes_max {
            break;
        }
    }
    // Clocks of two processes may differ; versions do not.
    changes.sort_by_key(|change| change.version);
    Ok(changes)
}

/// Problems that are told.
const FAULTS_MAX: usize = 100;

/// Everything that is wrong with `changes`, ascending in version, of an event whose row holds the hash `end` and
/// `version`.
pub fn faults(changes: &[EventChange], end: Option<&str>, version: i64) -> Vec<ChainFault> {
    let mut faults = Vec::new();
    let mut before: Option<&EventChange> = None;
    for change in changes {
        let place = before.map_or(1, |before| before.version + 1);
        let note = |what| ChainFault { version: change.version, id: Some(change.id), what };
        if change.version < place {
            faults.push(note("repeated"));
            continue;
        }
        for missing in (place..change.version).take(FAULTS_MAX) {
            faults.push(ChainFault { version: missing, id: None, what: "missing" });
        }
        let is_changed = |field: &FieldChange| match &field.salt {
            Some(_) => field.computed_digest() != field.digest,
            // Erased: then nothing is there to read.
            None => field.digest.is_some() && !(field.old.is_null() && field.new.is_null()),
        };
        if change.fields.iter().any(is_changed) {
            faults.push(note("value_changed"));
        }
        match &change.hash {
            None => faults.push(note("unsealed")),
            Some(hash) => {
                let is_next = change.version == place;
                if is_next && link(change).hash(before.and_then(|before| before.hash.as_deref())) != *hash {
                    faults.push(note("hash_wrong"));
                }
            }
        }
        before = Some(change);
    }
    let stored = before.map_or(0, |before| before.version);
    let hash = before.and_then(|before| before.hash.as_deref());
    if stored > version || (stored == version && hash != end) {
        faults.push(ChainFault { version, id: before.map(|before| before.id), what: "end_wrong" });
    }
    faults.truncate(FAULTS_MAX);
    faults
}

fn link(change: &EventChange) -> Link<'_> {
    Link {
        event_id: change.event_id,
        id: change.id,
        change: change.change,
        version: change.version,
        actor_id: change.actor_id,
        changed_at: change.changed_at,
        fields: &change.fields,
        added: &change.added,
        removed: &change.removed,
    }
}

#[cfg(test)]
mod tests {
    use schema::{change::ChangeKind, clock::Timestamp, id::EventId};
    use serde_json::{Value, json};

    use super::*;

    fn chain(length: i64) -> Vec<EventChange> {
        let event_id = EventId::random();
        let mut changes: Vec<EventChange> = Vec::new();
        for version in 1..=length {
            let mut change = EventChange {
                id: ChangeId::random(),
                event_id,
                change: ChangeKind::EventUpdated,
                version,
                actor_id: None,
                changed_at: Timestamp::from_unix_millis(version).expect("a time"),
                fields: vec![FieldChange::new("title", Value::Null, json!(version)).sealed([3; 16])],
                added: vec![],
                removed: vec![],
                hash: None,
            };
            change.hash = Some(link(&change).hash(changes.last().and_then(|last| last.hash.as_deref())));
            changes.push(change);
        }
        changes
    }

    fn problems(changes: &[EventChange], end: Option<&str>) -> Vec<(i64, &'static str)> {
        faults(changes, end, 4).iter().map(|found| (found.version, found.what)).collect()
    }

    #[test]
    fn what_was_written_later_is_seen() {
        let whole = chain(4);
        let end = whole[3].hash.clone();
        assert_eq!(problems(&whole, end.as_deref()), []);
        let mut erased = whole.clone();
        erased[1].fields[0] = FieldChange { new: Value::Null, salt: None, ..erased[1].fields[0].clone() };
        assert_eq!(problems(&erased, end.as_deref()), [], "an erased value is no fault");
        let mut changed = whole.clone();
        changed[1].fields[0].new = json!("other");
        assert_eq!(problems(&changed, end.as_deref()), [(2, "value_changed")]);
        let mut resealed = whole.clone();
        resealed[1].fields[0] = FieldChange::new("title", Value::Null, json!("other")).sealed([3; 16]);
        assert_eq!(problems(&resealed, end.as_deref()), [(2, "hash_wrong")]);
        let mut cut = whole.clone();
        cut.remove(1);
        assert_eq!(problems(&cut, end.as_deref()), [(2, "missing")]);
        let mut laid_bare = whole.clone();
        laid_bare[1].fields[0] = FieldChange { new: json!("other"), salt: None, ..laid_bare[1].fields[0].clone() };
        assert_eq!(problems(&laid_bare, end.as_deref()), [(2, "value_changed")], "erased is empty");
        let mut doubled = whole.clone();
        doubled.insert(2, EventChange { id: ChangeId::random(), ..whole[1].clone() });
        assert_eq!(problems(&doubled, end.as_deref()), [(2, "repeated")]);
        let mut longer = chain(5);
        longer[..4].clone_from_slice(&whole);
        longer[4].event_id = whole[0].event_id;
        longer[4].hash = Some(link(&longer[4]).hash(end.as_deref()));
        assert_eq!(problems(&longer, end.as_deref()), [(4, "end_wrong")], "more than ever happened");
        let rewritten = chain(4);
        assert_eq!(
            problems(&rewritten, end.as_deref()),
            [(4, "end_wrong")],
            "a whole new chain does not fit its event"
        );
        assert_eq!(problems(&whole[..3], end.as_deref()), [], "what is not stored yet is waited for");
    }
}
