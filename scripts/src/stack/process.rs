//! One server process: how it is started, awaited, ended and started again, by this command or a later one.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::{
    identity::Identity,
    ready::Ready,
    run_dir::{Record, RunDir},
};
use crate::interrupt;

const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A gateway says good-bye to its sockets over 20 s; what takes longer than this is killed.
const STOPPED_WITHIN: Duration = Duration::from_secs(45);
/// How much of a log an error shows.
const LOG_LINES_SHOWN: usize = 15;

/// Everything needed to start a server, now or again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// All of its environment but PATH and HOME.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) folder: PathBuf,
    /// The one core it may use, when a measurement gives it one.
    #[serde(default)]
    pub(crate) core: Option<usize>,
    /// User and group to run as, when not our own.
    pub(crate) run_as: Option<(u32, u32)>,
    pub(crate) ready: Ready,
    pub(crate) ready_within: Duration,
    pub(crate) stop: Stop,
    /// Started in a process group of its own, so it outlives the terminal of the command that started it.
    pub(crate) is_detached: bool,
}

/// The signal that asks a server to end in an orderly way.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Stop {
    /// `SIGTERM`.
    Terminate,
    /// `SIGINT`: PostgreSQL's "fast" shutdown, which does not wait for its clients.
    Interrupt,
}

impl Process {
    /// The program itself, or the one that gives it its core and then becomes it.
    fn command(&self) -> Command {
        let Some(core) = self.core else { return Command::new(&self.program) };
        let mut command = Command::new("taskset");
        command.arg("--cpu-list").arg(core.to_string()).arg(&self.program);
        command
    }

    /// The program with its settings, and nothing else of our own environment.
    fn settled(&self, mut command: Command) -> Command {
        command
            .env_clear()
            .envs(env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME"))
            .envs(&self.environment)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program once more, with the same settings and other arguments.
    pub(crate) fn start_beside(&self, arguments: &[&str], stdout: Stdio) -> Result<Child> {
        let mut command = self.settled(Command::new(&self.program));
        let started = command.args(arguments).stdout(stdout).spawn();
        started.with_context(|| format!("cannot start {}", self.program.display()))
    }

    /// The same, to its end, and answers what it said.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.settled(Command::new(&self.program));
        command.args(arguments).output().with_context(|| format!("cannot start {}", self.program.display()))
    }

    pub(crate) fn is_a_postgres(&self) -> bool {
        matches!(self.ready, Ready::Postgres { .. })
    }

    /// Starts the server; it need not be ready yet.
    pub(crate) fn launch(&self, run_dir: &RunDir, order: usize) -> Result<Record> {
        let (log_file, log_from) = (run_dir.log_file(&self.name), run_dir.log_bytes(&self.name));
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log_file)
            .with_context(|| format!("cannot open {}", log_file.display()))?;
        let mut command = self.settled(self.command());
        command.args(&self.arguments).stdout(log.try_clone()?).stderr(log);
        if let Some((user, group)) = self.run_as {
            command.uid(user).gid(group);
        }
        if self.is_detached {
            command.process_group(0);
        }
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let identity = Identity::of(i32::try_from(child.id())?);
        // Somebody has to take note of its end, or its remains stay in the process table for as long as we live.
        thread::spawn(move || child.wait());
        let record = Record { order, process: self.clone(), identity, log_from };
        run_dir.save(&record)?;
        Ok(record)
    }
}

impl Record {
    /// Returns when the server takes work.
    pub(crate) fn wait_until_ready(&self, run_dir: &RunDir) -> Result<()> {
        let (name, within) = (&self.process.name, self.process.ready_within);
        let deadline = Instant::now() + within;
        // First alive, then ready: should another server answer on our port, ours has died of it.
        while self.alive().is_some() {
            if self.process.ready.is_met() && self.alive().is_some() {
                return Ok(());
            }
            if interrupt::is_raised() {
                bail!("interrupted");
            }
            if Instant::now() > deadline {
                bail!("{name} is not ready after {within:?}\n{}", tail_of(run_dir, name, self.log_from));
            }
            thread::sleep(LOOK_AGAIN);
        }
        bail!("{name} ended while starting\n{}", tail_of(run_dir, name, self.log_from))
    }

    /// Asks the server to end; does not wait.
    pub(crate) fn ask_to_stop(&self) -> Result<()> {
        let signal = match self.process.stop {
            Stop::Terminate => Signal::TERM,
            Stop::Interrupt => Signal::INT,
        };
        self.send(signal)
    }

    /// Returns when the server is gone; one that does not go is killed.
    pub(crate) fn wait_until_gone(&self) -> Result<()> {
        let deadline = Instant::now() + STOPPED_WITHIN;
        while self.alive().is_some() {
            if Instant::now() > deadline {
                self.kill()?;
                bail!("{} did not stop within {STOPPED_WITHIN:?} and was killed", self.process.name);
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Kills the server (`SIGKILL`) and returns when it is gone.
    pub(crate) fn kill(&self) -> Result<()> {
        self.send(Signal::KILL)?;
        while self.alive().is_some() {
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    fn send(&self, signal: Signal) -> Result<()> {
        if let Some(identity) = self.identity {
            identity.signal(signal)?;
        }
        Ok(())
    }
}

/// The end of a process' log after its byte `from`, introduced by where all of it is.
pub(crate) fn tail_of(run_dir: &RunDir, name: &str, from: usize) -> String {
    let file = run_dir.log_file(name);
    let text = fs::read(&file).unwrap_or_default();
    let text = String::from_utf8_lossy(text.get(from..).unwrap_or_default());
    let lines: Vec<_> = text.lines().collect();
    let shown = lines.iter().skip(lines.len().saturating_sub(LOG_LINES_SHOWN));
    let shown: Vec<_> = shown.map(|line| format!("  | {line}")).collect();
    format!("its log, {}, ends:\n{}", file.display(), shown.join("\n"))
}
