//! One message, however often and wherever it is sent.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use scripts::{
    phone::{Credential, Incoming, OpenError, Socket, Spoken, Word},
    stack::Store,
};
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use crate::house::{House, bounded, plan};

const HEARD_WITHIN: Duration = Duration::from_secs(15);
/// On which gateway each of the five sockets is.
const SEATS: [usize; 5] = [0, 1, 0, 1, 0];

/// What one socket was told.
#[derive(Debug, Default)]
struct Told {
    sent: Vec<(Uuid, u64)>,
    saved: Vec<(Uuid, u64)>,
    messages: Vec<(Uuid, u64)>,
    has_pong: bool,
}

impl Told {
    fn take(&mut self, frame: Incoming) -> Result<()> {
        match frame {
            Incoming::Status { word: Word::Sent { id, seq }, .. } => self.sent.push((id, seq)),
            Incoming::Status { word: Word::Saved { id, seq }, .. } => self.saved.push((id, seq)),
            Incoming::Status { word, .. } => bail!("{word:?}"),
            Incoming::Message(frame) => self.messages.push((frame.id, frame.seq)),
            Incoming::Pong { .. } => self.has_pong = true,
            Incoming::Error { code, detail } => bail!("{code}: {detail}"),
            _ => {}
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_temp_id_sent_five_times_over_two_gateways_is_one_message() -> Result<()> {
    bounded(one_message()).await
}

async fn one_message() -> Result<()> {
    let house = House::start(plan(Store::Postgres)).await?;
    let (ann, ben) = (house.account("Ann").await?, house.account("Ben").await?);
    let room = ann.make_event("Once", &[&ben]).await?;
    let credential = Credential::Header(ann.token.clone());
    let open = async |seat: usize| -> Result<Socket> {
        let opening = Socket::open(house.gateway(seat)?, &format!("room_id={room}"), &credential).await;
        let mut socket = opening.map_err(refusal)?;
        socket.hear_until(HEARD_WITHIN, |frame| matches!(frame, Incoming::Joined { .. })).await?;
        Ok(socket)
    };
    let mut sockets = Vec::new();
    for seat in SEATS {
        sockets.push(open(seat).await?);
    }
    let mut onlookers = [open(0).await?, open(1).await?];

    let frame = json!({ "type": "message", "room_id": room, "temp_id": "once", "content": "only once" });
    for socket in &mut sockets {
        socket.say(&frame).await?;
    }
    let mut all_told = Vec::new();
    for socket in &mut sockets {
        let mut told = Told::default();
        let has_all = |told: &Told| !told.sent.is_empty() && !told.messages.is_empty() && !told.saved.is_empty();
        listen(socket, &mut told, has_all).await?;
        all_told.push(told);
    }
    // Whatever else there might be comes before the answer to this.
    for (socket, told) in sockets.iter_mut().zip(&mut all_told) {
        socket.say(&json!({ "type": "ping" })).await?;
        listen(socket, told, |told| told.has_pong).await?;
    }
    let place = *all_told.first().and_then(|told| told.sent.first()).context("somebody was told")?;
    for told in &all_told {
        ensure!(told.sent == [place], "one `sent`, the same for all: {told:?}, not {place:?}");
        ensure!(told.messages == [place], "one message: {told:?}");
        ensure!(told.saved.iter().all(|saved| *saved == place), "saved where it was sent: {told:?}");
    }
    for onlooker in &mut onlookers {
        onlooker.say(&json!({ "type": "ping" })).await?;
        let mut told = Told::default();
        listen(onlooker, &mut told, |told| told.has_pong).await?;
        ensure!(told.sent.is_empty(), "`sent` goes to the socket that asked: {told:?}");
        ensure!(told.messages == [place], "everybody hears it once: {told:?}");
    }
    let history = ben.history(room).await?;
    let found: Vec<_> = history.iter().filter(|item| item.kind == "message").map(|item| (item.id, item.seq)).collect();
    ensure!(found == [place], "one message in history: {found:?}");

    // Over REST, too, it is the same message for ever.
    let item = ann.post(room, "once", "only once").await?;
    ensure!((item.id, item.seq) == place, "{item:?}");
    Ok(())
}

async fn listen(socket: &mut Socket, told: &mut Told, is_enough: impl Fn(&Told) -> bool + Send + Sync) -> Result<()> {
    let listening = async {
        while !is_enough(told) {
            match socket.hear().await {
                Spoken::Frame(frame, _) => told.take(frame)?,
                Spoken::Nonsense(what) => bail!("nonsense: {what}"),
                Spoken::Ended(goodbye) => bail!("{goodbye:?}"),
            }
        }
        Ok(())
    };
    match timeout(HEARD_WITHIN, listening).await {
        Ok(result) => result,
        Err(_elapsed) => bail!("not all was heard within {HEARD_WITHIN:?}"),
    }
}

fn refusal(error: OpenError) -> anyhow::Error {
    match error {
        OpenError::Refused { status, body } => anyhow::anyhow!("refused: {status} {body}"),
        OpenError::Lost(error) => error,
    }
}
