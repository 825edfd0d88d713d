//! How fast a worker stores a backlog, beside a bare loop of inserts.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::{
    super::{
        Arguments,
        house::House,
        page::{Goal, Page},
        ratio::Spread,
    },
    Scenario, report_of,
};
use crate::{console, stack::Store};

const SLOW_STORE: &str = "ms until one message of each of 50 rooms is stored, by a PostgreSQL that takes 10 ms";

pub(super) fn measure(programs: &Path, arguments: &Arguments, page: &mut Page) -> Result<()> {
    for (store, what) in [
        (Store::Postgres, "messages a second into PostgreSQL, over a bare loop's"),
        (Store::Scylla, "messages a second into the CQL store, over a bare loop's"),
    ] {
        console::step("running", format_args!("a bare loop and a worker, {}", store.as_str()));
        let (rates, [quick, slow]) = one(programs, arguments, store)?;
        let ratios = rates.iter().map(|(bare, worker)| worker / bare).collect();
        page.goal(Goal::at_least(Scenario::Worker.title(), what, Spread::of(ratios), 0.8));
        if !slow.is_empty() {
            page.goal(Goal::at_most(Scenario::Worker.title(), SLOW_STORE, Spread::of(slow), 20.0));
            page.remark(&format!(
                "With a PostgreSQL that is not slowed these took {:.1} ms.",
                Spread::of(quick).median
            ));
        }
    }
    Ok(())
}

/// Pairs of rates, the bare loop's first; and, where they are measured, milliseconds with the store as it is and slowed.
type Found = (Vec<(f64, f64)>, [Vec<f64>; 2]);

fn one(programs: &Path, arguments: &Arguments, store: Store) -> Result<Found> {
    let mut program = Command::new(programs.join("throughput"));
    program.args(["--store", store.as_str(), "--pairs", &arguments.pairs.to_string()]);
    program.arg("--binaries").arg(programs).arg("--folder").arg(House::folder());
    report_of(program)
}
