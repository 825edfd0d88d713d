//! `cargo x admin`: what an operator does to accounts of the stack that `up` started.

use std::process::{Command as Process, ExitCode};

use anyhow::{Context, Result};
use clap::Subcommand;

use super::build;
use crate::{stack::Stack, workspace};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Give an account a role; within half a second it counts
    Grant {
        /// The account's e-mail address
        email: String,
        /// admin, business or user
        #[arg(long, default_value = "admin")]
        role: String,
    },
}

pub(super) fn run(command: &Command) -> Result<ExitCode> {
    let Command::Grant { email, role } = command;
    let stack = Stack::at(workspace::run_dir());
    let mut api = Process::new(build::binaries(false)?.join("api"));
    for name in ["DATABASE_URL", "NATS_URL", "REDIS_URL"] {
        api.env(name, stack.env(name)?);
    }
    let status = api.env("TIMINGLE_ENV", "development").args(["grant", email, "--role", role]).status();
    let status = status.context("cannot start the api's program")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
