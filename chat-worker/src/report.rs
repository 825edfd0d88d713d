//! Tells gateways what was saved: at once when it is quiet, many ids in one message when it is not.
//!
//! A report is a hint that may be lost; a gateway that waits too long asks the store.

use std::{collections::HashMap, time::Duration};

use async_nats::Client;
use bytes::Bytes;
use ops::{lifecycle::Lifecycle, telemetry::HOP};
use schema::{
    saved::{Refused, Saved, SavedReport},
    subject::{GatewayId, SavedSubject},
};

use crate::{
    gathering::{Gathered, Gathering},
    measure,
};

/// A handle on the reports. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reporter(Gathering<Reports>);

#[derive(Debug, Default)]
struct Reports {
    by_gateway: HashMap<GatewayId, SavedReport>,
    ids: usize,
}

impl Reporter {
    /// Reports through `client`.
    pub fn new(client: Client, lifecycle: Lifecycle) -> Self {
        Self(Gathering::new(client, lifecycle))
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
        let is_added = self.0.add(|reports| {
            add(reports.by_gateway.entry(gateway).or_default());
            reports.ids += 1;
        });
        if !is_added {
            measure::report_dropped();
        }
    }
}

impl Gathered for Reports {
    const GATHERED_FOR: Duration = Duration::from_millis(2);

    fn count(&self) -> usize {
        self.ids
    }

    fn into_messages(self) -> Vec<(String, Bytes)> {
        let mut messages = Vec::with_capacity(self.by_gateway.len());
        for (gateway, report) in self.by_gateway {
            for saved in &report.saved {
                tracing::debug!(target: HOP, { message.id = %saved.id }, "reported saved");
            }
            let subject = SavedSubject(gateway).to_string();
            let body = |part| serde_json::to_vec(&part).expect("ids and numbers serialise").into();
            messages.extend(parts(&report).map(|part| (subject.clone(), body(part))));
        }
        messages
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
