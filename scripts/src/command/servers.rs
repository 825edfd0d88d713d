//! `cargo x servers`: PostgreSQL, Redis and a CQL server for tests, kept between runs of them.

use std::fs::{self, File};

use anyhow::{Context, Result};
use clap::Subcommand;

use super::down;
use crate::{
    console, interrupt,
    stack::{self, Stack},
    workspace,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start them on free ports; their addresses go to .run/test/stack.env
    Up,
    /// End them; their data stays
    Down,
}

pub(super) fn run(command: &Command) -> Result<()> {
    let _alone = lock()?;
    match command {
        Command::Up => {
            interrupt::catch()?;
            if !ensure()? {
                console::note("the test servers run already");
            }
            let stack = Stack::at(workspace::test_run_dir());
            for (name, value) in stack.variables() {
                console::answer(format_args!("export {name}={value}"));
            }
            Ok(())
        }
        Command::Down => down::stop(&Stack::at(workspace::test_run_dir()), "the test servers"),
    }
}

/// Starts the servers unless all of them run; `true` when it had to.
pub(super) fn ensure() -> Result<bool> {
    let stack = Stack::at(workspace::test_run_dir());
    let conditions = stack.conditions()?;
    if !conditions.is_empty() && conditions.iter().all(|condition| condition.is_ready) && !stack.variables().is_empty()
    {
        return Ok(false);
    }
    // What is left of an earlier start would be in the way.
    stack.stop_now()?;
    stack::start_test_servers(stack.folder())?;
    Ok(true)
}

/// Held while servers are started or ended, so that two commands do not do it at once.
pub(super) fn lock() -> Result<File> {
    let folder = workspace::test_run_dir();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    Ok(lock)
}
