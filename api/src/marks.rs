//! How far people have read, as of now: the stream `CHAT_MARKS` has each member's newest mark at once, and the message
//! store has it a moment later. So who reads and then looks at their rooms finds what they expect.

use std::collections::HashMap;

use async_nats::Message;
use chat_store::StoreError;
use ops::direct_get;
use schema::{
    clock::Timestamp,
    header,
    id::{RoomId, UserId},
    mark::Mark,
    stream::CHAT_MARKS,
    subject::MarkSubject,
};
use serde_json::json;

use crate::state::AppState;

/// A mark, and when it was made.
pub(crate) type Standing = (u64, Timestamp);

/// The newest marks of these people in these rooms, the store's or the stream's; who has none is not named.
pub(crate) async fn newest(
    state: &AppState,
    whose: &[(RoomId, UserId)],
) -> Result<HashMap<(RoomId, UserId), Standing>, StoreError> {
    let stored = state.store.read_marks(whose).await?.into_iter();
    let mut newest: HashMap<_, Standing> =
        stored.map(|mark| ((mark.room_id, mark.user_id), (mark.seq, mark.read_at))).collect();
    for (who, standing) in of_stream(state, whose).await {
        let known = newest.entry(who).or_insert(standing);
        *known = (*known).max(standing);
    }
    Ok(newest)
}

/// The marks that the stream has; none while NATS is away, when the store has to do.
async fn of_stream(state: &AppState, whose: &[(RoomId, UserId)]) -> HashMap<(RoomId, UserId), Standing> {
    let mut found = HashMap::new();
    if !state.broker.is_connected() {
        return found;
    }
    for whose in whose.chunks(direct_get::SUBJECTS_MAX) {
        let subjects: Vec<String> = whose.iter().map(|(room, user)| MarkSubject(*room, *user).to_string()).collect();
        let request = json!({ "multi_last": subjects, "batch": subjects.len() });
        match direct_get::batch(&state.broker.client, CHAT_MARKS, request.to_string().into()).await {
            Ok(messages) => found.extend(messages.iter().filter_map(read)),
            Err(error) => {
                tracing::warn!(%error, "marks are read from the store alone");
                return found;
            }
        }
    }
    found
}

fn read(message: &Message) -> Option<((RoomId, UserId), Standing)> {
    let text = |name| Some(message.headers.as_ref()?.get(name)?.as_str());
    let MarkSubject(room, user) = MarkSubject::parse(text(header::NATS_SUBJECT)?)?;
    let Mark { seq } = serde_json::from_slice(&message.payload).ok()?;
    Some(((room, user), (seq, Timestamp::parse(text(header::NATS_TIME_STAMP)?).ok()?)))
}
