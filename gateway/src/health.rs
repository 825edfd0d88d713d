//! How the log and the worker are doing, asked once a second: what a gateway may still promise.

use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use async_nats::Client;
use bytes::Bytes;
use ops::{broker::LinkChange, clock::Clock};
use parking_lot::Mutex;
use schema::{problem::Code, stream};
use serde::Deserialize;

use crate::{log_reader::LogReader, state::Gateway};

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How old an answer may be to be relied on.
const FRESH: Duration = Duration::from_secs(5);
/// A resend that is not in the store may be published while the worker has nothing older than this
/// unacknowledged: then the stream's duplicate window (2 min) still covers what the store does not.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);
/// This near the stream's first seq the first seq is asked for afresh.
const NEAR: u64 = 50_000;

/// The newest answers.
#[derive(Debug)]
pub struct Health {
    client: Client,
    clock: Clock,
    seen: Mutex<Option<Seen>>,
    /// The greatest seq that the store or this gateway ever saw.
    greatest: AtomicU64,
    is_behind: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    first_seq: u64,
    oldest_unacked: Duration,
    age_max: Duration,
}

#[derive(Deserialize)]
struct StreamInfo {
    config: StreamConfig,
    state: StreamState,
}

#[derive(Deserialize)]
struct StreamConfig {
    max_age: u64,
}

#[derive(Deserialize)]
struct StreamState {
    first_seq: u64,
    last_seq: u64,
}

#[derive(Deserialize)]
struct ConsumerInfo {
    ack_floor: AckFloor,
}

#[derive(Deserialize)]
struct AckFloor {
    stream_seq: u64,
}

impl Health {
    /// Nothing is known yet.
    pub fn new(client: Client, clock: Clock) -> Self {
        let (greatest, is_behind) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { client, clock, seen: Mutex::new(None), greatest, is_behind }
    }

    /// Whether a new message may be published; else why not.
    pub fn may_send(&self) -> Result<(), Code> {
        if self.is_behind() {
            return Err(Code::LogBehind);
        }
        match *self.seen.lock() {
            Some(seen) if !seen.age_max.is_zero() && seen.oldest_unacked > seen.age_max / 2 => Err(Code::Backlog),
            _ => Ok(()),
        }
    }

    /// Whether a message that is not in the store is provably in the duplicate window, if it was ever
    /// stored at all.
    pub fn is_settled(&self) -> bool {
        let seen = *self.seen.lock();
        seen.is_some_and(|seen| seen.at.elapsed() < FRESH && seen.oldest_unacked + seen.at.elapsed() < SETTLED_WITHIN)
    }

    /// What `/readyz` says of the log.
    pub fn verdict(&self) -> Result<(), String> {
        if self.is_behind() {
            return Err("its numbers went back: an operator must look".into());
        }
        match *self.seen.lock() {
            Some(seen) if seen.at.elapsed() < FRESH => Ok(()),
            _ => Err("the stream or the worker's consumer does not answer".into()),
        }
    }

    /// Whether the log's numbers went back.
    pub fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::Relaxed)
    }

    /// The stream's first seq, asked for afresh when `cursor` is so near it that it matters.
    pub async fn first_seq_near(&self, cursor: u64) -> Result<u64, String> {
        match *self.seen.lock() {
            Some(seen) if seen.at.elapsed() < FRESH && cursor > seen.first_seq + NEAR => return Ok(seen.first_seq),
            _ => {}
        }
        Ok(self.stream().await?.state.first_seq)
    }

    async fn stream(&self) -> Result<StreamInfo, String> {
        self.ask(format!("$JS.API.STREAM.INFO.{}", stream::CHAT_MESSAGES)).await
    }

    async fn consumer(&self) -> Result<ConsumerInfo, String> {
        self.ask(format!("$JS.API.CONSUMER.INFO.{}.{}", stream::CHAT_MESSAGES, stream::WORKER)).await
    }

    async fn ask<T: for<'de> Deserialize<'de>>(&self, subject: String) -> Result<T, String> {
        let asked = self.client.request(subject, Bytes::new()).await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&asked.payload).map_err(|error| error.to_string())
    }

    async fn look(&self, log: &LogReader) -> Result<(), String> {
        let stream = self.stream().await?;
        let floor = self.consumer().await?.ack_floor.stream_seq;
        let oldest_unacked = if floor >= stream.state.last_seq {
            Duration::ZERO
        } else {
            let oldest = log.first_from(floor + 1).await.map_err(|error| error.to_string())?;
            oldest.map_or(Duration::ZERO, |oldest| {
                let millis = self.clock.now().unix_millis() - oldest.logged_at.unix_millis();
                Duration::from_millis(u64::try_from(millis).unwrap_or(0))
            })
        };
        let greatest = self.greatest.fetch_max(stream.state.last_seq, Ordering::Relaxed);
        let is_behind = stream.state.last_seq < greatest;
        if self.is_behind.swap(is_behind, Ordering::Relaxed) != is_behind {
            tracing::error!(is_behind, stream.last_seq = stream.state.last_seq, greatest, "the log's numbers");
        }
        *self.seen.lock() = Some(Seen {
            at: Instant::now(),
            first_seq: stream.state.first_seq,
            oldest_unacked,
            age_max: Duration::from_nanos(stream.config.max_age),
        });
        Ok(())
    }
}

/// Looks once a second until the process stops.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let stopping = gateway.lifecycle.stopping().clone();
    let mut link = gateway.broker.link_changes();
    let mut must_compare = true;
    loop {
        if must_compare && let Ok(mark) = gateway.store.high_water().await {
            gateway.health.greatest.fetch_max(mark, Ordering::Relaxed);
            must_compare = false;
        }
        if let Err(error) = gateway.health.look(&gateway.log).await {
            tracing::debug!(error, "the log's health is not known");
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
            change = link.recv() => must_compare |= change == Ok(LinkChange::Reconnected),
        }
    }
}
