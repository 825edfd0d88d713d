//! What gateways are told: at once when it is quiet, and then what came meanwhile together, in a pace.
//!
//! All of it are hints that may be lost.

use std::{fmt, sync::Arc, time::Duration};

use async_nats::Client;
use bytes::Bytes;
use ops::lifecycle::Lifecycle;
use parking_lot::Mutex;

/// Something that is gathered, and then sent in as few messages as it fits into.
pub trait Gathered: fmt::Debug + Default + Send + 'static {
    /// Between two rounds passes at least this long.
    const GATHERED_FOR: Duration;

    /// How much there is of it.
    fn count(&self) -> usize;

    /// The messages that say it, each with its subject.
    fn into_messages(self) -> Vec<(String, Bytes)>;
}

/// How much may wait; what is above that is dropped.
const WAITING_MAX: usize = 65_536;

/// A handle on what is gathered. Cheap to clone.
#[derive(Debug)]
pub struct Gathering<G>(Arc<Inner<G>>);

#[derive(Debug)]
struct Inner<G> {
    client: Client,
    lifecycle: Lifecycle,
    waiting: Mutex<Waiting<G>>,
}

#[derive(Debug, Default)]
struct Waiting<G> {
    gathered: G,
    /// Whether a task is on its way to send it.
    is_sending: bool,
}

impl<G> Clone for Gathering<G> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<G: Gathered> Gathering<G> {
    /// Will be sent through `client`.
    pub fn new(client: Client, lifecycle: Lifecycle) -> Self {
        Self(Arc::new(Inner { client, lifecycle, waiting: Mutex::default() }))
    }

    /// Adds to what waits; false if too much does.
    pub fn add(&self, add: impl FnOnce(&mut G)) -> bool {
        {
            let mut waiting = self.0.waiting.lock();
            if waiting.gathered.count() >= WAITING_MAX {
                return false;
            }
            add(&mut waiting.gathered);
            if std::mem::replace(&mut waiting.is_sending, true) {
                return true;
            }
        }
        let gathering = self.clone();
        // The lifecycle counts it: a shutdown waits until what waits is told.
        self.0.lifecycle.spawn(async move { gathering.send_until_quiet().await });
        true
    }

    async fn send_until_quiet(&self) {
        let stopping = self.0.lifecycle.stopping().clone();
        while let Some(gathered) = self.take() {
            for (subject, body) in gathered.into_messages() {
                if let Err(error) = self.0.client.publish(subject, body).await {
                    // The connection's task is gone: the process is ending.
                    tracing::debug!(%error, "a hint was not sent");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(G::GATHERED_FOR) => {}
                () = stopping.cancelled() => tokio::task::yield_now().await,
            }
        }
    }

    fn take(&self) -> Option<G> {
        let mut waiting = self.0.waiting.lock();
        if waiting.gathered.count() == 0 {
            waiting.is_sending = false;
            return None;
        }
        Some(std::mem::take(&mut waiting.gathered))
    }
}
