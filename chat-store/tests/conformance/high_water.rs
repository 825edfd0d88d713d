//! The greatest seq ever stored, and a store that does not answer.

use std::time::Duration;

use chat_store::{MessageStore, StoreError, postgres::PostgresStore, scylla::ScyllaStore};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::stores::Store;

/// Cases share the CQL keyspace and so its one mark: whoever runs beside this one can only raise it.
pub(crate) async fn the_mark_only_rises(store: &Store) {
    let before = store.high_water().await.unwrap();
    store.raise_high_water(before + 1000).await.unwrap();
    let raised = store.high_water().await.unwrap();
    assert_eq!(raised, before + 1000);
    for lower in [before + 999, before, 0] {
        store.raise_high_water(lower).await.unwrap();
        assert_eq!(store.high_water().await.unwrap(), raised);
    }
    store.raise_high_water(raised + 1).await.unwrap();
    assert_eq!(store.high_water().await.unwrap(), raised + 1);
}

pub(crate) async fn a_new_store_has_no_mark(store: &Store) {
    assert_eq!(store.high_water().await.unwrap(), 0);
    the_mark_only_rises(store).await;
}

/// Only the raise itself does not wait for the disk.
pub(crate) async fn what_follows_a_raise_waits_for_the_disk(pool: &PgPool) {
    let options = PgConnectOptions::clone(&pool.connect_options());
    let pool = &PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    // Tests' servers are told not to wait.
    sqlx::query("SET synchronous_commit = on").execute(pool).await.unwrap();
    PostgresStore::new(pool.clone()).raise_high_water(7).await.unwrap();
    let (waits,): (String,) = sqlx::query_as("SHOW synchronous_commit").fetch_one(pool).await.unwrap();
    assert_eq!(waits, "on");
}

/// Connections that broke while nobody used them say nothing of a server that is back.
pub(crate) async fn a_store_that_is_back_answers_at_once(pool: &PgPool) {
    let options = PgConnectOptions::clone(&pool.connect_options());
    // As the programs have them: nobody looks at a connection before it is used.
    let used = PgPoolOptions::new().max_connections(5).test_before_acquire(false).connect_lazy_with(options);
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(used.acquire().await.unwrap());
    }
    for mut connection in held {
        connection.return_to_pool().await;
    }
    let idle = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let ended = sqlx::query(idle).execute(pool).await.unwrap();
    assert!(ended.rows_affected() >= 5);
    PostgresStore::new(used).ping().await.unwrap();
}

pub(crate) async fn a_store_that_is_away_is_unavailable() {
    let nobody = scripts::stack::PortLease::take().unwrap();
    let address = format!("127.0.0.1:{}", nobody.port());
    let pool = PgPoolOptions::new()
        .acquire_timeout(Duration::from_secs(1))
        .connect_lazy(&format!("postgres://postgres@{address}/postgres"))
        .unwrap();
    let answer = PostgresStore::new(pool).ping().await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    let answer = ScyllaStore::connect(&[address], "timingle", Duration::from_secs(2)).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{:?}", answer.err());
}
