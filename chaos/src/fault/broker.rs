//! What an operator's, or a broken client's, hand can do to the log.

use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;
use schema::{envelope::BODY_BYTES_MAX, header, id::RoomId, stream::CHAT_MESSAGES, subject::ChatSubject};
use scripts::phone::audit::Letter;
use tokio::time::sleep;

use super::Outcome;
use crate::scene::Scene;

/// Lets the log take no more bytes than it has.
pub(super) async fn fill(scene: &Scene, lasts: Duration) -> Result<Outcome> {
    let info = scene.js.get_stream(CHAT_MESSAGES).await?.cached_info().clone();
    let full = jetstream::stream::Config {
        max_bytes: i64::try_from(info.state.bytes).context("a stream's size")?,
        ..info.config.clone()
    };
    scene.js.update_stream(full).await?;
    sleep(lasts).await;
    scene.js.update_stream(info.config).await?;
    Ok(Outcome::of(format!("no more than {} bytes for {lasts:.1?}", info.state.bytes)))
}

/// Kills the server of a cluster that leads the log.
pub(super) async fn kill_leader(scene: &Scene, lasts: Duration) -> Result<Outcome> {
    let info = scene.js.get_stream(CHAT_MESSAGES).await?.cached_info().clone();
    let leader = info.cluster.and_then(|cluster| cluster.leader).context("the log has no leader now")?;
    super::process::kill(scene, &[&leader], lasts).await
}

/// Publishes four messages that no worker can store.
pub(super) async fn poison(scene: &Scene) -> Result<Outcome> {
    let room = scene.rooms.first().copied().context("a room")?;
    let subject = ChatSubject(RoomId::from_uuid(room)).to_string();
    let version = |version: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::TIMINGLE_V, version);
        headers
    };
    let poison = [
        (version("1"), Bytes::from_static(b"{\"type\":\"message\"")),
        (version("1"), Bytes::from_static(b"{\"type\":\"\xff\xfe\"}")),
        (version("1"), Bytes::from(vec![b' '; BODY_BYTES_MAX + 1])),
        (version("2"), Bytes::from_static(b"{\"type\":\"message\"}")),
    ];
    let mut outcome = Outcome::of("bad JSON, bad UTF-8, 120 KiB and a byte, an unknown version");
    for (headers, body) in poison {
        let ack = scene.js.publish_with_headers(subject.clone(), headers, body.clone()).await?.await?;
        outcome.poison.push(Letter { seq: ack.sequence, body: body.to_vec() });
    }
    Ok(outcome)
}
