//! One run: the generator beside a server, and whether what it found counts.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use bench::{
    plan::{Dialect, Plan, Seat},
    report::Report,
};

use super::LOAD_CORE;

/// The generator must have sent this share of what it was asked to.
const RATE_REACHED: f64 = 0.99;
/// Above this share of its core the generator itself may be what is slow.
const OWN_SHARE_MAX: f64 = 0.8;
/// A server that uses this share of its core is what is slow, whatever the generator uses of its own.
const SATURATED: f64 = 0.95;

/// How hard a run is, and how long.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) rate: f64,
    pub(super) content_bytes: usize,
    pub(super) warm_up: f64,
    pub(super) measure: f64,
    pub(super) settle: f64,
}

impl Load {
    /// A plan with nothing out of the ordinary.
    pub(super) fn plan(
        &self,
        dialect: Dialect,
        targets: Vec<SocketAddr>,
        processes: Vec<(String, i32)>,
        seats: Vec<Seat>,
    ) -> Plan {
        Plan {
            run: format!("{:x}", rand::random::<u64>()),
            dialect,
            targets,
            processes,
            seats,
            handshakes: 64,
            rate: self.rate,
            content_bytes: self.content_bytes,
            warm_up: self.warm_up,
            measure: self.measure,
            settle: self.settle,
            storm_at: None,
            refuge: None,
            // A saturated server may have as much waiting as it has delivered.
            patience: 30.0,
            begun_file: None,
        }
    }
}

/// A generator at work.
#[derive(Debug)]
pub(super) struct Generator {
    child: Child,
    folder: tempfile::TempDir,
}

impl Generator {
    /// Starts it on its own core.
    pub(super) fn start(programs: &Path, plan: &Plan) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("plan.json");
        fs::write(&file, serde_json::to_vec(plan)?)?;
        let child = Command::new("taskset")
            .args(["--cpu-list", &LOAD_CORE.to_string()])
            .arg(programs.join("bench"))
            .arg("load")
            .arg(file)
            .arg(folder.path().join("report.json"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start the load generator")?;
        Ok(Self { child, folder })
    }

    /// Whether it still works.
    pub(super) fn is_alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// What it found.
    pub(super) fn finish(mut self) -> Result<Report> {
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the load generator failed ({status})");
        }
        Ok(serde_json::from_slice(&fs::read(self.folder.path().join("report.json"))?)?)
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // An error: it has ended by itself.
        drop(self.child.kill());
    }
}

/// Runs the generator to its end.
pub(super) fn run(programs: &Path, plan: &Plan) -> Result<Report> {
    Generator::start(programs, plan)?.finish()
}

/// Why a report counts for nothing, if it does.
pub(super) fn objections(plan: &Plan, report: &Report) -> Vec<String> {
    let mut all = report.violations.clone();
    if report.violation_count > 0 {
        all.insert(0, format!("{} violations", report.violation_count));
    }
    if !report.refused.is_empty() {
        all.push(format!("refused: {:?}", report.refused));
    }
    let asked = plan.rate * report.seconds;
    let sent = f64::from(u32::try_from(report.sent).unwrap_or(u32::MAX));
    if sent < asked * RATE_REACHED {
        all.push(format!("{sent:.0} messages were sent of {asked:.0}"));
    }
    if report.own_share > OWN_SHARE_MAX && !is_saturated(report) {
        all.push(format!("the generator used {:.0} % of its core", report.own_share * 100.0));
    }
    all
}

/// Whether the servers had no time left: what a delivery costs counts, how long it took says only that.
pub(super) fn is_saturated(report: &Report) -> bool {
    let micros: f64 = report.spent.iter().map(|spent| spent.cpu_micros).sum();
    micros > SATURATED * report.seconds * 1e6
}
