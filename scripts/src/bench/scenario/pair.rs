//! G: from a sender on one gateway to receivers on two, at 30 % of what their core can do.

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

/// Of the core that both gateways and nats-server share.
const SHARE: f64 = 0.30;
/// A rate that is surely below it, to find out what a message costs.
const PROBE_RATE: f64 = 100.0;

pub(super) fn measure(programs: &Path, arguments: &Arguments, page: &mut Page) -> Result<()> {
    let title = Scenario::G.title();
    let mut house = House::open(programs, &quiet(arguments, 2))?;
    let world = World { first_room: 60_000, rooms: 100, members: 10, senders: 10, targets: 2 };
    world.settle(&house)?;
    let probe = one(programs, &mut house, &world, PROBE_RATE, 4.0, page)?;
    let mut rate = probe.map_or(PROBE_RATE, |report| PROBE_RATE * SHARE / share(&report));
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for _ in 1..=arguments.pairs {
        let Some(report) = one(programs, &mut house, &world, rate, 10.0, page)? else { continue };
        console::step(
            "found",
            format_args!(
                "{rate:.0} messages a second, {:.0} % of the core, p50 {} us, p99 {} us",
                share(&report) * 100.0,
                report.latency.p50,
                report.latency.p99
            ),
        );
        p50.push(number(report.latency.p50) / 1e3);
        p99.push(number(report.latency.p99) / 1e3);
        // A message costs less when there are more of them.
        rate *= SHARE / share(&report);
    }
    page.goal(Goal::at_most(title, "ms from send to receive, p50", Spread::of(p50), 2.0));
    page.goal(Goal::at_most(title, "ms from send to receive, p99", Spread::of(p99), 10.0));
    Ok(())
}

/// What gateways and nats-server used of their core.
fn share(report: &Report) -> f64 {
    let micros: f64 = report.spent.iter().map(|spent| spent.cpu_micros).sum();
    (micros / 1e6 / report.seconds).max(0.001)
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
    let load = Load { rate, content_bytes: 200, warm_up: 1.0, measure, settle: 0.5 };
    let plan = load.plan(Dialect::Timingle, house.gateway_addresses()?, house.processes()?, seats);
    let report = run::run(programs, &plan)?;
    Ok(page.objections(Scenario::G.title(), &run::objections(&plan, &report)).then_some(report))
}
