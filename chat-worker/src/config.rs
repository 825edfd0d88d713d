//! What the operator says: read from the environment, checked before a port is bound.

use std::{net::SocketAddr, time::Duration};

use chat_store::StoreSettings;
use clap::{ArgAction, Parser, Subcommand};
use ops::{
    broker::BrokerSettings,
    database::DatabaseSettings,
    settings::{BadSetting, CommonSettings, seconds},
    telemetry::LogSettings,
};
use schema::stream::Sizes;

use crate::{dead::DeadCommand, trace, verify};

/// Stores what the log says, buries what can not be stored, and tells the senders.
#[derive(Clone, Debug, Parser)]
#[command(name = "chat-worker", version)]
pub struct Config {
    /// What to do; without it: run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What every process is told.
    #[command(flatten)]
    pub common: CommonSettings,
    /// What is logged.
    #[command(flatten)]
    pub log: LogSettings,
    /// Where PostgreSQL is.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Where NATS is.
    #[command(flatten)]
    pub broker: BrokerSettings,
    /// Where messages rest.
    #[command(flatten)]
    pub store: StoreSettings,
    /// How large and how safe the streams are.
    #[command(flatten)]
    pub streams: StreamSettings,
    /// How the worker works.
    #[command(flatten)]
    pub work: WorkSettings,
    /// The operators' port: /livez, /readyz, /metrics.
    #[arg(long, env = "WORKER_OPS_LISTEN", default_value = "127.0.0.1:9090")]
    pub ops_listen: SocketAddr,
    /// Seconds for which `migrate` waits for servers that do not answer yet.
    #[arg(long, env = "MIGRATE_WAIT_SECS", default_value = "60", value_parser = seconds)]
    pub migrate_wait: Duration,
    /// Copies of each row; for `migrate` with STORE=scylla, when it makes the keyspace.
    #[arg(long, env = "CQL_REPLICATION_FACTOR", default_value = "1")]
    pub cql_replication_factor: u32,
}

/// What the program can do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Consume the streams until told to stop (the default).
    Run,
    /// Bring tables, streams and consumers up to date, then exit.
    Migrate,
    /// Ask the worker on this machine whether it is ready; for container health checks.
    Probe,
    /// Open the log again after its numbers went back (/readyz says `log: down`): waits until all that the
    /// stream holds is stored, then lets its numbers go on 1,000,000 above the greatest ever given. Needs the
    /// operator's NATS user in `NATS_URL`.
    ReopenLog,
    /// Look at what could not be stored, try it again, or drop it.
    #[command(subcommand)]
    Dead(DeadCommand),
    /// Check that the store holds what the log says, each message once, and that everything else follows from it.
    ///
    /// Ends with 0 when nothing is wrong, with 1 when something is, with 69 when it could not be checked.
    Verify(verify::Arguments),
    /// Tell the way of one message, hop by hop, with the times that are known.
    Trace(trace::Arguments),
}

/// How large and how safe the streams are. A change is made by the next `migrate` or start of a worker.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct StreamSettings {
    /// Hours for which the log keeps a message.
    #[arg(long, env = "CHAT_MAX_AGE_HOURS", default_value = "72", value_parser = clap::value_parser!(u32).range(1..=8760))]
    pub chat_max_age_hours: u32,
    /// Bytes of the log of all rooms; above them new messages are refused.
    #[arg(long, env = "CHAT_MAX_BYTES", default_value = "8589934592", value_parser = clap::value_parser!(i64).range(1_048_576..))]
    pub chat_max_bytes: i64,
    /// Copies of each stream; 3 in production.
    #[arg(long, env = "STREAM_REPLICAS", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=5))]
    pub stream_replicas: u8,
}

impl StreamSettings {
    /// The same, as the schema wants it.
    pub fn sizes(self) -> Sizes {
        Sizes {
            chat_age_max: Duration::from_secs(u64::from(self.chat_max_age_hours) * 3600),
            chat_bytes_max: self.chat_max_bytes,
            replicas: usize::from(self.stream_replicas),
        }
    }
}

/// How the worker works.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct WorkSettings {
    /// Rooms whose messages are being written at once
    #[arg(long, env = "WORKER_WRITES_IN_FLIGHT", default_value = "128", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub writes_in_flight: u16,
    /// Whether the worker opens the log again by itself after its numbers went back, as `reopen-log` does;
    /// then `NATS_URL` must name a user that may purge.
    #[arg(long, env = "WORKER_REOPEN_LOG", default_value = "false", action = ArgAction::Set)]
    pub reopen_log: bool,
}

impl Config {
    /// What to do.
    pub fn command(&self) -> &Command {
        self.command.as_ref().unwrap_or(&Command::Run)
    }

    /// Refuses what the process can not start with.
    pub fn check(&self) -> Result<(), BadSetting> {
        self.common.check()?;
        self.database.check()?;
        self.broker.check()?;
        if self.cql_replication_factor == 0 {
            return Err(BadSetting::new("CQL_REPLICATION_FACTOR", "must be at least 1"));
        }
        Ok(())
    }
}
