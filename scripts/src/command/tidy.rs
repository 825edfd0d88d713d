//! `cargo x tidy`: the house rules, and the book of migrations.

use anyhow::Result;
use clap::Args;

use crate::tidy;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write down the sums of new migrations, after which they may not change
    #[arg(long)]
    record_migrations: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.record_migrations { tidy::record() } else { tidy::run() }
}
