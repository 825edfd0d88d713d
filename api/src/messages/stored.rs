//! Where a message stands, also one that is still on its way into the store.

use std::time::Duration;

use chat_store::Found;
use schema::{id::MessageId, problem::Code};
use tokio::time::Instant;

use super::log;
use crate::{error::ApiError, state::AppState};

/// How long a message is waited for, which the store may not have yet.
const STORED_WITHIN: Duration = Duration::from_secs(2);
/// Between two looks for it.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Where the message stands. The store may be a moment behind; what is not there once it has caught up is nowhere.
pub(crate) async fn find(state: &AppState, id: MessageId) -> Result<Option<Found>, ApiError> {
    let deadline = Instant::now() + STORED_WITHIN;
    if let Some(found) = state.store.find(&[id]).await?.first() {
        return Ok(Some(*found));
    }
    loop {
        let last_seq = log::last_seq(&state.broker).await?;
        let settled_seq = state.settled.get().await;
        if let Some(found) = state.store.find(&[id]).await?.first() {
            return Ok(Some(*found));
        }
        if settled_seq >= last_seq {
            return Ok(None);
        }
        if Instant::now() + LOOK_AGAIN >= deadline {
            return Err(ApiError::refused(Code::NotSettled, "the message is not stored yet, or is none"));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
