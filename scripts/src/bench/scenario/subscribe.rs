//! One subscription a room or one for all: what each costs the gateways, by the shape of the rooms.

use std::path::Path;

use anyhow::Result;
use bench::plan::Dialect;

use super::{
    super::{
        Arguments,
        house::House,
        page::Page,
        ratio::Spread,
        run::{self, Load},
        world::World,
    },
    Scenario, number, quiet,
};
use crate::console;

pub(super) fn measure(programs: &Path, arguments: &Arguments, page: &mut Page) -> Result<()> {
    let world = |first_room, rooms, members, senders| World { first_room, rooms, members, senders, targets: 1 };
    let shapes = [
        ("one gateway, one room of 1,000", 1, world(120_000, 1, 1_000, 10), 100.0),
        ("one gateway, 200 rooms of 5", 1, world(121_000, 200, 5, 5), 1_000.0),
        ("two gateways, 200 rooms of 5, each on one of them", 2, world(122_000, 200, 5, 5), 1_000.0),
        ("two gateways, 200 rooms of 6, each on both", 2, world(123_000, 200, 6, 6), 1_000.0),
    ];
    for (name, gateways, world, rate) in shapes {
        let mut costs = (Vec::new(), Vec::new());
        for _ in 1..=arguments.pairs {
            costs.0.push(one(programs, arguments, gateways, &world, rate, "room", page)?);
            costs.1.push(one(programs, arguments, gateways, &world, rate, "all", page)?);
        }
        let ratio = Spread::of_ratios(&costs.1, &costs.0);
        console::step("found", format_args!("{name}: all over room {ratio}"));
        page.remark(&format!("GATEWAY_SUBSCRIBE: {name}: `all` costs {ratio} of `room`."));
    }
    Ok(())
}

/// Processor time of gateways and nats-server for each delivery.
fn one(
    programs: &Path,
    arguments: &Arguments,
    gateways: u16,
    world: &World,
    rate: f64,
    subscribe: &str,
    page: &mut Page,
) -> Result<f64> {
    let mut furnishing = quiet(arguments, gateways);
    furnishing.settings.push(format!("GATEWAY_SUBSCRIBE={subscribe}"));
    let mut house = House::open(programs, &furnishing)?;
    world.settle(&house)?;
    let mut seats = world.seats(&mut house.tokens)?;
    let is_split = world.members == 6;
    for (number, seat) in seats.iter_mut().enumerate() {
        let member = if is_split { number } else { number / world.members };
        seat.target = member % usize::from(gateways);
    }
    let load = Load { rate, content_bytes: 200, warm_up: 1.0, measure: 6.0, settle: 0.5 };
    let plan = load.plan(Dialect::Timingle, house.gateway_addresses()?, house.processes()?, seats);
    let report = run::run(programs, &plan)?;
    page.objections(Scenario::Subscribe.title(), &run::objections(&plan, &report));
    let micros: f64 = report.spent.iter().map(|spent| spent.cpu_micros).sum();
    Ok(micros / number(report.delivered).max(1.0))
}
