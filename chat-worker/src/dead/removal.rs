//! `chat-worker dead drop`.

use ops::broker::Broker;

use super::{Letters, Which, dead_stream, remove};
use crate::{conclusion::Conclusion, console};

/// Which.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[group(skip)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
    /// That it is meant: what is dropped is gone.
    #[arg(long, required = true)]
    yes: bool,
}

pub(super) async fn run(broker: &Broker, arguments: &Arguments) -> anyhow::Result<Conclusion> {
    anyhow::ensure!(arguments.yes, "nothing is dropped without --yes");
    let stream = dead_stream(broker).await?;
    let mut letters = Letters::new(broker, &arguments.which).await?;
    let mut dropped: u64 = 0;
    while let Some(letter) = letters.next().await? {
        remove(&stream, letter.dead_seq).await?;
        dropped += 1;
    }
    console::answer(format_args!("dropped {dropped}"));
    Ok(Conclusion::Done)
}
