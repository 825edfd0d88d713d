//! Writes outbox rows, in the transaction of the change they tell of.

use async_nats::HeaderMap;
use schema::{
    change::{Change, ChangeKind, FieldChange},
    clock::Timestamp,
    envelope::{Body, Headers},
    header,
    id::{ChangeId, EventId, MessageId, RoomId, SessionId, UserId},
    subject::ChatSubject,
};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::repository::{self, NewRow};
use crate::error::ApiError;

/// A change that has no row yet.
#[derive(Clone, Debug)]
pub(crate) struct NewChange {
    /// What happened.
    pub(crate) kind: ChangeKind,
    /// The thing's version after it.
    pub(crate) version: i64,
    /// When.
    pub(crate) changed_at: Timestamp,
    /// Which event.
    pub(crate) event_id: Option<EventId>,
    /// Which room's hearers changed.
    pub(crate) room_id: Option<RoomId>,
    /// Whose sessions.
    pub(crate) user_id: Option<UserId>,
    /// Which session.
    pub(crate) sid: Option<SessionId>,
    /// Who did it.
    pub(crate) actor_id: Option<UserId>,
    /// What it held before and holds now.
    pub(crate) fields: Vec<FieldChange>,
    /// Who came in.
    pub(crate) added: Vec<UserId>,
    /// Who left.
    pub(crate) removed: Vec<UserId>,
    /// Of an event's: over this change and the one before it.
    pub(crate) hash: Option<String>,
}

impl NewChange {
    /// A change of `kind` that says nothing more yet.
    pub(crate) const fn new(kind: ChangeKind, version: i64, changed_at: Timestamp) -> Self {
        Self {
            kind,
            version,
            changed_at,
            event_id: None,
            room_id: None,
            user_id: None,
            sid: None,
            actor_id: None,
            fields: Vec::new(),
            added: Vec::new(),
            removed: Vec::new(),
            hash: None,
        }
    }
}

/// Appends a change for the stream EVENTS to `lane`.
pub(crate) async fn append_change(
    tx: &mut PgConnection,
    lane: Uuid,
    id: ChangeId,
    new: NewChange,
) -> Result<(), ApiError> {
    let (subject, created_at) = (new.kind.subject(), new.changed_at);
    let change = Change {
        id,
        change: new.kind,
        event_id: new.event_id,
        room_id: new.room_id,
        user_id: new.user_id,
        sid: new.sid,
        version: new.version,
        actor_id: new.actor_id,
        changed_at: new.changed_at,
        fields: new.fields,
        added: new.added,
        removed: new.removed,
        hash: new.hash,
    };
    let body = serde_json::to_string(&change).map_err(|error| ApiError::Internal(error.into()))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::NATS_MSG_ID, id.to_string());
    append(tx, lane, NewRow { id, subject: subject.into(), headers: as_json(&headers), body, created_at }).await
}

/// Appends the frame that a room's log shows of a change to the same lane.
pub(crate) async fn append_system(
    tx: &mut PgConnection,
    room: RoomId,
    kind: ChangeKind,
    actor: Option<UserId>,
    data: Value,
    now: Timestamp,
) -> Result<(), ApiError> {
    let id = ChangeId::random();
    let frame = MessageId::from(id);
    let body = Body::System { room_id: room, id: frame, change: kind, actor_id: actor, data };
    let headers = Headers { sender: actor, gateway: None, is_resend: false, is_moderator: false }.to_map(frame);
    let body = String::from_utf8(body.to_bytes().to_vec()).map_err(|error| ApiError::Internal(error.into()))?;
    let subject = ChatSubject(room).to_string();
    append(tx, room.as_uuid(), NewRow { id, subject, headers: as_json(&headers), body, created_at: now }).await
}

async fn append(tx: &mut PgConnection, lane: Uuid, row: NewRow) -> Result<(), ApiError> {
    repository::append(tx, lane, row).await.map_err(ApiError::from)
}

/// Every header of ours has one value.
fn as_json(headers: &HeaderMap) -> Value {
    let pairs = headers.iter().filter_map(|(name, values)| Some((name.to_string(), values.first()?.as_str().into())));
    Value::Object(pairs.collect())
}
