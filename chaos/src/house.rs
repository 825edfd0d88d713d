//! A stack whose processes reach each other, and whose phones reach it, over links that can be broken.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use scripts::{
    phone::Rest,
    stack::{self, Plan, Ports, Stack, Store},
};

use crate::link::{Link, Mode};

/// What a process reaches over a link of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Server {
    /// The log.
    Nats,
    /// Accounts, events, and messages unless CQL holds them.
    Postgres,
    /// Sessions, presence.
    Redis,
    /// Messages, where the store is of that kind.
    Cql,
    /// The phones, at the other end of a gateway's link.
    Phones,
}

/// Our own processes.
pub(crate) const PROCESSES: [&str; 5] = ["api", "gateway-1", "gateway-2", "chat-worker-1", "chat-worker-2"];

/// What a run's stack shall be like.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Where its data and logs are.
    pub folder: PathBuf,
    /// Where the programs are.
    pub binaries: PathBuf,
    /// The message store.
    pub store: Store,
    /// Settings of a run that has no time to wait: who is not heard of is noticed sooner, a gateway ends sooner.
    pub is_short: bool,
    /// nats-servers; several are a cluster, which is reached without links.
    pub(crate) nats_servers: u16,
    /// The deliberate bug that the programs shall have.
    pub mutant: Option<String>,
}

/// A running stack and its links.
#[derive(Debug)]
pub(crate) struct House {
    /// The stack.
    pub stack: Stack,
    /// The api.
    pub rest: Rest,
    /// Where phones find the gateways: over links.
    pub gateways: Vec<String>,
    /// Where messages are.
    pub store: Store,
    links: BTreeMap<(&'static str, Server), Link>,
}

impl House {
    /// Starts everything; what an earlier run left in the folder is ended and removed before.
    pub(crate) async fn start(shape: &Shape) -> Result<Self> {
        Stack::at(&shape.folder).clear()?;
        let mut links = BTreeMap::new();
        for (process, server) in pairs(shape.store, shape.nats_servers) {
            links.insert((process, server), link(&shape.folder, process, server).await?);
        }
        let plan = plan(shape, &links);
        let stack = tokio::task::spawn_blocking(move || stack::start(&plan)).await.context("the start died")??;
        let rest = Rest::new(&stack.api_url()?)?;
        let gateways = ["gateway-1", "gateway-2"]
            .into_iter()
            .filter_map(|gateway| links.get(&(gateway, Server::Phones)))
            .map(|link| format!("http://127.0.0.1:{}", link.port()))
            .collect();
        Ok(Self { stack, rest, gateways, store: shape.store, links })
    }

    /// How the way between `process` and `server` is from now on.
    pub(crate) fn set(&self, process: &str, server: Server, mode: Mode) -> Result<()> {
        let found = self.links.iter().find(|((name, to), _)| *name == process && *to == server);
        let (_, link) = found.with_context(|| format!("{process} has no link to {server:?}"))?;
        link.set(mode);
        Ok(())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Data and logs stay, for whoever asks why.
        drop(self.stack.kill_all());
    }
}

/// Who reaches what.
fn pairs(store: Store, nats_servers: u16) -> Vec<(&'static str, Server)> {
    let mut pairs = Vec::new();
    for process in PROCESSES {
        pairs.push((process, Server::Postgres));
        if nats_servers == 1 {
            pairs.push((process, Server::Nats));
        }
        if process.starts_with("gateway") {
            pairs.push((process, Server::Phones));
        }
        if !process.starts_with("chat-worker") {
            pairs.push((process, Server::Redis));
        }
        if store == Store::Scylla {
            pairs.push((process, Server::Cql));
        }
    }
    pairs
}

async fn link(folder: &Path, process: &'static str, server: Server) -> Result<Link> {
    let folder = folder.to_owned();
    Link::start(move || port_of(&Stack::at(&folder), process, server)).await
}

/// The port that a link leads to, as the stack says once it is started.
fn port_of(stack: &Stack, process: &str, server: Server) -> Result<u16> {
    let url = match server {
        Server::Nats => stack.env("NATS_URL")?,
        Server::Postgres => stack.env("DATABASE_URL")?,
        Server::Redis => stack.env("REDIS_URL")?,
        Server::Cql => stack.env("CQL_NODES")?,
        Server::Phones => {
            let urls = stack.gateway_urls()?;
            let index = usize::from(process.ends_with('2'));
            urls.get(index).cloned().with_context(|| format!("{process} has no address"))?
        }
    };
    let place = url.rsplit_once('@').map_or(url.as_str(), |(_, place)| place);
    let place = place.trim_start_matches("redis://").trim_start_matches("http://");
    let port = place.split('/').next().and_then(|place| place.rsplit(':').next());
    port.and_then(|port| port.parse().ok()).with_context(|| format!("no port in {url}"))
}

fn plan(shape: &Shape, links: &BTreeMap<(&'static str, Server), Link>) -> Plan {
    let mut plan = Plan::new(&shape.folder)
        .ports(Ports::Auto)
        .binaries(shape.binaries.clone())
        .store(shape.store)
        .gateways(2)
        .workers(2)
        .nats_servers(shape.nats_servers)
        .limits(false)
        // Nobody signs in again during a run.
        .env("api", "ACCESS_TOKEN_SECS", "86400");
    for ((process, server), link) in links {
        let port = link.port();
        let user =
            if process.starts_with("chat-worker") { "worker" } else { process.trim_end_matches(['-', '1', '2']) };
        let (variable, value) = match server {
            Server::Nats => ("NATS_URL", stack::nats_url(user, port)),
            Server::Postgres => ("DATABASE_URL", stack::postgres_url(port)),
            Server::Redis => ("REDIS_URL", stack::redis_url(port)),
            Server::Cql => ("CQL_NODES", stack::cql_nodes(port)),
            Server::Phones => continue,
        };
        plan = plan.env(process, variable, &value);
    }
    for process in PROCESSES {
        if shape.is_short {
            plan = plan.env(process, "NATS_PING_SECS", "2");
        }
        if let Some(mutant) = &shape.mutant {
            plan = plan.env(process, "TIMINGLE_MUTANT", mutant);
        }
    }
    if shape.is_short { plan.env("gateway", "GATEWAY_DRAIN_SECS", "2") } else { plan }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_is_found_behind_its_link() {
        let folder = tempfile::tempdir().unwrap();
        let env = "NATS_URL=nats://operator:a@127.0.0.1:1\nDATABASE_URL=postgres://timingle@127.0.0.1:2/timingle\n\
                   REDIS_URL=redis://127.0.0.1:3\nCQL_NODES=127.0.0.1:4\n\
                   GATEWAY_URLS=http://127.0.0.1:5,http://127.0.0.1:6\n";
        std::fs::write(folder.path().join("stack.env"), env).unwrap();
        let stack = Stack::at(folder.path());
        let ports: Vec<_> = [Server::Nats, Server::Postgres, Server::Redis, Server::Cql, Server::Phones]
            .map(|server| port_of(&stack, "gateway-2", server).unwrap())
            .into();
        assert_eq!(ports, [1, 2, 3, 4, 6]);
    }

    #[test]
    fn everybody_reaches_the_store_and_gateways_their_phones() {
        let has = |store, pair| pairs(store, 1).contains(&pair);
        for process in PROCESSES {
            assert!(has(Store::Scylla, (process, Server::Cql)) && !has(Store::Postgres, (process, Server::Cql)));
        }
        assert!(has(Store::Postgres, ("gateway-1", Server::Phones)) && !has(Store::Postgres, ("api", Server::Phones)));
    }
}
