//! What every room of the caller's has said since a seq: seqs are the log's, so one number stands for all rooms.

use chat_store::LogRow;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use schema::{envelope, frame::server::ServerFrame, id::RoomId};
use serde::Serialize;
use serde_json::Value;

use crate::{
    error::ApiError,
    http::{Identity, Query},
    rooms,
    state::AppState,
};

/// The most frames of one room; of more, the client pages history.
const ROOM_FRAMES_MAX: usize = 100;
/// The most frames of one answer.
const FRAMES_MAX: usize = 1_000;
/// Questions to the store at the same time.
const ROOMS_AT_ONCE: usize = 8;

/// What was missed.
#[derive(Debug, Serialize)]
pub(super) struct Sync {
    /// Rooms that moved, in the order in which they did.
    rooms: Vec<MovedRoom>,
    /// Where the next one begins.
    next_since: u64,
}

/// What was missed in one room.
#[derive(Debug, Serialize)]
struct MovedRoom {
    room_id: RoomId,
    /// The frames of its log, ascending, as a replay has them; none if it is too many.
    frames: Vec<Value>,
    /// Whether it is too many: load the room's history instead.
    limited: bool,
}

/// Everything above `since` up to what is settled.
pub(super) async fn sync(state: &AppState, caller: Identity, query: &Query) -> Result<Sync, ApiError> {
    let since: u64 = query.get("since")?.unwrap_or(0);
    // First the floor, then the logs: every seq up to the one is in the others.
    let settled_seq = state.settled.get().await;
    let mine = rooms::all_of(state, caller).await?;
    let reads = mine.into_iter().map(|room| async move {
        let rows = state.store.log(room, since, ROOM_FRAMES_MAX + 1).await?;
        Ok::<_, ApiError>((room, rows))
    });
    let mut moved: Vec<(RoomId, Vec<LogRow>)> =
        stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(ROOMS_AT_ONCE).try_collect().await?;
    for (_, rows) in &mut moved {
        rows.retain(|row| row.seq <= settled_seq);
    }
    moved.retain(|(_, rows)| !rows.is_empty());
    moved.sort_unstable_by_key(|(_, rows)| rows.last().map(|row| row.seq));
    let mut left = FRAMES_MAX;
    let rooms = moved.into_iter().map(|(room_id, rows)| {
        let limited = rows.len() > ROOM_FRAMES_MAX.min(left);
        let frames = if limited { Vec::new() } else { frames(room_id, since, &rows) };
        left -= frames.len();
        MovedRoom { room_id, frames, limited }
    });
    // An api that could not ask for the floor yet sends nobody back to the beginning.
    Ok(Sync { rooms: rooms.collect(), next_since: settled_seq.max(since) })
}

fn frames(room_id: RoomId, since: u64, rows: &[LogRow]) -> Vec<Value> {
    let mut prev = since;
    let frame = |row: &LogRow| {
        let bytes = match &row.body {
            Some(body) => envelope::splice(body.as_bytes(), row.seq, prev, row.created_at).to_vec(),
            None => ServerFrame::Skip { room_id, seq: row.seq, prev }.to_json(),
        };
        prev = row.seq;
        serde_json::from_slice(&bytes).expect("what the log took was one JSON object")
    };
    rows.iter().map(frame).collect()
}
