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
    use super::*;

    #[tokio::test]
    async fn a_vital_task_that_ends_stops_the_process() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn_vital("short", async {});
        lifecycle.stopping().cancelled().await;
        assert!(lifecycle.has_failed());
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
