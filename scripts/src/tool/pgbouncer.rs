//! PgBouncer, a Debian package: the pooler that the api must get along with.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{apt, is_program, on_path};

/// Debian keeps it where only administrators look.
const DEBIANS: &str = "/usr/sbin/pgbouncer";

/// The program, installed when there is none.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(program) = find() {
        return Ok(program);
    }
    apt::ensure(&["pgbouncer"], "no pgbouncer is on PATH")?;
    find().context("Debian's package pgbouncer brought no pgbouncer: install one by hand")
}

fn find() -> Option<PathBuf> {
    on_path("pgbouncer").or_else(|| Some(PathBuf::from(DEBIANS)).filter(|file| is_program(file)))
}
