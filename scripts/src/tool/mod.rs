//! The programs that are not ours: where they are found, and how they are installed when they are not.
//!
//! Each file knows one program. `find` looks only; `ensure` also installs, and says which and why.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::{console, workspace};

pub(crate) mod apt;
pub(crate) mod cassandra;
pub(crate) mod compose;
pub(crate) mod nats;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod python;
pub(crate) mod redis;

/// The first executable `program` on PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| is_program(file))
}

/// Whether `file` is there and may be executed.
pub(crate) fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// What `program arguments` prints, both streams together; empty when it cannot be run.
pub(crate) fn output_of(program: &Path, arguments: &[&str]) -> String {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map(|output| String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
        .unwrap_or_default()
}

/// Runs an installation that takes long: says what it does and why, keeps its output in a log, says how long it took.
pub(crate) fn install(what: &str, why: &str, command: &mut Command) -> Result<()> {
    let log_file = workspace::tool_cache().join("install.log");
    fs::create_dir_all(workspace::tool_cache())?;
    let log = File::options().create(true).append(true).open(&log_file)?;
    console::step("installing", format_args!("{what}, because {why}"));
    let began = Instant::now();
    let status = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !status.success() {
        bail!("installing {what} failed ({status}), see {}", log_file.display());
    }
    console::step("installed", format_args!("{what} in {} s", began.elapsed().as_secs()));
    Ok(())
}
