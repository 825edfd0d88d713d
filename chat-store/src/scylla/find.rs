//! Where ids stand.

use futures_util::{StreamExt, TryStreamExt, stream};
use schema::{envelope::Kind, id::MessageId};

use super::{
    ScyllaStore,
    claim::Known,
    item_row,
    log::{self, Place},
    mutation::IN_FLIGHT_MAX,
};
use crate::{Found, StoreError, standing::Target};

/// Those of `ids` that stand somewhere. An id is claimed before its rows are written, so the rows are asked too: what
/// is found here is in every page asked for afterwards. A refused change stands nowhere, its seq is a skip.
pub(super) async fn by_ids(store: &ScyllaStore, ids: &[MessageId]) -> Result<Vec<Found>, StoreError> {
    let known = store.known(ids.iter().copied()).await?;
    let reads = known.into_iter().map(|(id, known)| standing(store, id, known));
    let found: Vec<Option<Found>> = stream::iter(reads).buffer_unordered(IN_FLIGHT_MAX).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

async fn standing(store: &ScyllaStore, id: MessageId, known: Known) -> Result<Option<Found>, StoreError> {
    let Some(first) = known.first() else { return Ok(None) };
    let (at, created_at) = (first.at, first.created_at);
    let place = Place { room_id: at.room_id, seq: at.seq, created_at };
    let (is_there, is_deleted) = match at.kind {
        Kind::Message | Kind::System => {
            let item = item_row::at(store, place.key()).await?;
            (item.is_some(), item.is_some_and(|item| item.is_deleted))
        }
        Kind::MessageUpdated | Kind::MessageDeleted | Kind::Reaction => {
            (log::body(store, &place).await?.is_some(), false)
        }
    };
    let Target { room_id, seq, kind, sender } = at;
    Ok(is_there.then_some(Found { id, room_id, seq, kind, sender, created_at, is_deleted }))
}
