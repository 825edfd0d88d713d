//! The gateway's settings. Each is an environment variable; `gateway --help` explains them all.
//!
//! `TIMINGLE_ENV` `TIMINGLE_LIMITS` `TIMINGLE_LOG` `TIMINGLE_CLOCK_OFFSET_MS` `DATABASE_URL`
//! `DATABASE_DIRECT_URL` `DATABASE_STATEMENT_CACHE` `DATABASE_POOL_MAX` `NATS_URL` `NATS_PING_SECS`
//! `STORE` `CQL_NODES` `CQL_KEYSPACE` are shared with the other processes; those below are its own.

use std::{net::SocketAddr, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};
use ops::{
    broker::BrokerSettings,
    database::DatabaseSettings,
    settings::{BadSetting, CommonSettings, seconds},
    telemetry::LogSettings,
};
use schema::subject::GatewayId;
use secrecy::SecretString;

use crate::file_limit;

/// Holds the sockets: publishes what they say to the log and shows what the log says.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Config {
    /// What to do; without it, serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Environment, limits, clock.
    #[command(flatten)]
    pub common: CommonSettings,
    /// Logs.
    #[command(flatten)]
    pub log: LogSettings,
    /// PostgreSQL: who may hear what.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// NATS: the log.
    #[command(flatten)]
    pub broker: BrokerSettings,
    /// The message store: what the log no longer holds.
    #[command(flatten)]
    pub store: chat_store::StoreSettings,
    /// Where sockets come in.
    #[arg(long, env = "GATEWAY_LISTEN", default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,
    /// The operators' port: /livez, /readyz, /metrics.
    #[arg(long, env = "GATEWAY_OPS_LISTEN", default_value = "127.0.0.1:9081")]
    pub ops_listen: SocketAddr,
    /// This gateway's name on NATS: 1 to 64 letters, digits, `-` and `_`, no two alike. Made up when
    /// unset.
    #[arg(long, env = "GATEWAY_ID")]
    pub gateway_id: Option<GatewayId>,
    /// Redis, for socket tickets, and for when people were last seen.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: SecretString,
    /// What our keys in Redis begin with.
    #[arg(long, env = "REDIS_PREFIX", default_value = "timingle")]
    pub redis_prefix: String,
    /// Who holds which tokens.
    #[command(flatten)]
    pub tokens: TokenSettings,
    /// Seconds between pings.
    #[arg(long, env = "GATEWAY_PING_SECS", default_value = "54", value_parser = seconds)]
    pub ping_every: Duration,
    /// Seconds of silence after which a socket is closed; must exceed `GATEWAY_PING_SECS`.
    #[arg(long, env = "GATEWAY_PONG_SECS", default_value = "60", value_parser = seconds)]
    pub pong_within: Duration,
    /// Seconds a write may make no progress.
    #[arg(long, env = "GATEWAY_WRITE_SECS", default_value = "10", value_parser = seconds)]
    pub write_within: Duration,
    /// Seconds a socket may wait with its first frame `auth`.
    #[arg(long, env = "GATEWAY_AUTH_SECS", default_value = "5", value_parser = seconds)]
    pub auth_within: Duration,
    /// Seconds until a publish without an answer is reported `unknown`.
    #[arg(long, env = "GATEWAY_PUBLISH_SECS", default_value = "20", value_parser = seconds)]
    pub publish_within: Duration,
    /// Seconds after which an unanswered `saved` is asked for.
    #[arg(long, env = "GATEWAY_SAVED_SECS", default_value = "5", value_parser = seconds)]
    pub saved_within: Duration,
    /// Seconds between checks that no live copy went missing.
    #[arg(long, env = "GATEWAY_RESYNC_SECS", default_value = "25", value_parser = seconds)]
    pub resync_every: Duration,
    /// Seconds within which frames to one socket leave together, after a first that goes at once; 0
    /// turns it off.
    #[arg(long, env = "GATEWAY_COALESCE_SECS", default_value = "0.002", value_parser = seconds)]
    pub coalesce: Duration,
    /// Whether to subscribe to each room that is here, or to all rooms at once.
    #[arg(long, env = "GATEWAY_SUBSCRIBE", value_enum, default_value = "room")]
    pub subscribe: Subscribe,
    /// Whether rooms are told who is online.
    #[arg(long, env = "GATEWAY_PRESENCE", value_enum, default_value = "on")]
    pub presence: PresenceSwitch,
    /// Seconds after which people of another gateway that says nothing more are offline; each gateway
    /// repeats itself a little more than twice in that time. The same on all gateways.
    #[arg(long, env = "GATEWAY_PRESENCE_LAPSE_SECS", default_value = "60", value_parser = seconds)]
    pub presence_lapses: Duration,
    /// Web origins that may connect, with commas; in development any port of localhost by default.
    #[arg(long, env = "GATEWAY_ALLOWED_ORIGINS", value_delimiter = ',')]
    pub allowed_origins: Vec<String>,
    /// The most sockets of this gateway; by default as many as files may be open, less 256.
    #[arg(long, env = "GATEWAY_CONNECTIONS_MAX")]
    pub connections_max: Option<usize>,
    /// The most sockets of one address.
    #[arg(long, env = "GATEWAY_CONNECTIONS_PER_IP_MAX", default_value = "1000")]
    pub connections_per_ip_max: usize,
    /// Handshakes a second, and twice as many at once.
    #[arg(long, env = "GATEWAY_HANDSHAKES_PER_SECOND", default_value = "2000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub handshakes_per_second: u32,
    /// The most connections that have not finished their handshake.
    #[arg(long, env = "GATEWAY_HANDSHAKES_UNFINISHED_MAX", default_value = "4096")]
    pub handshakes_unfinished_max: usize,
    /// The most bytes that wait for slow readers, of all sockets together.
    #[arg(long, env = "GATEWAY_QUEUED_BYTES_MAX", default_value = "268435456")]
    pub queued_bytes_max: usize,
    /// Seconds over which sockets are closed when the process stops.
    #[arg(long, env = "GATEWAY_DRAIN_SECS", default_value = "20", value_parser = seconds)]
    pub drain_within: Duration,
}

/// Who holds which tokens.
#[derive(Clone, Debug, clap::Args)]
pub struct TokenSettings {
    /// The key of access tokens: a PEM, or the path of one.
    #[arg(long, env = "JWT_PUBLIC_KEY")]
    pub jwt_public_key: Option<String>,
    /// Where the keys of access tokens are published; used when `JWT_PUBLIC_KEY` is not set.
    #[arg(long, env = "JWKS_URL")]
    pub jwks_url: Option<String>,
    /// Who must have issued a token.
    #[arg(long, env = "JWT_ISSUER", default_value = "timingle")]
    pub jwt_issuer: String,
    /// Whom a token must be for.
    #[arg(long, env = "JWT_AUDIENCE", default_value = "timingle")]
    pub jwt_audience: String,
    /// Whether `?token=` is taken; by default in development only.
    #[arg(long, env = "GATEWAY_ALLOW_QUERY_TOKEN")]
    pub allow_query_token: Option<bool>,
    /// Whether a bare user id serves as a token (development only).
    #[arg(long, env = "GATEWAY_DEV_NO_AUTH", default_value = "false", action = clap::ArgAction::Set)]
    pub dev_no_auth: bool,
}

/// What the binary does.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Command {
    /// Serve sockets.
    Serve,
    /// Ask this gateway's own `/readyz`, for container health checks.
    Probe,
}

/// How a gateway hears live traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Subscribe {
    /// One subscription for each room that has a socket here.
    Room,
    /// One subscription for all rooms: better for few gateways and many small rooms.
    All,
}

/// Whether presence is counted and told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PresenceSwitch {
    /// It is.
    On,
    /// It is not: rooms hear no `presence`, and who asks hears of nobody from this gateway.
    Off,
}

impl PresenceSwitch {
    /// Whether it is.
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

/// A shorter lapse would be nothing but announcements.
const PRESENCE_LAPSES_MIN: Duration = Duration::from_millis(500);

impl Config {
    /// Checks the settings against each other, before a port is bound.
    pub fn check(&self) -> Result<(), BadSetting> {
        self.common.check()?;
        self.database.check()?;
        self.broker.check()?;
        if self.pong_within <= self.ping_every {
            return Err(BadSetting::new("GATEWAY_PONG_SECS", "must exceed GATEWAY_PING_SECS"));
        }
        let sockets_max = file_limit::sockets_max();
        if self.connections_max.is_some_and(|max| max > sockets_max) {
            let reason = format!("is above {sockets_max}: the limit of open files leaves no more");
            return Err(BadSetting::new("GATEWAY_CONNECTIONS_MAX", reason));
        }
        if self.tokens.jwt_public_key.is_none() && self.tokens.jwks_url.is_none() && !self.tokens.dev_no_auth {
            return Err(BadSetting::new("JWKS_URL", "or JWT_PUBLIC_KEY must be set"));
        }
        if self.presence_lapses < PRESENCE_LAPSES_MIN {
            return Err(BadSetting::new("GATEWAY_PRESENCE_LAPSE_SECS", "must be at least 0.5"));
        }
        let takes_query_tokens = self.tokens.allow_query_token == Some(true);
        self.common.development_only("GATEWAY_ALLOW_QUERY_TOKEN", takes_query_tokens)?;
        self.common.development_only("GATEWAY_DEV_NO_AUTH", self.tokens.dev_no_auth)
    }

    /// The most sockets.
    pub fn sockets_max(&self) -> usize {
        self.connections_max.unwrap_or_else(file_limit::sockets_max)
    }

    /// Whether `?token=` is taken.
    pub fn allows_query_token(&self) -> bool {
        self.tokens.allow_query_token.unwrap_or_else(|| self.common.is_development())
    }
}
