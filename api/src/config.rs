//! Settings, from the environment or the command line, checked before a port is bound.
//!
//! Beside those that all processes share (`TIMINGLE_*`, `DATABASE_*`, `NATS_*`, `STORE`, `CQL_*`):
//! - `API_LISTEN`, `API_OPS_LISTEN`: where users and operators are answered
//! - `API_TRUSTED_PROXIES`: whose `X-Forwarded-For` counts
//! - `REDIS_URL`, `REDIS_PREFIX`: refresh tokens, tickets and rates
//! - `JWT_PRIVATE_KEY`, `JWT_ISSUER`, `JWT_AUDIENCE`, `ACCESS_TOKEN_SECS`, `REFRESH_TOKEN_SECS`: tokens
//! - `GOOGLE_CLIENT_IDS`, `GOOGLE_ISSUERS`, `GOOGLE_JWKS_URL`: sign-in with Google
//! - `PHONE_WEBHOOK_URL`, `PHONE_WEBHOOK_TOKEN`, `PHONE_CODE_KEY`: sign-in by phone
//! - `PAYMENT_PROVIDER`, `STRIPE_URL`, `STRIPE_SECRET_KEY`, `PAYMENT_WEBHOOK_SECRET`, `SLOT_HOLD_SECS`: payments
//! - `AUTH_REQUESTS_PER_MINUTE`, `USER_REQUESTS_PER_SECOND`, `USER_REQUESTS_BURST`, `USER_WRITES_PER_SECOND`,
//!   `USER_WRITES_BURST`: rates
//! - `ADMIN_EMAIL`, `ADMIN_PASSWORD`: the first admin

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use chat_store::StoreSettings;
use ops::{
    broker::BrokerSettings,
    database::DatabaseSettings,
    settings::{BadSetting, CommonSettings, seconds},
    telemetry::LogSettings,
};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

pub use crate::auth::FirstAdmin;
use crate::{auth::SigningKey, http::TrustedProxy, payments::PaymentSettings, redis::Redis, users::Role};

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
    /// Sign-in without a password.
    #[command(flatten)]
    pub sign_in: SignInSettings,
    /// The first admin.
    #[command(flatten)]
    pub first_admin: FirstAdmin,
    /// Rates.
    #[command(flatten)]
    pub rates: RateSettings,
    /// Payments.
    #[command(flatten)]
    pub payments: PaymentSettings,
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
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum Command {
    /// Serves until told to stop.
    Serve,
    /// Gives an account a role, and ends.
    Grant {
        /// The account's e-mail address.
        email: String,
        /// `admin`, `business` or `user`.
        #[arg(long, default_value = "admin", value_parser = Role::parse_argument)]
        role: Role,
    },
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

/// How people sign in without a password.
#[derive(Clone, Debug, clap::Args)]
pub struct SignInSettings {
    /// Our client ids at Google, with commas: whom an `id_token` must be for. Without one nobody signs in with
    /// Google.
    #[arg(long, env = "GOOGLE_CLIENT_IDS", value_delimiter = ',')]
    pub google_client_ids: Vec<String>,
    /// Who may have issued an `id_token`, with commas.
    #[arg(long, env = "GOOGLE_ISSUERS", value_delimiter = ',', default_value = GOOGLE_ISSUERS)]
    pub google_issuers: Vec<String>,
    /// Where Google publishes its keys.
    #[arg(long, env = "GOOGLE_JWKS_URL", default_value = "https://www.googleapis.com/oauth2/v3/certs")]
    pub google_jwks_url: String,
    /// Where codes for phones are posted as `{"phone", "code", "text"}`, for somebody to send them. When unset,
    /// development logs them, and elsewhere nobody signs in by phone.
    #[arg(long, env = "PHONE_WEBHOOK_URL", hide_env_values = true)]
    pub phone_webhook_url: Option<String>,
    /// The bearer token that goes with them.
    #[arg(long, env = "PHONE_WEBHOOK_TOKEN", hide_env_values = true)]
    pub phone_webhook_token: Option<SecretString>,
    /// Keys the hashes of codes and numbers in Redis, the same for all processes: 32 characters or more that nobody can
    /// guess. Development makes one when unset.
    #[arg(long, env = "PHONE_CODE_KEY", hide_env_values = true)]
    pub phone_code_key: Option<SecretString>,
}

/// Google has spelled itself in two ways.
const GOOGLE_ISSUERS: &str = "https://accounts.google.com,accounts.google.com";
/// The shortest `PHONE_CODE_KEY`.
const PHONE_CODE_KEY_BYTES_MIN: usize = 32;

/// How fast callers may be.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct RateSettings {
    /// Requests a minute from one address to `/auth/*`; as many more may come without a token that counts.
    #[arg(long, env = "AUTH_REQUESTS_PER_MINUTE", default_value = "120")]
    pub auth_requests_per_minute: NonZeroU32,
    /// Requests a second of one user to all the rest.
    #[arg(long, env = "USER_REQUESTS_PER_SECOND", default_value = "50")]
    pub user_requests_per_second: NonZeroU32,
    /// How many of them at once.
    #[arg(long, env = "USER_REQUESTS_BURST", default_value = "200")]
    pub user_requests_burst: NonZeroU32,
    /// Of these, requests a second that change something.
    #[arg(long, env = "USER_WRITES_PER_SECOND", default_value = "50")]
    pub user_writes_per_second: NonZeroU32,
    /// How many of them at once.
    #[arg(long, env = "USER_WRITES_BURST", default_value = "200")]
    pub user_writes_burst: NonZeroU32,
}

impl Config {
    /// Checks what clap can not.
    pub fn check(&self) -> Result<(), BadSetting> {
        self.common.check()?;
        self.database.check()?;
        self.broker.check()?;
        self.sign_in.check(&self.common)?;
        self.first_admin.check()?;
        self.payments.check(&self.common)?;
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

impl SignInSettings {
    fn check(&self, common: &CommonSettings) -> Result<(), BadSetting> {
        let lists = [("GOOGLE_CLIENT_IDS", &self.google_client_ids), ("GOOGLE_ISSUERS", &self.google_issuers)];
        for (variable, names) in lists {
            if names.iter().any(|name| name.trim() != name || name.is_empty()) {
                return Err(BadSetting::new(variable, "must be names with commas between them, and nothing else"));
            }
        }
        // Who can change the keys on their way signs in as anybody.
        if http_url("GOOGLE_JWKS_URL", &self.google_jwks_url)?.scheme() != "https" && !common.is_development() {
            return Err(BadSetting::new("GOOGLE_JWKS_URL", "must be an https:// address"));
        }
        if let Some(url) = &self.phone_webhook_url {
            http_url("PHONE_WEBHOOK_URL", url).map(drop)?;
        }
        if let Some(token) = &self.phone_webhook_token
            && !token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(BadSetting::new("PHONE_WEBHOOK_TOKEN", "must be of printable ASCII, without spaces"));
        }
        match &self.phone_code_key {
            Some(key) if key.expose_secret().len() < PHONE_CODE_KEY_BYTES_MIN => {
                Err(BadSetting::new("PHONE_CODE_KEY", "must have at least 32 characters"))
            }
            None if self.phone_webhook_url.is_some() && !common.is_development() => {
                Err(BadSetting::new("PHONE_CODE_KEY", "must be set: a key is made in development only"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Reads an address; it is not repeated when it is wrong, since it may hold a secret.
fn http_url(variable: &'static str, text: &str) -> Result<Url, BadSetting> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| BadSetting::new(variable, "is not an http:// or https:// address"))
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
    fn codes_and_keys_are_safe_in_production() {
        let check = |extra: &[&str], expected: Option<&str>| {
            let extra = [&["--environment=production"][..], extra].concat();
            let found = parse(&extra).check().expect_err("there is no JWT_PRIVATE_KEY at least").to_string();
            assert!(found.starts_with(expected.unwrap_or("JWT_PRIVATE_KEY ")), "{extra:?}: {found}");
        };
        let webhook = "--phone-webhook-url=https://sms.example.org/send?key=canary";
        let key = format!("--phone-code-key={}", "k".repeat(32));
        check(&[], None);
        check(&[webhook], Some("PHONE_CODE_KEY "));
        check(&[webhook, "--phone-code-key=canary"], Some("PHONE_CODE_KEY "));
        check(&[webhook, &key], None);
        check(&[webhook, &key, "--phone-webhook-token=a b"], Some("PHONE_WEBHOOK_TOKEN "));
        check(&["--phone-webhook-url=canary"], Some("PHONE_WEBHOOK_URL is not"));
        check(&["--google-jwks-url=http://keys.example.org"], Some("GOOGLE_JWKS_URL "));
        check(&["--google-client-ids=a,,b"], Some("GOOGLE_CLIENT_IDS "));
        assert_eq!(parse(&[]).sign_in.google_issuers, ["https://accounts.google.com", "accounts.google.com"]);
        assert_eq!(parse(&["--google-client-ids=a,b"]).sign_in.google_client_ids, ["a", "b"]);
    }

    #[test]
    fn a_wrong_setting_is_named_without_its_value() {
        let error = parse(&["--environment=development", "--jwt-private-key=canary"]).check().expect_err("no key");
        assert!(error.to_string().starts_with("JWT_PRIVATE_KEY "));
        assert!(!error.to_string().contains("canary"));
    }
}
