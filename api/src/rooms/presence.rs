//! Who of a room is online: the gateways know, and Redis knows when the others were last there.

use std::{collections::HashSet, time::Duration};

use async_nats::{
    Request,
    client::{RequestError, RequestErrorKind},
};
use deadpool_redis::redis;
use schema::{
    clock::Timestamp,
    id::{RoomId, UserId},
    last_seen::redis_key,
    problem::Code,
    signal::{PresenceAnswer, Signal},
    subject::LiveSignalSubject,
};

use super::{model::Present, repository, service};
use crate::{
    error::ApiError,
    http::{Identity, List},
    state::AppState,
};

/// How long a gateway may take to answer; who is silent for longer has nobody there.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);
/// The most members that one answer names, in the order in which they came.
const MEMBERS_MAX: i64 = 5_000;

/// All members, and whether they are there.
pub(super) async fn presence(state: &AppState, caller: Identity, room: RoomId) -> Result<List<Present>, ApiError> {
    let place = service::member(state, caller, room).await?;
    if place.is_blind {
        // Until aliases are shown here: ids would give away who is who.
        return Err(ApiError::refused(Code::Forbidden, "presence in a blind room is not shown"));
    }
    let members = repository::list_member_ids(&state.pg, room, MEMBERS_MAX).await?;
    let online = online(state, room).await?;
    let (here, away): (Vec<UserId>, Vec<UserId>) = members.iter().partition(|member| online.contains(member));
    let mut seen = last_seen(state, room, &away).await.into_iter();
    let here: HashSet<UserId> = here.into_iter().collect();
    let present = |user_id| {
        let online = here.contains(&user_id);
        let last_seen_at = if online { None } else { seen.next().flatten() };
        Present { user_id, online, last_seen_at }
    };
    Ok(List::whole(members.into_iter().map(present).collect()))
}

/// Asks the gateways. The first answer counts: each that has the room knows of all the others.
async fn online(state: &AppState, room: RoomId) -> Result<HashSet<UserId>, ApiError> {
    let away = |error: RequestError| ApiError::unavailable("nats", error);
    if !state.broker.is_connected() {
        return Err(ApiError::unavailable("nats", "not connected"));
    }
    let question = serde_json::to_vec(&Signal::PresenceAsked { gateway: None }).expect("a name serialises");
    let request = Request::new().payload(question.into()).timeout(Some(ANSWER_WITHIN));
    let answer = match state.broker.client.send_request(LiveSignalSubject(room).to_string(), request).await {
        Ok(answer) => answer,
        Err(error) => match error.kind() {
            RequestErrorKind::NoResponders => return Ok(HashSet::new()),
            RequestErrorKind::TimedOut if state.broker.is_connected() => return Ok(HashSet::new()),
            _ => return Err(away(error)),
        },
    };
    let answer: PresenceAnswer =
        serde_json::from_slice(&answer.payload).map_err(|error| ApiError::Internal(error.into()))?;
    Ok(answer.online.into_iter().collect())
}

/// When each of these was last there; nobody knows while Redis is away.
async fn last_seen(state: &AppState, room: RoomId, users: &[UserId]) -> Vec<Option<Timestamp>> {
    if users.is_empty() {
        return Vec::new();
    }
    let mut question = redis::cmd("MGET");
    for user in users {
        question.arg(redis_key(state.redis.prefix(), room, *user));
    }
    match state.redis.command::<Vec<Option<String>>>(&question).await {
        Ok(times) => times.into_iter().map(|time| Timestamp::parse(&time?).ok()).collect(),
        Err(error) => {
            tracing::debug!(room.id = %room, %error, "last_seen_at is not known");
            Vec::new()
        }
    }
}
