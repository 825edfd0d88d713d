//! Settings, from the environment or the command line, checked before a port is bound.
//!
//! Beside those that all processes share (`TIMINGLE_*`, `DATABASE_*`, `NATS_*`, `STORE`, `CQL_*`):
//! - `API_LISTEN`, `API_OPS_LISTEN`: where users and operators are answered
//! - `API_TRUSTED_PROXIES`: whose `X-Forwarded-For` counts
//! - `REDIS_URL`, `REDIS_PREFIX`: refresh tokens, tickets and rates
//! - `JWT_PRIVATE_KEY`, `JWT_ISSUER`, `JWT_AUDIENCE`, `ACCESS_TOKEN_SECS`, `REFRESH_TOKEN_SECS`: tokens
//! - `AUTH_REQUESTS_PER_MINUTE`, `USER_REQUESTS_PER_SECOND`, `USER_REQUESTS_BURST`: rates

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use chat_store::StoreSettings;
use ops::{
    broker::BrokerSettings,
    database::DatabaseSettings,
    settings::{BadSetting, CommonSettings, seconds},
    telemetry::LogSettings,
};
use secrecy::SecretString;

use crate::{auth::SigningKey, http::TrustedProxy, redis::Redis};

/// Everything the process is told.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "api", about = "timingle's REST server", version)]
pub struct Config {
    /// What to do; without one it serves.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What every process is told.
    #[command(flatten)]
    pub common: CommonSettings,
    /// What is logged.
    #[command(flatten)]
    pub log: LogSettings,
    /// `PostgreSQL`.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// NATS.
    #[command(flatten)]
    pub broker: BrokerSettings,
    /// The message store.
    #[command(flatten)]
    pub store: StoreSettings,
    /// Tokens.
    #[command(flatten)]
    pub tokens: TokenSettings,
    /// Rates.
    #[command(flatten)]
    pub rates: RateSettings,
    /// Where users are answered.
    #[arg(long, env = "API_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where operators are answered.
    #[arg(long, env = "API_OPS_LISTEN", default_value = "127.0.0.1:9080")]
    pub ops_listen: SocketAddr,
    /// Proxies whose `X-Forwarded-For` counts: addresses or networks (`10.0.0.0/8`), with commas.
    #[arg(long, env = "API_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Redis, as `redis://:password@host:port`.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: SecretString,
    /// What every key in Redis begins with.
    #[arg(long, env = "REDIS_PREFIX", default_value = "timingle")]
    pub redis_prefix: String,
}

/// What the program can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum Command {
    /// Serves until told to stop.
    Serve,
    /// Asks the running process whether it is ready; for container health checks.
    Probe,
}

/// How tokens are made.
#[derive(Clone, Debug, clap::Args)]
pub struct TokenSettings {
    /// The RSA key that signs access tokens: PEM text, or the path of a PEM file. Development makes one when unset.
    #[arg(long, env = "JWT_PRIVATE_KEY", hide_env_values = true)]
    pub jwt_private_key: Option<SecretString>,
    /// `iss` of access tokens.
    #[arg(long, env = "JWT_ISSUER", default_value = "timingle")]
    pub jwt_issuer: String,
    /// `aud` of access tokens.
    #[arg(long, env = "JWT_AUDIENCE", default_value = "timingle")]
    pub jwt_audience: String,
    /// Seconds an access token is valid.
    #[arg(long = "access-token-secs", env = "ACCESS_TOKEN_SECS", default_value = "900", value_parser = seconds)]
    pub access_token_for: Duration,
    /// Seconds a refresh token is valid.
    #[arg(long = "refresh-token-secs", env = "REFRESH_TOKEN_SECS", default_value = "604800", value_parser = seconds)]
    pub refresh_token_for: Duration,
}

/// How fast callers may be.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct RateSettings {
    /// Requests a minute from one address to `/auth/*`.
    #[arg(long, env = "AUTH_REQUESTS_PER_MINUTE", default_value = "120")]
    pub auth_requests_per_minute: NonZeroU32,
    /// Requests a second of one user to all the rest.
    #[arg(long, env = "USER_REQUESTS_PER_SECOND", default_value = "50")]
    pub user_requests_per_second: NonZeroU32,
    /// How many of them at once.
    #[arg(long, env = "USER_REQUESTS_BURST", default_value = "200")]
    pub user_requests_burst: NonZeroU32,
}

impl Config {
    /// Checks what clap can not.
    pub fn check(&self) -> Result<(), BadSetting> {
        self.common.check()?;
        self.database.check()?;
        self.broker.check()?;
        Redis::open(&self.redis_url, &self.redis_prefix).map(drop)?;
        if self.tokens.access_token_for < Duration::from_secs(1) {
            return Err(BadSetting::new("ACCESS_TOKEN_SECS", "must be at least 1"));
        }
        if self.tokens.refresh_token_for < self.tokens.access_token_for {
            return Err(BadSetting::new("REFRESH_TOKEN_SECS", "must not be below ACCESS_TOKEN_SECS"));
        }
        match &self.tokens.jwt_private_key {
            Some(key) => SigningKey::parse(key).map(drop),
            None => self.common.development_only("JWT_PRIVATE_KEY", true).map_err(|_unset_in_production| {
                BadSetting::new("JWT_PRIVATE_KEY", "must be set: a key is made in development only")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn parse(extra: &[&str]) -> Config {
        let needed = ["api", "--database-url=postgres://h/d", "--nats-url=nats://h", "--redis-url=redis://h"];
        Config::try_parse_from(needed.iter().chain(extra)).expect("settings")
    }

    #[test]
    fn production_refuses_to_make_a_key() {
        assert!(parse(&["--environment=development"]).check().is_ok());
        let error = parse(&["--environment=production"]).check().expect_err("no key");
        assert!(error.to_string().starts_with("JWT_PRIVATE_KEY "));
    }

    #[test]
    fn a_wrong_setting_is_named_without_its_value() {
        let error = parse(&["--environment=development", "--jwt-private-key=canary"]).check().expect_err("no key");
        assert!(error.to_string().starts_with("JWT_PRIVATE_KEY "));
        assert!(!error.to_string().contains("canary"));
    }
}
