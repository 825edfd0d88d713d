//! PostgreSQL: a cluster made once, owned by the user it runs as.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{chown, symlink},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use super::super::{
    process::{Process, Stop},
    ready::Ready,
    run_dir::RunDir,
};
use crate::{console, tool, tool::postgres::command_as};

/// The name of its files in a run folder.
pub(in crate::stack) const NAME: &str = "postgres";

/// The superuser's and the database's name. Whoever reaches the port is let in: it is on loopback.
pub(super) const OWNER: &str = "timingle";

const READY_WITHIN: Duration = Duration::from_mins(1);

/// What every cluster is told.
const SETTINGS: [&str; 4] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "timezone=UTC",
    "idle_in_transaction_session_timeout=30s",
];

/// What the cluster is for.
#[derive(Clone, Copy, Debug)]
pub(in crate::stack) enum Tuning {
    /// As in production, but small.
    Development,
    /// Quick, and worth nothing after a power loss; connections for many tests at once.
    Tests,
}

type User = Option<(u32, u32)>;

/// A server on `port` with its cluster in the run folder, made now if there is none.
pub(in crate::stack) fn process(run_dir: &RunDir, port: u16, tuning: Tuning, is_detached: bool) -> Result<Process> {
    let programs = tool::postgres::ensure()?;
    let run_as = tool::postgres::run_as()?;
    let folder = folder_for(run_dir, run_as)?;
    let cluster = folder.join("cluster");
    if !cluster.exists() {
        make_cluster(&programs, run_as, &cluster, &run_dir.log_file(NAME))?;
    }
    let mut arguments = vec!["-D".to_owned(), cluster.display().to_string(), "-p".to_owned(), port.to_string()];
    for setting in SETTINGS.iter().chain(settings(tuning)) {
        arguments.extend(["-c".to_owned(), (*setting).to_owned()]);
    }
    Ok(Process {
        name: NAME.to_owned(),
        program: programs.get("postgres"),
        arguments,
        environment: [("LC_ALL".to_owned(), "C.UTF-8".to_owned())].into(),
        folder,
        core: None,
        run_as,
        ready: Ready::Postgres { pg_isready: programs.get("pg_isready"), port },
        ready_within: READY_WITHIN,
        stop: Stop::Interrupt,
        is_detached,
    })
}

/// What clients are told.
pub(in crate::stack) fn url(port: u16) -> String {
    format!("postgres://{OWNER}@127.0.0.1:{port}/{OWNER}")
}

/// And this one besides.
fn settings(tuning: Tuning) -> &'static [&'static str] {
    match tuning {
        Tuning::Development => &["max_connections=200"],
        Tuning::Tests => &["max_connections=300", "fsync=off", "synchronous_commit=off", "full_page_writes=off"],
    }
}

/// The cluster's parent folder, which its user can reach: in the run folder, or elsewhere with a link from there when the
/// checkout lies in a folder that user may not enter (root's home).
fn folder_for(run_dir: &RunDir, run_as: User) -> Result<PathBuf> {
    let inside = run_dir.data(NAME);
    if inside.is_symlink() && !inside.exists() {
        // What it led to is gone, and so is the data.
        fs::remove_file(&inside)?;
    }
    fs::create_dir_all(&inside)?;
    let folder = inside.canonicalize()?;
    let Some((user, group)) = run_as else { return Ok(folder) };
    chown(&folder, Some(user), Some(group))?;
    if may_enter(run_as, &folder) {
        return Ok(folder);
    }
    let name = run_dir.path().display().to_string().replace('/', "-");
    let outside = Path::new("/var/lib/timingle").join(name.trim_start_matches('-'));
    console::note(format_args!(
        "PostgreSQL runs as user postgres, who cannot enter {}: its data goes to {}, with a link",
        run_dir.path().display(),
        outside.display()
    ));
    if outside.exists() {
        // Of an earlier checkout at this place, which was removed without `cargo x down --wipe`.
        fs::remove_dir_all(&outside)?;
    }
    fs::create_dir_all(&outside)?;
    chown(&outside, Some(user), Some(group))?;
    ensure!(may_enter(run_as, &outside), "user postgres cannot enter {} either", outside.display());
    fs::remove_dir(&inside).and_then(|()| symlink(&outside, &inside)).context("cannot link PostgreSQL's data")?;
    Ok(outside)
}

fn may_enter(run_as: User, folder: &Path) -> bool {
    command_as(run_as, Path::new("/bin/sh"))
        .args(["-c", "cd \"$0\" && test -w ."])
        .arg(folder)
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Makes a cluster with our database, whole or not at all.
fn make_cluster(programs: &tool::postgres::Programs, run_as: User, cluster: &Path, log_file: &Path) -> Result<()> {
    console::step("creating", "the PostgreSQL cluster");
    let part = cluster.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    let log = File::options().create(true).append(true).open(log_file)?;
    let parent = cluster.parent().context("a cluster has a parent folder")?;
    let made = command_as(run_as, &programs.get("initdb"))
        .args(["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--username", OWNER, "-D"])
        .arg(&part)
        .current_dir(parent)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .status()?;
    if !made.success() {
        bail!("initdb failed ({made}), see {}", log_file.display());
    }
    let mut single = command_as(run_as, &programs.get("postgres"))
        .args(["--single", "-D"])
        .arg(&part)
        .arg("postgres")
        .current_dir(parent)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let mut input = single.stdin.take().context("a piped standard input is there")?;
    writeln!(input, "CREATE DATABASE {OWNER}")?;
    drop(input);
    let created = single.wait()?;
    if !created.success() {
        bail!("the database could not be made ({created}), see {}", log_file.display());
    }
    fs::rename(&part, cluster)?;
    Ok(())
}
