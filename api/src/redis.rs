//! Redis, over one multiplexed connection: callers share its round trips. What it can not answer at once is answered
//! with [`RedisAway`], and for a moment nobody asks it again.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use deadpool_redis::{
    Connection, Manager, Pool, Runtime,
    redis::{self, AsyncConnectionConfig, Cmd, FromRedisValue, RedisError, Script, aio::MultiplexedConnection},
};
use ops::settings::BadSetting;
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};

/// Redis does not answer.
#[derive(Debug, thiserror::Error)]
#[error("redis is away: {0}")]
pub(crate) struct RedisAway(String);

/// A handle on Redis. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Redis {
    /// Makes connections; each is taken out of it for good.
    factory: Pool,
    link: Arc<Mutex<Link>>,
    prefix: Arc<str>,
}

#[derive(Default)]
struct Link {
    connection: Option<MultiplexedConnection>,
    away_until: Option<Instant>,
}

/// How long one command may take.
const ANSWER_WITHIN: Duration = Duration::from_millis(300);
/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_millis(500);
/// How long nobody asks after a failure.
const AWAY_FOR: Duration = Duration::from_millis(500);

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Redis {
    /// Checks the settings; connects when first used.
    pub(crate) fn open(url: &SecretString, prefix: &str) -> Result<Self, BadSetting> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(ANSWER_WITHIN))
            .set_connection_timeout(Some(CONNECT_WITHIN));
        // The parser's own words may quote the address, and so the password.
        let bad_url = |_may_hold_the_password| BadSetting::new("REDIS_URL", "is not a redis:// address");
        let manager = Manager::new_with_config(url.expose_secret(), config).map_err(bad_url)?;
        if prefix.contains(['{', '}']) {
            return Err(BadSetting::new("REDIS_PREFIX", "must not contain braces: they say which keys live together"));
        }
        let factory = Pool::builder(manager)
            .max_size(1)
            .create_timeout(Some(CONNECT_WITHIN))
            .wait_timeout(Some(CONNECT_WITHIN))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| BadSetting::new("REDIS_URL", error.to_string()))?;
        Ok(Self { factory, link: Arc::default(), prefix: prefix.into() })
    }

    /// What every key begins with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Runs a script; all its keys must share a hash tag.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[&[u8]],
    ) -> Result<T, RedisAway> {
        let mut call = script.prepare_invoke();
        for key in keys {
            call.key(key);
        }
        for argument in arguments {
            call.arg(*argument);
        }
        loop {
            let (mut connection, is_fresh) = self.connection().await?;
            match call.invoke_async(&mut connection).await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.may_try_again(&error, is_fresh)?,
            }
        }
    }

    /// Runs one command.
    pub(crate) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisAway> {
        loop {
            let (mut connection, is_fresh) = self.connection().await?;
            match command.query_async(&mut connection).await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.may_try_again(&error, is_fresh)?,
            }
        }
    }

    /// Answers when Redis does.
    pub(crate) async fn ping(&self) -> Result<(), RedisAway> {
        self.command::<String>(&redis::cmd("PING")).await.map(drop)
    }

    /// A connection that broke since it was last used is replaced, once; any other failure is an answer.
    fn may_try_again(&self, error: &RedisError, is_fresh: bool) -> Result<(), RedisAway> {
        if is_fresh || error.is_timeout() {
            return Err(self.away(error));
        }
        self.link.lock().connection = None;
        Ok(())
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, bool), RedisAway> {
        {
            let link = self.link.lock();
            if let Some(connection) = &link.connection {
                return Ok((connection.clone(), false));
            }
            if link.away_until.is_some_and(|until| Instant::now() < until) {
                return Err(RedisAway("it was away a moment ago".into()));
            }
        }
        let made = self.factory.get().await.map_err(|error| self.away(&error))?;
        let connection = Connection::take(made);
        *self.link.lock() = Link { connection: Some(connection.clone()), away_until: None };
        Ok((connection, true))
    }

    fn away(&self, error: &dyn fmt::Display) -> RedisAway {
        *self.link.lock() = Link { connection: None, away_until: Some(Instant::now() + AWAY_FOR) };
        RedisAway(error.to_string())
    }
}
