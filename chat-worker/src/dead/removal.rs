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
    /// Of all, only those with this reason.
    #[arg(long, requires = "all")]
    reason: Option<String>,
    /// That it is meant: what is dropped is gone.
    #[arg(long, required = true)]
    yes: bool,
}

pub(super) async fn run(broker: &Broker, arguments: &Arguments) -> anyhow::Result<Conclusion> {
    anyhow::ensure!(arguments.yes, "nothing is dropped without --yes");
    let stream = dead_stream(broker).await?;
    let mut letters = Letters::new(broker, &arguments.which, arguments.reason.as_deref()).await?;
    let mut dropped: u64 = 0;
    loop {
        let page = letters.next_page().await?;
        if page.is_empty() {
            break;
        }
        for letter in page {
            remove(&stream, letter.dead_seq).await?;
            dropped += 1;
        }
    }
    console::answer(format_args!("dropped {dropped}"));
    Ok(Conclusion::Done)
}
