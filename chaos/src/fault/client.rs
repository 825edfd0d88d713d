//! Clients that are slow, broken, or many.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use futures_util::future::join_all;
use scripts::phone::{
    Credential, Incoming, OpenError, Socket, Spoken, Word,
    audit::{Rule, Violation},
};
use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use super::Outcome;
use crate::{
    house::Server,
    link::Mode,
    people::{Posted, Told},
    scene::Scene,
};

/// How long a server may take for an answer while other things are broken too.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Handshakes at once, as a balancer would let them through.
const HANDSHAKES: usize = 50;
const UNFINISHED: usize = 200;
const FLOODERS: usize = 4;
/// Frames in one go; between two goes the others get their turn on this machine's few cores.
const FLOOD_FRAMES: usize = 200;

/// One phone reads a byte a second.
pub(super) async fn read_slowly(scene: &Scene, lasts: Duration) -> Result<Outcome> {
    scene.slow_link.set(Mode::Trickle);
    sleep(lasts).await;
    scene.slow_link.set(Mode::Open);
    Ok(Outcome::of(format!("for {lasts:.1?}")))
}

/// One message, five times, over both gateways at once: it is one message.
pub(super) async fn say_five_times(scene: &Scene) -> Result<Outcome> {
    let account = &scene.crowd;
    let room = scene.rooms.first().copied().context("a room")?;
    let temp_id = Uuid::now_v7().to_string();
    let frame = json!({ "type": "message", "room_id": room, "temp_id": temp_id, "content": "once" });
    let sockets = scene.house.gateways.iter().cycle().take(5).map(|gateway| async {
        let mut socket = enter(gateway, &account.token, room).await?;
        socket.say(&frame).await?;
        let is_answer = |heard: &Incoming| {
            matches!(heard, Incoming::Status { temp_id: of, word: Word::Sent { .. } | Word::Failed { .. }, .. } if *of == temp_id)
        };
        socket.hear_until(ANSWER_WITHIN, is_answer).await
    });
    let mut places = BTreeSet::new();
    for answer in join_all(sockets).await {
        match answer? {
            Incoming::Status { word: Word::Sent { id, seq }, .. } => drop(places.insert((id, seq))),
            other => return Err(anyhow!("one of five was answered {other:?}")),
        }
    }
    let mut outcome = Outcome::of("five times over two gateways");
    if places.len() != 1 {
        let what = format!("{temp_id} was said five times at once and is at {places:?}");
        outcome.violations.push(Violation { rule: Rule::A1, what });
    }
    let told = places.first().map_or(Told::Nothing, |(id, seq)| Told::Said(*id, *seq));
    scene.notes.lock().posted.push(Posted { sender: account.id, room, temp_id, told });
    Ok(outcome)
}

/// A socket in a room; who is told to come again comes again.
async fn enter(gateway: &str, token: &str, room: Uuid) -> Result<Socket> {
    let credential = Credential::Header(token.to_owned());
    let deadline = Instant::now() + ANSWER_WITHIN;
    let mut socket = loop {
        match Socket::open(gateway, &format!("room_id={room}"), &credential).await {
            Ok(socket) => break socket,
            Err(OpenError::Refused { status: 429 | 503, .. }) if Instant::now() < deadline => sleep(AGAIN_AFTER).await,
            Err(error) => return Err(anyhow!("{error:?}")),
        }
    };
    socket.hear_until(ANSWER_WITHIN, |frame| matches!(frame, Incoming::Joined { .. })).await?;
    Ok(socket)
}

/// Opens a crowd of sockets, cuts every phone off at once, and sees everybody back.
pub(super) async fn drop_crowd(scene: &Scene) -> Result<Outcome> {
    let crowd = open_crowd(scene).await?;
    let size = crowd.len();
    for gateway in ["gateway-1", "gateway-2"] {
        scene.house.set(gateway, Server::Phones, Mode::Cut)?;
    }
    drop(crowd);
    for gateway in ["gateway-1", "gateway-2"] {
        scene.house.set(gateway, Server::Phones, Mode::Open)?;
    }
    let begun = Instant::now();
    let back = open_crowd(scene).await?;
    ensure!(back.len() == size, "{} of {size} sockets came back", back.len());
    Ok(Outcome::of(format!("{size} sockets, all back after {:.1?}", begun.elapsed())))
}

/// Sockets that read what comes until they are dropped.
async fn open_crowd(scene: &Scene) -> Result<JoinSet<()>> {
    let room = scene.rooms.last().copied().context("a room")?;
    let mut crowd = JoinSet::new();
    let numbers: Vec<usize> = (0..scene.crowd_size).collect();
    for chunk in numbers.chunks(HANDSHAKES) {
        let opening = chunk.iter().map(|n| async move {
            let gateway = scene.house.gateways.get(n % scene.house.gateways.len().max(1)).context("a gateway")?;
            enter(gateway, &scene.crowd.token, room).await
        });
        for socket in join_all(opening).await {
            let mut socket = socket?;
            crowd.spawn(async move { while !matches!(socket.hear().await, Spoken::Ended(_)) {} });
        }
    }
    Ok(crowd)
}

/// Connections to the api and to a gateway whose heads come byte by byte and never end.
pub(super) async fn never_end(scene: &Scene, gateway: &str, lasts: Duration) -> Result<Outcome> {
    let urls = scene.house.stack.gateway_urls()?;
    let url = urls.get(usize::from(gateway.ends_with('2'))).context("a gateway")?;
    let api = scene.house.stack.api_url()?;
    let mut open = JoinSet::new();
    for place in [url, &api].map(|url| url.trim_start_matches("http://").to_owned()) {
        for _ in 0..UNFINISHED / 2 {
            let place = place.clone();
            open.spawn(async move {
                let Ok(mut stream) = TcpStream::connect(place).await else { return };
                drop(stream.write_all(b"GET /api/v1/ws HTTP/1.1\r\nHost: x\r\nX-Slow: ").await);
                while stream.write_all(b"a").await.is_ok() {
                    sleep(Duration::from_secs(1)).await;
                }
            });
        }
    }
    sleep(lasts).await;
    Ok(Outcome::of(format!("{UNFINISHED} heads that do not end, for {lasts:.1?}")))
}

/// Sockets that say whatever they can as fast as they can.
pub(super) async fn flood(scene: &Scene, gateway: usize, lasts: Duration) -> Result<Outcome> {
    let url = scene.house.gateways.get(gateway).context("a gateway")?;
    let flooding = (0..FLOODERS).map(|n| async move {
        let mut sockets = 0_u32;
        loop {
            let credential = Credential::Header(scene.crowd.token.clone());
            let Ok(mut socket) = Socket::open(url, "", &credential).await else { continue };
            sockets += 1;
            let frame =
                if n % 2 == 0 { json!({ "type": "ping" }) } else { json!({ "type": "nonsense", "n": sockets }) };
            'open: loop {
                for _ in 0..FLOOD_FRAMES {
                    if socket.say(&frame).await.is_err() {
                        break 'open;
                    }
                }
                // What is answered is taken, as long as it comes at once.
                while let Ok(spoken) = timeout(Duration::from_millis(1), socket.hear()).await {
                    if matches!(spoken, Spoken::Ended(_)) {
                        break 'open;
                    }
                }
            }
        }
    });
    let _elapsed: Result<Vec<()>, _> = timeout(lasts, join_all(flooding)).await;
    Ok(Outcome::of(format!("{FLOODERS} sockets of gateway {}, for {lasts:.1?}", gateway + 1)))
}
