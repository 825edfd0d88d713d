//! `cargo x test`: every test, against real servers that are started if they do not run.

use std::{
    ffi::OsString,
    process::{Command, ExitCode, ExitStatus},
};

use anyhow::{Context, Result};
use clap::Args;

use super::{build, down, servers};
use crate::{console, interrupt, source, stack::Stack, tool, workspace};

#[derive(Debug, Default, Args)]
pub(super) struct Arguments {
    /// What nextest shall be told: names of tests, `-p gateway`, `--no-fail-fast` … Without any, all tests are run
    #[arg(value_name = "NEXTEST ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
    nextest: Vec<OsString>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    interrupt::catch()?;
    let nextest = tool::python::NEXTEST.ensure()?;
    let have_started = {
        let _alone = servers::lock()?;
        servers::ensure()?
    };
    let stack = Stack::at(workspace::test_run_dir());
    let result = build::binaries(false).and_then(|_| {
        let mut command = Command::new(nextest);
        command.arg("nextest").arg("run");
        if !names_packages(&arguments.nextest) {
            command.arg("--workspace");
        }
        let tests =
            on_servers(&mut command, &stack).args(&arguments.nextest).status().context("cannot start nextest")?;
        // Whoever names tests wants those and no others.
        let documentation = if arguments.nextest.is_empty() { documentation_tests(&stack)? } else { None };
        Ok(if tests.success() { documentation.unwrap_or(tests) } else { tests })
    });
    if have_started {
        let _alone = servers::lock()?;
        down::stop(&stack, "the test servers")?;
    }
    Ok(exit_code(result?))
}

/// The examples in the documentation of the crates that have any.
fn documentation_tests(stack: &Stack) -> Result<Option<ExitStatus>> {
    let packages = source::packages_with_examples(workspace::root())?;
    if packages.is_empty() {
        return Ok(None);
    }
    console::step("testing", format_args!("the documentation of {}", packages.join(", ")));
    let mut cargo = build::cargo();
    cargo.args(["test", "--doc"]);
    for package in &packages {
        cargo.args(["--package", package]);
    }
    Ok(Some(on_servers(&mut cargo, stack).status()?))
}

fn on_servers<'a>(command: &'a mut Command, stack: &Stack) -> &'a mut Command {
    command.current_dir(workspace::root()).envs(stack.variables())
}

fn names_packages(arguments: &[OsString]) -> bool {
    arguments.iter().filter_map(|argument| argument.to_str()).any(|argument| {
        argument.starts_with("-p") || argument.starts_with("--package") || argument.starts_with("--manifest-path")
    })
}

fn exit_code(status: ExitStatus) -> ExitCode {
    // Ended by a signal: no code of its own.
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
