//! A gateway is restarted under load: its five thousand sockets go to the other one.

use std::{path::Path, thread, time::Duration};

use anyhow::Result;
use bench::{plan::Dialect, report::Report};

use super::{
    super::{
        Arguments,
        house::House,
        page::{Goal, Page},
        ratio::Spread,
        run::{self, Generator, Load},
        world::World,
    },
    Scenario, number, quiet,
};
use crate::{console, interrupt};

const SOCKETS: usize = 5_000;

pub(super) fn measure(programs: &Path, arguments: &Arguments, page: &mut Page) -> Result<()> {
    let title = Scenario::Drain.title();
    let mut house = House::open(programs, &quiet(arguments, 2))?;
    // The first of each room sends, from the gateway that stays.
    let world = World { first_room: 70_000, rooms: SOCKETS / 10, members: 11, senders: 1, targets: 1 };
    world.settle(&house)?;
    let mut seats = world.seats(&mut house.tokens)?;
    seats.iter_mut().filter(|seat| seat.sends).for_each(|seat| seat.target = 1);
    let load = Load { rate: 250.0, content_bytes: 200, warm_up: 1.0, measure: 40.0, settle: 0.5 };
    let mut plan = load.plan(Dialect::Timingle, house.gateway_addresses()?, house.processes()?, seats);
    plan.refuge = Some(1);
    let folder = tempfile::tempdir()?;
    let begun = folder.path().join("begun");
    plan.begun_file = Some(begun.display().to_string());
    let mut generator = Generator::start(programs, &plan)?;
    while !begun.exists() && generator.is_alive()? {
        interrupt::check()?;
        thread::sleep(Duration::from_millis(20));
    }
    house.stack().terminate("gateway-1")?;
    let report = generator.finish()?;
    let mut objections = run::objections(&plan, &report);
    objections.extend(strangers(&report));
    let last = number(report.returned.last_at) / 1e6;
    console::step("found", format_args!("the last was back after {last:.1} s, closes {:?}", report.closes));
    if page.objections(title, &objections) {
        let what = "seconds from SIGTERM until all 5,000 are back, nothing lost, only 1012";
        page.goal(Goal::at_most(title, what, Spread::of(vec![last]), 30.0));
    }
    Ok(())
}

/// What should not have happened.
fn strangers(report: &Report) -> Vec<String> {
    let mut all = Vec::new();
    if report.closes.keys().any(|code| *code != 1012) {
        all.push(format!("closes {:?}", report.closes));
    }
    if report.returned.sockets != SOCKETS {
        all.push(format!("{} came back", report.returned.sockets));
    }
    all
}
