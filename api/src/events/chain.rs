//! Whether an event's history is as it was written: every change is there once, fits its own hash, and hangs on the one
//! before it, up to the hash in the event's own row.

use chat_store::EventChange;
use schema::{
    change::FieldChange,
    clock::Timestamp,
    history::Link,
    id::{ChangeId, EventId},
};
use serde::Serialize;

use super::{repository, service::show};
use crate::{error::ApiError, http::Identity, state::AppState};

/// Changes read at a time.
const PAGE: usize = 500;
/// The most changes that are looked at: an event has one for each thing that anybody ever did to it.
const CHANGES_MAX: usize = 100_000;
/// Problems that are told.
const PROBLEMS_MAX: usize = 100;

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    /// Whether nothing is wrong.
    whole: bool,
    /// How many changes were looked at.
    changes: usize,
    /// Changes that are committed and not stored yet: a moment's worth is no fault.
    pending: i64,
    /// The version of the newest change that is stored.
    version: i64,
    /// The hash of that change.
    hash: Option<String>,
    problems: Vec<Fault>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Fault {
    version: i64,
    id: Option<ChangeId>,
    /// `missing`, `repeated`, `value_changed`, `hash_wrong`, `end_wrong` or `unsealed`.
    #[serde(rename = "problem")]
    what: &'static str,
}

/// Looks at the whole history.
pub(super) async fn verify(state: &AppState, caller: Identity, id: EventId) -> Result<Verdict, ApiError> {
    show(state, caller, id).await?;
    let mut changes: Vec<EventChange> = Vec::new();
    loop {
        let after: Option<(Timestamp, ChangeId)> = changes.last().map(|last| (last.changed_at, last.id));
        let page = state.store.event_history(id, after, PAGE).await?;
        let is_last = page.len() < PAGE;
        changes.extend(page);
        if is_last || changes.len() >= CHANGES_MAX {
            break;
        }
    }
    // After the changes: what is stored is committed, and so the end is not behind it.
    let (end, version) = repository::find_chain_end(&state.pg, id).await?.ok_or_else(ApiError::not_a_member)?;
    // Clocks of two processes may differ; versions do not.
    changes.sort_by_key(|change| change.version);
    Ok(judge(&changes, end.as_deref(), version))
}

fn judge(changes: &[EventChange], end: Option<&str>, version: i64) -> Verdict {
    let mut problems = Vec::new();
    let mut before: Option<&EventChange> = None;
    for change in changes {
        let place = before.map_or(1, |before| before.version + 1);
        let note = |what| Fault { version: change.version, id: Some(change.id), what };
        if change.version < place {
            problems.push(note("repeated"));
            continue;
        }
        for missing in (place..change.version).take(PROBLEMS_MAX) {
            problems.push(Fault { version: missing, id: None, what: "missing" });
        }
        let is_changed = |field: &FieldChange| match &field.salt {
            Some(_) => field.computed_digest() != field.digest,
            // Erased: then nothing is there to read.
            None => field.digest.is_some() && !(field.old.is_null() && field.new.is_null()),
        };
        if change.fields.iter().any(is_changed) {
            problems.push(note("value_changed"));
        }
        match &change.hash {
            None => problems.push(note("unsealed")),
            Some(hash) => {
                let is_next = change.version == place;
                if is_next && link(change).hash(before.and_then(|before| before.hash.as_deref())) != *hash {
                    problems.push(note("hash_wrong"));
                }
            }
        }
        before = Some(change);
    }
    let stored = before.map_or(0, |before| before.version);
    let hash = before.and_then(|before| before.hash.clone());
    if stored > version || (stored == version && hash.as_deref() != end) {
        problems.push(Fault { version, id: before.map(|before| before.id), what: "end_wrong" });
    }
    problems.truncate(PROBLEMS_MAX);
    Verdict {
        whole: problems.is_empty(),
        changes: changes.len(),
        pending: (version - stored).max(0),
        version: stored,
        hash,
        problems,
    }
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
    use schema::change::ChangeKind;
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
        judge(changes, end, 4).problems.iter().map(|found| (found.version, found.what)).collect()
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
        assert_eq!(judge(&whole[..3], end.as_deref(), 4).pending, 1, "what is not stored yet is waited for");
    }
}
