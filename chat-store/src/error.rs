//! What a caller of the store can act on.

/// Why a call of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store does not answer, or not in time: the same call may succeed later.
    #[error("the message store is away: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row holds what no version of this program has written.
    #[error("{table}.{column} of {id} does not decode")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// Which row.
        id: String,
    },
    /// The store answered that the call itself is wrong (a missing table, a refused statement).
    #[error("the message store refused: {0}")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why nothing is written over another message.
pub(crate) const OTHER_AT_SEQ: &str = "another message stands at this seq";
