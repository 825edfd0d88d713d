//! The check is checked: programs with a deliberate bug run under faults, and each bug has to be caught.

use anyhow::{Context, Result, ensure};
use scripts::{console, phone::audit::Rule};

use crate::{
    fault::Kind,
    run::{Wish, run},
};

/// A deliberate bug of the programs' feature `mutants`.
struct Mutant {
    /// As `TIMINGLE_MUTANT` takes it.
    name: &'static str,
    /// What has to break for it to show.
    faults: &'static [Kind],
    /// One of these promises is then broken.
    breaks: &'static [Rule],
}

/// Whether a bug shows is a matter of chance: one that does not is given another.
const TRIES: u64 = 2;

const MUTANTS: [Mutant; 17] = [
    Mutant {
        name: "ack-before-write",
        faults: &[Kind::KillPostgres, Kind::KillWorkers],
        breaks: &[Rule::A1, Rule::A5, Rule::Log],
    },
    Mutant { name: "created-at-now", faults: &[Kind::KillWorkers], breaks: &[Rule::A5, Rule::Log] },
    Mutant { name: "dead-letter-outage", faults: &[Kind::KillPostgres, Kind::HoldWorkersStore], breaks: &[Rule::A6] },
    Mutant {
        name: "skip-on-redelivery",
        faults: &[Kind::KillPostgres, Kind::HoldWorkersStore],
        breaks: &[Rule::A1, Rule::A5, Rule::Log],
    },
    Mutant {
        name: "edit-by-arrival",
        faults: &[Kind::HoldWorkersStore, Kind::KillPostgres],
        breaks: &[Rule::A5, Rule::Log],
    },
    Mutant { name: "counter-unread", faults: &[Kind::Poison], breaks: &[Rule::A7] },
    Mutant { name: "no-gap-check", faults: &[Kind::CutGatewayNats, Kind::HoldGatewayNats], breaks: &[Rule::A5] },
    Mutant {
        name: "show-before-store",
        faults: &[Kind::CutGatewayNats, Kind::HoldGatewayNats],
        breaks: &[Rule::A5, Rule::Wire],
    },
    Mutant { name: "no-message-id", faults: &[Kind::SameTempId, Kind::KillNats], breaks: &[Rule::A1, Rule::A3] },
    Mutant { name: "timeout-is-failed", faults: &[Kind::LateGatewayNats, Kind::HoldGatewayNats], breaks: &[Rule::A2] },
    Mutant { name: "no-removal", faults: &[Kind::Poison, Kind::SlowReader], breaks: &[Rule::A10] },
    Mutant { name: "outbox-mark-first", faults: &[Kind::HoldApiNats, Kind::KillNats], breaks: &[Rule::A8] },
    Mutant { name: "duplicate-replay", faults: &[Kind::KillGateway, Kind::DropSockets], breaks: &[Rule::A5] },
    Mutant { name: "page-out-of-order", faults: &[Kind::Poison], breaks: &[Rule::A4] },
    Mutant { name: "late-post-is-refused", faults: &[Kind::HoldApiNats, Kind::KillNats], breaks: &[Rule::A2] },
    Mutant { name: "late-try-is-another", faults: &[Kind::HoldApiNats, Kind::KillNats], breaks: &[Rule::A3] },
    Mutant { name: "short-log", faults: &[Kind::KillWorkers, Kind::HoldWorkersStore], breaks: &[Rule::A9] },
];

/// Runs every mutant, or those of these names; answers the names of those that nobody caught.
pub async fn hunt(wish: &Wish, only: &[String]) -> Result<Vec<&'static str>> {
    let mut escaped = Vec::new();
    let names: Vec<_> = MUTANTS.iter().map(|mutant| mutant.name).collect();
    let unknown = only.iter().find(|name| !names.contains(&name.as_str()));
    ensure!(unknown.is_none(), "there is no mutant {unknown:?}; there are {}", names.join(", "));
    let is_hunted = |mutant: &&Mutant| only.is_empty() || only.iter().any(|name| name == mutant.name);
    let hunted: Vec<_> = MUTANTS.iter().filter(is_hunted).collect();
    for mutant in &hunted {
        let mut is_caught = false;
        for seed in wish.seed..wish.seed + TRIES {
            if !is_caught {
                is_caught = mutant.is_caught(&Wish { seed, ..wish.clone() }).await?;
            }
        }
        if !is_caught {
            escaped.push(mutant.name);
        }
    }
    console::answer(format_args!("{} of {} mutants were caught", hunted.len() - escaped.len(), hunted.len()));
    Ok(escaped)
}

impl Mutant {
    /// Runs it once.
    async fn is_caught(&self, wish: &Wish) -> Result<bool> {
        let wish = Wish {
            only: self.faults.to_vec(),
            mutant: Some(self.name.to_owned()),
            folder: wish.folder.join(self.name),
            command: format!("cargo x chaos --mutants {} --seed {}", self.name, wish.seed),
            ..wish.clone()
        };
        std::fs::create_dir_all(&wish.folder)?;
        let report = run(&wish).await.with_context(|| self.name)?;
        report.write(&wish.folder)?;
        let broken: Vec<_> = report.broken.keys().map(String::as_str).collect();
        let is_caught = self.breaks.iter().any(|rule| broken.contains(&format!("{rule:?}").as_str()));
        let verdict = if is_caught { "caught" } else { "ESCAPED" };
        console::answer(format_args!("{verdict:<8} {:<20} broken: {}", self.name, broken.join(", ")));
        Ok(is_caught)
    }
}
