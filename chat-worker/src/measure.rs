//! The worker's metrics: every name is spelled here.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use schema::clock::Timestamp;

use crate::verdict::Reason;

/// A message of `stream` is in the store, `lag` after the log had it.
pub(crate) fn stored(stream: &'static str, lag: Duration) {
    counter!("worker_stored_total", "stream" => stream).increment(1);
    histogram!("worker_saved_after_seconds", "stream" => stream).record(lag);
}

/// A second copy of a message was recognised.
pub(crate) fn duplicate(stream: &'static str) {
    counter!("worker_duplicates_total", "stream" => stream).increment(1);
}

/// A message was refused, and its sender told.
pub(crate) fn refused(stream: &'static str) {
    counter!("worker_refused_total", "stream" => stream).increment(1);
}

/// A message went to `CHAT_DEAD`.
pub(crate) fn dead(stream: &'static str, reason: Reason) {
    counter!("worker_dead_total", "stream" => stream, "reason" => reason.as_str()).increment(1);
}

/// A message was handed back to be delivered again.
pub(crate) fn retried(stream: &'static str) {
    counter!("worker_retries_total", "stream" => stream).increment(1);
}

/// What one lane wrote at once, well or not.
pub(crate) fn wrote(stream: &'static str, rows: usize, took: Duration) {
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    histogram!("worker_write_rows", "stream" => stream).record(rows);
    histogram!("worker_write_seconds", "stream" => stream).record(took);
}

/// How many messages this worker holds without an answer.
pub(crate) fn held(stream: &'static str, messages: usize) {
    gauge!("worker_held", "stream" => stream).set(u32::try_from(messages).unwrap_or(u32::MAX));
}

/// The pull was begun again.
pub(crate) fn pull_restarted(stream: &'static str) {
    counter!("worker_pull_restarts_total", "stream" => stream).increment(1);
}

/// A report to a gateway was dropped.
pub(crate) fn report_dropped() {
    counter!("worker_reports_dropped_total").increment(1);
}

/// Whether the breaker is open.
pub(crate) fn store_is_away(is_away: bool) {
    gauge!("worker_store_away").set(u8::from(is_away));
}

/// By how many numbers the log is behind what it has once given.
pub(crate) fn log_behind(by: u64) {
    gauge!("worker_log_behind").set(count(by));
}

/// Messages that the log dropped before anybody had stored them, as of now.
pub(crate) fn lost(stream: &'static str, messages: u64) {
    gauge!("worker_lost", "stream" => stream).set(count(messages));
}

/// The same, added up over the life of the process: the gauge falls back once the consumer is past the gap.
pub(crate) fn newly_lost(stream: &'static str, messages: u64) {
    counter!("worker_lost_total", "stream" => stream).increment(messages);
}

/// What the stream has that is not stored yet, and how old the oldest of it is.
pub(crate) fn backlog(stream: &'static str, pending: u64, oldest: Duration) {
    gauge!("worker_pending", "stream" => stream).set(count(pending));
    gauge!("worker_oldest_unacked_seconds", "stream" => stream).set(oldest.as_secs_f64());
}

/// What a check of the whole came to.
pub(crate) fn verified(report: &verify::Report, now: Timestamp) {
    let verify::Checked { stream_messages, log_rows, ids, read_marks, events, event_changes, outbox_rows } =
        report.checked;
    let checked = [
        ("stream_messages", stream_messages),
        ("log_rows", log_rows),
        ("ids", ids),
        ("read_marks", read_marks),
        ("events", events),
        ("event_changes", event_changes),
        ("outbox_rows", outbox_rows),
    ];
    for (what, number) in checked {
        gauge!("worker_verify_checked", "what" => what).set(count(number));
    }
    let findings: u64 = report.by_kind.values().sum();
    gauge!("worker_verify_findings").set(count(findings));
    for (kind, number) in &report.by_kind {
        gauge!("worker_verify_findings_of_kind", "kind" => *kind).set(count(*number));
    }
    gauge!("worker_verify_seconds").set(report.seconds);
    gauge!("worker_verify_finished_at_seconds").set(count(u64::try_from(now.unix_millis() / 1000).unwrap_or(0)));
}

/// A gauge holds 2^53 exactly, far above what is counted here.
fn count(number: u64) -> f64 {
    let [high, low] = [number >> 32, number & u64::from(u32::MAX)].map(|half| u32::try_from(half).unwrap_or(u32::MAX));
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}
