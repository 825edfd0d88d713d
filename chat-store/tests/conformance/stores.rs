//! The real servers, and a place of its own for each case.

use std::{fs::File, sync::Arc, time::Duration};

use chat_store::{MessageStore, postgres::PostgresStore, scylla::ScyllaStore};
use schema::id::ConnectionId;
use scripts::stack::test_env;
use sha2::{Digest, Sha256};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// What every case is given.
pub(crate) type Store = Arc<dyn MessageStore>;

const WITHIN: Duration = Duration::from_secs(20);

/// A PostgreSQL database that belongs to one case.
pub(crate) struct Database {
    name: String,
    pool: PgPool,
}

impl Database {
    /// Copies the migrated template, which the first case to come makes.
    pub(crate) async fn create() -> Self {
        let mut admin = admin().await;
        let template = template(&mut admin).await;
        let name = format!("chat_store_test_{}", word(ConnectionId::random()));
        execute(&mut admin, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        admin.close().await.expect("an idle connection closes");
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .connect_with(server().database(&name))
            .await
            .expect("the new database takes connections");
        Self { name, pool }
    }

    pub(crate) fn store(&self) -> Store {
        Arc::new(PostgresStore::new(self.pool.clone()))
    }

    pub(crate) const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Removes it. After a failed case it stays, to be looked at.
    pub(crate) async fn drop(self) {
        self.pool.close().await;
        execute(&mut admin().await, format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

fn server() -> PgConnectOptions {
    test_env("DATABASE_URL").parse().expect("DATABASE_URL is an address")
}

async fn admin() -> PgConnection {
    server().connect().await.expect("PostgreSQL at DATABASE_URL answers")
}

async fn execute(admin: &mut PgConnection, statement: String) {
    sqlx::query(AssertSqlSafe(statement)).execute(admin).await.expect("the server's owner may make databases");
}

/// The name of a database with all migrations: of these migrations, so that an edit makes a new one.
async fn template(admin: &mut PgConnection) -> String {
    let mut hash = Sha256::new();
    for migration in schema::postgres::MIGRATOR.iter() {
        hash.update(&migration.checksum);
    }
    let name = format!("chat_store_template_{}", &hex(&hash.finalize()));
    // One case makes it, the others wait; the lock ends with the connection, should the maker fail.
    sqlx::query("SELECT pg_advisory_lock(hashtext($1))").bind(&name).execute(&mut *admin).await.expect("a free lock");
    let found: Option<(bool,)> = sqlx::query_as("SELECT true FROM pg_database WHERE datname = $1")
        .bind(&name)
        .fetch_optional(&mut *admin)
        .await
        .expect("the catalogue is readable");
    if found.is_none() {
        let half_made = format!("{name}_making");
        execute(admin, format!("DROP DATABASE IF EXISTS {half_made} WITH (FORCE)")).await;
        execute(admin, format!("CREATE DATABASE {half_made}")).await;
        let mut fresh = server().database(&half_made).connect().await.expect("the new database takes connections");
        schema::postgres::MIGRATOR.run(&mut fresh).await.expect("the migrations run");
        fresh.close().await.expect("an idle connection closes");
        execute(admin, format!("ALTER DATABASE {half_made} RENAME TO {name}")).await;
    }
    sqlx::query("SELECT pg_advisory_unlock(hashtext($1))").bind(&name).execute(admin).await.expect("our own lock");
    name
}

/// A CQL keyspace of a case's own.
pub(crate) struct Keyspace(String);

impl Keyspace {
    pub(crate) async fn create() -> Self {
        let name = format!("chat_store_{}", word(ConnectionId::random()));
        for _twice in 0..2 {
            migrate(&name).await;
        }
        Self(name)
    }

    pub(crate) async fn store(&self) -> Store {
        connect(&self.0).await
    }

    pub(crate) async fn drop(self) {
        let session = ::scylla::client::session_builder::SessionBuilder::new().known_nodes(nodes()).build().await;
        let session = session.expect("the CQL server at CQL_NODES answers");
        session.query_unpaged(format!("DROP KEYSPACE {}", self.0), ()).await.expect("our own keyspace is dropped");
    }
}

/// The keyspace that cases share: that of these tables, so that an edit makes a new one.
pub(crate) async fn shared_keyspace() -> Store {
    let mut hash = Sha256::new();
    for (_, statement) in schema::scylla::TABLES {
        hash.update(statement);
    }
    let name = format!("chat_store_{}", hex(&hash.finalize()));
    // Each case is a process of its own: one makes the tables, the others wait.
    let lock = File::create(std::env::temp_dir().join(format!("{name}.lock"))).expect("a temporary file");
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await.expect("a lock is no panic");
    migrate(&name).await;
    drop(lock.expect("the file can be locked"));
    connect(&name).await
}

async fn migrate(keyspace: &str) {
    chat_store::scylla::migrate(&nodes(), keyspace, 1).await.expect("the CQL server at CQL_NODES makes tables");
}

async fn connect(keyspace: &str) -> Store {
    let store = ScyllaStore::connect(&nodes(), keyspace, WITHIN).await;
    Arc::new(store.expect("the CQL server at CQL_NODES answers"))
}

fn nodes() -> Vec<String> {
    test_env("CQL_NODES").split(',').map(str::to_owned).collect()
}

/// A random id as a part of a name.
fn word(id: ConnectionId) -> String {
    id.as_uuid().simple().to_string()
}

fn hex(hash: &[u8]) -> String {
    hex::encode(&hash[..6])
}
