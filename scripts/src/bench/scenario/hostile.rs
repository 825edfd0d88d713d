//! Requests that trickle and sockets that flood, beside a room that talks within the limits.

use std::{
    fmt::Write,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use bench::{plan::Dialect, report::Report};

use super::{
    super::{
        Arguments, LOAD_CORE,
        house::{Furnishing, House},
        page::{Goal, Page},
        ratio::Spread,
        run::{self, Load},
        world::World,
    },
    Scenario, number, quiet,
};
use crate::console;

const TRICKLES: usize = 200;
const FLOODS: usize = 10;

pub(super) fn measure(programs: &Path, arguments: &Arguments, page: &mut Page) -> Result<()> {
    let title = Scenario::Hostile.title();
    let mut furnishing = Furnishing { has_limits: true, ..quiet(arguments, 1) };
    // They all come from one address here.
    furnishing.settings.push("GATEWAY_CONNECTIONS_PER_IP_MAX=5000".to_owned());
    let mut house = House::open(programs, &furnishing)?;
    let world = World { first_room: 90_000, rooms: 20, members: 25, senders: 10, targets: 1 };
    let floods = World { first_room: 91_000, rooms: 1, members: FLOODS, senders: 0, targets: 1 };
    world.settle(&house)?;
    floods.settle(&house)?;
    let mut ratios = Vec::new();
    for pair in 1..=arguments.pairs {
        console::step("running", format_args!("in peace, then under attack ({pair} of {})", arguments.pairs));
        let peace = one(programs, &mut house, &world, None, page)?;
        let attack = one(programs, &mut house, &world, Some(&floods), page)?;
        if let (Some(peace), Some(attack)) = (peace, attack) {
            console::step("found", format_args!("p99 {} and {} us", peace.latency.p99, attack.latency.p99));
            ratios.push(number(attack.latency.p99) / number(peace.latency.p99).max(1.0));
        }
    }
    let what = format!("p99 beside {TRICKLES} trickling requests and {FLOODS} floods, over the same without");
    page.goal(Goal::at_most(title, &what, Spread::of(ratios), 1.2));
    Ok(())
}

fn one(
    programs: &Path,
    house: &mut House,
    world: &World,
    floods: Option<&World>,
    page: &mut Page,
) -> Result<Option<Report>> {
    house.restart_gateways()?;
    let seats = world.seats(&mut house.tokens)?;
    let load = Load { rate: 200.0, content_bytes: 200, warm_up: 3.0, measure: 10.0, settle: 0.5 };
    let address = *house.gateway_addresses()?.first().context("a gateway")?;
    let plan = load.plan(Dialect::Timingle, vec![address], house.processes()?, seats);
    let folder = tempfile::tempdir()?;
    let attack = match floods {
        Some(floods) => {
            let mut lines = String::new();
            for seat in floods.seats(&mut house.tokens)? {
                writeln!(lines, "{} {}", seat.room, seat.token)?;
            }
            let file = folder.path().join("seats");
            fs::write(&file, lines)?;
            // Behind the generator on its core: what is measured is the gateway's patience, not the generator's.
            let child = Command::new("nice")
                .args(["-n", "19", "taskset", "--cpu-list", &LOAD_CORE.to_string()])
                .arg(programs.join("bench"))
                .args(["hostile", "--target", &address.to_string(), "--trickles", &TRICKLES.to_string()])
                .args(["--floods", &FLOODS.to_string(), "--seconds", "16", "--seats"])
                .arg(file)
                .stdin(Stdio::null())
                .spawn()?;
            Some(child)
        }
        None => None,
    };
    let report = run::run(programs, &plan)?;
    if let Some(mut attack) = attack {
        attack.kill()?;
        attack.wait()?;
    }
    Ok(page.objections(Scenario::Hostile.title(), &run::objections(&plan, &report)).then_some(report))
}
