//! `cargo x bench`: what a delivery costs, measured beside the least it can cost.
//!
//! Only ratios inside one run count: the floor program and the gateway run in turn, on the same core, under the same
//! generator on the other core. A run in which anything was lost, doubled or out of order counts for nothing.

mod chart;
mod house;
mod page;
mod peer;
mod proxy;
mod ratio;
mod run;
mod scenario;
pub(crate) mod soak;
mod token;
mod world;

use std::{process::ExitCode, time::Instant};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::{command::build, console, interrupt};
use page::Page;
pub(crate) use scenario::Scenario;

/// What is built for it: always together, because what is built alone has other features, and is built once more.
const PROGRAMS: [&str; 5] = ["api", "gateway", "chat-worker", "bench", "chaos"];
/// The core of the servers under test.
const SERVER_CORE: usize = 0;
/// The core of the load generator.
const LOAD_CORE: usize = 1;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to measure; without any, a to g. `peers` adds other servers to a, b and c
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// Runs of each server in a, b and c, in turn
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u32).range(1..=20))]
    pairs: u32,
    /// Seconds of measurement in each run
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u64).range(2..=600))]
    seconds: u64,
    /// Minutes of the ladder's first step
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u64).range(1..=60))]
    ladder_minutes: u64,
    /// Rows of PostgreSQL that `verify` checks
    #[arg(long, value_name = "N", default_value = "10000000", value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    rows: u64,
    /// A setting of the gateway, `NAME=value`, for comparing
    #[arg(long = "gateway", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Write docs/benchmarks.md and its chart
    #[arg(long)]
    write: bool,
}

/// Measures and prints what was found.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    interrupt::catch()?;
    if std::thread::available_parallelism()?.get() < 2 {
        bail!("two cores are needed: one for the servers under test and one for the load generator");
    }
    let mut scenarios = arguments.scenarios.clone();
    if scenarios.iter().all(|scenario| *scenario == Scenario::Peers) {
        scenarios.extend(Scenario::value_variants().iter().filter(|scenario| scenario.is_in_default()));
    }
    let programs = build::release(&PROGRAMS)?;
    let mut page = Page::new(arguments.pairs, arguments.seconds);
    let began = Instant::now();
    for scenario in scenarios.iter().filter(|scenario| **scenario != Scenario::Peers) {
        console::step("measuring", scenario.title());
        let measured = scenario.measure(&programs, arguments, &mut page);
        if interrupt::is_raised() {
            bail!("interrupted");
        }
        // What the others found is not lost by it, and the command fails in the end.
        if let Err(error) = measured {
            console::note(format_args!("{error:#}"));
            page.fail(&format!("{}: {error:#}", scenario.title()));
        }
        if arguments.write {
            page.write()?;
        }
    }
    console::step("done", format_args!("in {} s", began.elapsed().as_secs()));
    console::answer(page.text());
    Ok(if page.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Arguments {
    fn has_peers(&self) -> bool {
        self.scenarios.contains(&Scenario::Peers)
    }
}
