//! The least that storing messages costs: for each its rows, each by a statement of its own, many at once, and nothing
//! around them.

use std::time::Instant;

use anyhow::Result;
use futures_util::{StreamExt as _, TryStreamExt as _};
use scripts::stack::{self, Stack};
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    serialize::row::SerializeRow,
    statement::prepared::PreparedStatement,
    value::CqlTimestamp,
};
use sqlx::{PgPool, postgres::PgPoolOptions};
use uuid::Uuid;

/// Rooms that messages are said in.
pub(super) const ROOMS: u32 = 200;
pub(super) const CONTENT_BYTES: usize = 200;
/// Connections to PostgreSQL: the worker's own default.
const CONNECTIONS: u32 = 25;
/// Messages that are written at the same time.
const AT_ONCE: usize = 256;
/// Any time, and its month: the loop's rooms are its own.
const MILLIS: i64 = 1_767_225_600_000;
const BUCKET: i32 = 202_601;

/// The tables of the store that the worker writes to.
#[derive(Debug)]
pub(super) enum Store {
    Postgres(PgPool),
    Cql(Box<Cql>),
}

#[derive(Debug)]
pub(super) struct Cql {
    session: Session,
    id: PreparedStatement,
    log: PreparedStatement,
    item: PreparedStatement,
    by_user: PreparedStatement,
}

/// One message's place.
#[derive(Clone, Copy, Debug)]
struct Place {
    room: Uuid,
    id: Uuid,
    sender: Uuid,
    seq: i64,
}

impl Store {
    /// Connects past the worker.
    pub(super) async fn connect(stack: &Stack, store: stack::Store) -> Result<Self> {
        if store == stack::Store::Postgres {
            let url = stack.env("DATABASE_URL")?;
            let options = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
            return Ok(Self::Postgres(options.connect(&url).await?));
        }
        let (nodes, keyspace) = (stack.env("CQL_NODES")?, stack.env("CQL_KEYSPACE")?);
        let session = SessionBuilder::new().known_nodes(nodes.split(',')).use_keyspace(keyspace, false).build().await?;
        let prepare = async |table: &str, columns: &str| {
            let marks = vec!["?"; columns.split(',').count()].join(", ");
            session.prepare(format!("INSERT INTO {table} ({columns}) VALUES ({marks})")).await
        };
        let id = prepare("chat_message_ids", "message_id, seq, event_id, kind, sender, created_at").await?;
        let log = prepare("room_log_by_event", "event_id, bucket, seq, kind, id, created_at, body").await?;
        let item = prepare(
            "chat_messages_by_event",
            "event_id, bucket, seq, kind, id, created_at, sender, sender_id, sender_name, temp_id, content, message_type",
        )
        .await?;
        let by_user = prepare("chat_messages_by_user", "user_id, bucket, seq, event_id, message_id").await?;
        Ok(Self::Cql(Box::new(Cql { session, id, log, item, by_user })))
    }

    async fn insert(&self, place: Place, body: &str, content: &str) -> Result<()> {
        match self {
            Self::Postgres(pool) => insert_rows(pool, place, body, content).await,
            Self::Cql(cql) => cql.insert(place, body, content).await,
        }
    }
}

/// How many messages a second a loop inserts.
pub(super) async fn rate(store: &Store, messages: u32) -> Result<f64> {
    let rooms: Vec<_> = (0..ROOMS).map(|_| Uuid::now_v7()).collect();
    let (sender, content) = (Uuid::now_v7(), "x".repeat(CONTENT_BYTES));
    let body = format!(r#"{{"type":"message","content":"{content}","of":"{}"}}"#, "x".repeat(CONTENT_BYTES));
    let began = Instant::now();
    let places = (0..messages).zip(rooms.iter().cycle()).map(|(number, room)| Place {
        room: *room,
        id: Uuid::now_v7(),
        sender,
        seq: 1 + i64::from(number),
    });
    futures_util::stream::iter(places)
        .map(|place| store.insert(place, &body, &content))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(f64::from(messages) / began.elapsed().as_secs_f64())
}

async fn insert_rows(pool: &PgPool, place: Place, body: &str, content: &str) -> Result<()> {
    let Place { room, id, sender, seq } = place;
    sqlx::query(
        "INSERT INTO chat_message_ids (message_id, event_id, seq, kind, sender, created_at)
         VALUES ($1, $2, $3, 'message', $4, now())",
    )
    .bind(id)
    .bind(room)
    .bind(seq)
    .bind(sender)
    .execute(pool)
    .await?;
    sqlx::query(
        "INSERT INTO room_log_by_event (event_id, seq, kind, id, created_at, body)
         VALUES ($1, $2, 'message', $3, now(), $4)",
    )
    .bind(room)
    .bind(seq)
    .bind(id)
    .bind(body)
    .execute(pool)
    .await?;
    sqlx::query(
        "INSERT INTO chat_messages_by_event (event_id, seq, kind, id, created_at, sender, sender_id, sender_name, temp_id,
                                             content, message_type)
         VALUES ($1, $2, 'message', $3, now(), $4, $4, 'Ann', 't-1', $5, 'text')",
    )
    .bind(room)
    .bind(seq)
    .bind(id)
    .bind(sender)
    .bind(content)
    .execute(pool)
    .await?;
    Ok(())
}

impl Cql {
    async fn insert(&self, place: Place, body: &str, content: &str) -> Result<()> {
        let Place { room, id, sender, seq } = place;
        let at = CqlTimestamp(MILLIS);
        self.execute(&self.id, (id, seq, room, "message", sender, at)).await?;
        self.execute(&self.log, (room, BUCKET, seq, "message", id, at, body)).await?;
        let item = (room, BUCKET, seq, "message", id, at, sender, sender, "Ann", "t-1", content, "text");
        self.execute(&self.item, item).await?;
        self.execute(&self.by_user, (sender, BUCKET, seq, room, id)).await
    }

    async fn execute(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Result<()> {
        self.session.execute_unpaged(statement, values).await?;
        Ok(())
    }
}
