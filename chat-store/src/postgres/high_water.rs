//! The greatest seq ever stored.

use ops::database::Pool;
use schema::stream::CHAT_MESSAGES;

use crate::{StoreError, column};

const TABLE: &str = "log_high_water";

pub(super) async fn read(pool: &Pool) -> Result<u64, StoreError> {
    let row: Option<(i64,)> = sqlx::query_as("SELECT seq FROM log_high_water WHERE name = $1")
        .bind(CHAT_MESSAGES)
        .fetch_optional(pool)
        .await?;
    column::seq(row.map_or(0, |(seq,)| seq), TABLE, CHAT_MESSAGES)
}

/// Raises the mark; a lower one changes nothing.
///
/// It does not wait for the disk. Whatever is stored after this answered is committed after it, and PostgreSQL's log
/// reaches the disk in the order of its commits: no row survives a crash that the mark does not. The mark alone may not:
/// after a write that failed it has to be raised again.
pub(super) async fn raise(pool: &Pool, seq: u64) -> Result<(), StoreError> {
    sqlx::query(
        "WITH not_awaited AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
         INSERT INTO log_high_water (name, seq) SELECT $1, $2 FROM not_awaited
         ON CONFLICT (name) DO UPDATE SET seq = excluded.seq WHERE log_high_water.seq < excluded.seq",
    )
    .bind(CHAT_MESSAGES)
    .bind(column::of_seq(seq))
    .execute(pool)
    .await?;
    Ok(())
}
