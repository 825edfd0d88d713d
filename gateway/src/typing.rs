//! Who types where, said by this gateway's sockets: a word that is not renewed lapses after 10 s.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use schema::{
    frame::limit,
    id::{RoomId, UserId},
    signal::Signal,
    subject::LiveSignalSubject,
};
use tokio::time::Instant;

use crate::state::Gateway;

/// How often lapsed ones are looked for.
const EVERY: Duration = Duration::from_millis(500);

/// Who types until when.
#[derive(Debug, Default)]
pub struct TypingWatch(Mutex<HashMap<(RoomId, UserId), Instant>>);

impl TypingWatch {
    /// Notes and tells every gateway that `user` types, or has stopped.
    pub async fn say(&self, gateway: &Gateway, room: RoomId, user_id: UserId, active: bool) {
        if active {
            self.0.lock().insert((room, user_id), Instant::now() + limit::TYPING_LAPSES);
        } else if self.0.lock().remove(&(room, user_id)).is_none() {
            // Nobody was told that they type.
            return;
        }
        let signal = serde_json::to_vec(&Signal::Typing { user_id, active }).expect("an id and a bool serialise");
        let subject = LiveSignalSubject(room).to_string();
        // Not stored and soon outdated: if NATS is away it is lost, and nobody misses it.
        if let Err(error) = gateway.broker.client.publish(subject, signal.into()).await {
            tracing::debug!(%error, "a typing signal was not sent");
        }
    }

    fn take_lapsed(&self) -> Vec<(RoomId, UserId)> {
        let now = Instant::now();
        let typing = self.0.lock();
        typing.iter().filter(|(_, until)| **until <= now).map(|(key, _)| *key).collect()
    }
}

/// Ends what has lapsed, until the process stops.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let stopping = gateway.lifecycle.stopping().clone();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        for (room, user_id) in gateway.typing.take_lapsed() {
            gateway.typing.say(&gateway, room, user_id, false).await;
        }
    }
}
