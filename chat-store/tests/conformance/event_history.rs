//! What happened to an event.

use chat_store::EventChange;
use schema::{
    change::{ChangeKind, FieldChange},
    id::{ChangeId, EventId, UserId},
};
use serde_json::json;

use crate::{room::time, stores::Store};

fn change(event_id: EventId, version: i64, at: u64) -> EventChange {
    EventChange {
        id: ChangeId::random(),
        event_id,
        change: ChangeKind::EventUpdated,
        version,
        actor_id: (version % 2 == 0).then(UserId::random),
        changed_at: time(at),
        fields: vec![FieldChange::new("title", json!(null), json!("회의 \u{0}")).sealed([7; 16])],
        added: vec![UserId::random(), UserId::random()],
        removed: vec![],
        hash: (version > 1).then(|| format!("{version:064x}")),
    }
}

pub(crate) async fn an_events_changes_are_read_newest_first(store: &Store) {
    let event = EventId::random();
    assert_eq!(store.event_history(event, None, 10).await.unwrap(), []);
    // Two in the same millisecond: then the id decides.
    let mut changes: Vec<_> =
        [(1, 10), (2, 20), (3, 20), (4, 30)].map(|(version, at)| change(event, version, at)).into();
    for written in changes.iter().rev() {
        store.write_event_change(written).await.unwrap();
    }
    store.write_event_change(&change(EventId::random(), 9, 40)).await.unwrap();
    changes.reverse();
    assert_eq!(store.event_history(event, None, 10).await.unwrap(), changes);
    assert_eq!(store.event_history(event, None, 2).await.unwrap(), changes[..2]);
    let before = (changes[1].changed_at, changes[1].id);
    assert_eq!(store.event_history(event, Some(before), 10).await.unwrap(), changes[2..]);
    let oldest = (changes[3].changed_at, changes[3].id);
    assert_eq!(store.event_history(event, Some(oldest), 10).await.unwrap(), []);
}

pub(crate) async fn the_same_change_again_is_one_row(store: &Store) {
    let event = EventId::random();
    let written = change(event, 1, 1);
    for _repeated in 0..3 {
        store.write_event_change(&written).await.unwrap();
    }
    assert_eq!(store.event_history(event, None, 10).await.unwrap(), [written]);
}
