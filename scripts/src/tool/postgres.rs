//! PostgreSQL: Debian keeps its programs in a folder for each version, off PATH.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{apt, is_program, on_path, output_of};

/// The programs of one version.
#[derive(Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    pub(crate) fn get(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// The programs, installed when there are none.
pub(crate) fn ensure() -> Result<Programs> {
    if let Some(programs) = find() {
        return Ok(programs);
    }
    apt::ensure(&["postgresql"], "no PostgreSQL server is on PATH or in /usr/lib/postgresql")?;
    find().context("Debian's package postgresql brought no server: install PostgreSQL by hand")
}

fn find() -> Option<Programs> {
    let on_path = on_path("postgres").and_then(|program| program.canonicalize().ok()?.parent().map(Path::to_owned));
    on_path
        .into_iter()
        .chain(newest_first("/usr/lib/postgresql"))
        .find(|folder| {
            ["postgres", "initdb", "pg_isready", "createdb"].iter().all(|name| is_program(&folder.join(name)))
        })
        .map(|folder| Programs { folder })
}

fn newest_first(root: &str) -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// Whom PostgreSQL runs as: nobody special, or its own user when we are root, whom it refuses.
pub(crate) fn run_as() -> Result<Option<(u32, u32)>> {
    if !rustix::process::getuid().is_root() {
        return Ok(None);
    }
    let id = |flag| output_of(Path::new("id"), &[flag, "postgres"]).trim().parse().ok();
    match (id("-u"), id("-g")) {
        (Some(user), Some(group)) => Ok(Some((user, group))),
        _ => bail!(
            "PostgreSQL refuses to run as root and there is no user postgres: make one with `useradd -r postgres`"
        ),
    }
}

/// A command run as that user.
pub(crate) fn command_as(run_as: Option<(u32, u32)>, program: &Path) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    if let Some((user, group)) = run_as {
        command.uid(user).gid(group);
    }
    command
}
