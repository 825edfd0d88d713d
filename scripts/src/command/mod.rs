//! What can be said after `cargo x`: one file per command.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{bench, console, demo};

mod admin;
mod ask;
pub(crate) mod build;
mod chaos;
mod check;
mod contract;
mod down;
mod logs;
mod restart;
mod servers;
mod status;
mod test;
mod tidy;
mod up;

/// Starts, tests and checks the whole project.
#[derive(Debug, Parser)]
#[command(name = "cargo x", bin_name = "cargo x", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything: PostgreSQL, Redis, nats-server, migrations, api, gateways, workers
    Up(up::Arguments),
    /// End everything `up` started; data and logs stay
    Down(down::Arguments),
    /// Start one process again with the ports, data and settings it had
    Restart(restart::Arguments),
    /// Show each process, its number and whether it is ready
    Status,
    /// Show what one process logged
    Logs(logs::Arguments),
    /// Watch two people talk for ten seconds over what `up` started
    Demo,
    /// Give an account of what `up` started a role
    #[command(subcommand)]
    Admin(admin::Command),
    /// Check that the store of what `up` started holds what the log says, each message once
    Verify(ask::Arguments),
    /// Tell the way of one message through what `up` started
    Trace(ask::Arguments),
    /// Start or end the servers that tests share
    #[command(subcommand)]
    Servers(servers::Command),
    /// Run every test of the workspace against real servers
    Test(test::Arguments),
    /// Check format, lints, documentation, tests, dependencies, the house rules and the docker files
    Check(check::Arguments),
    /// Let a validator, a generated client and a fuzzer hold the API to its document
    Contract(contract::Arguments),
    /// Break everything under people who talk, and prove that nothing was lost
    Chaos(chaos::Arguments),
    /// Measure what a delivery costs, beside the least it can cost and beside other servers
    Bench(bench::Arguments),
    /// Hold two thousand sockets and five hundred messages a second for an hour, and see what grows
    Soak(bench::soak::Arguments),
    /// Check the house rules alone
    Tidy(tidy::Arguments),
}

/// Does what the command line says.
pub fn run() -> ExitCode {
    match carry_out(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            console::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up(arguments) => up::run(&arguments),
        Command::Down(arguments) => down::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Restart(arguments) => restart::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Status => status::run(),
        Command::Logs(arguments) => logs::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Demo => demo::run(),
        Command::Admin(command) => admin::run(&command),
        Command::Verify(arguments) => ask::run("verify", &arguments),
        Command::Trace(arguments) => ask::run("trace", &arguments),
        Command::Servers(command) => servers::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Test(arguments) => test::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Contract(arguments) => contract::run(&arguments),
        Command::Chaos(arguments) => chaos::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Soak(arguments) => bench::soak::run(&arguments),
        Command::Tidy(arguments) => tidy::run(&arguments).map(|()| ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
