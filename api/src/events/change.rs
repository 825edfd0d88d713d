//! What is told of a change: the envelope on EVENTS, and a line in the room where people should see it there.

use schema::{
    change::{ChangeKind, FieldChange},
    clock::Timestamp,
    history::Link,
    id::{ChangeId, RoomId, UserId},
};
use serde_json::json;
use sqlx::PgConnection;

use super::{
    model::{Event, Status},
    repository,
};
use crate::{
    error::ApiError,
    outbox::{self, NewChange},
    random,
};

/// Moves an event to another state, and tells of it; without an actor the system did it.
pub(super) async fn step(
    tx: &mut PgConnection,
    before: &Event,
    status: Status,
    kind: ChangeKind,
    actor: Option<UserId>,
    now: Timestamp,
) -> Result<Event, ApiError> {
    let event = Event { status, version: before.version + 1, updated_at: now, ..before.clone() };
    repository::update(tx, &event).await?;
    tell(tx, &event, kind, actor, event.changes_since(Some(before))).await?;
    Ok(event)
}

/// Tells of a change of an event's fields or state, as of `event.version`; without an actor the system did it.
pub(super) async fn tell(
    tx: &mut PgConnection,
    event: &Event,
    kind: ChangeKind,
    actor: Option<UserId>,
    fields: Vec<FieldChange>,
) -> Result<(), ApiError> {
    let shown = match kind {
        ChangeKind::EventUpdated
        | ChangeKind::EventConfirmed
        | ChangeKind::EventCancelled
        | ChangeKind::EventCompleted => true,
        // Who comes hears of it otherwise, and nobody reads an archived room.
        ChangeKind::EventCreated
        | ChangeKind::EventDeleted
        | ChangeKind::EventParticipantsChanged
        | ChangeKind::RoomMembersChanged
        | ChangeKind::UserSessionsRevoked => false,
    };
    let data = json!({"event_id": event.id, "version": event.version, "status": event.status, "fields": fields});
    append(tx, event, NewChange { fields, ..new(event, kind, actor) }).await?;
    if shown {
        outbox::append_system(tx, event.room_id, kind, actor, data, event.updated_at).await?;
    }
    Ok(())
}

/// Tells of a change that also says who may hear the room from now on.
pub(super) async fn tell_members(
    tx: &mut PgConnection,
    event: &Event,
    kind: ChangeKind,
    actor: UserId,
    fields: Vec<FieldChange>,
    (added, removed): (Vec<UserId>, Vec<UserId>),
) -> Result<(), ApiError> {
    let room_id: RoomId = event.room_id;
    append(tx, event, NewChange { room_id: Some(room_id), fields, added, removed, ..new(event, kind, Some(actor)) })
        .await
}

fn new(event: &Event, kind: ChangeKind, actor: Option<UserId>) -> NewChange {
    NewChange { event_id: Some(event.id), actor_id: actor, ..NewChange::new(kind, event.version, event.updated_at) }
}

/// Seals the change, and hangs it on the chain: the event's row is locked, so that its changes come one by one.
async fn append(tx: &mut PgConnection, event: &Event, mut change: NewChange) -> Result<(), ApiError> {
    let id = ChangeId::random();
    let fields = change.fields.into_iter().map(|field| Ok(field.sealed(random::bytes()?)));
    change.fields = fields.collect::<Result<_, ApiError>>()?;
    // The first change hangs on nothing.
    let before = match change.kind {
        ChangeKind::EventCreated => None,
        _ => repository::find_history_hash(tx, event.id).await?,
    };
    let link = Link {
        event_id: event.id,
        id,
        change: change.kind,
        version: change.version,
        actor_id: change.actor_id,
        changed_at: change.changed_at,
        fields: &change.fields,
        added: &change.added,
        removed: &change.removed,
    };
    let hash = link.hash(before.as_deref());
    repository::set_history_hash(tx, event.id, &hash).await?;
    change.hash = Some(hash);
    outbox::append_change(tx, event.id.as_uuid(), id, change).await
}
