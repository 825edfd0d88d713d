//! Ways that are held, cut or slow.

use std::time::Duration;

use anyhow::{Result, bail};
use scripts::stack::Store;
use tokio::time::sleep;

use super::{Fault, Kind, Outcome};
use crate::{house::Server, link::Mode, scene::Scene};

/// Longer than the broker waits for an ack, so that it delivers again.
const ACKS_HELD_FOR: Duration = Duration::from_secs(12);
/// Twice as long as the api waits for the log's word, so that some are told that nobody knows.
const UNKNOWN_FOR: Duration = Duration::from_secs(12);
const LATE_BY: Duration = Duration::from_millis(250);

/// Changes the ways that `fault` is about, waits, and opens them again.
pub(super) async fn disturb(scene: &Scene, fault: Fault, gateway: &str, worker: &str) -> Result<Outcome> {
    let store = if scene.house.store == Store::Scylla { Server::Cql } else { Server::Postgres };
    let (mode, ways) = match fault.kind {
        Kind::HoldWorkerNats => (Mode::Held, vec![(worker, Server::Nats)]),
        Kind::HoldWorkerAcks => (Mode::HeldToServer, vec![(worker, Server::Nats)]),
        Kind::HoldWorkerStore => (Mode::Held, vec![(worker, store)]),
        Kind::HoldWorkersStore => (Mode::Held, vec![("chat-worker-1", store), ("chat-worker-2", store)]),
        Kind::HoldWorkersPostgres => {
            (Mode::Held, vec![("chat-worker-1", Server::Postgres), ("chat-worker-2", Server::Postgres)])
        }
        Kind::HoldGatewayNats => (Mode::Held, vec![(gateway, Server::Nats)]),
        Kind::CutGatewayNats => (Mode::Cut, vec![(gateway, Server::Nats)]),
        Kind::HoldGatewayPostgres => (Mode::Held, vec![(gateway, Server::Postgres)]),
        Kind::HoldGatewayRedis => (Mode::Held, vec![(gateway, Server::Redis)]),
        Kind::HoldGatewayCql => (Mode::Held, vec![(gateway, Server::Cql)]),
        Kind::HoldApiNats => (Mode::Held, vec![("api", Server::Nats)]),
        Kind::HoldApiPostgres => (Mode::Held, vec![("api", Server::Postgres)]),
        Kind::HoldApiRedis => (Mode::Held, vec![("api", Server::Redis)]),
        Kind::HoldApiCql => (Mode::Held, vec![("api", Server::Cql)]),
        Kind::HoldPhones => (Mode::Held, vec![(gateway, Server::Phones)]),
        Kind::LateGatewayNats => (Mode::Late(LATE_BY), vec![(gateway, Server::Nats)]),
        other => bail!("{} is no matter of the network", other.as_str()),
    };
    let lasts = match fault.kind {
        Kind::HoldWorkerAcks => fault.lasts.max(ACKS_HELD_FOR),
        Kind::HoldApiNats => fault.lasts.max(UNKNOWN_FOR),
        _ => fault.lasts,
    };
    for (process, server) in &ways {
        scene.house.set(process, *server, mode)?;
    }
    sleep(lasts).await;
    for (process, server) in &ways {
        scene.house.set(process, *server, Mode::Open)?;
    }
    let ways: Vec<_> = ways.iter().map(|(process, server)| format!("{process} and {server:?}")).collect();
    Ok(Outcome::of(format!("{}: {mode:?} for {lasts:.1?}", ways.join(", "))))
}
