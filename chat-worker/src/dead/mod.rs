//! `chat-worker dead`: what could not be stored, for an operator to look at, to try again, or to drop.

mod letter;
mod list;
mod redrive;
mod removal;
mod show;

use anyhow::Context as _;
use async_nats::jetstream;
use clap::Subcommand;
use ops::{
    broker::Broker,
    stored::{self, Stored},
};
use schema::{stream::CHAT_DEAD, subject::DeadSubject};

use self::letter::Letter;
use crate::{conclusion::Conclusion, config::Config};

/// What can be done about what lies in `CHAT_DEAD`.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum DeadCommand {
    /// List what lies there, oldest first: its number there, where it stood in the log, and why it was given up.
    List(list::Arguments),
    /// Show one dead letter with all its headers and its original bytes.
    Show(show::Arguments),
    /// Try again to store what was given up, at the seq and time it had in the log; nothing is published again. What
    /// is stored then leaves `CHAT_DEAD`; what is not stays, and is named. Needs the operator's NATS user in
    /// `NATS_URL`.
    ///
    /// Ends with 0 when everything asked for was stored, with 1 when something stayed.
    Redrive(redrive::Arguments),
    /// Remove dead letters for good, unstored. Needs the operator's NATS user in `NATS_URL`.
    Drop(removal::Arguments),
}

/// Does it.
pub async fn run(config: &Config, command: &DeadCommand) -> anyhow::Result<Conclusion> {
    let broker = config.broker.connect("worker").await?;
    match command {
        DeadCommand::List(arguments) => list::run(&broker, arguments).await,
        DeadCommand::Show(arguments) => show::run(&broker, arguments).await,
        DeadCommand::Redrive(arguments) => redrive::run(config, &broker, arguments).await,
        DeadCommand::Drop(arguments) => removal::run(&broker, arguments).await,
    }
}

/// Which dead letters are meant.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[group(skip)]
pub struct Which {
    #[command(flatten)]
    of: Of,
    /// Of all, only those with this reason.
    #[arg(long, requires = "all")]
    reason: Option<String>,
}

/// Some by their numbers, or all: one of the two has to be said.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[group(required = true, multiple = false)]
struct Of {
    /// Numbers in `CHAT_DEAD`, as `dead list` shows them.
    #[arg(value_name = "DEAD_SEQ")]
    dead_seqs: Vec<u64>,
    /// All of them, as of now.
    #[arg(long)]
    all: bool,
}

/// Dead letters that are read with one request.
const PAGE: usize = 100;

/// The dead letters that were asked for, one after the other.
struct Letters<'a> {
    broker: &'a Broker,
    which: &'a Which,
    page: std::vec::IntoIter<Letter>,
    /// What comes later was not asked for.
    last: u64,
    next: u64,
    named: std::slice::Iter<'a, u64>,
}

impl<'a> Letters<'a> {
    async fn new(broker: &'a Broker, which: &'a Which) -> anyhow::Result<Self> {
        let last = dead_stream(broker).await?.cached_info().state.last_sequence;
        let page = Vec::new().into_iter();
        Ok(Self { broker, which, page, last, next: 1, named: which.of.dead_seqs.iter() })
    }

    /// The next; `None` after the last.
    async fn next(&mut self) -> anyhow::Result<Option<Letter>> {
        if self.page.as_slice().is_empty() {
            self.page = self.next_page().await?.into_iter();
        }
        Ok(self.page.next())
    }

    /// The next few; empty after the last.
    async fn next_page(&mut self) -> anyhow::Result<Vec<Letter>> {
        if !self.which.of.all {
            let Some(dead_seq) = self.named.next() else { return Ok(Vec::new()) };
            return Ok(vec![find(self.broker, *dead_seq).await?]);
        }
        loop {
            let page = page(self.broker, self.next, PAGE).await?;
            let Some(last) = page.last() else { return Ok(Vec::new()) };
            self.next = last.dead_seq + 1;
            let is_over = self.next > self.last;
            let reason = self.which.reason.as_deref();
            let wanted: Vec<Letter> = page
                .into_iter()
                .filter(|letter| letter.dead_seq <= self.last && reason.is_none_or(|reason| reason == letter.reason()))
                .collect();
            if is_over || !wanted.is_empty() {
                return Ok(wanted);
            }
        }
    }
}

/// At most `limit` dead letters from the number `from` on.
async fn page(broker: &Broker, from: u64, limit: usize) -> anyhow::Result<Vec<Letter>> {
    let page = stored::page(&broker.client, CHAT_DEAD, DeadSubject::ALL, from, limit).await;
    Ok(page
        .context("is NATS at NATS_URL there, and was `chat-worker migrate` run?")?
        .into_iter()
        .map(Letter::new)
        .collect())
}

/// The dead letter with this number.
async fn find(broker: &Broker, dead_seq: u64) -> anyhow::Result<Letter> {
    let found: Option<Stored> = stored::at(&broker.client, CHAT_DEAD, dead_seq).await?;
    let found = found.map(Letter::new);
    found.with_context(|| format!("there is no dead letter {dead_seq}: `chat-worker dead list` shows those there are"))
}

async fn dead_stream(broker: &Broker) -> anyhow::Result<jetstream::stream::Stream> {
    let stream = broker.js.get_stream(CHAT_DEAD).await;
    stream.context("CHAT_DEAD can not be asked: is NATS at NATS_URL there, and was `chat-worker migrate` run?")
}

/// Takes a dead letter out of the stream.
async fn remove(stream: &jetstream::stream::Stream, dead_seq: u64) -> anyhow::Result<()> {
    stream.delete_message(dead_seq).await.with_context(|| {
        format!("{dead_seq} was not removed: NATS_URL must name a user that may delete (the operator's)")
    })?;
    Ok(())
}
