//! The program behind `cargo x chaos`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use chaos::{Kind, Wish};
use clap::Parser;
use scripts::{console, stack::Store};

const FOLDER: &str = ".run/chaos";

/// Breaks everything under people who talk, and proves that nothing was lost.
#[derive(Debug, Parser)]
#[command(name = "cargo x chaos", bin_name = "cargo x chaos", max_term_width = 100)]
struct Arguments {
    /// How long things break; without it every fault comes once, with outages of 5 s
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Where its choices begin; a failing run says how to repeat it
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
    /// Where messages are stored
    #[arg(long, value_enum, default_value = "postgres")]
    store: Store,
    /// nats-servers; 3 are a cluster, of which the log's leader is killed
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=5))]
    nats: u16,
    /// Only these faults, with commas
    #[arg(long, value_name = "FAULTS", value_delimiter = ',')]
    only: Vec<Kind>,
    /// Sockets that are lost and come back at once
    #[arg(long, value_name = "N", default_value = "500")]
    crowd: usize,
    /// Where data, logs, report.md and report.json are
    #[arg(long, value_name = "FOLDER", default_value = FOLDER)]
    folder: PathBuf,
    /// Programs with deliberate bugs instead, each of which has to be caught; or those of these names
    #[arg(long, value_name = "NAMES", num_args = 0.., value_delimiter = ',')]
    mutants: Option<Vec<String>>,
    /// Break optimised programs
    #[arg(long)]
    release: bool,
    /// Where the programs are
    #[arg(long, value_name = "FOLDER", hide = true)]
    binaries: PathBuf,
}

impl Arguments {
    /// The command line that does it again.
    fn command(&self) -> String {
        let only: Vec<_> = self.only.iter().map(|kind| kind.as_str()).collect();
        let mut words = vec![
            format!("cargo x chaos --seed {} --store {}", self.seed, self.store.as_str()),
            format!("--nats {} --crowd {}", self.nats, self.crowd),
        ];
        words.extend(self.release.then(|| "--release".to_owned()));
        words.extend(self.minutes.map(|minutes| format!("--minutes {minutes}")));
        words.extend((!only.is_empty()).then(|| format!("--only {}", only.join(","))));
        words.extend((self.folder != Path::new(FOLDER)).then(|| format!("--folder {}", self.folder.display())));
        words.join(" ")
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            console::failure(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    let command = arguments.command();
    let Arguments { minutes, seed, store, nats: nats_servers, only, crowd, folder, mutants, binaries, release: _ } =
        arguments;
    std::fs::create_dir_all(&folder)?;
    // Processes are started from other folders.
    let binaries = binaries.canonicalize().with_context(|| format!("no programs in {}", binaries.display()))?;
    let wish = Wish { minutes, seed, store, nats_servers, only, crowd, folder, binaries, mutant: None, command };
    if let Some(names) = mutants {
        let escaped = chaos::hunt(&wish, &names).await?;
        return Ok(if escaped.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    // A run that could not be judged is repeated the same way.
    let again = || console::note(format_args!("again: {}", wish.command));
    let report = chaos::run(&wish).await.inspect_err(|_told_by_main| again())?;
    let file = report.write(&wish.folder)?;
    console::answer(report.markdown());
    console::step("wrote", file.display());
    if report.is_clean() {
        return Ok(ExitCode::SUCCESS);
    }
    again();
    Ok(ExitCode::FAILURE)
}
