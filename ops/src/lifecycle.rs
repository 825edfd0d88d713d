//! Life and death of a process: one token says that it is going, one tracker knows what still runs, and
//! a vital task that ends takes the process with it.

use std::{
    future::Future,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A handle on the process's life. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    stopping: CancellationToken,
    tasks: TaskTracker,
    has_failed: Arc<AtomicBool>,
}

impl Lifecycle {
    /// A life that has just begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `task` beside the rest; it should end when [`Self::stopping`] does.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(self.tasks.spawn(task));
    }

    /// Runs a task without which the process is of no use: when it ends before the process is told
    /// to stop, or panics, the process stops with a failure.
    pub fn spawn_vital<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let guard = VitalGuard { name, lifecycle: self.clone() };
        drop(self.tasks.spawn(async move {
            // Dropped on return and on panic: both stop the process.
            let _guard = guard;
            task.await;
        }));
    }

    /// Cancelled when the process is told to stop.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Whether the process was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Tells the process to stop.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Whether a vital task has died.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Stops at SIGTERM or SIGINT; a second one ends the process at once.
    pub fn stop_on_signals(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stopping = self.stopping.clone();
        #[expect(clippy::disallowed_methods, reason = "it must outlive the drain to see the second signal")]
        drop(tokio::task::spawn(async move {
            for is_second in [false, true] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if is_second {
                    end_at_once();
                }
                tracing::info!("stopping: a second signal ends the process at once");
                stopping.cancel();
            }
        }));
        Ok(())
    }

    /// Waits until every task has ended, but no longer than `at_most`; says whether all did.
    pub async fn drain(&self, at_most: Duration) -> bool {
        self.tasks.close();
        tokio::time::timeout(at_most, self.tasks.wait()).await.is_ok()
    }
}

#[expect(clippy::exit, reason = "the operator asked twice: nothing is to be waited for")]
fn end_at_once() {
    std::process::exit(130);
}

struct VitalGuard {
    name: &'static str,
    lifecycle: Lifecycle,
}

impl Drop for VitalGuard {
    fn drop(&mut self) {
        if !self.lifecycle.is_stopping() {
            tracing::error!(task = self.name, "a vital task has ended: the process stops");
            self.lifecycle.has_failed.store(true, Ordering::Release);
            self.lifecycle.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tokio::io::{AsyncBufReadExt as _, BufReader};

    use super::*;

    #[tokio::test]
    async fn a_vital_task_that_ends_stops_the_process() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn_vital("short", async {});
        soon(lifecycle.stopping().cancelled()).await;
        assert!(lifecycle.has_failed());
    }

    #[tokio::test]
    async fn a_vital_task_that_panics_stops_the_process() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn_vital("broken", async { panic!("as it must in this test") });
        soon(lifecycle.stopping().cancelled()).await;
        assert!(lifecycle.has_failed());
        assert!(lifecycle.drain(Duration::from_secs(5)).await, "a panic holds up no drain");
    }

    #[tokio::test]
    async fn any_other_task_may_end_when_it_likes() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn(async {});
        lifecycle.spawn(async { panic!("as it must in this test") });
        assert!(lifecycle.drain(Duration::from_secs(5)).await);
        assert!(!lifecycle.is_stopping() && !lifecycle.has_failed());
    }

    #[tokio::test]
    async fn a_drain_waits_for_what_runs_and_no_longer_than_it_may() {
        let lifecycle = Lifecycle::new();
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        lifecycle.spawn(async move { drop(released.await) });
        lifecycle.stop();
        assert!(!lifecycle.drain(Duration::from_millis(20)).await, "the task is still there");
        drop(release);
        assert!(lifecycle.drain(Duration::from_secs(5)).await);
    }

    /// Set in the process that the next test starts: this very program, with that test alone.
    const VICTIM: &str = "TIMINGLE_TEST_VICTIM";

    #[tokio::test]
    async fn a_signal_stops_the_process_and_a_second_one_ends_it() {
        if std::env::var_os(VICTIM).is_some() {
            return wait_for_signals().await;
        }
        for signals in [["TERM", "TERM"], ["INT", "TERM"]] {
            let mut victim = tokio::process::Command::new(std::env::current_exe().expect("a path"))
                .args([
                    "--exact",
                    "--nocapture",
                    "lifecycle::tests::a_signal_stops_the_process_and_a_second_one_ends_it",
                ])
                .env(VICTIM, "1")
                .stdout(std::process::Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .expect("this program can be started again");
            let mut says = BufReader::new(victim.stdout.take().expect("it is piped")).lines();
            let id = victim.id().expect("it runs");
            for (awaited, signal) in ["lives", "stops"].into_iter().zip(signals) {
                while soon(says.next_line()).await.expect("a pipe").expect("the process lives") != awaited {}
                let kill = format!("kill -{signal} {id}");
                let sent = tokio::process::Command::new("sh").args(["-c", &kill]).status().await;
                assert!(sent.is_ok_and(|status| status.success()));
            }
            let ended = soon(victim.wait()).await.expect("it is our child");
            assert_eq!(ended.code(), Some(130), "after {signals:?}");
        }
    }

    async fn wait_for_signals() {
        let lifecycle = Lifecycle::new();
        lifecycle.stop_on_signals().expect("signals can be heard");
        tell("lives");
        soon(lifecycle.stopping().cancelled()).await;
        assert!(!lifecycle.has_failed());
        tell("stops");
        soon(std::future::pending::<()>()).await;
    }

    fn tell(word: &str) {
        writeln!(std::io::stdout(), "\n{word}").expect("the test listens");
    }

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(10), future).await.expect("it took too long")
    }

    #[tokio::test]
    async fn a_vital_task_that_ends_in_the_drain_is_no_failure() {
        let lifecycle = Lifecycle::new();
        let stopping = lifecycle.stopping().clone();
        lifecycle.spawn_vital("long", async move { stopping.cancelled().await });
        lifecycle.stop();
        assert!(lifecycle.drain(Duration::from_secs(5)).await);
        assert!(!lifecycle.has_failed());
    }
}
