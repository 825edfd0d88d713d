//! `cargo x restart <name>`: after a crash, a kill, or a new build.

use anyhow::Result;
use clap::Args;

use crate::{console, interrupt, stack::Stack, workspace};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// api, gateway-1, chat-worker-1, nats, postgres, redis or cassandra
    name: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    interrupt::catch()?;
    let name = &arguments.name;
    console::step("restarting", name);
    Stack::at(workspace::run_dir()).restart_now(name)?;
    console::step("ready", name);
    Ok(())
}
