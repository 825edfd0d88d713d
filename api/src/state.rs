//! What every handler is given.

use std::{fmt, ops::Deref, sync::Arc, time::Duration};

use chat_store::MessageStore;
use ops::{broker::Broker, clock::Clock, database::Pool, lifecycle::Lifecycle, log_health::LogHealth};
use secrecy::SecretString;

use crate::{
    auth::{Google, Passwords, PhoneCodes, RefreshTokens, SessionCache, SignInDelay, SigningKey, TokenRules},
    config::Config,
    http::TrustedProxy,
    limit::{Limiter, Rate},
    messages::{Pages, SettledSeq},
    payments::Provider,
    redis::Redis,
    rooms::Members,
};

/// The process's connections and rules. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AppState(Arc<Shared>);

/// What the handles share.
pub(crate) struct Shared {
    /// `PostgreSQL`.
    pub(crate) pg: Pool,
    /// Redis.
    pub(crate) redis: Redis,
    /// NATS.
    pub(crate) broker: Broker,
    /// History.
    pub(crate) store: Arc<dyn MessageStore>,
    /// The time of day.
    pub(crate) clock: Clock,
    /// Signs and checks access tokens.
    pub(crate) signing_key: SigningKey,
    /// Who issues tokens, for whom and for how long.
    pub(crate) tokens: TokenRules,
    /// Keeps refresh tokens.
    pub(crate) refresh_tokens: RefreshTokens,
    /// Which sessions live.
    pub(crate) sessions: SessionCache,
    /// Hashes passwords.
    pub(crate) passwords: Passwords,
    /// Checks what Google says of people; none where nobody signs in with Google.
    pub(crate) google: Option<Google>,
    /// Codes for phones; none where nobody signs in by phone.
    pub(crate) phone_codes: Option<PhoneCodes>,
    /// Slows guessing down.
    pub(crate) sign_in_delay: SignInDelay,
    /// Counts requests.
    pub(crate) limiter: Limiter,
    /// How fast callers may be.
    pub(crate) rates: Rates,
    /// Whose `X-Forwarded-For` counts.
    pub(crate) trusted_proxies: Vec<TrustedProxy>,
    /// What may be promised of new messages.
    pub(crate) log: Arc<LogHealth>,
    /// How far the worker is.
    pub(crate) settled: Arc<SettledSeq>,
    /// Reads history.
    pub(crate) pages: Pages,
    /// Who is in which room.
    pub(crate) members: Members,
    /// Who moves the money; none where slots with a price can not be booked.
    pub(crate) payments: Option<Arc<dyn Provider>>,
    /// Signs what the provider says.
    pub(crate) payment_webhook_secret: Option<SecretString>,
    /// For how long a slot is held for who has to pay for it.
    pub(crate) slot_held_for: Duration,
}

/// How fast callers may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// One address, on `/auth/*`.
    pub(crate) auth: Rate,
    /// One user, on all the rest.
    pub(crate) user: Rate,
    /// Of these, what changes something.
    pub(crate) user_writes: Rate,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl AppState {
    /// Connects to what can be connected lazily, and to the message store.
    pub(crate) async fn connect(config: &Config, lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        let pg = config.database.pool()?;
        let redis = Redis::open(&config.redis_url, &config.redis_prefix)?;
        let broker = config.broker.connect("api").await?;
        let store = chat_store::connect(&config.store, &pg).await?;
        let settled = Arc::new(SettledSeq::new(broker.clone()));
        let has_limits = config.common.limits.are_on();
        let clock = config.common.clock.clock();
        let log = Arc::new(LogHealth::new(broker.clone(), clock));
        Ok(Self(Arc::new(Shared {
            pages: Pages::new(Arc::clone(&store), Arc::clone(&settled)),
            settled,
            log,
            members: Members::new(pg.clone(), lifecycle.clone()),
            refresh_tokens: RefreshTokens::new(redis.clone(), config.tokens.refresh_token_for),
            sign_in_delay: SignInDelay::new(redis.clone(), has_limits),
            limiter: Limiter::new(redis.clone(), has_limits),
            signing_key: match &config.tokens.jwt_private_key {
                Some(key) => SigningKey::parse(key)?,
                None => SigningKey::generate()?,
            },
            tokens: TokenRules::new(&config.tokens),
            sessions: SessionCache::default(),
            passwords: Passwords::new(),
            google: Google::new(&config.sign_in)?,
            phone_codes: PhoneCodes::new(redis.clone(), &config.sign_in, config.common.is_development())?,
            rates: Rates {
                auth: Rate::per(config.rates.auth_requests_per_minute, Duration::from_mins(1)),
                user: Rate::per(config.rates.user_requests_per_second, Duration::from_secs(1))
                    .with_burst(config.rates.user_requests_burst),
                user_writes: Rate::per(config.rates.user_writes_per_second, Duration::from_secs(1))
                    .with_burst(config.rates.user_writes_burst),
            },
            trusted_proxies: config.trusted_proxies.clone(),
            payments: config.payments.connect(&config.common)?,
            payment_webhook_secret: config.payments.webhook_secret(&config.common),
            slot_held_for: config.payments.slot_held_for,
            pg,
            redis,
            broker,
            store,
            clock,
        })))
    }
}
