//! What can break, and how it is broken and mended again.

mod broker;
mod client;
mod network;
mod process;

use std::time::Duration;

use anyhow::Result;
use scripts::{
    phone::audit::{Letter, Violation},
    stack::Store,
};
use serde::Serialize;

use crate::scene::Scene;

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One of the workers is killed.
    KillWorker,
    /// All workers are killed.
    KillWorkers,
    /// A gateway is killed.
    KillGateway,
    /// The api is killed.
    KillApi,
    /// nats-server is killed.
    KillNats,
    /// Of a cluster of nats-servers the one that leads the log is killed.
    KillNatsLeader,
    /// PostgreSQL is killed.
    KillPostgres,
    /// Redis is killed.
    KillRedis,
    /// The CQL server is killed.
    KillCql,
    /// Nothing passes between a worker and NATS.
    HoldWorkerNats,
    /// A worker hears NATS and is not heard: its acks are late, and what it stored is delivered again.
    HoldWorkerAcks,
    /// Nothing passes between a worker and the message store.
    HoldWorkerStore,
    /// Nothing passes between all workers and the message store.
    HoldWorkersStore,
    /// Nothing passes between all workers and PostgreSQL, where that is not the message store: they can not ask who may
    /// delete what others said.
    HoldWorkersPostgres,
    /// Nothing passes between a gateway and NATS.
    HoldGatewayNats,
    /// A gateway's way to NATS ends and is refused.
    CutGatewayNats,
    /// Nothing passes between a gateway and PostgreSQL.
    HoldGatewayPostgres,
    /// Nothing passes between a gateway and Redis.
    HoldGatewayRedis,
    /// Nothing passes between a gateway and the CQL server.
    HoldGatewayCql,
    /// Nothing passes between the api and NATS.
    HoldApiNats,
    /// Nothing passes between the api and PostgreSQL.
    HoldApiPostgres,
    /// Nothing passes between the api and Redis.
    HoldApiRedis,
    /// Nothing passes between the api and the CQL server.
    HoldApiCql,
    /// Nothing passes between a gateway and its phones.
    HoldPhones,
    /// Everything between a gateway and NATS takes a quarter of a second longer each way.
    LateGatewayNats,
    /// The log takes no more.
    StreamFull,
    /// The clock of a process is ten minutes ahead.
    ClockAhead,
    /// The clock of a process is ten minutes behind.
    ClockBehind,
    /// A phone reads a byte a second.
    SlowReader,
    /// What can not be stored lies in the log.
    Poison,
    /// One message is said five times at once over both gateways.
    SameTempId,
    /// A crowd of sockets is lost at once, and comes back.
    DropSockets,
    /// Every process is restarted in turn, in an orderly way.
    RollingRestart,
    /// Connections whose heads never end.
    Slowloris,
    /// Sockets that say as much as they can.
    FrameFlood,
}

/// One thing that breaks.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Fault {
    /// What.
    pub kind: Kind,
    /// For how long.
    pub lasts: Duration,
    /// Which of several: 0 or 1.
    pub victim: u8,
}

/// What came of it, beside what the phones noted.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Promises that were seen broken on the spot.
    pub violations: Vec<Violation>,
    /// Messages that have to be in `CHAT_DEAD` now.
    pub poison: Vec<Letter>,
    /// What was done, in words.
    pub detail: String,
}

impl Outcome {
    fn of(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..Self::default() }
    }
}

impl Kind {
    /// Whether this can break where messages are in `store` and so many nats-servers are.
    pub fn is_possible(self, store: Store, nats_servers: u16) -> bool {
        match self {
            Self::KillCql | Self::HoldGatewayCql | Self::HoldApiCql | Self::HoldWorkersPostgres => {
                store == Store::Scylla
            }
            Self::KillNatsLeader => nats_servers > 1,
            // A cluster is reached without links, and by other names.
            Self::KillNats
            | Self::HoldWorkerNats
            | Self::HoldWorkerAcks
            | Self::HoldGatewayNats
            | Self::CutGatewayNats
            | Self::HoldApiNats
            | Self::LateGatewayNats => nats_servers == 1,
            _ => true,
        }
    }

    /// The word for it.
    pub fn as_str(self) -> String {
        serde_json::to_value(self).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl Fault {
    /// Breaks it, waits, and mends it.
    pub(crate) async fn inflict(self, scene: &Scene) -> Result<Outcome> {
        let gateway = if self.victim == 0 { "gateway-1" } else { "gateway-2" };
        let worker = if self.victim == 0 { "chat-worker-1" } else { "chat-worker-2" };
        match self.kind {
            Kind::KillWorker => process::kill(scene, &[worker], self.lasts).await,
            Kind::KillWorkers => process::kill(scene, &["chat-worker-1", "chat-worker-2"], self.lasts).await,
            Kind::KillGateway => process::kill(scene, &[gateway], self.lasts).await,
            Kind::KillApi => process::kill(scene, &["api"], self.lasts).await,
            Kind::KillNats => process::kill(scene, &["nats"], self.lasts).await,
            Kind::KillNatsLeader => broker::kill_leader(scene, self.lasts).await,
            Kind::KillPostgres => process::kill(scene, &["postgres"], self.lasts).await,
            Kind::KillRedis => process::kill(scene, &["redis"], self.lasts).await,
            Kind::KillCql => process::kill(scene, &["cassandra"], self.lasts).await,
            Kind::ClockAhead | Kind::ClockBehind => {
                let victims = ["api", gateway, worker];
                process::set_clock(scene, victims, self.kind == Kind::ClockAhead, self.lasts).await
            }
            Kind::RollingRestart => process::restart_all(scene).await,
            Kind::StreamFull => broker::fill(scene, self.lasts).await,
            Kind::Poison => broker::poison(scene).await,
            Kind::SlowReader => client::read_slowly(scene, self.lasts).await,
            Kind::SameTempId => client::say_five_times(scene).await,
            Kind::DropSockets => client::drop_crowd(scene).await,
            Kind::Slowloris => client::never_end(scene, gateway, self.lasts).await,
            Kind::FrameFlood => client::flood(scene, usize::from(self.victim), self.lasts).await,
            _ => network::disturb(scene, self, gateway, worker).await,
        }
    }
}
