//! Whether an event's history is as it was written, for those who are in it.

use chat_store::chain::{self, ChainFault};
use schema::id::EventId;
use serde::Serialize;

use super::{repository, service::show};
use crate::{error::ApiError, http::Identity, state::AppState};

/// The most changes that are looked at: an event has one for each thing that anybody ever did to it.
const CHANGES_MAX: usize = 100_000;

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    /// Whether nothing is wrong.
    whole: bool,
    /// How many changes were looked at.
    changes: usize,
    /// Changes that are committed and not stored yet: a moment's worth is no fault.
    pending: i64,
    /// The version of the newest change that is stored.
    version: i64,
    /// The hash of that change.
    hash: Option<String>,
    problems: Vec<ChainFault>,
}

/// Looks at the whole history.
pub(super) async fn verify(state: &AppState, caller: Identity, id: EventId) -> Result<Verdict, ApiError> {
    show(state, caller, id).await?;
    let changes = chain::read(state.store.as_ref(), id, CHANGES_MAX).await?;
    // After the changes: what is stored is committed, and so the end is not behind it.
    let (end, version) = repository::find_chain_end(&state.pg, id).await?.ok_or_else(ApiError::not_a_member)?;
    let problems = chain::faults(&changes, end.as_deref(), version);
    let last = changes.last();
    let stored = last.map_or(0, |last| last.version);
    Ok(Verdict {
        whole: problems.is_empty(),
        changes: changes.len(),
        pending: (version - stored).max(0),
        version: stored,
        hash: last.and_then(|last| last.hash.clone()),
        problems,
    })
}
