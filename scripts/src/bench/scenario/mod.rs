//! What is measured: one file for each kind of question.

mod drain;
mod fan_out;
mod hostile;
mod ladder;
mod memory;
mod pair;
mod rest;
mod resync;
mod stalled;
mod storm;
mod subscribe;
mod verify;
mod worker;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::de::DeserializeOwned;

use super::{Arguments, house::Furnishing, page::Page};
use crate::stack::Store;

/// A question to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// One room of 1,000, 100 messages a second
    A,
    /// 200 rooms of 5, 10 messages a second each
    B,
    /// One room of 100, 50 senders, 2,000 messages a second
    C,
    /// 10,000 idle sockets
    D,
    /// 5,000 sockets dropped at once
    E,
    /// One socket of a hundred does not read
    F,
    /// Two gateways at 30 % load
    G,
    /// A gateway stopped under load: 5,000 sockets go to another
    Drain,
    /// 10,000 rooms after a lost link to NATS
    Resync,
    /// Trickling requests and floods of frames
    Hostile,
    /// `GATEWAY_SUBSCRIBE=room` beside `all`
    Subscribe,
    /// 1,000 users for minutes, then 10,000 at rising rates, with a worker
    Ladder,
    /// History pages and bookings by REST, beside the bare queries
    Rest,
    /// A backlog, stored by a worker and by a bare loop of inserts, into both stores
    Worker,
    /// What a check of ten million rows in PostgreSQL holds in memory, and one of 200,000 in the CQL store
    Verify,
    /// In a, b and c, servers of other makes too
    Peers,
}

impl Scenario {
    pub(super) const fn is_in_default(self) -> bool {
        matches!(self, Self::A | Self::B | Self::C | Self::D | Self::E | Self::F | Self::G)
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::A => "A: one room of 1,000, 100 messages a second",
            Self::B => "B: 200 rooms of 5, 10 messages a second each",
            Self::C => "C: one room of 100, 50 senders, 2,000 messages a second",
            Self::D => "D: 10,000 idle sockets",
            Self::E => "E: 5,000 sockets dropped at once",
            Self::F => "F: one of a hundred does not read",
            Self::G => "G: two gateways at 30 % load",
            Self::Drain => "a gateway stopped under load",
            Self::Resync => "10,000 rooms after a lost link",
            Self::Hostile => "trickling requests and floods",
            Self::Subscribe => "a subscription a room, or one for all",
            Self::Ladder => "the ladder",
            Self::Rest => "REST beside the bare queries",
            Self::Worker => "a worker beside a bare loop of inserts",
            Self::Verify => "the check of everything",
            Self::Peers => "other servers",
        }
    }

    pub(super) fn measure(self, programs: &Path, arguments: &Arguments, page: &mut Page) -> Result<()> {
        match self {
            Self::A | Self::B | Self::C => fan_out::measure(self, programs, arguments, page),
            Self::D => memory::measure(programs, arguments, page),
            Self::E => storm::measure(programs, arguments, page),
            Self::F => stalled::measure(programs, arguments, page),
            Self::G => pair::measure(programs, arguments, page),
            Self::Drain => drain::measure(programs, arguments, page),
            Self::Resync => resync::measure(programs, arguments, page),
            Self::Hostile => hostile::measure(programs, arguments, page),
            Self::Subscribe => subscribe::measure(programs, arguments, page),
            Self::Ladder => ladder::measure(programs, arguments, page),
            Self::Rest => rest::measure(programs, arguments, page),
            Self::Worker => worker::measure(programs, arguments, page),
            Self::Verify => verify::measure(programs, arguments, page),
            Self::Peers => Ok(()),
        }
    }
}

/// A house without limits and without a worker, as most runs want it: nobody stores anything there, so nobody is asked
/// whether it is stored.
fn quiet(arguments: &Arguments, gateways: u16) -> Furnishing {
    let mut settings = vec!["GATEWAY_SAVED_SECS=3600".to_owned(), "TOKIO_WORKER_THREADS=1".to_owned()];
    settings.extend(arguments.settings.iter().cloned());
    Furnishing { gateways, workers: 0, store: Store::Postgres, has_limits: false, settings, nats_proxy: None }
}

/// What `program` found, which writes it into the file that it is given as its last argument.
fn report_of<T: DeserializeOwned>(mut program: Command) -> Result<T> {
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.json");
    let status = program.arg(&report).stdin(Stdio::null()).status()?;
    ensure!(status.success(), "{} failed ({status})", program.get_program().display());
    Ok(serde_json::from_slice(&fs::read(report)?)?)
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
