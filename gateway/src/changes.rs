//! What the API has committed and a gateway must act on at once: removals and signed-out sessions.

use std::sync::Arc;

use async_nats::Message;
use futures_util::{FutureExt as _, future, stream};
use schema::{
    change::{Change, ChangeKind},
    frame::close::CloseReason,
    id::{SessionId, UserId},
};

use crate::{
    recheck,
    state::Gateway,
    subscription::{self, subscribe},
};

/// The subjects that change who may hear what.
const SUBJECTS: [&str; 3] = [ChangeKind::EventParticipantsChanged.subject(), "room.*", "user.*"];

/// Runs until the process stops.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let subscribing = future::join_all(SUBJECTS.map(|subject| subscribe(&gateway, subject)));
    let take = |message: Message| match serde_json::from_slice::<Change>(&message.payload) {
        Ok(change) => apply(&gateway, &change),
        Err(error) => tracing::warn!(subject = %message.subject, %error, "a change that does not decode"),
    };
    subscription::hear(&gateway, subscribing.map(stream::select_all), take).await;
}

fn apply(gateway: &Gateway, change: &Change) {
    match change.change {
        ChangeKind::EventParticipantsChanged | ChangeKind::RoomMembersChanged => {
            let room_id = change.room_id.or_else(|| change.event_id.map(Into::into));
            let Some(room_id) = room_id else { return };
            gateway.admission.forget(room_id);
            for user_id in &change.removed {
                recheck::remove(gateway, *user_id, room_id, "participant_removed");
            }
        }
        ChangeKind::UserSessionsRevoked => {
            if let Some(user_id) = change.user_id {
                revoke(gateway, user_id, change.sid);
            }
        }
        ChangeKind::EventCreated
        | ChangeKind::EventUpdated
        | ChangeKind::EventConfirmed
        | ChangeKind::EventCancelled
        | ChangeKind::EventCompleted
        | ChangeKind::EventDeleted => {}
    }
}

fn revoke(gateway: &Gateway, user_id: UserId, sid: Option<SessionId>) {
    for socket in gateway.sockets.of(user_id) {
        let is_meant = sid.is_none() || socket.identity().and_then(|identity| identity.sid) == sid;
        if is_meant {
            socket.close(CloseReason::SessionRevoked);
        }
    }
}
