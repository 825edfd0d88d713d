//! A nats-server of a test's own: the shipped `nats.conf`, a free port, a store that is gone when the test is.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{port::PortLease, ready::greets, server::nats};
use crate::tool;

/// Far above the 50 ms a start takes, for a machine that is busy with a build.
const READY_WITHIN: Duration = Duration::from_secs(20);
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(3);

/// A running nats-server that belongs to one test.
///
/// It runs the `docker/nats.conf` we ship, so a subject that a service may not use is refused here too. It has its own
/// folder and port, and is killed when the last clone of this handle is dropped.
///
/// ```no_run
/// # async fn example() {
/// let nats = scripts::stack::NatsServer::start().await;
/// let url = nats.url("gateway"); // nats://gateway:…@127.0.0.1:…
/// nats.kill();                   // as if the machine had lost it
/// nats.restart().await;          // same port, same data
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct NatsServer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: TempDir,
    lease: PortLease,
    child: Mutex<Option<Child>>,
}

impl NatsServer {
    /// Starts a server and returns when it takes clients.
    ///
    /// # Panics
    ///
    /// When no nats-server is installed or it does not start: the test cannot go on.
    pub async fn start() -> Self {
        blocking(|| {
            let server = Self(Arc::new(Inner {
                folder: TempDir::with_prefix("timingle-nats-").context("no temporary folder")?,
                lease: PortLease::take()?,
                child: Mutex::new(None),
            }));
            server.launch()?;
            Ok(server)
        })
        .await
        .expect("a nats-server for this test")
    }

    /// The URL for `user` (`api`, `gateway`, `worker` or `operator`), with its password.
    ///
    /// # Panics
    ///
    /// When nats.conf has no such user.
    pub fn url(&self, user: &str) -> String {
        nats::url(user, self.port())
    }

    /// The password of `user`: async-nats takes none out of a URL, so a test that connects by itself says
    /// `ConnectOptions::with_user_and_password(user, nats.password(user))`.
    pub fn password(&self, user: &str) -> String {
        nats::password(user)
    }

    /// The port on 127.0.0.1; the same before and after a restart.
    pub fn port(&self) -> u16 {
        self.0.lease.port()
    }

    /// The folder in which the server keeps its streams.
    pub fn store_dir(&self) -> PathBuf {
        self.0.folder.path().join("store")
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Kills the server at once (`SIGKILL`) and returns when it is gone. Nothing happens when it is not running.
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            child.kill().expect("a child that was not waited for can be signalled");
            child.wait().expect("a child can be waited for once");
        }
    }

    /// Ends the server in an orderly way (`SIGTERM`) and returns when it is gone.
    pub async fn stop(&self) {
        let server = self.clone();
        blocking(move || server.terminate()).await.expect("the nats-server of this test stops");
    }

    /// Starts the server again on the same port and store; one that runs is stopped first.
    pub async fn restart(&self) {
        let server = self.clone();
        blocking(move || {
            server.terminate()?;
            server.launch()
        })
        .await
        .expect("the nats-server of this test starts again");
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.0.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_path(&self) -> PathBuf {
        self.0.folder.path().join("nats.log")
    }

    fn launch(&self) -> Result<()> {
        let program = tool::nats::find()?;
        let log = File::options().create(true).append(true).open(self.log_path())?;
        // In the test's own process group: a test runner that kills a test that hangs takes this server with it.
        let mut child = Command::new(&program)
            .args(nats::arguments(self.port(), &self.store_dir()))
            .envs(nats::passwords())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let ready = wait_until_ready(&mut child, self.port(), &self.log_path());
        *self.child() = Some(child);
        ready
    }

    fn terminate(&self) -> Result<()> {
        let Some(mut child) = self.child().take() else { return Ok(()) };
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM).context("cannot signal the nats-server")?;
        let deadline = Instant::now() + STOPPED_WITHIN;
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                bail!("nats-server did not stop within {STOPPED_WITHIN:?} and was killed");
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = child.take() {
            // Nothing can be done about a failure here, and the process group is the runner's to clean.
            drop(child.kill().and_then(|()| child.wait()));
        }
    }
}

fn wait_until_ready(child: &mut Child, port: u16, log: &Path) -> Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        if let Some(status) = child.try_wait()? {
            bail!("nats-server ended at once ({status}); its log:\n{}", fs::read_to_string(log).unwrap_or_default());
        }
        if greets(port) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("nats-server is not ready after {READY_WITHIN:?}; its log: {}", log.display());
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// Runs `work` on a thread where blocking is allowed.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("the thread that waits for the server died")?
}
