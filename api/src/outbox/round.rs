//! One round of a relay over one lane: what is published, in which order, and what is written of it.

use ops::mutant::{self, Mutant};
use schema::id::ChangeId;

use super::repository::Row;

/// A lane that nobody else can take, until it is let go.
pub(super) trait Lane: Send {
    /// Why it can not be read or written.
    type Away: Send;

    /// Its oldest unpublished rows, in order.
    fn list(&mut self) -> impl Future<Output = Result<Vec<Row>, Self::Away>> + Send;
    /// Marks rows as published.
    fn set_processed(&mut self, rows: &[ChangeId]) -> impl Future<Output = Result<(), Self::Away>> + Send;
    /// Notes why a row is refused, for an operator.
    fn set_error(&mut self, row: ChangeId, error: &str) -> impl Future<Output = Result<(), Self::Away>> + Send;
    /// Says whether it has something left.
    fn settle(&mut self) -> impl Future<Output = Result<(), Self::Away>> + Send;
}

/// Where rows are published.
pub(super) trait Publish: Sync {
    /// Why one is not.
    type Refusal: Send;

    /// Publishes one row, and waits for the word that it is there.
    fn publish(&self, row: &Row) -> impl Future<Output = Result<(), Self::Refusal>> + Send;
    /// Whether a refusal is the log's alone: then rows that are not for it go on.
    fn is_of_log(refusal: &Self::Refusal) -> bool;
    /// What is wrong with the row itself, if that is what a refusal says.
    fn fault(refusal: &Self::Refusal) -> Option<String>;
}

/// What came of a round.
#[derive(Debug)]
pub(super) struct Round<E> {
    /// What was published.
    pub(super) published: Vec<Row>,
    /// What was not, and why; what comes after it in the same stream was not tried.
    pub(super) refusal: Option<(ChangeId, E)>,
}

/// Publishes a lane's rows one after the other, and stops at the first that fails: what comes after it must not overtake.
/// But a log that takes nothing does not keep back who is told that somebody was taken out of a room.
pub(super) async fn round<L: Lane, P: Publish>(lane: &mut L, to: &P) -> Result<Round<P::Refusal>, L::Away> {
    let mut round = Round { published: Vec::new(), refusal: None };
    for row in lane.list().await? {
        if round.refusal.is_some() && row.is_for_log() {
            continue;
        }
        match to.publish(&row).await {
            Ok(()) => round.published.push(row),
            Err(_) if mutant::is(Mutant::OutboxMarkFirst) => round.published.push(row),
            Err(error) => {
                let is_of_log = P::is_of_log(&error) && row.is_for_log();
                round.refusal.get_or_insert((row.id, error));
                if !is_of_log {
                    break;
                }
            }
        }
    }
    let published: Vec<_> = round.published.iter().map(|row| row.id).collect();
    lane.set_processed(&published).await?;
    match round.refusal.as_ref().map(|(row, error)| (*row, P::fault(error))) {
        None => lane.settle().await?,
        Some((row, Some(fault))) => lane.set_error(row, &fault).await?,
        Some((_, None)) => {}
    }
    Ok(round)
}

#[cfg(test)]
mod tests;
