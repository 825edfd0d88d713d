//! Who is not in a room hears nothing of it, and not even that there is one.

use std::time::Duration;

use anyhow::{Result, ensure};
use reqwest::Method;
use scripts::{
    phone::{Credential, Goodbye, Incoming, OpenError, Socket, Spoken},
    stack::Store,
};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use crate::house::{House, bounded, enter, plan};

/// How soon a removal must reach the sockets, counted from the answer to it.
const REMOVED_WITHIN: Duration = Duration::from_secs(1);
/// How long the others go on talking after that.
const TALK_FOR: Duration = Duration::from_secs(3);
const PACE: Duration = Duration::from_millis(25);
const HEARD_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_removed_while_connected_hears_nothing_more_within_a_second() -> Result<()> {
    bounded(removed()).await
}

async fn removed() -> Result<()> {
    let house = House::start(plan(Store::Postgres)).await?;
    let people = [house.person("Ann", 0).await?, house.person("Ben", 1).await?];
    let [ann, ben] = &people;
    let room = ann.account.make_event("Without Ben", &[&ben.account]).await?;
    enter(&people, &[room]).await?;
    // A socket that is there for this room alone.
    let credential = Credential::Header(ben.account.token.clone());
    let opening = Socket::open(house.gateway(0)?, &format!("event_id={room}"), &credential).await;
    let mut single = opening.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    single.hear_until(HEARD_WITHIN, |frame| matches!(frame, Incoming::Joined { .. })).await?;
    ann.phone.say(room, "Ben hears this").await?;
    let hears = |ledger: &scripts::phone::Ledger| {
        ledger.rooms.get(&room).is_some_and(|view| view.shown.values().any(|shown| shown.kind == "message"))
    };
    ben.phone.until("hearing Ann", HEARD_WITHIN, hears).await?;

    ann.account.remove_participant(room, ben.account.id).await?;
    let removed_at = Instant::now();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while removed_at.elapsed() < TALK_FOR {
        pace.tick().await;
        ann.phone.say(room, "Ben must not hear this").await?;
    }
    let deadline = removed_at + REMOVED_WITHIN;
    let heard_late = |ledger: &scripts::phone::Ledger| {
        let about = |frame: &Incoming| frame.room() == Some(room);
        ledger.heard.iter().filter(|heard| heard.at > deadline && about(&heard.frame)).count()
    };
    // Ann's own phone shows that there was something to hear.
    ann.phone.until("hearing herself", HEARD_WITHIN, |ledger| heard_late(ledger) > 20).await?;
    let late = ben.phone.look(heard_late);
    ensure!(late == 0, "{late} frames came to Ben later than {REMOVED_WITHIN:?} after he was removed");
    let reason = ben.phone.look(|ledger| ledger.rooms.get(&room).and_then(|view| view.removed.clone()));
    ensure!(reason.as_deref() == Some("participant_removed"), "{reason:?}");
    let goodbye = ending(&mut single).await?;
    ensure!(goodbye.code == 4004, "a socket of that room alone is closed: {goodbye:?}");
    refused_everywhere(&house, &ben.account, room).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_non_member_gets_403_at_the_handshake_and_on_rest() -> Result<()> {
    bounded(non_member()).await
}

async fn non_member() -> Result<()> {
    let house = House::start(plan(Store::Postgres)).await?;
    let (ann, eve) = (house.account("Ann").await?, house.account("Eve").await?);
    let room = ann.make_event("Not for Eve", &[]).await?;
    ann.post(room, "a-1", "secret").await?;
    refused_everywhere(&house, &eve, room).await?;
    // The same as for a room that does not exist.
    refused_everywhere(&house, &eve, Uuid::now_v7()).await
}

async fn refused_everywhere(house: &House, who: &scripts::phone::Account, room: Uuid) -> Result<()> {
    for gateway in &house.gateways {
        let credential = Credential::Header(who.token.clone());
        match Socket::open(gateway, &format!("room_id={room}"), &credential).await {
            Err(OpenError::Refused { status: 403, body }) => {
                ensure!(body.get("code") == Some(&json!("not_a_member")), "{body}");
            }
            other => anyhow::bail!("403 was expected at the handshake: {other:?}"),
        }
        let opening = Socket::open(gateway, "", &credential).await;
        let mut socket = opening.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        socket.say(&json!({ "type": "join", "room_id": room, "since": 0 })).await?;
        let answer = socket
            .hear_until(HEARD_WITHIN, |frame| matches!(frame, Incoming::Error { .. } | Incoming::Joined { .. }))
            .await?;
        ensure!(matches!(&answer, Incoming::Error { code, .. } if code == "not_a_member"), "{answer:?}");
        socket.close().await;
    }
    let say = json!({ "temp_id": "e-1", "content": "let me in" });
    let calls = [
        (Method::GET, format!("/events/{room}"), None),
        (Method::GET, format!("/events/{room}/participants"), None),
        (Method::GET, format!("/rooms/{room}/messages"), None),
        (Method::POST, format!("/rooms/{room}/messages"), Some(&say)),
    ];
    for (method, path, body) in calls {
        let answer = who.call(method.clone(), &path, body).await?;
        ensure!(answer.status == 403 && answer.code() == Some("not_a_member"), "{method} {path}: {answer:?}");
        ensure!(answer.media_type == "application/problem+json", "{method} {path}: {}", answer.media_type);
    }
    Ok(())
}

async fn ending(socket: &mut Socket) -> Result<Goodbye> {
    let ending = async {
        loop {
            if let Spoken::Ended(goodbye) = socket.hear().await {
                return goodbye;
            }
        }
    };
    Ok(timeout(HEARD_WITHIN, ending).await?)
}
