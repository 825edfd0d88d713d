//! `cargo x down`: ends what `up` started.

use anyhow::Result;
use clap::Args;

use crate::{console, stack::Stack, workspace};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Remove .run with all data and logs, the test servers' too
    #[arg(long)]
    wipe: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let stack = Stack::at(workspace::run_dir());
    stop(&stack, "the stack")?;
    if arguments.wipe {
        let tests = Stack::at(workspace::test_run_dir());
        stop(&tests, "the test servers")?;
        tests.wipe()?;
        stack.wipe()?;
        console::step("removed", stack.folder().display());
    }
    Ok(())
}

/// Ends what lives of `stack`.
pub(super) fn stop(stack: &Stack, what: &str) -> Result<()> {
    let living = stack.living()?;
    if living.is_empty() {
        console::note(format_args!("nothing of {what} runs"));
    } else {
        console::step("stopping", living.join(", "));
    }
    stack.stop_now()
}
