//! The order in which a stack comes up: servers side by side, migrations, the api, then gateways and workers.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, bail};

use super::{
    handle::Stack,
    layout::{Layout, NatsPorts, ServerPorts, ServicePorts},
    plan::{Plan, Ports, Store},
    port::PortLease,
    process::Process,
    run_dir::{Record, RunDir},
    server::{cassandra, nats, pgbouncer, postgres, redis},
    service::{Backing, Listeners, Services, callers_settings},
    shared::Shared,
    signing_key, test_env,
};
use crate::{console, tool};

/// Starts what `plan` says; returns when every process is ready. When one does not come up, all are ended again.
pub fn start(plan: &Plan) -> Result<Stack> {
    start_on(plan, None).map(|(stack, _)| stack)
}

/// An error when `plan` cannot be started now: something of it runs, or a port it needs is taken.
pub(crate) fn check(plan: &Plan) -> Result<()> {
    require_nothing_runs(&Stack::at(folder_of(plan)?))?;
    lay_out(plan).map(drop)
}

fn folder_of(plan: &Plan) -> Result<&Path> {
    plan.run_dir.as_deref().context("a plan that is started has a run folder")
}

fn lay_out(plan: &Plan) -> Result<(ServerPorts, ServicePorts, Vec<PortLease>)> {
    let mut layout = Layout::new(plan.ports);
    let servers = layout.servers(plan.store == Store::Scylla, plan.nats_servers)?;
    let services = layout.services(plan.gateways, plan.workers)?;
    Ok((servers, services, layout.finish()?))
}

/// As [`start`], on the servers tests share when `shared` is given; the leases keep free ports ours.
pub(super) fn start_on(plan: &Plan, shared: Option<&Shared>) -> Result<(Stack, Vec<PortLease>)> {
    let run_dir = fresh(folder_of(plan)?)?;
    let stack = Stack::at(run_dir.path());
    // Every port is known to be free before anything is made.
    let (server_ports, ports, leases) = lay_out(plan)?;
    let (servers, backing) = match shared {
        Some(shared) => servers_beside(shared, &run_dir, plan, &server_ports.nats)?,
        None => own_servers(&run_dir, plan, &server_ports)?,
    };
    let mut starter = Starter { run_dir: &run_dir, plan: Some(plan), order: 0 };
    let result = starter.bring_up(&servers).and_then(|()| bring_up_services(&mut starter, plan, backing, &ports));
    match result {
        Ok(()) => Ok((stack, leases)),
        Err(error) => Err(undone(&stack, error)),
    }
}

/// Starts the servers that tests share, on free ports, in `folder`.
pub(crate) fn start_test_servers(folder: &Path) -> Result<Stack> {
    let run_dir = fresh(folder)?;
    let stack = Stack::at(run_dir.path());
    let mut layout = Layout::new(Ports::Auto);
    let ports = layout.servers(true, 0)?;
    let (cql_port, storage_port) = ports.cassandra.context("a port for CQL was asked for")?;
    let _leases = layout.finish()?;
    // Tests make their own streams on servers of their own; only the program has to be there.
    tool::nats::ensure()?;
    let processes = vec![
        cassandra::process(&run_dir, cql_port, storage_port, true)?,
        postgres::process(&run_dir, ports.postgres, postgres::Tuning::Tests, true)?,
        redis::process(&run_dir, ports.redis, true)?,
    ];
    let mut starter = Starter { run_dir: &run_dir, plan: None, order: 0 };
    let result = starter.bring_up(&processes).and_then(|()| {
        run_dir.write_env(&BTreeMap::from([
            ("DATABASE_URL".to_owned(), postgres::url(ports.postgres)),
            ("REDIS_URL".to_owned(), redis::url(ports.redis)),
            ("CQL_NODES".to_owned(), cassandra::nodes(cql_port)),
        ]))
    });
    result.map_err(|error| undone(&stack, error)).map(|()| stack)
}

/// Starts PgBouncer before the PostgreSQL of the test servers in `folder`, unless it runs; answers its port.
pub(crate) fn ensure_pooler(folder: &Path) -> Result<u16> {
    let run_dir = RunDir::at(folder);
    if let Some(record) = run_dir.find_record(pgbouncer::NAME)?
        && record.alive().is_some()
    {
        return Ok(record.process.ready.port());
    }
    let before = run_dir.find_record(postgres::NAME)?.context("the test servers run")?;
    let lease = PortLease::take()?;
    let process = pgbouncer::process(&run_dir, lease.port(), before.process.ready.port())?;
    let mut starter = Starter { run_dir: &run_dir, plan: None, order: run_dir.records()?.len() };
    starter.bring_up(&[process])?;
    Ok(lease.port())
}

/// The run folder, in which nothing may run yet.
fn fresh(folder: &Path) -> Result<RunDir> {
    let run_dir = RunDir::create(folder)?;
    require_nothing_runs(&Stack::at(run_dir.path()))?;
    run_dir.forget()?;
    Ok(run_dir)
}

fn require_nothing_runs(stack: &Stack) -> Result<()> {
    let living = stack.living()?;
    if !living.is_empty() {
        bail!("already running: {}; `cargo x down` ends them, `cargo x status` shows them", living.join(", "));
    }
    Ok(())
}

/// Ends what came up before `error`.
fn undone(stack: &Stack, error: anyhow::Error) -> anyhow::Error {
    console::step("stopping", "what has come up so far");
    match stack.stop_now() {
        Ok(()) => error,
        Err(other) => error.context(format!("and not everything could be ended: {other:#}")),
    }
}

/// Servers of the stack's own.
fn own_servers(run_dir: &RunDir, plan: &Plan, ports: &ServerPorts) -> Result<(Vec<Process>, Backing)> {
    let mut processes = vec![
        postgres::process(run_dir, ports.postgres, postgres::Tuning::Development, plan.is_detached)?,
        redis::process(run_dir, ports.redis, plan.is_detached)?,
    ];
    processes.extend(nats::processes(run_dir, &ports.nats, plan.is_detached)?);
    if let Some((port, storage_port)) = ports.cassandra {
        processes.push(cassandra::process(run_dir, port, storage_port, plan.is_detached)?);
    }
    let backing = Backing {
        database_url: postgres::url(ports.postgres),
        redis_url: redis::url(ports.redis),
        redis_prefix: None,
        nats_ports: ports.nats.iter().map(|ports| ports.clients).collect(),
        cql_nodes: ports.cassandra.map(|(port, _)| cassandra::nodes(port)),
        cql_keyspace: "timingle".to_owned(),
    };
    Ok((processes, backing))
}

/// A nats-server of the stack's own; for the rest, names of its own on the shared servers.
fn servers_beside(
    shared: &Shared,
    run_dir: &RunDir,
    plan: &Plan,
    nats_ports: &[NatsPorts],
) -> Result<(Vec<Process>, Backing)> {
    let backing = Backing {
        database_url: shared.database_url.clone(),
        redis_url: test_env("REDIS_URL"),
        redis_prefix: Some(shared.name.clone()),
        nats_ports: nats_ports.iter().map(|ports| ports.clients).collect(),
        cql_nodes: (plan.store == Store::Scylla).then(|| test_env("CQL_NODES")),
        cql_keyspace: shared.name.clone(),
    };
    Ok((nats::processes(run_dir, nats_ports, plan.is_detached)?, backing))
}

fn bring_up_services(starter: &mut Starter<'_>, plan: &Plan, backing: Backing, ports: &ServicePorts) -> Result<()> {
    let run_dir = starter.run_dir;
    let signing_key = signing_key::ensure(run_dir.path())?.display().to_string();
    run_dir.write_env(&variables(plan, &backing, ports))?;
    let callers = callers_settings(plan)?;
    let services = Services { plan, run_dir, backing, api: ports.api, signing_key, callers };
    services.migrate()?;
    starter.bring_up(&[services.api()?])?;
    let gateways = ports.gateways.iter().map(|(name, listeners)| services.gateway(name, *listeners));
    let workers = ports.workers.iter().map(|(name, listeners)| services.worker(name, *listeners));
    starter.bring_up(&gateways.chain(workers).collect::<Result<Vec<_>>>()?)
}

/// What `stack.env` says.
fn variables(plan: &Plan, backing: &Backing, ports: &ServicePorts) -> BTreeMap<String, String> {
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let ops =
        |listeners: &[(String, Listeners)]| listeners.iter().map(|(_, at)| url(at.ops)).collect::<Vec<_>>().join(",");
    let gateways: Vec<_> = ports.gateways.iter().filter_map(|(_, at)| at.public).map(url).collect();
    BTreeMap::from(
        [
            ("API_URL", ports.api.public.map(url).unwrap_or_default()),
            ("API_OPS_URL", url(ports.api.ops)),
            ("GATEWAY_URL", gateways.first().cloned().unwrap_or_default()),
            ("GATEWAY_URLS", gateways.join(",")),
            ("GATEWAY_OPS_URLS", ops(&ports.gateways)),
            ("WORKER_OPS_URLS", ops(&ports.workers)),
            ("NATS_URL", nats::urls("operator", &backing.nats_ports)),
            ("DATABASE_URL", backing.database_url.clone()),
            ("REDIS_URL", backing.redis_url.clone()),
            ("CQL_NODES", backing.cql_nodes.clone().unwrap_or_default()),
            ("CQL_KEYSPACE", backing.cql_keyspace.clone()),
            ("STORE", plan.store.as_str().to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}

/// Starts processes and keeps count of them.
#[derive(Debug)]
struct Starter<'a> {
    run_dir: &'a RunDir,
    /// Says which process has a core of its own.
    plan: Option<&'a Plan>,
    order: usize,
}

impl Starter<'_> {
    /// Starts all of `processes`; returns when all are ready.
    fn bring_up(&mut self, processes: &[Process]) -> Result<()> {
        let names: Vec<_> = processes.iter().map(|process| process.name.as_str()).collect();
        console::step("starting", names.join(", "));
        let mut records: Vec<Record> = Vec::new();
        for process in processes {
            let core = self.plan.and_then(|plan| plan.core_of(&process.name));
            let process = Process { core, ..process.clone() };
            records.push(process.launch(self.run_dir, self.order)?);
            self.order += 1;
        }
        records.iter().try_for_each(|record| record.wait_until_ready(self.run_dir))
    }
}
