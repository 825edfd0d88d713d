//! A run: people talk, things break by the schedule, and at the end everything is held against everything.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use scripts::{
    console,
    phone::{
        Outcome,
        audit::{Letter, Rule, Violation, audit},
    },
    stack::Store,
};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    audit::{self, Span},
    evidence,
    fault::{Fault, Kind},
    house::{House, Shape},
    people::{Bustle, Posted},
    report::{Report, Struck, latency},
    scene::{Scene, TALKERS},
    schedule::Schedule,
};

/// What a run shall be.
#[derive(Clone, Debug)]
pub struct Wish {
    /// How long things break; none = every fault once, with short outages.
    pub minutes: Option<f64>,
    /// Where its choices begin.
    pub seed: u64,
    /// The message store.
    pub store: Store,
    /// nats-servers; several are a cluster.
    pub nats_servers: u16,
    /// Only these faults.
    pub only: Vec<Kind>,
    /// Sockets of the crowd.
    pub crowd: usize,
    /// Where data, logs and reports are.
    pub folder: PathBuf,
    /// Where the programs are.
    pub binaries: PathBuf,
    /// The deliberate bug that the programs shall have.
    pub mutant: Option<String>,
    /// The command that does it again.
    pub command: String,
}

/// Between two messages of one person.
const PACE: Duration = Duration::from_millis(250);
/// Between two faults, so that there is something to compare them with.
const CALM: Duration = Duration::from_secs(2);
/// How long everything may take to work again.
const HEALED_WITHIN: Duration = Duration::from_mins(1);
/// How long the last words may take to be saved and shown.
const SETTLED_WITHIN: Duration = Duration::from_mins(1);

/// Runs and reports; the stack is gone afterwards, its data and logs stay.
pub async fn run(wish: &Wish) -> Result<Report> {
    let shape = Shape {
        folder: wish.folder.clone(),
        binaries: wish.binaries.clone(),
        store: wish.store,
        is_short: wish.minutes.is_none(),
        nats_servers: wish.nats_servers,
        mutant: wish.mutant.clone(),
    };
    let scene = Scene::set(House::start(&shape).await?, wish.crowd).await?;
    let begun = Instant::now();
    let mut bustle = Bustle::start(&scene, TALKERS, PACE, wish.seed);
    let mut course = Course {
        scene: &scene,
        begun,
        struck: Vec::new(),
        spans: Vec::new(),
        violations: Vec::new(),
        poison: Vec::new(),
    };
    let gone = course.follow(wish).await;
    console::step("settling", "everybody stops talking");
    let stopped = bustle.stop().await;
    let Course { struck, spans, mut violations, poison, .. } = course;
    for error in [gone.err(), stopped.err()].into_iter().flatten() {
        violations.push(Violation { rule: Rule::A5, what: format!("not healed: {error:#}") });
    }
    let report = conclude(wish, &scene, begun, struck, &spans, violations, poison).await;
    scene.house.stack.kill_all()?;
    report
}

/// What has happened so far.
struct Course<'a> {
    scene: &'a Scene,
    begun: Instant,
    struck: Vec<Struck>,
    spans: Vec<Span>,
    violations: Vec<Violation>,
    poison: Vec<Letter>,
}

impl Course<'_> {
    /// Breaks one thing after the other.
    async fn follow(&mut self, wish: &Wish) -> Result<()> {
        let mut schedule =
            Schedule::new(wish.seed, (wish.store, wish.nats_servers), &wish.only, wish.minutes.is_none());
        let round = schedule.round_len();
        let until = wish.minutes.map(|minutes| self.begun + Duration::from_secs_f64(minutes * 60.0));
        loop {
            sleep(CALM).await;
            let is_over = match until {
                None => self.struck.len() >= round,
                Some(until) => Instant::now() >= until,
            };
            if is_over {
                return Ok(());
            }
            let Some(fault) = schedule.next() else { return Ok(()) };
            self.strike(fault).await.with_context(|| fault.kind.as_str())?;
        }
    }

    async fn strike(&mut self, fault: Fault) -> Result<()> {
        let begun = Instant::now();
        let outcome = fault.inflict(self.scene).await?;
        let mended = Instant::now();
        let healing = self.scene.probe(HEALED_WITHIN).await;
        let healed = Instant::now();
        self.spans.push(Span { begun, healed });
        self.violations.extend(outcome.violations);
        self.poison.extend(outcome.poison);
        let (broken, name) = (mended - begun, fault.kind.as_str());
        console::step("broke", format_args!("{name}: {}, healed after {:.2?}", outcome.detail, healed - mended));
        self.struck.push(Struck {
            fault: name,
            detail: outcome.detail,
            at_seconds: (begun - self.begun).as_secs_f64(),
            broken_seconds: broken.as_secs_f64(),
            healed_seconds: (healed - mended).as_secs_f64(),
        });
        healing.map(drop)
    }
}

async fn conclude(
    wish: &Wish,
    scene: &Scene,
    begun: Instant,
    faults: Vec<Struck>,
    spans: &[Span],
    mut violations: Vec<Violation>,
    poison: Vec<Letter>,
) -> Result<Report> {
    if let Err(error) = evidence::settle(&scene.js, &scene.people, &scene.rooms, SETTLED_WITHIN).await {
        violations.push(Violation { rule: Rule::A5, what: format!("{error:#}") });
    }
    console::step("auditing", "what everybody was told against what is kept");
    let mut evidence = evidence::gather(&scene.house.stack, &scene.js, &scene.people, &scene.rooms).await?;
    evidence.poison = poison;
    let guest = scene.guest.phone.ledger();
    violations.extend(audit(&evidence));
    violations.extend(audit::check(&evidence, &scene.notes.lock(), &guest, spans));
    violations.extend(audit::unread(&scene.people, &evidence).await?);
    let output = scene.house.stack.output("chat-worker-1", &["verify", "--json"], &[]).await?;
    let verified: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("verify: {}", String::from_utf8_lossy(&output.stderr)))?;
    violations.extend(audit::verified(&verified));
    violations.extend(audit::aged_out(&scene.house.stack.logs_of(&["chat-worker"])?)?);
    let notes = scene.notes.lock();
    let mut messages = BTreeMap::new();
    let intents = || evidence.ledgers.iter().flat_map(|ledger| &ledger.intents);
    for intent in intents() {
        *messages.entry(word(&intent.outcome)).or_default() += 1;
    }
    let is_calm = |at: Instant| !spans.iter().any(|span| span.begun <= at && at <= span.healed);
    let times = intents()
        .filter_map(|intent| intent.sent_at.zip(intent.saved_at))
        .filter(|(sent, saved)| is_calm(*sent) && is_calm(*saved))
        .map(|(sent, saved)| saved.saturating_duration_since(sent));
    let mut posted = BTreeMap::new();
    for Posted { told, .. } in &notes.posted {
        *posted.entry(told.as_str()).or_default() += 1;
    }
    Ok(Report {
        seed: wish.seed,
        store: wish.store.as_str(),
        command: wish.command.clone(),
        seconds: begun.elapsed().as_secs_f64(),
        faults,
        messages,
        posted,
        calls: notes.calls.iter().map(|(status, count)| (*status, *count)).collect(),
        frames: evidence.ledgers.iter().map(|ledger| ledger.heard.len()).sum(),
        sent_to_saved: latency(times.collect()),
        verified: verified.get("checked").cloned().unwrap_or_default(),
        broken: Report::file(&violations),
    })
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::None => "unanswered",
        Outcome::Sent { .. } => "sent",
        Outcome::Saved { .. } => "saved",
        Outcome::Failed { .. } => "failed",
        Outcome::Unknown => "unknown",
    }
}
