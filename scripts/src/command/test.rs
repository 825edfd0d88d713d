//! `cargo x test`: every test, against real servers that are started if they do not run.

use std::{
    ffi::OsString,
    path::Path,
    process::{Command, ExitCode, ExitStatus},
};

use anyhow::{Context, Result};
use clap::Args;

use super::{build, down, servers};
use crate::{
    console, interrupt, source,
    stack::{self, Stack},
    tool, workspace,
};

#[derive(Debug, Default, Args)]
pub(super) struct Arguments {
    /// Reach PostgreSQL through PgBouncer in transaction mode; unless packages are named, the api's tests are run
    #[arg(long)]
    pgbouncer: bool,
    /// What nextest shall be told: names of tests, `-p gateway`, `--no-fail-fast` … Without any, all tests are run
    #[arg(value_name = "NEXTEST ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
    nextest: Vec<OsString>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    interrupt::catch()?;
    let nextest = tool::python::NEXTEST.ensure()?;
    let mut wanted = arguments.nextest.clone();
    if arguments.pgbouncer && named_packages(&wanted).is_empty() {
        wanted.extend(["-p", "api"].map(OsString::from));
    }
    let packages = named_packages(&wanted);
    // The end-to-end tests, which are this crate's, start the programs. With the whole workspace nextest builds those too,
    // for their own crates' tests; a build of ours before it would be a second one, with other features.
    if packages.contains(&"scripts") {
        build::binaries(false)?;
    }
    let have_started = {
        let _alone = servers::lock()?;
        servers::ensure()?
    };
    let stack = Stack::at(workspace::test_run_dir());
    let pooler_port = if arguments.pgbouncer { Some(stack::ensure_pooler(&workspace::test_run_dir())?) } else { None };
    let result = run_on(&stack, &nextest, &wanted, pooler_port);
    if have_started {
        let _alone = servers::lock()?;
        down::stop(&stack, "the test servers")?;
    }
    Ok(exit_code(result?))
}

fn run_on(stack: &Stack, nextest: &Path, wanted: &[OsString], pooler_port: Option<u16>) -> Result<ExitStatus> {
    let mut command = Command::new(nextest);
    command.args(["nextest", "run"]);
    if named_packages(wanted).is_empty() {
        command.arg("--workspace");
    }
    command.envs(pooler_port.map(|port| (stack::POOLER_PORT, port.to_string())));
    let tests = on_servers(&mut command, stack).args(wanted).status().context("cannot start nextest")?;
    // Whoever names tests wants those and no others.
    if !wanted.is_empty() || !tests.success() {
        return Ok(tests);
    }
    Ok(documentation_tests(stack)?.unwrap_or(tests))
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

/// The packages that nextest is told to test; empty when it is told none.
fn named_packages(arguments: &[OsString]) -> Vec<&str> {
    let mut names = Vec::new();
    let mut arguments = arguments.iter().filter_map(|argument| argument.to_str());
    while let Some(argument) = arguments.next() {
        let value = argument.strip_prefix("--package").or_else(|| argument.strip_prefix("-p"));
        match value.map(|value| value.trim_start_matches('=')) {
            None => {}
            Some("") => names.extend(arguments.next()),
            Some(name) => names.push(name),
        }
    }
    names
}

fn exit_code(status: ExitStatus) -> ExitCode {
    // Ended by a signal: no code of its own.
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str], expected: &[&str]) {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        assert_eq!(named_packages(&arguments), expected);
    }

    #[test]
    fn packages_are_named_in_four_ways() {
        check(
            &["-p", "api", "-pgateway", "--package", "ops", "--package=schema"],
            &["api", "gateway", "ops", "schema"],
        );
        check(&["a_slot_is_booked_once", "--no-fail-fast"], &[]);
        check(&["-p"], &[]);
    }
}
