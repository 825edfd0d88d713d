//! Whether nothing was lost: the message store, the events' histories and the outbox are compared with the log and with
//! each other, page by page, beside workers that go on.
//!
//! Only what is settled is judged: seqs up to the worker's ack floor, as it was at the beginning. What looks wrong is
//! looked at a second time, once the workers are past all that the streams held by then (`again`); so nothing is named
//! that was only on its way.

mod again;
mod events;
mod finding;
mod log_rows;
mod outbox;
mod report;
mod scope;
mod standing;
mod stream;

use std::{sync::Arc, time::Instant};

use chat_store::{MessageStore, StoreError};
use ops::{broker::Broker, database::Pool, stored};

pub use finding::{Finding, Place};
pub use report::{Checked, Report};
pub use scope::{Scope, Since};

/// What is compared.
pub struct Parts {
    /// The message store.
    pub store: Arc<dyn MessageStore>,
    /// Events and the outbox.
    pub pg: Pool,
    /// The log.
    pub broker: Broker,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The message store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// PostgreSQL.
    #[error("PostgreSQL: {0}")]
    Database(#[from] sqlx::Error),
    /// The log.
    #[error(transparent)]
    Stream(#[from] stored::ReadError),
    /// A stream or its consumer.
    #[error("the stream {stream} can not be asked, was `chat-worker migrate` run? {reason}")]
    Broker {
        /// Which.
        stream: &'static str,
        /// The broker's own words.
        reason: String,
    },
}

/// Is told what is being done, and how much was looked at.
pub type Progress = dyn Fn(&'static str, &Checked) + Send + Sync;

/// Rows of one page, of the stream as of the store.
const PAGE: usize = 500;

/// Checks everything in `scope`, and tells `progress` what it is at.
pub async fn run(parts: &Parts, scope: Scope, progress: &Progress) -> Result<Report, VerifyError> {
    let begun = Instant::now();
    let mut check = Check::begin(parts, scope, progress).await?;
    check.standing().await?;
    let window = check.stream().await?;
    check.log_rows(window).await?;
    if check.scope.is_whole() {
        check.ids().await?;
    }
    check.marks().await?;
    check.events().await?;
    check.outbox().await?;
    check.look_again().await?;
    Ok(check.findings.report(check.checked, check.settled, begun.elapsed()))
}

/// One run.
struct Check<'a> {
    parts: &'a Parts,
    scope: scope::Resolved,
    progress: &'a Progress,
    findings: finding::Findings,
    checked: Checked,
    /// Up to this seq everything is judged.
    settled: u64,
    /// The log as it was at the beginning.
    log: standing::Extent,
    /// Where the log ends, as far as is known; none = its numbers went back, and its end says nothing.
    end: Option<u64>,
    /// What lies in `CHAT_DEAD`, by the seq it had in the log.
    dead: std::collections::HashSet<u64>,
}

impl<'a> Check<'a> {
    async fn begin(parts: &'a Parts, scope: Scope, progress: &'a Progress) -> Result<Self, VerifyError> {
        let log = standing::extent(&parts.broker, schema::stream::CHAT_MESSAGES).await?;
        let scope = scope.resolve(&parts.broker, &log).await?;
        let dead = stream::dead_seqs(&parts.broker).await?;
        let settled = log.settled();
        let (findings, checked) = (finding::Findings::default(), Checked::default());
        Ok(Self { parts, scope, progress, findings, checked, settled, log, end: Some(log.last), dead })
    }

    fn tell(&self, at: &'static str) {
        (self.progress)(at, &self.checked);
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}
