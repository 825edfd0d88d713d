//! Which process listens where.

use anyhow::{Result, bail};

use super::{
    plan::Ports,
    port::{PortLease, is_free},
    service::Listeners,
};

/// The documented ports.
pub(super) mod fixed {
    pub(crate) const POSTGRES: u16 = 5432;
    pub(crate) const REDIS: u16 = 6379;
    pub(crate) const NATS: u16 = 4222;
    /// Where the servers of a cluster find each other.
    pub(crate) const NATS_ROUTES: u16 = 6222;
    pub(crate) const CQL: u16 = 9042;
    /// Cassandra binds a second port for neighbours it does not have.
    pub(crate) const CQL_STORAGE: u16 = 7000;
    pub(crate) const API: u16 = 8080;
    /// The operators' port of the api; the gateways' and then the workers' follow.
    pub(crate) const OPS: u16 = 9080;
}

/// Gives out ports, fixed or free, and remembers which of the fixed ones somebody else has.
#[derive(Debug)]
pub(super) struct Layout {
    ports: Ports,
    leases: Vec<PortLease>,
    taken: Vec<String>,
}

/// The ports of one nats-server.
#[derive(Clone, Copy, Debug)]
pub(super) struct NatsPorts {
    pub(super) clients: u16,
    /// For the others of a cluster; a server on its own does not listen there.
    pub(super) routes: u16,
}

/// The ports of a stack's own servers.
#[derive(Clone, Debug)]
pub(super) struct ServerPorts {
    pub(super) postgres: u16,
    pub(super) redis: u16,
    pub(super) nats: Vec<NatsPorts>,
    /// CQL's, and the second one Cassandra binds.
    pub(super) cassandra: Option<(u16, u16)>,
}

/// The ports of our own processes.
#[derive(Debug)]
pub(super) struct ServicePorts {
    pub(super) api: Listeners,
    /// By name: `gateway-1` …
    pub(super) gateways: Vec<(String, Listeners)>,
    /// By name: `chat-worker-1` …
    pub(super) workers: Vec<(String, Listeners)>,
}

impl Layout {
    pub(super) fn new(ports: Ports) -> Self {
        Self { ports, leases: Vec::new(), taken: Vec::new() }
    }

    /// A port for `user`: `fixed`, or a free one.
    pub(super) fn port(&mut self, user: &str, fixed: u16) -> Result<u16> {
        match self.ports {
            Ports::Fixed => {
                if !is_free(fixed) {
                    self.taken.push(format!("{fixed} ({user})"));
                }
                Ok(fixed)
            }
            Ports::Auto => {
                let lease = PortLease::take()?;
                let port = lease.port();
                self.leases.push(lease);
                Ok(port)
            }
        }
    }

    /// Ports for a stack's own servers, so many nats-servers among them.
    pub(super) fn servers(&mut self, has_cassandra: bool, nats_servers: u16) -> Result<ServerPorts> {
        let nats = (0..nats_servers).map(|n| {
            let clients = self.port("nats", fixed::NATS + n)?;
            let routes = if nats_servers > 1 { self.port("nats, routes", fixed::NATS_ROUTES + n)? } else { 0 };
            Ok(NatsPorts { clients, routes })
        });
        Ok(ServerPorts {
            nats: nats.collect::<Result<_>>()?,
            postgres: self.port("postgres", fixed::POSTGRES)?,
            redis: self.port("redis", fixed::REDIS)?,
            cassandra: if has_cassandra { Some(self.cassandra()?) } else { None },
        })
    }

    /// CQL's port, and the second one Cassandra binds.
    pub(super) fn cassandra(&mut self) -> Result<(u16, u16)> {
        Ok((self.port("cassandra", fixed::CQL)?, self.port("cassandra, storage", fixed::CQL_STORAGE)?))
    }

    /// Ports for the api and so many gateways and workers.
    pub(super) fn services(&mut self, gateways: u16, workers: u16) -> Result<ServicePorts> {
        let mut ops = fixed::OPS;
        let mut listeners = |layout: &mut Self, name: &str, public: Option<u16>| -> Result<Listeners> {
            let public = public.map(|fixed| layout.port(name, fixed)).transpose()?;
            let answer = Listeners { public, ops: layout.port(&format!("{name}, operators"), ops)? };
            ops += 1;
            Ok(answer)
        };
        let api = listeners(self, "api", Some(fixed::API))?;
        let gateways = (1..=gateways)
            .map(|n| (format!("gateway-{n}"), fixed::API + n))
            .map(|(name, public)| Ok((name.clone(), listeners(self, &name, Some(public))?)))
            .collect::<Result<_>>()?;
        let workers = (1..=workers)
            .map(|n| format!("chat-worker-{n}"))
            .map(|name| Ok((name.clone(), listeners(self, &name, None)?)))
            .collect::<Result<_>>()?;
        Ok(ServicePorts { api, gateways, workers })
    }

    /// The leases, to be kept while the ports are used; an error when any port is taken.
    pub(super) fn finish(self) -> Result<Vec<PortLease>> {
        match self.taken.as_slice() {
            [] => Ok(self.leases),
            [port] => bail!("port {port} is taken by another program: end that one, or use `--ports auto`"),
            ports => bail!("ports {} are taken by other programs: end those, or use `--ports auto`", ports.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn operators_ports_follow_each_other_api_first_then_gateways_then_workers() {
        let ports = Layout::new(Ports::Fixed).services(2, 2).unwrap();
        assert_eq!((ports.api.public, ports.api.ops), (Some(8080), 9080));
        let flat: Vec<_> =
            ports.gateways.iter().chain(&ports.workers).map(|(name, at)| (name.as_str(), at.public, at.ops)).collect();
        assert_eq!(
            flat,
            [
                ("gateway-1", Some(8081), 9081),
                ("gateway-2", Some(8082), 9082),
                ("chat-worker-1", None, 9083),
                ("chat-worker-2", None, 9084),
            ]
        );
    }

    #[test]
    fn a_taken_port_is_named_with_the_way_out() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut layout = Layout::new(Ports::Fixed);
        layout.port("redis", listener.local_addr().unwrap().port()).unwrap();
        let error = layout.finish().unwrap_err().to_string();
        assert!(error.contains("(redis)") && error.contains("--ports auto"), "{error}");
    }
}
