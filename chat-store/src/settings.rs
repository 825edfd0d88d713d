//! Which store, and where: settings that api, gateway and worker share.

use std::{sync::Arc, time::Duration};

use ops::database::Pool;

use crate::{MessageStore, StoreError, postgres::PostgresStore, scylla::ScyllaStore};

/// Which store holds the messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreKind {
    /// Beside users and events: nothing more to run.
    #[default]
    Postgres,
    /// For those who outgrow one machine.
    Scylla,
}

/// Where the messages rest.
#[derive(Clone, Debug, clap::Args)]
pub struct StoreSettings {
    /// Which store holds the messages: `postgres` or `scylla`.
    #[arg(long, env = "STORE", value_enum, default_value = "postgres")]
    pub store: StoreKind,
    /// Addresses of CQL nodes, with commas; read when STORE is `scylla`.
    #[arg(long, env = "CQL_NODES", value_delimiter = ',', default_value = "127.0.0.1:9042")]
    pub cql_nodes: Vec<String>,
    /// The CQL keyspace.
    #[arg(long, env = "CQL_KEYSPACE", default_value = "timingle")]
    pub cql_keyspace: String,
}

/// How long the first connection to a CQL cluster may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Connects to the store; `pg` is the pool that the process has anyway.
pub async fn connect(settings: &StoreSettings, pg: &Pool) -> Result<Arc<dyn MessageStore>, StoreError> {
    match settings.store {
        StoreKind::Postgres => Ok(Arc::new(PostgresStore::new(pg.clone()))),
        StoreKind::Scylla => {
            let store = ScyllaStore::connect(&settings.cql_nodes, &settings.cql_keyspace, CONNECT_WITHIN).await?;
            Ok(Arc::new(store))
        }
    }
}
