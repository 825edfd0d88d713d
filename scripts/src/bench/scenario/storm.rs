//! E: five thousand sockets are dropped at once and come back, beside a room that goes on talking.

use std::path::Path;

use anyhow::Result;
use bench::plan::Dialect;

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

/// Handshakes that the generator has under way at once: fewer than the listener's backlog.
const HANDSHAKES: usize = 1_000;

pub(super) fn measure(programs: &Path, arguments: &Arguments, page: &mut Page) -> Result<()> {
    let title = Scenario::E.title();
    let mut house = House::open(programs, &quiet(arguments, 1))?;
    let dropped = World { first_room: 40_000, rooms: 500, members: 10, senders: 0, targets: 1 };
    let live = World { first_room: 41_000, rooms: 1, members: 20, senders: 5, targets: 1 };
    dropped.settle(&house)?;
    live.settle(&house)?;
    let (mut back_within, mut pauses) = (Vec::new(), Vec::new());
    for pair in 1..=arguments.pairs {
        console::step("running", format_args!("the storm ({pair} of {})", arguments.pairs));
        house.restart_gateways()?;
        let mut seats = dropped.seats(&mut house.tokens)?;
        for seat in &mut seats {
            seat.is_in_storm = true;
        }
        seats.extend(live.seats(&mut house.tokens)?);
        let load = Load { rate: 50.0, content_bytes: 200, warm_up: 1.0, measure: 10.0, settle: 1.0 };
        let mut plan = load.plan(Dialect::Timingle, house.gateway_addresses()?, house.processes()?, seats);
        plan.storm_at = Some(1.0);
        plan.handshakes = HANDSHAKES;
        let report = run::run(programs, &plan)?;
        let mut objections = run::objections(&plan, &report);
        if report.returned.sockets != 5_000 {
            objections.push(format!("{} came back", report.returned.sockets));
        }
        let (all, pause) = (number(report.returned.all) / 1e6, number(report.latency.max) / 1e3);
        let own = number(report.send_lag_max) / 1e3;
        let found = format_args!(
            "all back after {all:.2} s, longest live pause {pause:.0} ms, longest of the generator's own {own:.0} ms"
        );
        console::step("found", found);
        if page.objections(title, &objections) {
            back_within.push(all);
            pauses.push(pause);
        }
    }
    page.goal(Goal::at_most(title, "seconds until all are back in their rooms", Spread::of(back_within), 3.0));
    page.goal(Goal::at_most(title, "ms of the longest pause in the live room", Spread::of(pauses), 250.0));
    Ok(())
}
