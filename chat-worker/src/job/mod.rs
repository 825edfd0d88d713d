//! What a stream's messages mean, and where they are written: one file for each kind.

pub mod event_change;
pub mod message;
pub mod read_mark;

use std::future::Future;

use chat_store::{Outcome, StoreError};
use schema::problem::Code;
use uuid::Uuid;

use crate::{
    delivery::Delivery,
    verdict::{Failure, Reason},
};

/// Why a write brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The store's own reason.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store was not asked: who runs a room is not known, because PostgreSQL does not say.
    #[error("who runs the room is not known: {0}")]
    Roles(#[source] sqlx::Error),
}

impl From<&WriteError> for Failure {
    fn from(error: &WriteError) -> Self {
        match error {
            WriteError::Store(error) => Self::from(error),
            WriteError::Roles(_) => Self::NotAsked,
        }
    }
}

/// The work on one stream. Every write may be made again at any time, by any worker, in any order.
pub trait Job: std::fmt::Debug + Send + Sync + 'static {
    /// What a message is once it is read.
    type Item: Send + Sync;
    /// The stream.
    const STREAM: &'static str;
    /// The most messages of one lane in one write.
    const ROWS_MAX: usize;

    /// The lane of a message: those of one lane are written in order.
    fn lane(&self, delivery: &Delivery) -> Uuid;

    /// Reads a message, or says why nobody ever can.
    fn read(&self, delivery: &Delivery) -> Result<Self::Item, Reason>;

    /// Writes messages of one lane; one outcome each, in their order.
    fn write(&self, items: &[Self::Item]) -> impl Future<Output = Result<Vec<Outcome>, WriteError>> + Send;

    /// The same, in no company: one of them may be what takes the store or the worker down.
    fn write_alone(&self, items: &[Self::Item]) -> impl Future<Output = Result<Vec<Outcome>, WriteError>> + Send {
        self.write(items)
    }

    /// Writes that there is nothing to show at this seq.
    fn skip(&self, delivery: &Delivery) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes note that the message stands in the store, at `seq`.
    fn saved(&self, delivery: &Delivery, item: &Self::Item, seq: u64);

    /// Takes note that the message will never be stored; `item` when it could be read.
    fn refused(&self, delivery: &Delivery, item: Option<&Self::Item>, code: Code);
}
