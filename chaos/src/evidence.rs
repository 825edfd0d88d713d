//! Gathers what phones, api, stream and store say, once the queues are empty, and has it audited.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use async_nats::{
    ConnectOptions, Message, ServerAddr,
    jetstream::{
        self,
        consumer::{AckPolicy, pull},
    },
};
use chat_store::{MessageStore, StoreKind, StoreSettings};
use futures_util::StreamExt;
use schema::{
    envelope::Kind,
    header,
    id::{MessageId, RoomId},
    stream,
    subject::ChatSubject,
};
use scripts::{
    phone::{
        Ledger,
        audit::{Evidence, History, Letter, Line, Log, audit},
    },
    stack::Stack,
};
use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use std::sync::Arc;
use tokio::time::{interval, timeout};
use uuid::Uuid;

use crate::Person;

/// How long the queues may take to be empty.
const QUIET_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long the stream may take for one more message.
const READ_WITHIN: Duration = Duration::from_secs(10);
const LOG_PAGE: usize = 500;

/// Waits until `people` have heard what became of all they said, and the worker has done its work; then everything that
/// anybody keeps of `rooms` must agree. Answers the evidence for what the caller has to say about it.
pub async fn all_is_well(
    stack: &Stack,
    people: &[Person],
    rooms: &[Uuid],
    settled_within: Duration,
) -> Result<Evidence> {
    let js = operator(stack).await?;
    settle(&js, people, rooms, settled_within).await?;
    let evidence = gather(stack, &js, people, rooms).await?;
    let violations = audit(&evidence);
    let shown: Vec<_> = violations.iter().take(20).map(ToString::to_string).collect();
    ensure!(violations.is_empty(), "{} broken promises:\n{}", violations.len(), shown.join("\n"));
    // And so says the check that operators run.
    stack.ask("chat-worker-1", &["verify"]).await.context("verify")?;
    Ok(evidence)
}

/// Returns when every message has found its end, the worker has done its work, and every phone was told of all of it.
pub async fn settle(js: &jetstream::Context, people: &[Person], rooms: &[Uuid], within: Duration) -> Result<()> {
    for person in people {
        person.phone.until_settled("all to be saved", within).await?;
    }
    quiet(js).await?;
    for room in rooms {
        let last = stream_log(js, *room).await?.lines.last().map(|(seq, _)| *seq);
        for person in people {
            let has_all =
                |ledger: &Ledger| ledger.rooms.get(room).is_none_or(|view| view.removed.is_some() || view.last >= last);
            person.phone.until("the last frame", within, has_all).await?;
        }
    }
    Ok(())
}

/// What is kept of `rooms`: by the phones of `people`, by history as they read it, by the stream and by the store's tables.
pub async fn gather(stack: &Stack, js: &jetstream::Context, people: &[Person], rooms: &[Uuid]) -> Result<Evidence> {
    let mut evidence = Evidence { dead: dead(js).await?, ..Evidence::default() };
    let store = store(stack).await?;
    for room in rooms {
        for (n, person) in people.iter().enumerate() {
            if person.phone.look(|ledger| ledger.rooms.get(room).is_none_or(|view| view.removed.is_some())) {
                continue;
            }
            let (items, how) = if n % 2 == 0 {
                (person.account.history(*room).await?, "forwards")
            } else {
                (person.account.history_backwards(*room).await?, "backwards")
            };
            evidence.histories.push(History { reader: format!("{}, {how}", person.account.name), room: *room, items });
        }
        evidence.logs.push(stream_log(js, *room).await?);
        evidence.logs.push(table_log(&*store, *room).await?);
    }
    evidence.ledgers = people.iter().map(|person| person.phone.ledger()).collect();
    Ok(evidence)
}

/// `JetStream` with an operator's rights.
pub async fn operator(stack: &Stack) -> Result<jetstream::Context> {
    let urls = stack.env("NATS_URL")?;
    let address: ServerAddr = urls.split(',').next().unwrap_or_default().parse()?;
    let (user, password) = address.username().zip(address.password()).context("NATS_URL names the operator")?;
    let addresses: Vec<ServerAddr> = urls.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let options = ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
    Ok(jetstream::new(options.connect(addresses).await?))
}

/// Returns when the workers have acknowledged everything.
pub async fn quiet(js: &jetstream::Context) -> Result<()> {
    let mut looks = interval(LOOK_AGAIN);
    let looking = async {
        loop {
            looks.tick().await;
            if unfinished(js).await? == 0 {
                return anyhow::Ok(());
            }
        }
    };
    timeout(QUIET_WITHIN, looking).await.context("the worker is not done in time")?
}

/// How much the workers have not acknowledged yet.
async fn unfinished(js: &jetstream::Context) -> Result<u64> {
    let mut count = 0;
    for name in [stream::CHAT_MESSAGES, stream::CHAT_MARKS, stream::EVENTS] {
        let info = js.get_stream_no_info(name).await?.consumer_info(stream::WORKER).await?;
        count += info.num_pending + u64::try_from(info.num_ack_pending).unwrap_or_default();
    }
    Ok(count)
}

/// What lies in `CHAT_DEAD`.
async fn dead(js: &jetstream::Context) -> Result<Vec<Letter>> {
    read(js, stream::CHAT_DEAD, String::new(), |_, message| {
        let seq = message.headers.as_ref().and_then(|headers| headers.get(header::DEAD_SEQ)?.as_str().parse().ok());
        Letter { seq: seq.unwrap_or_default(), body: message.payload.to_vec() }
    })
    .await
}

async fn stream_log(js: &jetstream::Context, room: Uuid) -> Result<Log> {
    let subject = ChatSubject(RoomId::from_uuid(room)).to_string();
    let lines = read(js, stream::CHAT_MESSAGES, subject, line).await?;
    Ok(Log { keeper: "the stream".to_owned(), room, lines })
}

/// What `take` makes of each message that a stream holds under `subject`, of its seq and itself.
async fn read<T>(
    js: &jetstream::Context,
    stream: &str,
    subject: String,
    take: impl Fn(u64, &Message) -> T,
) -> Result<Vec<T>> {
    let config = pull::Config { filter_subject: subject, ack_policy: AckPolicy::None, ..pull::Config::default() };
    let consumer = js.get_stream(stream).await?.create_consumer(config).await?;
    let mut left = consumer.cached_info().num_pending;
    let mut messages = consumer.messages().await?;
    let mut taken = Vec::new();
    while left > 0 {
        let message = timeout(READ_WITHIN, messages.next()).await.context("the stream does not answer")?;
        let message = message.context("the stream ended")??;
        let place = message.info().map_err(|error| anyhow::anyhow!(error))?;
        left = place.pending;
        taken.push(take(place.stream_sequence, &message));
    }
    Ok(taken)
}

/// A line without an id is no item of history: a change of one, or what can not be shown.
fn line(seq: u64, message: &Message) -> Line {
    let version = message.headers.as_ref().and_then(|headers| headers.get(header::TIMINGLE_V));
    let body: Value = match serde_json::from_slice(&message.payload) {
        Ok(body) if version.is_some_and(|version| version.as_str() == "1") => body,
        _ => return (seq, None),
    };
    let is_item = ["message", "system"].iter().any(|kind| body.get("type") == Some(&Value::from(*kind)));
    let id = body.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
    (seq, id.filter(|_| is_item))
}

async fn table_log(store: &dyn MessageStore, room: Uuid) -> Result<Log> {
    let mut lines: Vec<Line> = Vec::new();
    loop {
        let after = lines.last().map_or(0, |(seq, _)| *seq);
        let rows = store.log(RoomId::from_uuid(room), after, LOG_PAGE).await?;
        if rows.is_empty() {
            return Ok(Log { keeper: "the table".to_owned(), room, lines });
        }
        let is_item = |kind| matches!(kind, Some(Kind::Message | Kind::System));
        lines.extend(
            rows.into_iter().map(|row| (row.seq, row.id.filter(|_| is_item(row.kind)).map(MessageId::as_uuid))),
        );
    }
}

/// The store's tables, beside the processes.
async fn store(stack: &Stack) -> Result<Arc<dyn MessageStore>> {
    let pool = PgPoolOptions::new().max_connections(2).connect(&stack.env("DATABASE_URL")?).await?;
    let store = match stack.env("STORE")?.as_str() {
        "postgres" => StoreKind::Postgres,
        "scylla" => StoreKind::Scylla,
        other => bail!("no store is called {other}"),
    };
    let cql_nodes = stack.env("CQL_NODES")?.split(',').map(str::to_owned).collect();
    let settings = StoreSettings { store, cql_nodes, cql_keyspace: stack.env("CQL_KEYSPACE")? };
    Ok(chat_store::connect(&settings, &pool.into()).await?)
}
