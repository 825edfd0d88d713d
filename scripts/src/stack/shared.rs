//! A stack's own place on the servers that tests share.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    process::{self, Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::test_env;
use crate::tool;

/// A fresh database, and names for a keyspace and a Redis prefix nobody else uses. The database goes when this does.
#[derive(Debug)]
pub(super) struct Shared {
    server_url: String,
    pub(super) name: String,
    pub(super) database_url: String,
}

impl Shared {
    pub(super) fn create() -> Result<Self> {
        let server_url = test_env("DATABASE_URL");
        let name = format!("stack_{:016x}", RandomState::new().hash_one(process::id()));
        let (server, _) = server_url.rsplit_once('/').context("DATABASE_URL ends with a database's name")?;
        let shared = Self { database_url: format!("{server}/{name}"), server_url: server_url.clone(), name };
        shared.run("createdb", &[])?;
        Ok(shared)
    }

    fn run(&self, program: &str, flags: &[&str]) -> Result<()> {
        let output = Command::new(tool::postgres::ensure()?.get(program))
            .args(flags)
            .arg(format!("--maintenance-db={}", self.server_url))
            .arg(&self.name)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // What stays behind is a small database on a server that is thrown away.
        drop(self.run("dropdb", &["--force"]));
    }
}
