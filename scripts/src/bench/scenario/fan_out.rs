//! A, B and C: what a delivery costs the server, beside the floor program and other servers.

use std::path::Path;

use anyhow::Result;
use bench::{
    plan::{Dialect, Seat},
    report::Report,
};

use super::{
    super::{
        Arguments,
        house::House,
        page::{Goal, Page, Row},
        peer::{Peer, Recipe},
        ratio::Spread,
        run::{self, Load},
        world::World,
    },
    Scenario, number, quiet,
};
use crate::{console, interrupt};

/// The text of a message as our clients send it.
const CONTENT_BYTES: usize = 200;
/// What our frame has around the text: the others send as many bytes more, so that all deliver frames of one size.
const FRAME_BYTES: usize = 534;
/// What the generator may use of its core in a trial, so that it stays below its limit in the runs that follow.
const OWN_SHARE_WITH_ROOM: f64 = 0.72;

/// Who is measured, and what each run of it said.
#[derive(Debug)]
struct Series {
    name: String,
    /// Microseconds of processor time for each delivery.
    cost: Vec<f64>,
    /// The same with nats-server's.
    with_broker: Vec<f64>,
    p99: Vec<f64>,
    /// Deliveries a second.
    rate: Vec<f64>,
}

impl Series {
    fn new(name: &str) -> Self {
        let (cost, with_broker, p99, rate) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { name: name.to_owned(), cost, with_broker, p99, rate }
    }

    /// A run that does not count keeps its place among the pairs.
    fn skip(&mut self) {
        for values in [&mut self.cost, &mut self.with_broker, &mut self.p99, &mut self.rate] {
            values.push(f64::NAN);
        }
    }

    fn note(&mut self, report: &Report) {
        let delivered = number(report.delivered).max(1.0);
        let own = report.spent.first().map_or(0.0, |spent| spent.cpu_micros);
        let all: f64 = report.spent.iter().map(|spent| spent.cpu_micros).sum();
        self.cost.push(own / delivered);
        self.with_broker.push(all / delivered);
        let is_saturated = run::is_saturated(report);
        self.p99.push(if is_saturated { f64::NAN } else { number(report.latency.p99) });
        self.rate.push(delivered / report.seconds);
    }
}

fn world(scenario: Scenario) -> (World, f64) {
    let world = |first_room, rooms, members, senders| World { first_room, rooms, members, senders, targets: 1 };
    match scenario {
        Scenario::B => (world(10_000, 200, 5, 5), 2_000.0),
        Scenario::C => (world(20_000, 1, 100, 50), 2_000.0),
        _ => (world(0, 1, 1_000, 10), 100.0),
    }
}

pub(super) fn measure(scenario: Scenario, programs: &Path, arguments: &Arguments, page: &mut Page) -> Result<()> {
    let (world, rate) = world(scenario);
    let measure = f64::from(u32::try_from(arguments.seconds)?);
    let load = |content_bytes| Load { rate, content_bytes, warm_up: 2.0, measure, settle: 0.5 };
    let mut house = House::open(programs, &quiet(arguments, 1))?;
    world.settle(&house)?;
    let seats = world.seats(&mut house.tokens)?;
    let peers: Vec<Peer> = if arguments.has_peers() { Peer::OTHERS.to_vec() } else { Vec::new() };
    let recipes = [Peer::Floor].into_iter().chain(peers).map(|peer| peer.build(programs));
    let recipes: Vec<Recipe> = recipes.filter_map(Result::transpose).collect::<Result<_>>()?;
    let rate = if scenario == Scenario::A { affordable(programs, &recipes, &seats, rate, page)? } else { rate };
    let load = |content_bytes| Load { rate, ..load(content_bytes) };
    let mut series: Vec<Series> = recipes.iter().map(|recipe| Series::new(recipe.peer.name())).collect();
    let mut gateway = Series::new("gateway");
    for pair in 1..=arguments.pairs {
        for (recipe, series) in recipes.iter().zip(&mut series) {
            console::step("running", format_args!("{} ({pair} of {})", series.name, arguments.pairs));
            let running = recipe.start()?;
            let processes = vec![(series.name.clone(), running.pid())];
            let dialect = recipe.peer.dialect();
            let plan = load(FRAME_BYTES).plan(dialect, vec![running.address], processes, seats.clone());
            note(series, &plan, &run::run(programs, &plan)?, page);
            interrupt::check()?;
        }
        console::step("running", format_args!("gateway ({pair} of {})", arguments.pairs));
        house.restart_gateways()?;
        let plan =
            load(CONTENT_BYTES).plan(Dialect::Timingle, house.gateway_addresses()?, house.processes()?, seats.clone());
        note(&mut gateway, &plan, &run::run(programs, &plan)?, page);
        interrupt::check()?;
    }
    tell(scenario, &gateway, &series, page);
    Ok(())
}

/// The rate that the generator itself can follow beside the floor program, on a machine slower than the one this was
/// written on.
fn affordable(programs: &Path, recipes: &[Recipe], seats: &[Seat], rate: f64, page: &mut Page) -> Result<f64> {
    let Some(floor) = recipes.first() else { return Ok(rate) };
    for scale in [1.0, 0.75] {
        let load = Load { rate: rate * scale, content_bytes: FRAME_BYTES, warm_up: 1.0, measure: 4.0, settle: 0.5 };
        let running = floor.start()?;
        let report = run::run(programs, &load.plan(Dialect::Room, vec![running.address], Vec::new(), seats.to_vec()))?;
        interrupt::check()?;
        if report.own_share < OWN_SHARE_WITH_ROOM {
            return Ok(slower(rate, scale, page));
        }
    }
    Ok(slower(rate, 0.5, page))
}

fn slower(rate: f64, scale: f64, page: &mut Page) -> f64 {
    if scale < 1.0 {
        let text = format!("A ran at {:.0} messages a second: the generator could not follow more.", rate * scale);
        console::note(&text);
        page.remark(&text);
    }
    rate * scale
}

fn note(series: &mut Series, plan: &bench::plan::Plan, report: &Report, page: &mut Page) {
    let objections = run::objections(plan, report);
    console::step(
        "found",
        format_args!(
            "{:.2} us a delivery, p50 {} us, p99 {} us, {:.0} a second, {:.0} bytes each, generator {:.0} %, {:?}",
            report.spent.first().map_or(0.0, |spent| spent.cpu_micros) / number(report.delivered).max(1.0),
            report.latency.p50,
            report.latency.p99,
            number(report.delivered) / report.seconds,
            report.frame_bytes,
            report.own_share * 100.0,
            report.spent.iter().map(|spent| (spent.name.as_str(), spent.cpu_micros.round())).collect::<Vec<_>>(),
        ),
    );
    for objection in &objections {
        console::note(objection);
    }
    if objections.is_empty() {
        series.note(report);
    } else {
        series.skip();
        page.fail(&format!("a run of {} does not count: {}", series.name, objections.join("; ")));
    }
}

fn tell(scenario: Scenario, gateway: &Series, others: &[Series], page: &mut Page) {
    let Some(floor) = others.first() else { return };
    let (cost_goal, p99_goal) = match scenario {
        Scenario::B => (2.0, None),
        Scenario::C => (0.25, None),
        _ => (1.10, Some(1.2)),
    };
    let title = scenario.title();
    for series in others.iter().chain([gateway]) {
        let row = Row {
            server: series.name.clone(),
            cost: Spread::of(series.cost.clone()),
            with_broker: Spread::of(series.with_broker.clone()),
            over_floor: Spread::of_ratios(&series.cost, &floor.cost),
            p99_ms: Spread::of(series.p99.iter().map(|micros| micros / 1_000.0).collect()),
            rate: Spread::of(series.rate.clone()),
        };
        page.row(title, row);
    }
    let ratio = Spread::of_ratios(&gateway.cost, &floor.cost);
    page.goal(Goal::at_most(title, "processor time for each delivery, over the floor's", ratio, cost_goal));
    if let Some(most) = p99_goal {
        let ratio = Spread::of_ratios(&gateway.p99, &floor.p99);
        page.goal(Goal::at_most(title, "p99, over the floor's", ratio, most));
    }
    for peer in others.iter().skip(1) {
        let (what, ours, theirs) = if peer.name == Peer::Nats.name() && scenario == Scenario::B {
            ("gateway and nats-server together", &gateway.with_broker, &peer.with_broker)
        } else {
            ("gateway", &gateway.cost, &peer.cost)
        };
        let text = format!("{what}, over {}", peer.name);
        page.goal(Goal::at_most(title, &text, Spread::of_ratios(ours, theirs), 1.0));
        if scenario == Scenario::C {
            let text = format!("deliveries a second, over {}'s", peer.name);
            page.goal(Goal::at_least(title, &text, Spread::of_ratios(&gateway.rate, &peer.rate), 0.99));
        }
    }
}
