//! Tells gateways what was saved: at once when it is quiet, many ids in one message when it is not.
//!
//! A report is a hint that may be lost; a gateway that waits too long asks the store.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_nats::Client;
use ops::lifecycle::Lifecycle;
use parking_lot::Mutex;
use schema::{
    saved::{Refused, Saved, SavedReport},
    subject::{GatewayId, SavedSubject},
};

use crate::measure;

/// Between two reports to the same gateways passes at least this long; what comes meanwhile goes together.
const GATHERED_FOR: Duration = Duration::from_millis(2);
/// Ids that may wait to be reported; above them they are dropped, and the gateways ask.
const WAITING_MAX: usize = 65_536;

/// A handle on the reports. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reporter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    lifecycle: Lifecycle,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    by_gateway: HashMap<GatewayId, SavedReport>,
    ids: usize,
    /// Whether a task is on its way to send what waits.
    is_sending: bool,
}

impl Reporter {
    /// Reports through `client`.
    pub fn new(client: Client, lifecycle: Lifecycle) -> Self {
        Self(Arc::new(Inner { client, lifecycle, waiting: Mutex::default() }))
    }

    /// Tells `gateway` that a message is saved.
    pub fn saved(&self, gateway: GatewayId, saved: Saved) {
        self.add(gateway, |report| report.saved.push(saved));
    }

    /// Tells `gateway` that a message never will be.
    pub fn refused(&self, gateway: GatewayId, refused: Refused) {
        self.add(gateway, |report| report.refused.push(refused));
    }

    fn add(&self, gateway: GatewayId, add: impl FnOnce(&mut SavedReport)) {
        {
            let mut waiting = self.0.waiting.lock();
            if waiting.ids >= WAITING_MAX {
                measure::report_dropped();
                return;
            }
            add(waiting.by_gateway.entry(gateway).or_default());
            waiting.ids += 1;
            if std::mem::replace(&mut waiting.is_sending, true) {
                return;
            }
        }
        let reporter = self.clone();
        // The lifecycle counts it: a shutdown waits until what was saved is told.
        self.0.lifecycle.spawn(async move { reporter.send_until_quiet().await });
    }

    async fn send_until_quiet(&self) {
        while let Some(reports) = self.take() {
            for (gateway, report) in reports {
                self.send(gateway, report).await;
            }
            tokio::time::sleep(GATHERED_FOR).await;
        }
    }

    fn take(&self) -> Option<HashMap<GatewayId, SavedReport>> {
        let mut waiting = self.0.waiting.lock();
        if waiting.ids == 0 {
            waiting.is_sending = false;
            return None;
        }
        waiting.ids = 0;
        Some(std::mem::take(&mut waiting.by_gateway))
    }

    async fn send(&self, gateway: GatewayId, report: SavedReport) {
        let subject = SavedSubject(gateway).to_string();
        for part in parts(&report) {
            let body = serde_json::to_vec(&part).expect("ids and numbers serialise");
            if let Err(error) = self.0.client.publish(subject.clone(), body.into()).await {
                // The connection's task is gone: the process is ending.
                tracing::debug!(%error, "a report was not sent");
            }
        }
    }
}

/// Cuts a report into ones of at most [`SavedReport::IDS_MAX`] ids.
fn parts(report: &SavedReport) -> impl Iterator<Item = SavedReport> {
    let saved = report.saved.chunks(SavedReport::IDS_MAX);
    let refused = report.refused.chunks(SavedReport::IDS_MAX);
    saved
        .map(|saved| SavedReport { saved: saved.to_vec(), refused: Vec::new() })
        .chain(refused.map(|refused| SavedReport { saved: Vec::new(), refused: refused.to_vec() }))
}
