//! `cargo x verify` and `cargo x trace`: questions to the stack that `up` started, answered by its worker's program.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{stack::Stack, workspace};

/// Whatever the worker's command takes: `--help` tells.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct Arguments {
    /// As `chat-worker verify --help` and `chat-worker trace --help` tell
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Ends as the worker's command does.
pub(super) fn run(command: &str, arguments: &Arguments) -> Result<ExitCode> {
    let stack = Stack::at(workspace::run_dir());
    let mut arguments: Vec<&str> =
        [command].into_iter().chain(arguments.arguments.iter().map(String::as_str)).collect();
    let logs: Vec<_> = if command == "trace" { stack.logs_of(&["gateway", "chat-worker"])? } else { Vec::new() };
    arguments.extend(logs.iter().flat_map(|file| ["--logs", file.as_str()]));
    let status = stack.run_beside("chat-worker-1", &arguments)?;
    let code = status.code().context("the worker's program was killed")?;
    Ok(ExitCode::from(u8::try_from(code)?))
}
