//! What is told of a change: the envelope on EVENTS, and a line in the room where people should see it there.

use schema::{
    change::{ChangeKind, FieldChange},
    id::{ChangeId, RoomId, UserId},
};
use serde_json::json;
use sqlx::PgConnection;

use super::model::Event;
use crate::{
    error::ApiError,
    outbox::{self, NewChange},
};

/// Tells of a change of an event's fields or state, as of `event.version`.
pub(super) async fn tell(
    tx: &mut PgConnection,
    event: &Event,
    kind: ChangeKind,
    actor: UserId,
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
        outbox::append_system(tx, event.room_id, kind, Some(actor), data, event.updated_at).await?;
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
    append(tx, event, NewChange { room_id: Some(room_id), fields, added, removed, ..new(event, kind, actor) }).await
}

fn new(event: &Event, kind: ChangeKind, actor: UserId) -> NewChange {
    NewChange {
        event_id: Some(event.id),
        actor_id: Some(actor),
        ..NewChange::new(kind, event.version, event.updated_at)
    }
}

async fn append(tx: &mut PgConnection, event: &Event, change: NewChange) -> Result<(), ApiError> {
    outbox::append_change(tx, event.id.as_uuid(), ChangeId::random(), change).await
}
