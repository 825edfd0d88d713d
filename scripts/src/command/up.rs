//! `cargo x up`: from nothing to a running stack.

use std::{env, process::ExitCode, thread, time::Duration};

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::build;
use crate::{
    console, interrupt,
    stack::{self, Plan, Ports, Stack, Store},
    workspace,
};

const LOOK_AGAIN: Duration = Duration::from_millis(300);
/// The exit code of a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// More of either than two cores can show anything with.
const PROCESSES_MAX: i64 = 16;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where messages are stored; `scylla` starts a CQL server too
    #[arg(long, value_enum, default_value = "postgres")]
    store: Store,
    /// How many gateways
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=PROCESSES_MAX))]
    gateways: u16,
    /// How many chat-workers
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=PROCESSES_MAX))]
    workers: u16,
    /// Build optimised programs, for load tests
    #[arg(long)]
    release: bool,
    /// `off`: no limits of rates, handshakes and connections, for load tests; refused in production mode
    #[arg(long, value_enum, default_value = "on")]
    limits: Limits,
    /// `auto`: free ports instead of the documented ones
    #[arg(long, value_enum, default_value = "fixed")]
    ports: Ports,
    /// Return when everything is ready, instead of staying until Ctrl-C
    #[arg(long)]
    detach: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Limits {
    On,
    Off,
}

const LOG: &str = "TIMINGLE_LOG";
/// With what `cargo x trace` reads, too.
const FOR_TRACE: &str = "info,hop=debug";

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    interrupt::catch()?;
    let mut plan = Plan::new(&workspace::run_dir())
        .store(arguments.store)
        .gateways(arguments.gateways)
        .workers(arguments.workers)
        .limits(arguments.limits == Limits::On)
        .ports(arguments.ports);
    if env::var_os(LOG).is_none() {
        plan = plan.env("gateway", LOG, FOR_TRACE).env("chat-worker", LOG, FOR_TRACE);
    }
    // Before a build of minutes, not after it.
    stack::check(&plan)?;
    let stack = stack::start(&plan.binaries(build::binaries(arguments.release)?))?;
    introduce(&stack)?;
    if arguments.detach {
        console::answer("`cargo x status` shows the processes, `cargo x down` ends them.");
        return Ok(ExitCode::SUCCESS);
    }
    console::answer("Ctrl-C ends everything.");
    watch(&stack)
}

/// Where everything is, and what to try first.
fn introduce(stack: &Stack) -> Result<()> {
    let api = stack.api_url()?;
    console::answer("");
    console::answer(format_args!("api       {api}"));
    for gateway in stack.gateway_urls()? {
        console::answer(format_args!("gateway   {}/api/v1/ws", gateway.replacen("http", "ws", 1)));
    }
    for (what, variable) in
        [("nats", "NATS_URL"), ("postgres", "DATABASE_URL"), ("redis", "REDIS_URL"), ("cql", "CQL_NODES")]
    {
        let value = stack.env(variable)?;
        if !value.is_empty() {
            console::answer(format_args!("{what:<9} {value}"));
        }
    }
    console::answer(format_args!("settings  {}/stack.env", stack.folder().display()));
    console::answer("\nMake yourself known:\n");
    console::answer(format_args!(
        "  curl -s {api}/api/v1/auth/register -H 'content-type: application/json' \\\n    \
         -d '{{\"email\":\"ann@example.org\",\"password\":\"correct horse\",\"display_name\":\"Ann\"}}'\n"
    ));
    Ok(())
}

/// Stays until Ctrl-C or `cargo x down`; says which process ends meanwhile.
fn watch(stack: &Stack) -> Result<ExitCode> {
    let mut known = stack.living()?;
    while !interrupt::is_raised() {
        thread::sleep(LOOK_AGAIN);
        let living = stack.living()?;
        if stack.is_forgotten()? {
            return Ok(ExitCode::SUCCESS);
        }
        for name in known.iter().filter(|name| !living.contains(name)) {
            console::note(format_args!(
                "{name} has ended; `cargo x logs {name}` may tell why, `cargo x restart {name}` starts it again"
            ));
        }
        known = living;
    }
    console::step("stopping", "everything; data and logs stay");
    stack.stop_now()?;
    Ok(ExitCode::from(INTERRUPTED))
}
