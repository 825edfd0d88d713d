//! Writes, gathered by partition: one unlogged batch for each, never across partitions, many at once.

use std::collections::HashMap;

use ::scylla::{
    client::session::Session,
    serialize::row::SerializeRow,
    statement::{
        batch::{Batch, BatchStatement, BatchType},
        prepared::PreparedStatement,
    },
};
use futures_util::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::error;
use crate::StoreError;

/// How many requests one call keeps in flight.
pub(super) const IN_FLIGHT_MAX: usize = 64;
/// How many rows a batch has at most.
const BATCH_ROWS_MAX: usize = 64;
/// How many bytes of text a batch has at most, one row apart; servers refuse batches of some hundred KiB.
const BATCH_BYTES_MAX: usize = 48 * 1024;

/// The partition key of a write. Tables with the same key share their batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Partition {
    /// A room or a person, in one month.
    Month(Uuid, i32),
    /// A room, a person or an id.
    One(Uuid),
}

/// Values of a statement.
type Values = Box<dyn SerializeRow + Send + Sync>;

/// One write.
pub(super) struct Mutation {
    partition: Partition,
    statement: PreparedStatement,
    values: Values,
    /// About how large it is.
    text_bytes: usize,
}

impl Mutation {
    pub(super) fn new(
        partition: Partition,
        statement: &PreparedStatement,
        values: impl SerializeRow + Send + Sync + 'static,
    ) -> Self {
        Self { partition, statement: statement.clone(), values: Box::new(values), text_bytes: 0 }
    }

    /// The same, with the size of its texts.
    pub(super) fn of_bytes(self, text_bytes: usize) -> Self {
        Self { text_bytes, ..self }
    }
}

/// Makes all writes, in no order.
pub(super) async fn run(session: &Session, mutations: Vec<Mutation>) -> Result<(), StoreError> {
    let requests = gather(mutations).into_iter().map(|gathered| send(session, gathered));
    stream::iter(requests).buffer_unordered(IN_FLIGHT_MAX).try_collect().await
}

/// Splits writes by partition, and large partitions into batches of bounded size.
fn gather(mutations: Vec<Mutation>) -> Vec<Vec<Mutation>> {
    let mut open: HashMap<Partition, (usize, Vec<Mutation>)> = HashMap::new();
    let mut full = Vec::new();
    for mutation in mutations {
        let (bytes, gathered) = open.entry(mutation.partition).or_default();
        if gathered.len() >= BATCH_ROWS_MAX || (*bytes + mutation.text_bytes > BATCH_BYTES_MAX && !gathered.is_empty())
        {
            full.push(std::mem::take(gathered));
            *bytes = 0;
        }
        *bytes += mutation.text_bytes;
        gathered.push(mutation);
    }
    full.extend(open.into_values().map(|(_, gathered)| gathered));
    full
}

async fn send(session: &Session, mut gathered: Vec<Mutation>) -> Result<(), StoreError> {
    if gathered.len() == 1
        && let Some(only) = gathered.pop()
    {
        session.execute_unpaged(&only.statement, only.values).await.map_err(error::execution)?;
        return Ok(());
    }
    let (statements, values): (Vec<_>, Vec<_>) = gathered
        .into_iter()
        .map(|mutation| (BatchStatement::PreparedStatement(mutation.statement), mutation.values))
        .unzip();
    let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
    batch.set_is_idempotent(true);
    session.batch(&batch, values).await.map_err(error::execution)?;
    Ok(())
}
