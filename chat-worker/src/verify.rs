//! `chat-worker verify`: the check of the crate `verify`, for an operator or a timer.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use ops::telemetry::Metrics;
use parking_lot::Mutex;
use schema::id::RoomId;
use verify::{Checked, Finding, Parts, Place, Report, Scope, Since};

use crate::{
    conclusion::Conclusion,
    config::Config,
    console::{self, visible},
    measure,
};

/// What is checked, and how it is told.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Arguments {
    /// Only messages above this seq, or of this time (RFC 3339) and later. Events and the outbox are checked whole.
    #[arg(long, value_name = "SEQ|TIME")]
    since: Option<Since>,
    /// Only this room, and its event.
    #[arg(long, value_name = "ID")]
    room: Option<RoomId>,
    /// As one JSON document.
    #[arg(long)]
    json: bool,
    /// Write metrics to this file, for the node exporter's textfile collector.
    #[arg(long, value_name = "FILE")]
    metrics_file: Option<PathBuf>,
}

/// How often a reader is told what is being done.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Checks, and says what it found.
pub async fn run(config: &Config, arguments: &Arguments, metrics: Metrics) -> anyhow::Result<Conclusion> {
    let pg = config.database.pool()?;
    let store = chat_store::connect(&config.store, &pg).await.context("the message store can not be asked")?;
    let broker = config.broker.connect("worker").await?;
    let told = Mutex::new(Instant::now());
    let progress = move |at: &'static str, checked: &Checked| {
        let mut told = told.lock();
        if told.elapsed() >= TELL_EVERY {
            *told = Instant::now();
            console::note(format_args!("{at}: {}", sum(checked)));
        }
    };
    let scope = Scope { room: arguments.room, since: arguments.since };
    let report = verify::run(&Parts { store, pg, broker }, scope, &progress).await?;
    if let Some(file) = &arguments.metrics_file {
        measure::verified(&report, config.common.clock.clock().now());
        write_metrics(file, &metrics)?;
    }
    if arguments.json {
        console::answer(serde_json::to_string(&report)?);
    } else {
        show(&report);
    }
    Ok(if report.clean { Conclusion::Done } else { Conclusion::Found })
}

fn show(report: &Report) {
    for Finding { kind, place, detail } in &report.findings {
        console::answer(format_args!("{kind:<20} {}: {}", spell(*place), visible(detail)));
    }
    if report.more > 0 {
        console::answer(format_args!("and {} more, looked at once only", report.more));
    }
    for (kind, count) in &report.by_kind {
        console::answer(format_args!("{count:>8}  {kind}"));
    }
    let verdict = if report.clean { "nothing is wrong" } else { "something is wrong" };
    let (settled, seconds) = (report.settled_seq, report.seconds);
    console::answer(format_args!("{verdict} up to seq {settled}: {} ({seconds:.1} s)", sum(&report.checked)));
}

fn sum(checked: &Checked) -> String {
    let Checked { stream_messages, log_rows, ids, read_marks, events, event_changes, outbox_rows } = checked;
    format!(
        "{stream_messages} messages of the log, {log_rows} seqs and {ids} ids of the store, {read_marks} read marks, \
         {events} events with {event_changes} changes, {outbox_rows} outbox rows"
    )
}

fn spell(place: Place) -> String {
    match place {
        Place::Logged { room_id, seq } | Place::Stored { room_id, seq } => format!("room {room_id} seq {seq}"),
        Place::Id { message_id, room_id, seq, .. } => format!("id {message_id} in room {room_id} seq {seq}"),
        Place::Mark { room_id, user_id } => format!("room {room_id} user {user_id}"),
        Place::Event { event_id } => format!("event {event_id}"),
        Place::Lane { lane_id } => format!("lane {lane_id}"),
        Place::Stream { stream } => format!("stream {stream}"),
    }
}

/// Beside the file, then renamed: a collector reads the old one or the new one.
fn write_metrics(file: &Path, metrics: &Metrics) -> anyhow::Result<()> {
    let whole = file.with_extension("part");
    let written = std::fs::write(&whole, metrics.render()).and_then(|()| std::fs::rename(&whole, file));
    written.with_context(|| format!("cannot write {}", file.display()))
}
