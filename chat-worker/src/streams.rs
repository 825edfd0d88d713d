//! The streams, consumers and the bucket that the worker needs: made, or made again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::jetstream::{self, kv, stream};
use chat_store::{MessageStore, StoreError};
use ops::mutant::{self, Mutant};
use schema::stream::{EnsureError, Sizes};
use tokio::sync::Mutex;

use crate::trying;

/// Makes what is missing on the broker. Shared by all consumers of the process.
pub struct Streams {
    js: jetstream::Context,
    store: Arc<dyn MessageStore>,
    sizes: Sizes,
    ensured_at: Mutex<Option<Instant>>,
}

/// Why the broker is not as it must be.
#[derive(Debug, thiserror::Error)]
pub enum StreamsError {
    /// Without the high-water mark a new stream might give numbers a second time.
    #[error("the high-water mark is not known")]
    HighWater(#[source] StoreError),
    /// A stream or consumer.
    #[error(transparent)]
    Stream(#[from] EnsureError),
    /// The bucket of the marks.
    #[error("bucket {}", trying::BUCKET)]
    Bucket(#[from] jetstream::context::CreateKeyValueError),
}

/// How long the log of [`Mutant::ShortLog`] keeps what is said.
const SHORT: Duration = Duration::from_secs(2);
/// Two consumers that lose the same connection ask once.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

impl Streams {
    /// Knows what the broker should have.
    pub fn new(js: jetstream::Context, store: Arc<dyn MessageStore>, sizes: Sizes) -> Self {
        Self { js, store, sizes, ensured_at: Mutex::default() }
    }

    /// Makes sure that everything is there as defined.
    pub async fn ensure(&self) -> Result<(), StreamsError> {
        let mut ensured_at = self.ensured_at.lock().await;
        if ensured_at.is_some_and(|at| at.elapsed() < ASK_AGAIN_AFTER) {
            return Ok(());
        }
        let high_water = self.store.high_water().await.map_err(StreamsError::HighWater)?;
        schema::stream::ensure_all(&self.js, self.sizes, high_water).await?;
        if mutant::is(Mutant::ShortLog) {
            let log = schema::stream::chat_messages(self.sizes);
            let short = stream::Config { max_age: SHORT, duplicate_window: SHORT, ..log };
            schema::stream::ensure(&self.js, short).await?;
        }
        self.js.create_or_update_key_value(bucket(self.sizes)).await?;
        *ensured_at = Some(Instant::now());
        Ok(())
    }
}

fn bucket(sizes: Sizes) -> kv::Config {
    kv::Config {
        bucket: trying::BUCKET.into(),
        history: 1,
        max_age: trying::KEPT_FOR,
        num_replicas: sizes.replicas,
        ..kv::Config::default()
    }
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams").field("sizes", &self.sizes).finish_non_exhaustive()
    }
}
