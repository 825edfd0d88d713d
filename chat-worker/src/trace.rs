//! `chat-worker trace`: the way of one message, hop by hop, as far as anything was written down about it. What was not
//! is said to be unknown: rows are the same at every delivery, so they hold no time of a process; logs may.

mod lines;

use std::path::PathBuf;

use async_nats::HeaderMap;
use chat_store::{Found, MessageStore};
use ops::{
    broker::Broker,
    stored::{self, Stored},
};
use schema::{
    header,
    id::MessageId,
    stream::{self, CHAT_DEAD, CHAT_MESSAGES},
    subject::{ChatSubject, DeadSubject},
};
use serde_json::{Value, json};

use crate::{
    conclusion::Conclusion,
    config::Config,
    console::{self, visible},
    dead_letter,
};

/// Which message, and how it is told.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Arguments {
    /// The message's id.
    message_id: MessageId,
    /// As one JSON document.
    #[arg(long)]
    json: bool,
    /// A log of a gateway or worker, which may say more; may be given several times.
    #[arg(long, value_name = "FILE")]
    logs: Vec<PathBuf>,
}

/// What was never written down.
const UNKNOWN: &str = "unknown";
/// Messages read at a time.
const PAGE: usize = 500;

/// One step of the way.
struct Hop {
    name: &'static str,
    /// When; none = unknown.
    at: Option<String>,
    detail: String,
}

impl Hop {
    fn new(name: &'static str, at: Option<String>, detail: impl Into<String>) -> Self {
        Self { name, at, detail: detail.into() }
    }
}

/// Looks everywhere, and tells. Ends with 1 when nobody knows the message.
pub async fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<Conclusion> {
    let id = arguments.message_id;
    let store = chat_store::connect(&config.store, &config.database.pool()?).await?;
    let broker = config.broker.connect("worker").await?;
    let found = store.find(&[id]).await?.pop();
    let floor = stream::ask_worker(&broker.js, CHAT_MESSAGES).await?.ack_floor.stream_sequence;
    let logged = match &found {
        Some(found) => stored::at(&broker.client, CHAT_MESSAGES, found.seq).await?,
        None => search(&broker, CHAT_MESSAGES, ChatSubject::ALL, floor + 1, header::NATS_MSG_ID, id).await?,
    };
    let dead = match &found {
        Some(_) => None,
        None => search(&broker, CHAT_DEAD, DeadSubject::ALL, 1, &dead_letter::kept_as(header::NATS_MSG_ID), id).await?,
    };
    let mut hops = hops(store.as_ref(), found.as_ref(), logged.as_ref(), dead.as_ref(), floor).await?;
    for line in lines::read(&arguments.logs, id)? {
        add(&mut hops, &line);
    }
    let is_known = found.is_some() || logged.is_some() || dead.is_some();
    tell(id, found.as_ref(), &hops, arguments.json);
    if !is_known {
        console::note(
            "nobody knows it: it is not in the store, not in CHAT_DEAD, and not among what waits to be stored",
        );
    }
    Ok(if is_known { Conclusion::Done } else { Conclusion::Found })
}

/// The first message from `from` on whose header `name` is `id`.
async fn search(
    broker: &Broker,
    stream: &'static str,
    subjects: &str,
    mut from: u64,
    name: &str,
    id: MessageId,
) -> anyhow::Result<Option<Stored>> {
    let id = id.to_string();
    loop {
        let page = stored::page(&broker.client, stream, subjects, from, PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        from = last.seq + 1;
        if let Some(found) = page.into_iter().find(|message| text(&message.headers, name) == Some(id.as_str())) {
            return Ok(Some(found));
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(async_nats::HeaderValue::as_str)
}

async fn hops(
    store: &dyn MessageStore,
    found: Option<&Found>,
    logged: Option<&Stored>,
    dead: Option<&Stored>,
    floor: u64,
) -> anyhow::Result<Vec<Hop>> {
    let headers = logged.or(dead).map(|message| &message.headers);
    let header = |name| headers.and_then(|headers| text(headers, name));
    let by = match header(header::TIMINGLE_GATEWAY) {
        Some(gateway) => format!("by the gateway {}", visible(gateway)),
        None if headers.is_some() => "by an api".to_owned(),
        None => format!("by {UNKNOWN}: the log no longer has its headers"),
    };
    let resent = if header(header::TIMINGLE_RESEND).is_some() { ", as a resend" } else { "" };
    let time = |name| header(name).map(visible);
    let mut hops = vec![
        Hop::new("accepted", time(header::TIMINGLE_ACCEPTED), format!("{by}{resent}")),
        Hop::new("published", time(header::TIMINGLE_PUBLISHED), by),
    ];
    let seq = found.map(|found| found.seq).or_else(|| logged.map(|message| message.seq));
    let logged_at = found.map(|found| found.created_at).or_else(|| logged.map(|message| message.stored_at));
    match (seq, logged_at, dead) {
        (Some(seq), Some(at), _) => {
            let where_from = if logged.is_some() { "" } else { ", which has aged out of it" };
            hops.push(Hop::new("in the log", Some(at.to_string()), format!("seq {seq}{where_from}")));
            hops.push(Hop::new("republished", None, "by the broker; the time is a gateway's that heard it"));
            hops.push(Hop::new("delivered", None, "to the room's sockets of each gateway"));
        }
        (_, _, Some(dead)) => {
            let at = text(&dead.headers, header::DEAD_TIME).map(visible);
            let seq = text(&dead.headers, header::DEAD_SEQ).map_or_else(|| UNKNOWN.to_owned(), visible);
            hops.push(Hop::new("in the log", at, format!("seq {seq}")));
        }
        _ => hops.push(Hop::new("in the log", None, "not found there")),
    }
    let is_there = match found {
        Some(found) => {
            let rows = store.log_at(&[(found.room_id, found.seq, found.created_at)]).await?;
            rows.into_iter().flatten().any(|row| row.kind.is_some())
        }
        None => false,
    };
    if let Some(dead) = dead {
        let reason = text(&dead.headers, header::DEAD_REASON).map_or_else(|| UNKNOWN.to_owned(), visible);
        let detail = format!("{reason}: `chat-worker dead show {}`", dead.seq);
        hops.push(Hop::new("given up", Some(dead.stored_at.to_string()), detail));
    } else {
        let is_acked = seq.is_some_and(|seq| seq <= floor);
        let detail = match (is_there, is_acked) {
            (true, true) => "it is there, and acknowledged",
            (true, false) => "it is there; the worker has not acknowledged it or something before it",
            (false, _) => "it is not there",
        };
        hops.push(Hop::new("in the store", None, detail));
    }
    hops.push(Hop::new("reported saved", None, "a hint to the gateway, which nobody keeps"));
    Ok(hops)
}

/// Adds what a log says: to the hop that it knows better, or as one more.
fn add(hops: &mut Vec<Hop>, line: &lines::Line) {
    let by = match line.sockets {
        Some(sockets) => format!("{} to {sockets} sockets", line.process),
        None => line.process.clone(),
    };
    let Some(last) = hops.iter().rposition(|hop| hop.name == line.hop) else { return };
    match hops.get_mut(last) {
        Some(hop) if hop.at.is_none() => {
            hop.at = Some(line.at.clone());
            hop.detail = format!("{}: {by}", hop.detail);
        }
        Some(hop) => {
            let again = Hop::new(hop.name, Some(line.at.clone()), by);
            hops.insert(last + 1, again);
        }
        None => {}
    }
}

fn tell(id: MessageId, found: Option<&Found>, hops: &[Hop], as_json: bool) {
    let (room_id, sender) = (found.map(|found| found.room_id), found.and_then(|found| found.sender));
    if as_json {
        let hop = |hop: &Hop| json!({ "hop": hop.name, "at": hop.at, "detail": hop.detail });
        let hops: Vec<Value> = hops.iter().map(hop).collect();
        console::answer(json!({ "message_id": id, "room_id": room_id, "sender": sender, "hops": hops }));
        return;
    }
    let or_unknown = |value: Option<String>| value.unwrap_or_else(|| UNKNOWN.to_owned());
    let room = or_unknown(room_id.map(|room| room.to_string()));
    console::answer(format_args!("message {id} of room {room}"));
    for hop in hops {
        let at = hop.at.as_deref().unwrap_or(UNKNOWN);
        console::answer(format_args!("{:<15} {at:<24}  {}", hop.name, hop.detail));
    }
}
