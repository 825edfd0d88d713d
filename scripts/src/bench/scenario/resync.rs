//! A gateway with ten thousand rooms loses its link to NATS and finds it again.

use std::{path::Path, thread, time::Duration};

use anyhow::Result;
use bench::plan::Dialect;

use super::{
    super::{
        Arguments,
        house::{Furnishing, House},
        page::{Goal, Page},
        proxy::Proxy,
        ratio::Spread,
        run::{self, Generator, Load},
        world::{self, World},
    },
    Scenario, number, quiet,
};
use crate::{console, interrupt};

/// Sockets, and rooms that each of them is in besides the one where people talk.
const SOCKETS: usize = 100;
const ROOMS_EACH: usize = 99;

pub(super) fn measure(programs: &Path, arguments: &Arguments, page: &mut Page) -> Result<()> {
    let title = Scenario::Resync.title();
    for subscribe in ["room", "all"] {
        let Some(pause) = one(programs, arguments, subscribe, page)? else { continue };
        let what =
            format!("ms of the longest pause for anybody, the cut itself included: GATEWAY_SUBSCRIBE={subscribe}");
        page.goal(Goal::at_most(title, &what, Spread::of(vec![pause]), 250.0));
    }
    Ok(())
}

/// The longest pause, in milliseconds.
fn one(programs: &Path, arguments: &Arguments, subscribe: &str, page: &mut Page) -> Result<Option<f64>> {
    let proxy = Proxy::start(House::nats_port)?;
    let mut furnishing = Furnishing { nats_proxy: Some(proxy.port()), ..quiet(arguments, 2) };
    furnishing.settings.push(format!("GATEWAY_SUBSCRIBE={subscribe}"));
    let mut house = House::open(programs, &furnishing)?;
    // The first of each room speaks from the second gateway, whose link stays.
    let live = World { first_room: 80_000, rooms: SOCKETS, members: 2, senders: 1, targets: 1 };
    live.settle(&house)?;
    house.join_all(81_000, SOCKETS * ROOMS_EACH, ROOMS_EACH, 2)?;
    let mut seats = live.seats(&mut house.tokens)?;
    for (number, pair) in seats.chunks_mut(2).enumerate() {
        let [speaker, listener] = pair else { continue };
        speaker.target = 1;
        listener.also = (0..ROOMS_EACH).map(|room| world::room_id(81_000 + number * ROOMS_EACH + room)).collect();
    }
    let load = Load { rate: 1_000.0, content_bytes: 200, warm_up: 3.0, measure: 12.0, settle: 3.0 };
    let mut plan = load.plan(Dialect::Timingle, house.gateway_addresses()?, house.processes()?, seats);
    let folder = tempfile::tempdir()?;
    let begun = folder.path().join("begun");
    plan.begun_file = Some(begun.display().to_string());
    let mut generator = Generator::start(programs, &plan)?;
    while !begun.exists() && generator.is_alive()? {
        interrupt::check()?;
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_secs(2));
    proxy.cut();
    let report = generator.finish()?;
    let pause = number(report.latency.max) / 1e3;
    console::step(
        "found",
        format_args!("{subscribe}: longest live pause {pause:.0} ms, p99 {} us", report.latency.p99),
    );
    Ok(page.objections(Scenario::Resync.title(), &run::objections(&plan, &report)).then_some(pause))
}
