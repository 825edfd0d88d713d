//! The whole way, store and worker included: a thousand users for ten minutes, then ten thousand at rising rates.

use std::path::Path;

use anyhow::Result;
use bench::{plan::Dialect, report::Report};

use super::{
    super::{
        Arguments,
        house::{Furnishing, House},
        page::{Goal, Page},
        ratio::Spread,
        run::{self, Load},
        world::World,
    },
    Scenario, number, quiet,
};
use crate::{console, interrupt};

/// Messages a second, step by step.
const RATES: [f64; 10] = [250.0, 500.0, 750.0, 1_000.0, 1_250.0, 1_500.0, 2_000.0, 2_500.0, 3_000.0, 4_000.0];
const STEP_SECONDS: f64 = 20.0;
/// A step is held while p99 stays below this.
const HELD_MS: f64 = 100.0;

pub(super) fn measure(programs: &Path, arguments: &Arguments, page: &mut Page) -> Result<()> {
    let title = Scenario::Ladder.title();
    let minutes = f64::from(u32::try_from(arguments.ladder_minutes)?);
    let mut house = House::open(programs, &Furnishing { workers: 1, ..quiet(arguments, 2) })?;
    let first = World { first_room: 100_000, rooms: 100, members: 10, senders: 10, targets: 2 };
    first.settle(&house)?;
    let report = one(programs, &mut house, &first, 1_000.0, minutes * 60.0, page)?;
    if let Some(report) = report {
        let p99 = number(report.latency.p99) / 1e3;
        console::step("found", format_args!("{} messages, none lost, p99 {p99:.1} ms", report.sent));
        let what = format!("ms p99 of 1,000 users, 100 rooms, 1,000 messages a second for {minutes} min, none lost");
        page.goal(Goal::at_most(title, &what, Spread::of(vec![p99]), 25.0));
    }
    let second = World { first_room: 110_000, rooms: 1_000, members: 10, senders: 10, targets: 2 };
    second.settle(&house)?;
    let mut held = 0.0;
    for rate in RATES {
        interrupt::check()?;
        let Some(report) = one(programs, &mut house, &second, rate, STEP_SECONDS, page)? else { break };
        let p99 = number(report.latency.p99) / 1e3;
        console::step("found", format_args!("{rate:.0} messages a second, p99 {p99:.1} ms"));
        if p99 > HELD_MS {
            break;
        }
        held = rate;
    }
    page.remark(&format!(
        "{title}: 10,000 users in 1,000 rooms held {held:.0} messages a second ({:.0} deliveries) with p99 ≤ {HELD_MS} ms.",
        held * 10.0
    ));
    Ok(())
}

fn one(
    programs: &Path,
    house: &mut House,
    world: &World,
    rate: f64,
    measure: f64,
    page: &mut Page,
) -> Result<Option<Report>> {
    house.restart_gateways()?;
    let seats = world.seats(&mut house.tokens)?;
    let load = Load { rate, content_bytes: 200, warm_up: 2.0, measure, settle: 1.0 };
    let plan = load.plan(Dialect::Timingle, house.gateway_addresses()?, house.processes()?, seats);
    let report = run::run(programs, &plan)?;
    Ok(page.objections(Scenario::Ladder.title(), &run::objections(&plan, &report)).then_some(report))
}
