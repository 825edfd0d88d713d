//! How fast a worker stores a backlog, beside a bare loop of inserts.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use super::{
    super::{
        Arguments,
        page::{Goal, Page},
        ratio::Spread,
    },
    Scenario,
};
use crate::{command::build, console, stack::Store, workspace};

pub(super) fn measure(programs: &Path, arguments: &Arguments, page: &mut Page) -> Result<()> {
    build::release(&["chaos"])?;
    for (store, what) in [
        (Store::Postgres, "messages a second into PostgreSQL, over a bare loop's"),
        (Store::Scylla, "messages a second into the CQL store, over a bare loop's"),
    ] {
        console::step("running", format_args!("a bare loop and a worker, {}", store.as_str()));
        let rates = one(programs, arguments, store)?;
        let ratios = rates.iter().map(|(bare, worker)| worker / bare).collect();
        page.goal(Goal::at_least(Scenario::Worker.title(), what, Spread::of(ratios), 0.8));
    }
    Ok(())
}

/// Pairs of rates, the bare loop's first.
fn one(programs: &Path, arguments: &Arguments, store: Store) -> Result<Vec<(f64, f64)>> {
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.json");
    let status = Command::new(programs.join("throughput"))
        .args(["--store", store.as_str(), "--pairs", &arguments.pairs.to_string()])
        .arg("--binaries")
        .arg(programs)
        .arg("--folder")
        .arg(workspace::root().join(".run/bench"))
        .arg(&report)
        .stdin(Stdio::null())
        .status()?;
    if !status.success() {
        bail!("the measurement of the worker failed ({status})");
    }
    Ok(serde_json::from_slice(&fs::read(report)?)?)
}
