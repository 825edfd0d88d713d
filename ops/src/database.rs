//! PostgreSQL as the processes use it.

pub(crate) mod measure;
mod pool;

pub use pool::Pool;

use std::time::Duration;

use futures_util::FutureExt as _;
use log::LevelFilter;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    ConnectOptions as _, Connection as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    lifecycle::Lifecycle,
    settings::{BadSetting, seconds},
};

/// Where PostgreSQL is, and how it is used.
#[derive(Clone, Debug, clap::Args)]
pub struct DatabaseSettings {
    /// PostgreSQL, as `postgres://user:password@host/database`.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,
    /// PostgreSQL without a pooler between, for LISTEN; without it, and with `DATABASE_STATEMENT_CACHE=0`, the outbox is
    /// polled each second.
    #[arg(long, env = "DATABASE_DIRECT_URL", hide_env_values = true)]
    pub database_direct_url: Option<SecretString>,
    /// Named statements kept per connection; 0 turns them off, for `PgBouncer` in transaction mode.
    #[arg(long, env = "DATABASE_STATEMENT_CACHE", default_value = "100")]
    pub database_statement_cache: usize,
    /// The most connections of this process.
    #[arg(long, env = "DATABASE_POOL_MAX", default_value = "25")]
    pub database_pool_max: u32,
    /// Seconds after which a statement is logged as slow: its text, never its values.
    #[arg(long = "database-slow-secs", env = "DATABASE_SLOW_SECS", default_value = "0.5", value_parser = seconds)]
    pub database_slow_from: Duration,
}

/// How long a caller waits for a connection: then the answer is 503, not a queue.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(3);
/// A connection that was idle for so long is asked before it is used: after an outage of the server the pool is full of
/// broken ones, and each would fail somebody.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

impl DatabaseSettings {
    /// Checks the addresses.
    pub fn check(&self) -> Result<(), BadSetting> {
        self.options(&self.database_url, "DATABASE_URL")?;
        if let Some(url) = &self.database_direct_url {
            self.options(url, "DATABASE_DIRECT_URL")?;
        }
        if self.database_pool_max == 0 {
            return Err(BadSetting::new("DATABASE_POOL_MAX", "must be at least 1"));
        }
        Ok(())
    }

    /// A pool that connects when first used: a process starts, red, without its database.
    pub fn pool(&self) -> Result<Pool, BadSetting> {
        let options = self.options(&self.database_url, "DATABASE_URL")?;
        let connections = PgPoolOptions::new()
            .max_connections(self.database_pool_max)
            .acquire_timeout(ACQUIRE_WITHIN)
            // Measured, and logged by who asks for it.
            .acquire_time_level(LevelFilter::Debug)
            // A ping before each use is a round trip.
            .test_before_acquire(false)
            .before_acquire(|connection, metadata| {
                async move {
                    if metadata.idle_for >= TRUSTED_FOR {
                        connection.ping().await?;
                    }
                    Ok(true)
                }
                .boxed()
            })
            .connect_lazy_with(options);
        Ok(Pool::new(connections, self.has_pooler()))
    }

    /// Where to LISTEN, if there is a way past a pooler; without named statements there is a pooler.
    pub fn direct_options(&self) -> Result<Option<PgConnectOptions>, BadSetting> {
        match &self.database_direct_url {
            Some(url) => self.options(url, "DATABASE_DIRECT_URL").map(Some),
            None if self.has_pooler() => Ok(None),
            None => self.options(&self.database_url, "DATABASE_URL").map(Some),
        }
    }

    /// A connection past any pooler, for migrations: they hold a lock of their session.
    pub fn direct_pool(&self) -> Result<PgPool, BadSetting> {
        let options = self.direct_options()?.ok_or_else(|| {
            BadSetting::new("DATABASE_DIRECT_URL", "must be set: migrations hold a lock that a pooler would lose")
        })?;
        Ok(PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_WITHIN).connect_lazy_with(options))
    }

    /// Named statements are turned off for nothing else.
    const fn has_pooler(&self) -> bool {
        self.database_statement_cache == 0
    }

    fn options(&self, url: &SecretString, variable: &'static str) -> Result<PgConnectOptions, BadSetting> {
        // The parser's own words may quote the address, and so the password.
        let refuse = || BadSetting::new(variable, "is not a postgres:// address");
        let url = url.expose_secret();
        // It looks at no scheme.
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(refuse());
        }
        let options: PgConnectOptions = url.parse().map_err(|_may_hold_the_password| refuse())?;
        Ok(options
            .statement_cache_capacity(self.database_statement_cache)
            .log_slow_statements(LevelFilter::Warn, self.database_slow_from))
    }
}

/// Shows in the metrics how `pool` is used, as long as the process lives.
pub fn watch(pool: &Pool, lifecycle: &Lifecycle) {
    let (watching, stopping) = (measure::watch(pool.connections().clone()), lifecycle.stopping().clone());
    lifecycle.spawn(async move { stopping.run_until_cancelled(watching).await.unwrap_or_default() });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, direct_url: Option<&str>) -> DatabaseSettings {
        DatabaseSettings {
            database_url: url.into(),
            database_direct_url: direct_url.map(Into::into),
            database_statement_cache: 0,
            database_pool_max: 1,
            database_slow_from: Duration::from_millis(500),
        }
    }

    #[test]
    fn a_wrong_address_names_its_variable_and_not_the_password() {
        const GOOD: &str = "postgres://ann:s3cret@localhost/timingle";
        let check = |settings: &DatabaseSettings, variable: &str| {
            let error = settings.check().expect_err(variable).to_string();
            assert!(error.starts_with(&format!("{variable} ")), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        };
        assert!(settings(GOOD, None).check().is_ok());
        check(&settings("", None), "DATABASE_URL");
        check(&settings("ann:s3cret@localhost", None), "DATABASE_URL");
        check(&settings("mysql://ann:s3cret@localhost/timingle", None), "DATABASE_URL");
        check(&settings("postgres://ann:s3cret@localhost:port/timingle", None), "DATABASE_URL");
        check(&settings(GOOD, Some("s3cret")), "DATABASE_DIRECT_URL");
        check(&DatabaseSettings { database_pool_max: 0, ..settings(GOOD, None) }, "DATABASE_POOL_MAX");
        assert!(!format!("{:?}", settings(GOOD, Some(GOOD))).contains("s3cret"));
    }

    #[test]
    fn listening_goes_past_a_pooler_when_there_is_a_way() {
        let host = |direct_url, database_statement_cache| {
            let settings = settings("postgres://ann@pooler/timingle", direct_url);
            let settings = DatabaseSettings { database_statement_cache, ..settings };
            settings.direct_options().expect("an address").map(|options| options.get_host().to_owned())
        };
        assert_eq!(host(None, 100).as_deref(), Some("pooler"));
        assert_eq!(host(None, 0), None);
        assert_eq!(host(Some("postgres://ann@database/timingle"), 0).as_deref(), Some("database"));
    }
}
