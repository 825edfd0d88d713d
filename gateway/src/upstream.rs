//! What the rooms of a gateway hear and read from. A trait, so that a simulation can put its own log, store and time
//! in the place of real ones; everything that decides what a socket is shown is the same code.

use std::{future::Future, sync::Arc, time::Duration};

use async_nats::Message;
use chat_store::{Found, LogRow, StoreError};
use schema::id::{MessageId, RoomId};

use crate::{
    budget::Budget,
    hub::Room,
    log_reader::{LogAway, LogPage},
    measure::Measure,
    render::LogMessage,
    replay::Pages,
    socket::Socket,
    state::Gateway,
};

/// The log, the store below it, and what is shared by those who read them.
pub(crate) trait Upstream: Send + Sync + 'static {
    /// At most `limit` messages of `room` above `after`, out of the stream.
    fn page(&self, room: RoomId, after: u64, limit: usize) -> impl Future<Output = Result<LogPage, LogAway>> + Send;

    /// The last seq of `room` in the stream; 0 if it has none there.
    fn top(&self, room: RoomId) -> impl Future<Output = Result<u64, LogAway>> + Send;

    /// The stream's first seq, as exact as matters at `cursor`.
    fn first_seq_near(&self, cursor: u64) -> impl Future<Output = Result<u64, String>> + Send;

    /// The log of `room` above `after`, out of the store.
    fn rows(
        &self,
        room: RoomId,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<LogRow>, StoreError>> + Send;

    /// The last seq of `room` in the store.
    fn last_stored(&self, room: RoomId) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Where these messages stand in the store.
    fn find(&self, ids: &[MessageId]) -> impl Future<Output = Result<Vec<Found>, StoreError>> + Send;

    /// Answers after `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;

    /// Answers when it is a joining socket's turn.
    fn turn(&self) -> impl Future<Output = ()> + Send;

    /// Whether a fault test wants this live copy to be lost.
    fn loses(&self, message: &LogMessage) -> bool;

    /// The log has this message: its live copy is here.
    fn is_in_log(self: &Arc<Self>, message: &LogMessage);

    /// Something came for the room that is not in the log.
    fn signal(self: &Arc<Self>, room: &Arc<Room>, message: Message);

    /// Takes a socket out of a room.
    fn unseat(&self, socket: &Socket, room: RoomId);

    /// How much waits for slow readers.
    fn budget(&self) -> &Budget;

    /// What is counted.
    fn measure(&self) -> &Measure;

    /// Replays that are being read.
    fn pages(&self) -> &Pages;
}

/// Answers as `future` does, or `None` if it does not within `at_most`.
pub(crate) async fn within<T>(
    upstream: &impl Upstream,
    at_most: Duration,
    future: impl Future<Output = T> + Send,
) -> Option<T> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = upstream.sleep(at_most) => None,
    }
}

impl Upstream for Gateway {
    async fn page(&self, room: RoomId, after: u64, limit: usize) -> Result<LogPage, LogAway> {
        self.log.page(room, after, limit).await
    }

    async fn top(&self, room: RoomId) -> Result<u64, LogAway> {
        self.log.top(room).await
    }

    async fn first_seq_near(&self, cursor: u64) -> Result<u64, String> {
        self.health.first_seq_near(cursor).await
    }

    async fn rows(&self, room: RoomId, after: u64, limit: usize) -> Result<Vec<LogRow>, StoreError> {
        self.store.log(room, after, limit).await
    }

    async fn last_stored(&self, room: RoomId) -> Result<u64, StoreError> {
        self.store.last_seq(room).await
    }

    async fn find(&self, ids: &[MessageId]) -> Result<Vec<Found>, StoreError> {
        self.store.find(ids).await
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    async fn turn(&self) {
        drop(self.gate.turn().await);
    }

    fn loses(&self, message: &LogMessage) -> bool {
        Self::loses(self, message)
    }

    fn is_in_log(self: &Arc<Self>, message: &LogMessage) {
        self.health.saw(message.seq);
        if message.is_from(&self.id)
            && !message.is_resend()
            && let Some(id) = message.id()
        {
            self.publisher.is_in_log(self, id, message.seq);
        }
    }

    fn signal(self: &Arc<Self>, room: &Arc<Room>, message: Message) {
        crate::feed::signal(self, room, message);
    }

    fn unseat(&self, socket: &Socket, room: RoomId) {
        Self::unseat(self, socket, room);
    }

    fn budget(&self) -> &Budget {
        &self.budget
    }

    fn measure(&self) -> &Measure {
        &self.measure
    }

    fn pages(&self) -> &Pages {
        &self.pages
    }
}
