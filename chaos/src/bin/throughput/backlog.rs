//! Messages that wait in the log, and how fast they are stored.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use async_nats::jetstream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use schema::{
    envelope::{Body, Headers, MessageType},
    id::{MessageId, RoomId, UserId},
    stream::{self, CHAT_MESSAGES},
    subject::{ChatSubject, GatewayId},
};
use scripts::stack::Stack;
use tokio::time::interval;

use super::bare::CONTENT_BYTES;

/// Publishes that wait for their answer.
const UNANSWERED: usize = 256;
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long the worker may take for all of it.
const STORED_WITHIN: Duration = Duration::from_mins(5);

/// Says so many things, in so many rooms that are new; answers the last one's seq.
pub(super) async fn publish(js: &jetstream::Context, messages: u32, rooms: u32) -> Result<u64> {
    let rooms: Vec<_> = (0..rooms).map(|_| RoomId::random()).collect();
    let sender = UserId::random();
    let gateway = GatewayId::parse("bench").context("a name for a gateway")?;
    let said = (0..messages).zip(rooms.iter().cycle()).map(|(number, room)| {
        let body = Body::Message {
            room_id: *room,
            id: MessageId::random(),
            sender_id: sender,
            sender_name: "Ann".into(),
            temp_id: format!("t-{number}"),
            content: "x".repeat(CONTENT_BYTES),
            message_type: MessageType::Text,
            reply_to_id: None,
        };
        let headers =
            Headers { sender: Some(sender), gateway: Some(gateway.clone()), is_resend: false, is_moderator: false };
        (ChatSubject(*room).to_string(), headers.to_map(body.id()), body.to_bytes())
    });
    futures_util::stream::iter(said)
        .map(|(subject, headers, body)| async {
            anyhow::Ok(js.publish_with_headers(subject, headers, body).await?.await?.sequence)
        })
        .buffer_unordered(UNANSWERED)
        .try_fold(0, async |last, seq| Ok(last.max(seq)))
        .await
}

/// Starts the worker; how many messages a second it stores, from just before it has the first in hand.
pub(super) async fn drain_rate(js: &jetstream::Context, stack: &Stack, worker: &str) -> Result<f64> {
    let last = js.get_stream(CHAT_MESSAGES).await?.cached_info().state.last_sequence;
    let starting = stack.restart(worker);
    let draining = async {
        let mut looks = interval(LOOK_EVERY);
        let before = stream::ask_worker(js, CHAT_MESSAGES).await?;
        let stored = u32::try_from(last - before.ack_floor.stream_sequence).context("fewer than that")?;
        let deadline = Instant::now() + STORED_WITHIN;
        // The last look that saw nothing: all of it was stored after that.
        let mut begun = Instant::now();
        while Instant::now() < deadline {
            let look = looks.tick().await.into_std();
            let found = stream::ask_worker(js, CHAT_MESSAGES).await?;
            if found.delivered.consumer_sequence == before.delivered.consumer_sequence {
                begun = look;
                continue;
            }
            if found.ack_floor.stream_sequence >= last {
                return Ok(f64::from(stored) / begun.elapsed().as_secs_f64());
            }
        }
        bail!("the worker has not stored all of it within {STORED_WITHIN:?}")
    };
    let (started, rate) = tokio::join!(starting, draining);
    started?;
    rate
}

/// Up to which seq everything is stored.
pub(super) async fn floor(js: &jetstream::Context) -> Result<u64> {
    Ok(stream::ask_worker(js, CHAT_MESSAGES).await?.ack_floor.stream_sequence)
}
