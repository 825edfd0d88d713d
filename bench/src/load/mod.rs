//! The load generator: opens every socket of a plan, sends at a fixed rate, and checks what comes back.
//!
//! A message's time counts from the moment it was *meant* to be sent, so a generator or server that falls behind cannot
//! hide it.

mod client;
mod dialect;
mod ledger;
mod process;
mod schedule;
mod socket;

use std::{
    collections::VecDeque,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, Event, EventFlags},
    },
    fd::OwnedFd,
};

use crate::{
    plan::Plan,
    report::{Report, Return, Spent},
};
use client::{Client, Room};
pub use process::resident_bytes;
use schedule::Schedule;

/// Events taken at once.
const EVENTS: usize = 1_024;
const READ_BYTES: usize = 256 * 1024;
/// Everybody must be in their room by then.
const ENTER_WITHIN: Duration = Duration::from_mins(2);
/// How often memory is looked at.
const LOOK_EVERY_MICROS: u64 = 100_000;
/// The generator has only so many sockets dropped, or opened, in a turn: a pause of its own would count as the server's.
const SOCKETS_A_TURN: usize = 100;
/// Violations that are written out.
const VIOLATIONS_SHOWN: usize = 10;

/// One run.
#[derive(Debug)]
struct Load {
    plan: Plan,
    poll: OwnedFd,
    began: Instant,
    clients: Vec<Client>,
    rooms: Vec<Room>,
    /// Who is to be opened as soon as there is a place.
    to_open: VecDeque<usize>,
    opening: usize,
    /// Whom the storm has still to drop.
    to_drop: VecDeque<usize>,
    /// Who is to be opened when.
    later: Vec<(u64, usize)>,
    schedule: Schedule,
    /// The time of measurement, in microseconds since the run began.
    window: (u64, u64),
    latencies: Vec<u64>,
    lags: Vec<u64>,
    returned: Vec<u64>,
    returned_at: u64,
    frame_bytes: u64,
    looked_at: u64,
    report: Report,
    buffer: Vec<u8>,
    heard: Vec<client::Told>,
}

/// Does what the plan says and writes the report.
pub fn run(plan: &Path, report: &Path) -> Result<()> {
    let plan: Plan = serde_json::from_slice(&fs::read(plan).context("cannot read the plan")?)?;
    let mut load = Load::new(plan)?;
    load.enter()?;
    load.measure()?;
    let found = load.finish();
    fs::write(report, serde_json::to_vec_pretty(&found)?).context("cannot write the report")
}

impl Load {
    fn new(plan: Plan) -> Result<Self> {
        let (clients, rooms) = client::seat(&plan.seats)?;
        let spent = plan.processes.iter().map(|(name, pid)| Spent {
            name: name.clone(),
            rss_before: resident_bytes(*pid),
            ..Spent::default()
        });
        let report = Report { spent: spent.collect(), ..Report::default() };
        Ok(Self {
            poll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            began: Instant::now(),
            to_open: (0..clients.len()).collect(),
            opening: 0,
            to_drop: VecDeque::new(),
            later: Vec::new(),
            schedule: Schedule::new(&rooms, plan.rate),
            window: (u64::MAX, u64::MAX),
            latencies: Vec::new(),
            lags: Vec::new(),
            returned: Vec::new(),
            returned_at: 0,
            frame_bytes: 0,
            looked_at: 0,
            report,
            buffer: vec![0; READ_BYTES],
            heard: Vec::new(),
            clients,
            rooms,
            plan,
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Brings everybody into their room.
    fn enter(&mut self) -> Result<()> {
        let deadline = Instant::now() + ENTER_WITHIN;
        while !self.clients.iter().all(Client::is_in) {
            ensure!(Instant::now() < deadline, "not everybody is in within {ENTER_WITHIN:?}: {}", self.state());
            self.turn(self.now() + 100_000)?;
        }
        self.report.entered_within = self.began.elapsed().as_secs_f64();
        self.report.sockets = self.clients.len();
        for id in 0..self.clients.len() {
            if let Some(client) = self.clients.get(id).filter(|client| client.seat.is_stalled) {
                client.stall(&self.poll)?;
            }
        }
        self.wait(self.plan.settle)?;
        for (spent, (_, pid)) in self.report.spent.iter_mut().zip(&self.plan.processes) {
            spent.rss_idle = resident_bytes(*pid);
        }
        Ok(())
    }

    fn state(&self) -> String {
        let inside = self.clients.iter().filter(|client| client.is_in()).count();
        format!("{inside} of {} are; refused {:?}", self.clients.len(), self.report.refused)
    }

    fn wait(&mut self, seconds: f64) -> Result<()> {
        let until = self.now() + micros(seconds);
        while self.now() < until {
            self.turn(until)?;
        }
        Ok(())
    }

    /// Warm-up and measurement.
    fn measure(&mut self) -> Result<()> {
        self.schedule.start(self.now());
        let begins = self.now() + micros(self.plan.warm_up);
        self.window = (begins, begins + micros(self.plan.measure));
        while self.now() < begins {
            self.turn(begins)?;
        }
        if let Some(file) = &self.plan.begun_file {
            fs::write(file, "").context("cannot say that the measurement begins")?;
        }
        let own = i32::try_from(std::process::id())?;
        let (own_before, before) = (process::cpu_micros(own), self.cpu());
        let (began, delivered) = (self.now(), self.report.delivered);
        let bytes = self.frame_bytes;
        let mut storm_at = self.plan.storm_at.map(|at| begins + micros(at));
        while self.now() < self.window.1 {
            if storm_at.is_some_and(|at| self.now() >= at) {
                storm_at = None;
                let in_storm = self.clients.iter().enumerate().filter(|(_, client)| client.seat.is_in_storm);
                self.to_drop = in_storm.map(|(id, _)| id).collect();
            }
            let next = storm_at.unwrap_or(u64::MAX).min(self.window.1);
            self.turn(next)?;
        }
        let after = self.cpu();
        let seconds = micros_f64(self.now() - began) / 1e6;
        self.report.seconds = seconds;
        self.report.delivered -= delivered;
        self.report.own_share = (process::cpu_micros(own) - own_before) / (seconds * 1e6);
        let frames = micros_f64(self.report.delivered).max(1.0);
        self.report.frame_bytes = micros_f64(self.frame_bytes - bytes) / frames;
        let spent = self.report.spent.iter_mut().zip(&self.plan.processes);
        for ((spent, (_, pid)), (before, after)) in spent.zip(before.iter().zip(after)) {
            spent.cpu_micros = after - before;
            spent.rss_after = resident_bytes(*pid);
        }
        self.settle_up()
    }

    /// Waits for what is still on its way.
    fn settle_up(&mut self) -> Result<()> {
        let delivered = self.report.delivered;
        self.schedule.stop();
        let until = self.now() + micros(self.plan.patience);
        while self.now() < until && !self.is_complete() {
            self.turn((self.now() + 20_000).min(until))?;
        }
        // What comes now was not part of the measured time.
        self.report.delivered = delivered;
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.to_drop.is_empty()
            && self.to_open.is_empty()
            && self.later.is_empty()
            && self.clients.iter().all(|client| client.has_all(&self.rooms))
    }

    fn cpu(&self) -> Vec<f64> {
        self.plan.processes.iter().map(|(_, pid)| process::cpu_micros(*pid)).collect()
    }

    /// The storm's sockets are gone, one right after the other, and come back as fast as they are let in.
    fn drop_due(&mut self) {
        let now = self.now();
        for _ in 0..SOCKETS_A_TURN {
            let Some(id) = self.to_drop.pop_front() else { return };
            if let Some(client) = self.clients.get_mut(id) {
                client.drop_socket(now);
            }
            self.to_open.push_back(id);
        }
    }

    /// Does what is due, and waits for the wire until something else is, at most until `until`.
    fn turn(&mut self, until: u64) -> Result<()> {
        self.drop_due();
        self.open_due()?;
        self.send_due()?;
        self.look();
        let now = self.now();
        let is_busy = !self.to_drop.is_empty() || (!self.to_open.is_empty() && self.opening < self.plan.handshakes);
        let until = if is_busy { now } else { until };
        let next = self.later.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
        let next = until.min(next).min(self.schedule.next_at().unwrap_or(u64::MAX)).max(now);
        let wait = Timespec::try_from(Duration::from_micros((next - now).min(LOOK_EVERY_MICROS)))?;
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        match epoll::wait(&self.poll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for event in events {
            let id = usize::try_from(event.data.u64())?;
            let flags = event.flags;
            if flags.contains(EventFlags::OUT) {
                self.flush(id)?;
            }
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                self.read(id)?;
            }
        }
        Ok(())
    }

    fn look(&mut self) {
        let now = self.now();
        if now < self.looked_at + LOOK_EVERY_MICROS || now < self.window.0 {
            return;
        }
        self.looked_at = now;
        for (spent, (_, pid)) in self.report.spent.iter_mut().zip(&self.plan.processes) {
            spent.rss_peak = spent.rss_peak.max(resident_bytes(*pid));
        }
    }

    fn open_due(&mut self) -> Result<()> {
        let now = self.now();
        let to_open = &mut self.to_open;
        self.later.retain(|(at, id)| {
            if *at <= now {
                to_open.push_back(*id);
            }
            *at > now
        });
        let most = (self.opening + SOCKETS_A_TURN).min(self.plan.handshakes);
        while self.opening < most
            && let Some(id) = self.to_open.pop_front()
        {
            let Some(client) = self.clients.get_mut(id) else { bail!("there is no client {id}") };
            self.opening += 1;
            client.open(&self.plan, &self.poll, id)?;
        }
        Ok(())
    }

    fn send_due(&mut self) -> Result<()> {
        loop {
            let now = self.now();
            let Some((id, meant_at)) = self.schedule.take(now) else { return Ok(()) };
            let Some(client) = self.clients.get_mut(id) else { bail!("there is no client {id}") };
            if !client.say(&self.plan, &self.poll, id, meant_at, &mut self.rooms)? {
                *self.report.refused.entry("not_connected".to_owned()).or_default() += 1;
            } else if meant_at >= self.window.0 {
                self.report.sent += 1;
                self.lags.push(now - meant_at);
            }
        }
    }

    fn finish(mut self) -> Report {
        for (id, client) in self.clients.iter().enumerate() {
            if !client.has_all(&self.rooms) {
                self.report.violation_count += 1;
                let text = format!("client {id} lacks something that was sent in its room");
                self.report.violations.push(text);
            }
        }
        if self.plan.dialect == crate::plan::Dialect::Timingle {
            for text in client::different_orders(&self.clients, &self.rooms) {
                self.report.violation_count += 1;
                self.report.violations.push(text);
            }
        }
        self.report.violations.truncate(VIOLATIONS_SHOWN);
        self.lags.sort_unstable();
        self.report.send_lag_max = self.lags.last().copied().unwrap_or_default();
        self.report.send_lag_p99 = ledger::percentile(&self.lags, 99);
        self.report.latency = ledger::latency(&mut self.latencies);
        self.returned.sort_unstable();
        self.report.returned = Return {
            sockets: self.returned.len(),
            p50: ledger::percentile(&self.returned, 50),
            all: self.returned.last().copied().unwrap_or_default(),
            last_at: self.returned_at.saturating_sub(self.window.0),
        };
        self.report
    }
}

fn micros(seconds: f64) -> u64 {
    u64::try_from(Duration::from_secs_f64(seconds).as_micros()).unwrap_or(u64::MAX)
}

fn micros_f64(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1e6
}
