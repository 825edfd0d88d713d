//! Connections to PostgreSQL, also where a pooler in transaction mode stands between.
//!
//! sqlx prepares a statement in one exchange and runs it in the next. Such a pooler may give the second exchange another
//! connection, which has never heard of the statement, unless both are of one transaction. So with a pooler every
//! statement that is in none gets one of its own; without, nothing is added.

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};
use sqlx::{
    Describe, Either, Error, Execute, Executor, PgPool, PgTransaction, Postgres, SqlStr,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

/// The connections of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    inner: PgPool,
    has_pooler: bool,
}

impl From<PgPool> for Pool {
    /// Connections that lead to PostgreSQL itself.
    fn from(inner: PgPool) -> Self {
        Self { inner, has_pooler: false }
    }
}

impl Pool {
    /// Connections that lead to a pooler in transaction mode, if `has_pooler` says so.
    pub(super) const fn new(inner: PgPool, has_pooler: bool) -> Self {
        Self { inner, has_pooler }
    }

    /// Begins a transaction.
    pub async fn begin(&self) -> sqlx::Result<PgTransaction<'static>> {
        self.inner.begin().await
    }

    /// Begins a transaction with a statement of its own: an isolation level, a snapshot to read.
    pub async fn begin_with(&self, statement: &'static str) -> sqlx::Result<PgTransaction<'static>> {
        self.inner.begin_with(statement).await
    }

    /// The connections as sqlx has them: for whole transactions, and to look at how they are used.
    pub const fn connections(&self) -> &PgPool {
        &self.inner
    }
}

impl<'p> Executor<'p> for &'_ Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if !self.has_pooler {
            return self.inner.fetch_many(query);
        }
        let pool = self.inner.clone();
        let all = async move {
            let mut tx = pool.begin().await?;
            let found: Vec<_> = tx.fetch_many(query).collect().await;
            tx.commit().await?;
            Ok::<_, Error>(found)
        };
        let all = all.map(|found| futures_util::stream::iter(found.unwrap_or_else(|error| vec![Err(error)])));
        all.flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if !self.has_pooler {
            return self.inner.fetch_optional(query);
        }
        let pool = self.inner.clone();
        let one = async move {
            let mut tx = pool.begin().await?;
            let found = tx.fetch_optional(query).await?;
            tx.commit().await?;
            Ok(found)
        };
        one.boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'p: 'e,
    {
        self.inner.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'p: 'e,
    {
        self.inner.describe(sql)
    }
}
