//! What was found, as a page: goals first, then what every server cost.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result};

use super::{chart, ratio::Spread};
use crate::{console, workspace};

/// Where results begin and end in docs/benchmarks.md.
const BEGIN: &str = "<!-- results -->";
const END: &str = "<!-- end of results -->";

/// A number that must be reached.
#[derive(Clone, Debug)]
pub(super) struct Goal {
    scenario: String,
    what: String,
    found: Spread,
    bound: f64,
    is_upper: bool,
}

impl Goal {
    pub(super) fn at_most(scenario: &str, what: &str, found: Spread, bound: f64) -> Self {
        Self { scenario: scenario.to_owned(), what: what.to_owned(), found, bound, is_upper: true }
    }

    pub(super) fn at_least(scenario: &str, what: &str, found: Spread, bound: f64) -> Self {
        Self { is_upper: false, ..Self::at_most(scenario, what, found, bound) }
    }

    fn is_reached(&self) -> bool {
        if self.is_upper { self.found.median <= self.bound } else { self.found.median >= self.bound }
    }
}

/// What one server cost in one scenario.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) server: String,
    pub(super) cost: Spread,
    pub(super) with_broker: Spread,
    pub(super) over_floor: Spread,
    pub(super) p99_ms: Spread,
    pub(super) rate: Spread,
}

/// The page.
#[derive(Debug, Default)]
pub(super) struct Page {
    pairs: u32,
    seconds: u64,
    goals: Vec<Goal>,
    rows: BTreeMap<String, Vec<Row>>,
    failures: Vec<String>,
    remarks: Vec<String>,
}

impl Page {
    pub(super) fn new(pairs: u32, seconds: u64) -> Self {
        Self { pairs, seconds, ..Self::default() }
    }

    pub(super) fn goal(&mut self, goal: Goal) {
        self.goals.push(goal);
    }

    pub(super) fn row(&mut self, scenario: &str, row: Row) {
        self.rows.entry(scenario.to_owned()).or_default().push(row);
    }

    /// Notes why a run counts for nothing; says whether it counts.
    pub(super) fn objections(&mut self, scenario: &str, objections: &[String]) -> bool {
        for objection in objections {
            console::note(objection);
        }
        if !objections.is_empty() {
            self.fail(&format!("{scenario}: {}", objections.join("; ")));
        }
        objections.is_empty()
    }

    /// A sentence beside the goals.
    pub(super) fn remark(&mut self, text: &str) {
        self.remarks.push(text.to_owned());
    }

    /// A run that counts for nothing.
    pub(super) fn fail(&mut self, why: &str) {
        self.failures.push(why.to_owned());
    }

    /// Whether a run did not count. A goal that is missed is a result, not a failure.
    pub(super) const fn has_failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// The page as Markdown.
    pub(super) fn text(&self) -> String {
        let mut lines =
            vec!["| scenario | what | found (range) | goal | |".to_owned(), "|---|---|---|---|---|".to_owned()];
        lines.extend(self.goals.iter().map(|goal| {
            let Goal { scenario, what, found, bound, is_upper } = goal;
            let sign = if *is_upper { "at most" } else { "at least" };
            let mark = if goal.is_reached() { "reached" } else { "**missed**" };
            format!("| {scenario} | {what} | {found} | {sign} {bound} | {mark} |")
        }));
        lines.extend(self.remarks.iter().map(|remark| format!("\n{remark}")));
        for (scenario, rows) in &self.rows {
            lines.push(format!("\n### {scenario}\n"));
            lines.push(
                "| server | µs a delivery | with nats-server | over the floor | p99 ms | deliveries/s |".to_owned(),
            );
            lines.push("|---|---|---|---|---|---|".to_owned());
            lines.extend(rows.iter().map(|row| {
                let Row { server, cost, with_broker, over_floor, p99_ms, rate } = row;
                format!("| {server} | {cost} | {with_broker} | {over_floor} | {p99_ms} | {:.0} |", rate.median)
            }));
        }
        lines.extend(self.failures.iter().map(|failure| format!("\nnot counted: {failure}")));
        lines.join("\n") + "\n"
    }

    /// Puts what was found into docs/benchmarks.md, between its marks, and draws its chart.
    pub(super) fn write(&self) -> Result<()> {
        let docs = workspace::root().join("docs");
        let file = docs.join("benchmarks.md");
        let page = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let (before, rest) = page.split_once(BEGIN).context("docs/benchmarks.md has no mark where results begin")?;
        let (_, after) = rest.split_once(END).context("docs/benchmarks.md has no mark where results end")?;
        let command: Vec<_> = std::env::args().skip(1).collect();
        let text = format!(
            "{BEGIN}\n`cargo x {}`: {} pairs of {} s.\n\n{}{END}",
            command.join(" "),
            self.pairs,
            self.seconds,
            self.text()
        );
        fs::write(&file, format!("{before}{text}{after}"))
            .with_context(|| format!("cannot write {}", file.display()))?;
        let bars: Vec<_> = self
            .rows
            .iter()
            .map(|(scenario, rows)| {
                let counted = rows.iter().filter(|row| !row.over_floor.median.is_nan());
                let bars = counted.map(|row| (row.server.clone(), row.over_floor.median)).collect();
                (scenario.clone(), bars)
            })
            .collect();
        if bars.is_empty() {
            return Ok(());
        }
        fs::write(docs.join("benchmarks.svg"), chart::draw(&bars)).context("cannot write the chart")
    }
}
