//! `cargo x soak`: hours of a quiet evening. Two thousand sockets, five hundred messages a second, and nothing may grow,
//! be lost or come twice.

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bench::{load::resident_bytes, plan::Dialect, report::Report};
use clap::Args;

use super::{
    PROGRAMS,
    house::{Furnishing, House},
    run::{self, Generator, Load},
    world::World,
};
use crate::{command::build, console, interrupt, stack::Store};

/// How long, and how much.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How long messages are said
    #[arg(long, value_name = "M", default_value = "60", value_parser = clap::value_parser!(u32).range(1..=1440))]
    minutes: u32,
    /// Messages a second, of all senders
    #[arg(long, value_name = "N", default_value = "500", value_parser = clap::value_parser!(u32).range(1..=5000))]
    rate: u32,
}

/// Rooms of ten: two thousand sockets.
const WORLD: World = World { first_room: 90_000, rooms: 200, members: 10, senders: 2, targets: 1 };
const CONTENT_BYTES: usize = 200;
const LOOK_EVERY: Duration = Duration::from_secs(5);
const TELL_EVERY: usize = 12;
/// How much more a process may hold in the last third than in the second: what is freed comes back in lumps.
const GROWTH_MAX: f64 = 1.1;
/// Ours, and what holds the log.
const WATCHED: [&str; 4] = ["gateway-1", "chat-worker-1", "api", "nats"];
/// How long the worker may take for the last messages.
const STORED_WITHIN: Duration = Duration::from_mins(1);

/// Resident bytes of one process, at each look.
struct Memory {
    name: &'static str,
    pid: i32,
    bytes: Vec<u64>,
}

/// Soaks, and says what it came to.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    interrupt::catch()?;
    let programs = build::release(&PROGRAMS)?;
    let furnishing = Furnishing {
        gateways: 1,
        workers: 1,
        store: Store::Postgres,
        has_limits: false,
        settings: Vec::new(),
        nats_proxy: None,
    };
    let mut house = House::open(&programs, &furnishing)?;
    WORLD.settle(&house)?;
    let seats = WORLD.seats(&mut house.tokens)?;
    let (rate, measure) = (f64::from(arguments.rate), f64::from(arguments.minutes) * 60.0);
    let load = Load { rate, content_bytes: CONTENT_BYTES, warm_up: 5.0, measure, settle: 5.0 };
    let plan = load.plan(Dialect::Timingle, house.gateway_addresses()?, house.processes()?, seats);
    console::step("soaking", format_args!("2000 sockets, {rate} messages a second, {} min", arguments.minutes));
    let mut generator = Generator::start(&programs, &plan)?;
    let mut memories = Vec::new();
    for name in WATCHED {
        memories.push(Memory { name, pid: house.pid(name)?, bytes: Vec::new() });
    }
    let begun = Instant::now();
    while generator.is_alive()? {
        if interrupt::is_raised() {
            bail!("interrupted");
        }
        memories.iter_mut().for_each(Memory::look);
        if memories.first().is_some_and(|memory| memory.bytes.len() % TELL_EVERY == 0) {
            let held: Vec<_> = memories.iter().map(Memory::now).collect();
            console::step("at", format_args!("{} s: {}", begun.elapsed().as_secs(), held.join(", ")));
        }
        thread::sleep(LOOK_EVERY);
    }
    let report = generator.finish()?;
    let mut wrong = run::objections(&plan, &report);
    wrong.extend(memories.iter().filter_map(Memory::growth));
    wrong.extend(unstored(&house)?);
    tell(&report, &memories, &wrong);
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Memory {
    fn look(&mut self) {
        // A process that is gone holds nothing, which would hide what it held.
        self.bytes.extend(Some(resident_bytes(self.pid)).filter(|&bytes| bytes > 0));
    }

    fn now(&self) -> String {
        format!("{} {:.0} MiB", self.name, mebibytes(self.bytes.last().copied().unwrap_or_default()))
    }

    /// The medians of the three thirds of the time.
    fn thirds(&self) -> [u64; 3] {
        let third = self.bytes.len() / 3;
        let median = |n: usize| {
            let mut part: Vec<u64> = self.bytes.iter().skip(n * third).take(third).copied().collect();
            part.sort_unstable();
            part.get(part.len() / 2).copied().unwrap_or_default()
        };
        [median(0), median(1), median(2)]
    }

    /// Why it is not flat, if it is not.
    fn growth(&self) -> Option<String> {
        let [_, second, last] = self.thirds();
        let has_grown = mebibytes(last) > mebibytes(second) * GROWTH_MAX;
        // nats-server keeps an index of the log in memory, which grows with the log.
        (has_grown && self.name != "nats")
            .then(|| format!("{} grew from {:.0} to {:.0} MiB", self.name, mebibytes(second), mebibytes(last)))
    }
}

/// What the operators' check says of the store.
fn unstored(house: &House) -> Result<Option<String>> {
    console::step("verifying", "that everything is stored");
    let begun = Instant::now();
    loop {
        let status = house.stack().run_beside("chat-worker-1", &["verify"]).context("verify")?;
        if status.success() {
            return Ok(None);
        }
        if begun.elapsed() > STORED_WITHIN {
            return Ok(Some(format!("verify ended with {status}")));
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn tell(report: &Report, memories: &[Memory], wrong: &[String]) {
    let latency = report.latency;
    console::answer(format_args!(
        "{} sockets, {} messages said, {} deliveries in {:.0} s; send to receive p50 {} us, p99 {} us, longest {} us",
        report.sockets, report.sent, report.delivered, report.seconds, latency.p50, latency.p99, latency.max
    ));
    for memory in memories {
        let [first, second, last] = memory.thirds().map(mebibytes);
        console::answer(format_args!("{:<14} {first:.1}, {second:.1}, {last:.1} MiB in the three thirds", memory.name));
    }
    if wrong.is_empty() {
        console::answer("nothing was lost, nothing came twice, nothing grew");
    }
    for what in wrong {
        console::answer(format_args!("wrong: {what}"));
    }
}

fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1_024).unwrap_or(u32::MAX)) / 1_024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(name: &'static str, mebibytes: &[u64]) -> Memory {
        Memory { name, pid: 0, bytes: mebibytes.iter().map(|mebibytes| mebibytes << 20).collect() }
    }

    #[test]
    fn what_holds_more_in_the_end_than_in_the_middle_has_grown() {
        assert_eq!(memory("api", &[10, 10, 50, 50, 52, 53]).growth(), None);
        assert!(memory("api", &[10, 10, 50, 50, 60, 60]).growth().is_some());
        assert_eq!(memory("nats", &[10, 10, 50, 50, 60, 60]).growth(), None);
    }
}
