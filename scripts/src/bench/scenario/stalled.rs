//! F: one socket of a hundred reads nothing. The others must not feel it, and what it holds has a bound.

use std::path::Path;

use anyhow::Result;
use bench::{plan::Dialect, report::Report};

use super::{
    super::{
        Arguments,
        house::House,
        page::{Goal, Page},
        ratio::Spread,
        run::{self, Load},
        world::World,
    },
    Scenario, number, quiet,
};
use crate::console;

/// Every hundredth.
const STALLED_EACH: usize = 100;
/// The longest text there is: the kernel takes some megabytes for each socket before ours are asked for.
const CONTENT_BYTES: usize = 4_000;

pub(super) fn measure(programs: &Path, arguments: &Arguments, page: &mut Page) -> Result<()> {
    let title = Scenario::F.title();
    let mut house = House::open(programs, &quiet(arguments, 1))?;
    let world = World { first_room: 50_000, rooms: 1, members: 1_000, senders: 10, targets: 1 };
    world.settle(&house)?;
    let (mut ratios, mut held) = (Vec::new(), Vec::new());
    for pair in 1..=arguments.pairs {
        console::step("running", format_args!("everybody reads, then one of {STALLED_EACH} does not ({pair})"));
        let all_read = one(programs, &mut house, &world, false, page)?;
        let some_stall = one(programs, &mut house, &world, true, page)?;
        let (Some(all_read), Some(some_stall)) = (all_read, some_stall) else { continue };
        ratios.push(number(some_stall.latency.p99) / number(all_read.latency.p99).max(1.0));
        let peak = |report: &Report| report.spent.first().map_or(0.0, |spent| number(spent.rss_peak));
        held.push((peak(&some_stall) - peak(&all_read)) / 1_024.0 / 10.0);
        console::step(
            "found",
            format_args!(
                "p99 {} and {} us, closes {:?}",
                all_read.latency.p99, some_stall.latency.p99, some_stall.closes
            ),
        );
    }
    page.goal(Goal::at_most(title, "the others' p99, over the same without", Spread::of(ratios), 1.1));
    page.goal(Goal::at_most(title, "KiB of memory more for each stalled socket", Spread::of(held), 256.0));
    Ok(())
}

fn one(programs: &Path, house: &mut House, world: &World, is_stalled: bool, page: &mut Page) -> Result<Option<Report>> {
    house.restart_gateways()?;
    let mut seats = world.seats(&mut house.tokens)?;
    // Not the first: it sends.
    seats.iter_mut().skip(STALLED_EACH - 1).step_by(STALLED_EACH).for_each(|seat| seat.is_stalled = is_stalled);
    let load = Load { rate: 40.0, content_bytes: CONTENT_BYTES, warm_up: 1.0, measure: 30.0, settle: 0.5 };
    let plan = load.plan(Dialect::Timingle, house.gateway_addresses()?, house.processes()?, seats);
    let report = run::run(programs, &plan)?;
    Ok(page.objections(Scenario::F.title(), &run::objections(&plan, &report)).then_some(report))
}
