//! How far members have read: said by `POST /rooms/{id}/read`, on the way of a socket's `read`.

use schema::{
    id::{MessageId, RoomId, UserId},
    mark::Mark,
    problem::Code,
    stream::CHAT_MESSAGES,
    subject::ChatSubject,
};
use serde_json::Value;

use super::{
    model::{ReadMark, Reader, Role},
    repository,
    service::member,
};
use crate::{
    error::ApiError,
    http::{Form, Identity, List, id},
    marks, messages,
    state::AppState,
};

/// The most members whose marks one answer names, in the order in which they came.
const MEMBERS_MAX: i64 = 5_000;

/// Up to where the caller says they have read.
enum UpTo {
    Top,
    Seq(u64),
    Message(MessageId),
}

impl UpTo {
    fn read(mut form: Form) -> Result<Self, ApiError> {
        let seq = form.optional("seq", whole);
        let message = form.optional("message_id", id);
        if seq.is_some() && message.is_some() {
            form.refuse("message_id", "more_than_one");
        }
        form.finish()?;
        Ok(match (seq, message) {
            (Some(seq), _) => Self::Seq(seq),
            (None, Some(message)) => Self::Message(message),
            (None, None) => Self::Top,
        })
    }
}

fn whole(value: &Value) -> Result<u64, &'static str> {
    value.as_u64().ok_or("invalid")
}

/// Raises the caller's mark; it never moves back, and not above what was said.
pub(super) async fn read(
    state: &AppState,
    caller: Identity,
    room: RoomId,
    form: Result<Form, ApiError>,
) -> Result<Reader, ApiError> {
    if member(state, caller, room).await?.role == Role::Guest {
        // An admin who is not in it leaves no trace there.
        return Err(ApiError::not_a_member());
    }
    let up_to = UpTo::read(form?)?;
    let top = top(state, room).await?;
    let seq = match up_to {
        UpTo::Top => top,
        UpTo::Seq(seq) => seq.min(top),
        UpTo::Message(id) => {
            let found = messages::find(state, id).await?.filter(|found| found.room_id == room);
            found.ok_or_else(|| ApiError::field("message_id", "unknown"))?.seq
        }
    };
    let raised = Mark { seq }.raise(&state.broker.js, room, caller.user_id).await;
    let Mark { seq } = raised.map_err(|error| ApiError::unavailable("nats", error))?;
    Ok(Reader { room_id: room, user_id: caller.user_id, seq })
}

/// How far everybody in the room has read.
pub(super) async fn read_marks(state: &AppState, caller: Identity, room: RoomId) -> Result<List<ReadMark>, ApiError> {
    let place = member(state, caller, room).await?;
    if place.is_blind {
        // Until aliases are shown here: ids would give away who is who.
        return Err(ApiError::refused(Code::Forbidden, "marks in a blind room are not shown"));
    }
    let members = repository::list_member_ids(&state.pg, room, MEMBERS_MAX).await?;
    let whose: Vec<(RoomId, UserId)> = members.iter().map(|member| (room, *member)).collect();
    let newest = marks::newest(state, &whose).await?;
    let mark = |user_id: UserId| {
        let standing = newest.get(&(room, user_id));
        ReadMark { user_id, seq: standing.map_or(0, |(seq, _)| *seq), read_at: standing.map(|(_, at)| *at) }
    };
    Ok(List::whole(members.into_iter().map(mark).collect()))
}

/// The room's last seq: in the log, or in the store when the log holds nothing of it any more.
async fn top(state: &AppState, room: RoomId) -> Result<u64, ApiError> {
    use async_nats::jetstream::stream::DirectGetErrorKind::NotFound;
    let away = |error: async_nats::jetstream::context::GetStreamError| ApiError::unavailable("nats", error);
    let log = state.broker.js.get_stream_no_info(CHAT_MESSAGES).await.map_err(away)?;
    match log.direct_get_last_for_subject(ChatSubject(room).to_string()).await {
        Ok(message) => Ok(message.sequence),
        Err(error) if error.kind() == NotFound => Ok(state.store.last_seq(room).await?),
        Err(error) => Err(ApiError::unavailable("nats", error)),
    }
}
