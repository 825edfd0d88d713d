//! What has to be known before something is published: of a resend, whether the log has it already; of a change,
//! whether its sender may make it. Both are asked of the store only if the room's recent frames do not say it.

use std::{sync::Arc, time::Duration};

use chat_store::{Deed, Found, Permit};
use schema::{
    id::{MessageId, RoomId},
    problem::Code,
};
use tokio::time::{Instant, timeout_at};

use super::{Outcome, Outgoing, conclude, finish, finish_repeat};
use crate::state::Gateway;

/// How long the look-up of a resend, or of the message that something changes, may take.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(2);
/// Between two looks for a message that is not stored yet.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Whether a change may be made, as far as nobody has looked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The message that is to be changed.
    pub message_id: MessageId,
    /// How.
    pub deed: Deed,
}

/// Why something is not published.
type Refused = (Code, String);

/// Publishes once it is known that it may be.
pub(super) async fn begin(gateway: Arc<Gateway>, mut outgoing: Outgoing) {
    if outgoing.is_resend {
        if let Some(Found { seq, .. }) = shown(&gateway, &outgoing) {
            return conclude(&gateway, outgoing, &Outcome::Sent { seq, is_duplicate: true });
        }
        let found = look_up(&gateway, outgoing.body.id()).await;
        if let Ok(Some(found)) = found {
            let stored = said(&gateway, &found).await;
            return finish_repeat(&gateway, &outgoing, found.seq, stored.as_deref().map(str::as_bytes));
        }
        if let Some(outcome) = unless_stored(found.is_ok(), gateway.health.is_settled(), outgoing.hindrance) {
            return finish(&gateway, &outgoing, &outcome);
        }
    }
    if let Some(question) = outgoing.question {
        match answer(&gateway, &outgoing, question).await {
            Ok(is_moderator) => outgoing.is_moderator = is_moderator,
            // Whether its first try got further is not known.
            Err((Code::Unavailable, _)) if outgoing.is_resend => {
                return finish(&gateway, &outgoing, &Outcome::Unknown);
            }
            Err((code, detail)) => return finish(&gateway, &outgoing, &Outcome::Failed(code, detail)),
        }
    }
    gateway.publisher.launch(&gateway, outgoing);
}

/// What is said of a resend that the store does not show; none = it may be published.
fn unless_stored(has_answered: bool, is_settled: bool, hindrance: Option<Code>) -> Option<Outcome> {
    match hindrance {
        // Its first try may be in the log, whatever the store or this moment says: that is no failure.
        _ if !has_answered => Some(Outcome::Unknown),
        Some(Code::Forbidden) if is_settled => Some(Outcome::Failed(Code::Forbidden, Code::Forbidden.title().into())),
        Some(_) => Some(Outcome::Unknown),
        None if is_settled => None,
        None => Some(Outcome::Failed(Code::NotSettled, "whether it is stored is not known yet".into())),
    }
}

/// Where it stands among the room's recent frames.
pub(super) fn shown(gateway: &Gateway, outgoing: &Outgoing) -> Option<Found> {
    gateway.hub.find(outgoing.body.room_id())?.recent(outgoing.body.id())
}

/// What the store's log has at a message's place.
async fn said(gateway: &Gateway, found: &Found) -> Option<String> {
    let reading = gateway.store.log(found.room_id, found.seq.saturating_sub(1), 1);
    let rows = tokio::time::timeout(LOOK_UP_WITHIN, reading).await.ok()?.ok()?;
    rows.into_iter().find(|row| row.seq == found.seq)?.body
}

/// Where a message stands in the store, if it does.
async fn look_up(gateway: &Gateway, id: MessageId) -> Result<Option<Found>, ()> {
    match tokio::time::timeout(LOOK_UP_WITHIN, gateway.store.find(&[id])).await {
        Ok(Ok(found)) => Ok(found.first().copied()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a message can not be looked up");
            Err(())
        }
        Err(_elapsed) => Err(()),
    }
}

/// Whether the sender may; true if it is their role in the room that lets them.
async fn answer(gateway: &Gateway, outgoing: &Outgoing, question: Question) -> Result<bool, Refused> {
    let (room, sender) = (outgoing.body.room_id(), outgoing.user_id);
    let target = find(gateway, room, question.message_id).await?;
    match target.permits(question.deed, room, sender) {
        Permit::Granted => Ok(false),
        Permit::Refused(code, detail) => Err((code, detail.into())),
        Permit::ByRole => match gateway.admission.check(sender, room).await {
            Ok(Some(membership)) if membership.may_moderate => Ok(true),
            Ok(Some(_)) => Err((Code::Forbidden, "only its author, or who runs the room, deletes a message".into())),
            Ok(None) => Err((Code::NotAMember, Code::NotAMember.title().into())),
            Err(error) => Err((Code::Unavailable, error.to_string())),
        },
    }
}

/// The message: among the room's recent frames, else in the store, which may be a moment behind.
async fn find(gateway: &Gateway, room: RoomId, id: MessageId) -> Result<Found, Refused> {
    let deadline = Instant::now() + LOOK_UP_WITHIN;
    loop {
        if let Some(found) = gateway.hub.find(room).and_then(|room| room.recent(id)) {
            return Ok(found);
        }
        match timeout_at(deadline, gateway.store.find(&[id])).await {
            Ok(Ok(found)) => {
                if let Some(found) = found.first() {
                    return Ok(*found);
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "the message that is to be changed can not be looked up"),
            Err(_elapsed) => {}
        }
        if Instant::now() + LOOK_AGAIN >= deadline {
            return Err((Code::NotSettled, "the message is not stored yet, or is none".into()));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
