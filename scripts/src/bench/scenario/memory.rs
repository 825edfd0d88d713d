//! D: what ten thousand sockets hold while nobody speaks, after somebody has, and what they cost a second.

use std::path::Path;

use anyhow::{Context, Result};
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

/// Rooms of a thousand.
const MEMBERS: usize = 1_000;
/// Longer than the time between two pings, so that each socket is pinged.
const IDLE_SECONDS: f64 = 60.0;
const STEPS: [usize; 3] = [1, 5, 10];
/// Until everybody has been told who came: fifty a second and room. Nobody is idle before.
const SETTLE_SECONDS: f64 = 30.0;

pub(super) fn measure(programs: &Path, arguments: &Arguments, page: &mut Page) -> Result<()> {
    let title = Scenario::D.title();
    let mut house = House::open(programs, &quiet(arguments, 1))?;
    let world = World { first_room: 30_000, rooms: 10, members: MEMBERS, senders: 1, targets: 1 };
    world.settle(&house)?;
    let mut held = Vec::new();
    for rooms in STEPS {
        house.restart_gateways()?;
        let is_last = rooms == 10;
        let seats = World { rooms, ..world.clone() }.seats(&mut house.tokens)?;
        let sockets = seats.len();
        let measure = if is_last { IDLE_SECONDS } else { 1.0 };
        let load = Load { rate: 0.0, content_bytes: 0, warm_up: 0.5, measure, settle: SETTLE_SECONDS };
        let plan = load.plan(Dialect::Timingle, house.gateway_addresses()?, house.processes()?, seats);
        let report = run::run(programs, &plan)?;
        let spent = report.spent.first().context("a gateway was measured")?;
        let bytes = number(spent.rss_idle);
        console::step("found", format_args!("{sockets} sockets: {:.0} KiB", bytes / 1_024.0));
        page.objections(title, &run::objections(&plan, &report));
        held.push((f64::from(u32::try_from(sockets)?), bytes));
        if is_last {
            let idle = spent.cpu_micros / report.seconds / f64::from(u32::try_from(sockets)?);
            let what = "microseconds of processor time a second for each idle socket";
            page.goal(Goal::at_most(title, what, Spread::of(vec![idle]), 1.1));
        }
    }
    let (Some((few, least)), Some((many, most))) = (held.first().copied(), held.last().copied()) else { return Ok(()) };
    let slope = (most - least) / (many - few) / 1_024.0;
    page.goal(Goal::at_most(title, "KiB resident for each idle socket", Spread::of(vec![slope]), 2.5));
    let report = after_traffic(programs, &mut house, &world)?;
    let after = report.spent.first().map_or(0.0, |spent| number(spent.rss_after));
    let each = (after - least) / (many - few) / 1_024.0;
    page.goal(Goal::at_most(title, "KiB resident for each socket after traffic", Spread::of(vec![each]), 5.0));
    Ok(())
}

/// Everybody gets ten messages a second.
fn after_traffic(programs: &Path, house: &mut House, world: &World) -> Result<Report> {
    house.restart_gateways()?;
    let seats = world.seats(&mut house.tokens)?;
    let load = Load { rate: 60.0, content_bytes: 200, warm_up: 1.0, measure: 10.0, settle: 1.0 };
    let plan = load.plan(Dialect::Timingle, house.gateway_addresses()?, house.processes()?, seats);
    run::run(programs, &plan)
}
