//! `cargo x admin`: what an operator does to accounts of the stack that `up` started.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

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
    let status = Stack::at(workspace::run_dir()).run_beside("api", &["grant", email, "--role", role])?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
