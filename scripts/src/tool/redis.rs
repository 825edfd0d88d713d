//! redis-server, a Debian package.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{apt, on_path};

/// The program, installed when there is none.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(program) = on_path("redis-server") {
        return Ok(program);
    }
    apt::ensure(&["redis-server"], "no redis-server is on PATH")?;
    on_path("redis-server").context("Debian's package redis-server brought no redis-server: install one by hand")
}
