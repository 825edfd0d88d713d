//! Connecting to a cluster, and making its keyspace and tables.

use std::time::Duration;

use ::scylla::{
    client::{execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder},
    statement::Consistency,
};

use super::error;
use crate::StoreError;

/// Above every timeout of the servers (5 s for reads by default), so that their answer is the one we hear.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(7);

/// How long making one table may take: a cluster must agree on it.
const MIGRATE_WITHIN: Duration = Duration::from_mins(1);

/// A session without a keyspace, or in one.
pub(super) async fn connect(nodes: &[String], keyspace: Option<&str>, within: Duration) -> Result<Session, StoreError> {
    let profile = ExecutionProfile::builder()
        // Reads meet writes, so what was written is in every page asked for afterwards.
        .consistency(Consistency::LocalQuorum)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(nodes)
        .connection_timeout(within)
        .default_execution_profile_handle(profile.into_handle());
    if let Some(keyspace) = keyspace {
        builder = builder.use_keyspace(check_name(keyspace)?, false);
    }
    tokio::time::timeout(within, builder.build())
        .await
        .map_err(|elapsed| StoreError::Unavailable(Box::new(elapsed)))?
        .map_err(error::session)
}

/// Creates the keyspace and its tables where they are missing. Safe to repeat, and to run beside another one.
pub async fn migrate(nodes: &[String], keyspace: &str, replication_factor: u32) -> Result<(), StoreError> {
    let keyspace = check_name(keyspace)?;
    let session = connect(nodes, None, MIGRATE_WITHIN).await?;
    // A name can not be bound; it was checked.
    let create = format!(
        "CREATE KEYSPACE IF NOT EXISTS {keyspace}
         WITH replication = {{'class': 'NetworkTopologyStrategy', 'replication_factor': {replication_factor}}}"
    );
    run(&session, &create).await?;
    session.use_keyspace(keyspace, false).await.map_err(|refusal| StoreError::Refused(Box::new(refusal)))?;
    for (name, statement) in schema::scylla::TABLES {
        tracing::debug!(table = name, "creating where missing");
        run(&session, statement).await?;
    }
    for (table, column, kind) in schema::scylla::COLUMNS {
        if has_column(&session, keyspace, table, column).await? {
            continue;
        }
        tracing::debug!(table, column, "adding what is missing");
        let added = run(&session, &format!("ALTER TABLE {table} ADD {column} {kind}")).await;
        // Another one may have been faster.
        if added.is_err() && !has_column(&session, keyspace, table, column).await? {
            return added;
        }
    }
    Ok(())
}

async fn has_column(session: &Session, keyspace: &str, table: &str, column: &str) -> Result<bool, StoreError> {
    let statement = "SELECT column_name FROM system_schema.columns
                     WHERE keyspace_name = ? AND table_name = ? AND column_name = ?";
    let found = session.query_unpaged(statement, (keyspace, table, column)).await.map_err(error::execution)?;
    let found = found.into_rows_result().map_err(|no_rows| StoreError::Refused(Box::new(no_rows)))?;
    Ok(found.rows_num() > 0)
}

async fn run(session: &Session, statement: &str) -> Result<(), StoreError> {
    let mut statement = ::scylla::statement::Statement::new(statement);
    statement.set_is_idempotent(true);
    statement.set_request_timeout(Some(MIGRATE_WITHIN));
    session.query_unpaged(statement, ()).await.map_err(error::execution)?;
    Ok(())
}

/// A keyspace's name goes into statements as it is, so it must be a plain word.
fn check_name(keyspace: &str) -> Result<&str, StoreError> {
    let is_plain = keyspace.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let begins_well = keyspace.starts_with(|c: char| c.is_ascii_lowercase());
    if is_plain && begins_well && keyspace.len() <= 48 {
        Ok(keyspace)
    } else {
        Err(StoreError::Refused("a keyspace's name has at most 48 of a-z, 0-9 and _ and begins with a letter".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyspace_is_a_plain_word() {
        for good in ["timingle", "a1_b"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "_a", "Timingle", "a b", "a;drop", &"a".repeat(49)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
