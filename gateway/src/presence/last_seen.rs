//! When people were last there, for those who ask later: into Redis, many at once. Without Redis it is
//! forgotten, and nothing else.

use std::{collections::HashMap, sync::Arc, time::Duration};

use deadpool_redis::redis;
use parking_lot::Mutex;
use schema::{
    clock::Timestamp,
    id::{RoomId, UserId},
    last_seen::{KEPT_FOR, redis_key},
};
use tokio::sync::Notify;

use crate::state::Gateway;

/// Times that wait to be written at most; more are forgotten.
const WAITING_MAX: usize = 100_000;
/// Times in one round trip.
const PER_WRITE: usize = 500;
/// Between a first time and the write, so that more can go with it.
const GATHER_FOR: Duration = Duration::from_millis(100);
/// How long one write may take.
const WRITE_WITHIN: Duration = Duration::from_secs(1);

/// What waits to be written.
pub(crate) struct LastSeen {
    waiting: Mutex<HashMap<(RoomId, UserId), Timestamp>>,
    wake: Notify,
    redis: deadpool_redis::Pool,
    prefix: String,
}

impl std::fmt::Debug for LastSeen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LastSeen").finish_non_exhaustive()
    }
}

impl LastSeen {
    pub(super) fn new(redis: deadpool_redis::Pool, prefix: String) -> Self {
        Self { waiting: Mutex::default(), wake: Notify::new(), redis, prefix }
    }

    /// Somebody was last in a room at `at`.
    pub(super) fn note(&self, room: RoomId, user: UserId, at: Timestamp) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < WAITING_MAX {
            waiting.insert((room, user), at);
            self.wake.notify_one();
        }
    }

    /// Writes all that waits; what can not be written is forgotten.
    pub(super) async fn write_all(&self) {
        let waiting: Vec<_> = std::mem::take(&mut *self.waiting.lock()).into_iter().collect();
        for chunk in waiting.chunks(PER_WRITE) {
            match tokio::time::timeout(WRITE_WITHIN, self.write(chunk)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return tracing::warn!(error, "redis does not answer: last_seen_at is forgotten"),
                Err(_elapsed) => return tracing::warn!("redis does not answer: last_seen_at is forgotten"),
            }
        }
    }

    async fn write(&self, seen: &[((RoomId, UserId), Timestamp)]) -> Result<(), String> {
        let mut redis = self.redis.get().await.map_err(|error| error.to_string())?;
        let mut pipeline = redis::pipe();
        for ((room, user), at) in seen {
            let key = redis_key(&self.prefix, *room, *user);
            pipeline.cmd("SET").arg(key).arg(at.to_string()).arg("EX").arg(KEPT_FOR.as_secs()).ignore();
        }
        pipeline.query_async::<()>(&mut redis).await.map_err(|error| error.to_string())
    }
}

/// Writes what there is to write, until the process stops; what is left then is written at the end of the
/// drain.
pub(crate) async fn write(gateway: Arc<Gateway>) {
    let stopping = gateway.lifecycle.stopping().clone();
    let last_seen = &gateway.presence.last_seen;
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = last_seen.wake.notified() => {}
        }
        tokio::time::sleep(GATHER_FOR).await;
        last_seen.write_all().await;
    }
}
