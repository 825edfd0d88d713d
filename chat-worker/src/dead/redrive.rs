//! `chat-worker dead redrive`: the store is written with the seq and time that the message had in its stream, then the
//! letter goes. In that order: a crash between the two leaves a letter whose redrive is a repeat.

use std::sync::Arc;

use anyhow::Context as _;
use chat_store::{MessageStore, Outcome};
use ops::broker::Broker;
use schema::stream::{self, CHAT_MARKS, CHAT_MESSAGES, EVENTS};

use super::{Letters, Which, dead_stream, letter::Letter, remove};
use crate::{
    conclusion::Conclusion,
    config::Config,
    console::{self, visible},
    delivery::Delivery,
    job::{WriteError, event_change, message, read_mark},
    moderators::Moderators,
    verdict::Failure,
};

/// Which.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[group(skip)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
}

/// Why a letter stays.
enum Stays {
    /// It can not be stored; the others may be.
    Unstorable(String),
    /// Nothing can be stored now.
    Away(WriteError),
}

pub(super) async fn run(config: &Config, broker: &Broker, arguments: &Arguments) -> anyhow::Result<Conclusion> {
    let stream = dead_stream(broker).await?;
    let mut letters = Letters::new(broker, &arguments.which).await?;
    let pg = config.database.pool()?;
    let redrive = Redrive {
        store: chat_store::connect(&config.store, &pg).await?,
        moderators: Moderators::new(pg),
        held: Held::ask(broker).await?,
    };
    let (mut stored, mut stayed) = (0_u64, 0_u64);
    while let Some(letter) = letters.next().await? {
        match redrive.store(&letter).await {
            Ok(()) => {
                remove(&stream, letter.dead_seq).await.context("it is stored; redriving it again is safe")?;
                stored += 1;
            }
            Err(Stays::Unstorable(why)) => {
                console::answer(format_args!("{} stays: {}", letter.dead_seq, visible(&why)));
                stayed += 1;
            }
            Err(Stays::Away(error)) => {
                let done = format!("{stored} stored before that; run it again when the store is back");
                return Err(anyhow::Error::new(error).context(done));
            }
        }
    }
    console::answer(format_args!("stored {stored}, stayed {stayed}"));
    Ok(if stayed == 0 { Conclusion::Done } else { Conclusion::Found })
}

struct Redrive {
    store: Arc<dyn MessageStore>,
    moderators: Moderators,
    held: Held,
}

impl Redrive {
    async fn store(&self, letter: &Letter) -> Result<(), Stays> {
        let unstorable = |why: &str| Stays::Unstorable(why.to_owned());
        let delivery = letter.delivery().ok_or_else(|| unstorable("it was not buried by a worker"))?;
        match delivery.stream {
            EVENTS => self.store_change(&delivery).await,
            CHAT_MARKS => self.store_mark(&delivery).await,
            _ if self.held.holds(delivery.seq) => {
                Err(unstorable("the worker is not done with its place in the log yet: try again soon"))
            }
            _ => self.store_message(&delivery).await,
        }
    }

    async fn store_message(&self, delivery: &Delivery) -> Result<(), Stays> {
        let entry =
            message::read(delivery).map_err(|reason| Stays::Unstorable(format!("still {}", reason.as_str())))?;
        // A role that was claimed then, or is claimed in a letter that was never judged, is asked for now.
        let checked = self.moderators.check(&[entry]).await.map_err(WriteError::Roles).map_err(Stays::of)?;
        let Some(entry) = checked.into_iter().next() else { return Ok(()) };
        match self.store.redrive(&entry).await.map_err(Stays::of)? {
            // Of a message that stands at a lower seq nothing is missing.
            Outcome::Stored | Outcome::Duplicate { .. } => Ok(()),
            Outcome::Refused(code) => Err(Stays::Unstorable(format!("the store refuses it: {}", code.as_str()))),
        }
    }

    async fn store_change(&self, delivery: &Delivery) -> Result<(), Stays> {
        let change =
            event_change::read(delivery).map_err(|reason| Stays::Unstorable(format!("still {}", reason.as_str())))?;
        // Without a history there is nothing to store.
        let Some(change) = change else { return Ok(()) };
        self.store.write_event_change(&change).await.map_err(Stays::of)
    }

    async fn store_mark(&self, delivery: &Delivery) -> Result<(), Stays> {
        let mark =
            read_mark::read(delivery).map_err(|reason| Stays::Unstorable(format!("still {}", reason.as_str())))?;
        self.store.write_marks(&[mark]).await.map_err(Stays::of)
    }
}

impl Stays {
    fn of(error: impl Into<WriteError>) -> Self {
        let error = error.into();
        match Failure::from(&error) {
            Failure::Unavailable | Failure::NotAsked => Self::Away(error),
            Failure::Refused => Self::Unstorable(error.to_string()),
        }
    }
}

/// What of the log a worker may still hold: it writes the skip of what it buries, and may do so again until its answer
/// has reached the broker.
struct Held {
    first: u64,
    last: u64,
}

impl Held {
    async fn ask(broker: &Broker) -> anyhow::Result<Self> {
        let log = broker.js.get_stream(CHAT_MESSAGES).await.context("the log can not be asked")?;
        let worker = stream::ask_worker(&broker.js, CHAT_MESSAGES).await;
        let floor = worker.context("how far the worker is can not be asked")?.ack_floor.stream_sequence;
        let state = &log.cached_info().state;
        Ok(Self { first: state.first_sequence.max(floor + 1), last: state.last_sequence })
    }

    fn holds(&self, seq: u64) -> bool {
        (self.first..=self.last).contains(&seq)
    }
}
