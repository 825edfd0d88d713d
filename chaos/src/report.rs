//! What a run came to, for people and for programs.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use scripts::phone::audit::{Rule, Violation};
use serde::Serialize;
use serde_json::Value;

/// The promises, in the order they are told.
const PROMISES: [(Rule, &str); 12] = [
    (Rule::A1, "every `sent` is in history exactly once"),
    (Rule::A2, "no `failed` is"),
    (Rule::A3, "what nobody knows of is there once or not at all"),
    (Rule::A4, "history ascends, is the same for all readers, and keeps each sender's order"),
    (Rule::A5, "what a phone shows is the history since it joined"),
    (Rule::A6, "`CHAT_DEAD` holds the poison and nothing else"),
    (Rule::A7, "unread messages, counted anew, are what the api says"),
    (Rule::A8, "changes of events are in their history and left the outbox"),
    (Rule::A9, "nothing aged out of the log unstored"),
    (Rule::A10, "who was taken out of a room hears nothing of it a second later"),
    (Rule::Log, "the log, the store's tables and history say the same"),
    (Rule::Wire, "nobody was told what the protocol does not allow"),
];

/// One fault as it went.
#[derive(Clone, Debug, Serialize)]
pub struct Struck {
    /// Which.
    pub fault: String,
    /// What was done.
    pub detail: String,
    /// Seconds after the run's begin.
    pub at_seconds: f64,
    /// How long it was broken.
    pub broken_seconds: f64,
    /// From mended until everything that everybody then said was saved and shown to all.
    pub healed_seconds: f64,
}

/// How long messages took from `sent` to `saved`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub messages: usize,
    /// Half took at most so long.
    pub p50_ms: u64,
    /// All but one in a hundred took at most so long.
    pub p99_ms: u64,
}

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where its choices begin.
    pub seed: u64,
    /// The message store.
    pub store: &'static str,
    /// The command that does it again.
    pub command: String,
    /// How long it took.
    pub seconds: f64,
    /// What broke.
    pub faults: Vec<Struck>,
    /// Messages that phones meant to send, by what became of them.
    pub messages: BTreeMap<&'static str, usize>,
    /// Messages posted over REST, by what became of them.
    pub posted: BTreeMap<&'static str, usize>,
    /// REST calls by status; 0 = no answer.
    pub calls: BTreeMap<u16, u64>,
    /// Frames that phones heard.
    pub frames: usize,
    /// Between two faults.
    pub sent_to_saved: Latency,
    /// What the operators' check looked at.
    pub verified: Value,
    /// Broken promises by name.
    pub broken: BTreeMap<String, Vec<String>>,
}

impl Report {
    /// Files the broken promises.
    pub fn file(violations: &[Violation]) -> BTreeMap<String, Vec<String>> {
        let mut broken: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for violation in violations {
            broken.entry(format!("{:?}", violation.rule)).or_default().push(violation.what.clone());
        }
        broken
    }

    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }

    /// Writes `report.md` and `report.json` into `folder`.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let markdown = folder.join("report.md");
        fs::write(&markdown, self.markdown()).with_context(|| format!("cannot write {}", markdown.display()))?;
        fs::write(folder.join("report.json"), serde_json::to_vec_pretty(self)?)?;
        Ok(markdown)
    }

    /// For people.
    pub fn markdown(&self) -> String {
        let mut lines = vec![
            format!("# {} faults, {} store, seed {}\n", self.faults.len(), self.store, self.seed),
            format!("`{}`, {:.0} s.\n", self.command, self.seconds),
        ];
        lines.extend(self.figures());
        lines.push("\n| promise | kept |\n|---|---|".to_owned());
        lines.extend(PROMISES.map(|(rule, promise)| {
            let broken = self.broken.get(&format!("{rule:?}")).map_or(0, Vec::len);
            let kept = if broken == 0 { "yes".to_owned() } else { format!("**broken {broken} times**") };
            format!("| {rule:?}: {promise} | {kept} |")
        }));
        lines.push("\n| fault | what was done | at | broken for | healed after |\n|---|---|---|---|---|".to_owned());
        lines.extend(self.faults.iter().map(|struck| {
            let Struck { fault, detail, at_seconds, broken_seconds, healed_seconds } = struck;
            format!("| {fault} | {detail} | {at_seconds:.0} s | {broken_seconds:.1} s | {healed_seconds:.2} s |")
        }));
        if !self.is_clean() {
            lines.push("\n## Broken promises\n".to_owned());
        }
        for (rule, whats) in &self.broken {
            lines.extend(whats.iter().take(SHOWN_MAX).map(|what| format!("- {rule}: {what}")));
        }
        lines.join("\n") + "\n"
    }

    fn figures(&self) -> [String; 3] {
        let [messages, posted] = [&self.messages, &self.posted].map(|of| {
            let counts: Vec<_> = of.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
            counts.join(", ")
        });
        let calls: Vec<_> = self.calls.iter().map(|(status, count)| format!("{count} × {status}")).collect();
        let Latency { messages: measured, p50_ms, p99_ms } = self.sent_to_saved;
        [
            format!("Messages over sockets: {messages}; over REST: {posted}. Frames heard: {}.", self.frames),
            format!("REST calls by status (0 = no answer): {}.", calls.join(", ")),
            format!("From `sent` to `saved` between faults: p50 {p50_ms} ms, p99 {p99_ms} ms of {measured} messages."),
        ]
    }
}

/// Broken promises of one kind that are told to people; the JSON has all.
const SHOWN_MAX: usize = 50;

/// The percentiles of some times.
pub(crate) fn latency(mut times: Vec<Duration>) -> Latency {
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(index).map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    };
    Latency { messages: times.len(), p50_ms: at(50), p99_ms: at(99) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_occurred() {
        let times = (1..=100).map(Duration::from_millis).collect();
        let Latency { messages, p50_ms, p99_ms } = latency(times);
        assert_eq!((messages, p50_ms, p99_ms), (100, 51, 100));
        assert_eq!(latency(Vec::new()).p99_ms, 0);
    }

    #[test]
    fn every_rule_is_a_promise_that_is_told() {
        let violation = Violation { rule: Rule::A10, what: "late".to_owned() };
        let broken = Report::file(&[violation.clone(), violation]);
        assert_eq!(broken.get("A10").map(Vec::len), Some(2));
    }
}
