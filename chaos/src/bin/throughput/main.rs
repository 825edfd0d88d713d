//! The program behind `cargo x bench worker`: how fast a worker stores a backlog, beside a loop that inserts the same rows
//! into the same store and does nothing else; and how long one message in each of many rooms takes with a slow store.

mod backlog;
mod bare;
mod parallel;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use chaos::evidence::operator;
use clap::Parser;
use scripts::{
    console,
    stack::{self, Plan, Ports, Stack, Store},
};

/// Measures the worker beside a bare loop of inserts.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where messages are stored
    #[arg(long, value_enum)]
    store: Store,
    /// Messages of each measurement
    #[arg(long, default_value = "20000", value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    messages: u32,
    /// Pairs of measurements
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u32).range(1..=20))]
    pairs: u32,
    /// Where the programs are
    #[arg(long, value_name = "FOLDER")]
    binaries: PathBuf,
    /// Where the stack's data and logs are
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
    /// Where the report goes, in JSON: pairs of rates, the bare loop's first, and milliseconds with a quick and a slow store
    report: PathBuf,
}

const WORKER: &str = "chat-worker-1";

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::failure(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let binaries = arguments.binaries.canonicalize().context("no programs there")?;
    let plan = Plan::new(&arguments.folder).ports(Ports::Auto).store(arguments.store).binaries(binaries);
    let rates = beside(arguments, plan.clone(), async |stack| measure(stack, arguments).await).await?;
    let millis = match arguments.store {
        Store::Postgres => beside(arguments, plan, async |stack| parallel::measure(stack).await).await?,
        Store::Scylla => [Vec::new(), Vec::new()],
    };
    Ok(std::fs::write(&arguments.report, serde_json::to_vec(&(rates, millis))?)?)
}

/// Does something beside a stack of its own, which is gone afterwards.
async fn beside<T>(arguments: &Arguments, plan: Plan, work: impl AsyncFnOnce(&Stack) -> Result<T>) -> Result<T> {
    Stack::at(&arguments.folder).clear()?;
    let stack = tokio::task::spawn_blocking(move || stack::start(&plan)).await.context("the start died")??;
    let done = work(&stack).await;
    stack.stop().await?;
    stack.wipe()?;
    done
}

async fn measure(stack: &Stack, arguments: &Arguments) -> Result<Vec<(f64, f64)>> {
    let js = operator(stack).await?;
    let store = bare::Store::connect(stack, arguments.store).await?;
    let mut rates = Vec::new();
    for pair in 1..=arguments.pairs {
        stack.kill9(WORKER)?;
        backlog::publish(&js, arguments.messages, bare::ROOMS).await?;
        let bare = bare::rate(&store, arguments.messages).await?;
        let worker = backlog::drain_rate(&js, stack, WORKER).await?;
        console::step(
            "found",
            format_args!("{worker:.0} of {bare:.0} messages a second ({pair} of {})", arguments.pairs),
        );
        rates.push((bare, worker));
    }
    Ok(rates)
}
