//! Marks of messages that are being tried alone: what a message did to earlier workers is known to the
//! next one, because the mark it left is still there.

use std::time::Duration;

use async_nats::jetstream::{self, kv};

use crate::delivery::Delivery;

/// The bucket.
pub const BUCKET: &str = "WORKER_TRYING";
/// How long a mark counts; far above the longest wait between two deliveries.
pub const KEPT_FOR: Duration = Duration::from_hours(24);

/// The marks of one stream's messages.
#[derive(Debug)]
pub struct Marks {
    js: jetstream::Context,
}

/// The bucket could not be asked: the try has to wait.
#[derive(Debug, thiserror::Error)]
#[error("bucket {BUCKET}: {0}")]
pub struct MarksError(#[source] async_nats::Error);

impl Marks {
    /// Marks on this broker.
    pub const fn new(js: jetstream::Context) -> Self {
        Self { js }
    }

    /// How many tries have left their mark on the message.
    pub async fn count(&self, delivery: &Delivery) -> Result<u32, MarksError> {
        let found = self.bucket().await?.get(key(delivery)).await.map_err(|error| MarksError(error.into()))?;
        // A value that is no number was not written by us; it proves nothing.
        Ok(found.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok()).unwrap_or(0))
    }

    /// Leaves a mark: `count` with this try.
    pub async fn put(&self, delivery: &Delivery, count: u32) -> Result<(), MarksError> {
        let value = count.to_string().into();
        let put = self.bucket().await?.put(key(delivery), value).await;
        put.map(|_revision| ()).map_err(|error| MarksError(error.into()))
    }

    /// Takes all marks off the message.
    pub async fn clear(&self, delivery: &Delivery) -> Result<(), MarksError> {
        self.bucket().await?.purge(key(delivery)).await.map_err(|error| MarksError(error.into()))
    }

    async fn bucket(&self) -> Result<kv::Store, MarksError> {
        self.js.get_key_value(BUCKET).await.map_err(|error| MarksError(error.into()))
    }
}

fn key(delivery: &Delivery) -> String {
    format!("trying.{}.{}", delivery.stream, delivery.seq)
}
