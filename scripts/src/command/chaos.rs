//! `cargo x chaos`: builds the programs, and the one that breaks them.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use super::build;
use crate::workspace;

/// Whatever the program takes: `--help` tells.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct Arguments {
    /// Break optimised programs
    #[arg(long)]
    release: bool,
    /// As `cargo x chaos --help` tells
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Ends as the program does.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let binaries = if arguments.arguments.iter().any(|argument| argument.starts_with("--mutants")) {
        build::mutants(&workspace::root().join(".run/mutants"))?
    } else {
        build::binaries_and("chaos", arguments.release)?
    };
    let status = Command::new(binaries.join("chaos"))
        // It names the command that does it again.
        .args(arguments.release.then_some("--release"))
        .args(&arguments.arguments)
        .arg("--binaries")
        .arg(&binaries)
        .current_dir(workspace::root())
        .status()
        .context("cannot start chaos")?;
    let code = status.code().context("chaos was killed")?;
    Ok(ExitCode::from(u8::try_from(code)?))
}
