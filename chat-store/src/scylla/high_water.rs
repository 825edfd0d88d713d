//! The greatest seq ever stored.

use schema::stream::CHAT_MESSAGES;

use super::{ScyllaStore, error, statement::higher_wins};
use crate::{StoreError, column};

pub(super) async fn read(store: &ScyllaStore) -> Result<u64, StoreError> {
    let rows: Vec<(Option<i64>,)> = store.rows(&store.statements.high_water, (CHAT_MESSAGES,)).await?;
    column::seq(rows.first().and_then(|(seq,)| *seq).unwrap_or(0), "log_high_water", CHAT_MESSAGES)
}

/// Raises the mark; a lower one changes nothing.
pub(super) async fn raise(store: &ScyllaStore, seq: u64) -> Result<(), StoreError> {
    let values = (CHAT_MESSAGES, column::of_seq(seq), higher_wins(seq));
    store.session.execute_unpaged(&store.statements.high_water_raise, values).await.map_err(error::execution)?;
    Ok(())
}
