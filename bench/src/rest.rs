//! REST beside the bare query: how many history pages and bookings a second the api answers, and how many of the same
//! queries a loop does with nothing around them, on as many connections.

mod booking;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{PgPool, Row as _, postgres::PgPoolOptions};
use uuid::Uuid;

use self::booking::Template;

/// Where the api is, and for how long to ask it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The api
    #[arg(long)]
    api: String,
    /// Its database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database: String,
    /// Seconds of each measurement
    #[arg(long, default_value = "10")]
    seconds: u64,
    /// Where the report goes, in JSON
    report: std::path::PathBuf,
}

/// Answers a second.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Rates {
    /// A page of 50 messages, by a query alone.
    pub bare_page: f64,
    /// The same page by REST.
    pub page: f64,
    /// A slot booked by its queries alone, in one transaction.
    pub bare_booking: f64,
    /// A slot booked by REST: its event, its people, its history.
    pub booking: f64,
}

/// As many as the api's pool has connections.
const AT_ONCE: usize = 25;
/// Sellers, so that bookings of one need not wait for each other.
const SELLERS: usize = 50;
const MESSAGES: i64 = 10_000;
const PAGE: i64 = 50;

/// Measures in turn and writes the report.
pub fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let rates = runtime.block_on(measure(arguments))?;
    Ok(std::fs::write(&arguments.report, serde_json::to_vec(&rates)?)?)
}

struct Scene {
    api: String,
    pg: PgPool,
    http: reqwest::Client,
    /// Readers and customers, one for each request at once.
    tokens: Vec<String>,
    people: Vec<Uuid>,
    room: Uuid,
}

async fn measure(arguments: &Arguments) -> Result<Rates> {
    let connections = u32::try_from(AT_ONCE)?;
    let pg = PgPoolOptions::new()
        .max_connections(connections)
        .min_connections(connections)
        .test_before_acquire(false)
        .connect(&arguments.database)
        .await?;
    let scene = Arc::new(Scene::set(arguments, pg).await?);
    let slots = Arc::new(Slots::open(&scene.pg, arguments.seconds).await?);
    let seconds = Duration::from_secs(arguments.seconds);
    let template = Arc::new(Template::of(&scene.pg, scene.book_once(&slots).await?).await?);
    let bare = |number| Scene::book_bare(Arc::clone(&scene), Arc::clone(&slots), Arc::clone(&template), number);
    Ok(Rates {
        bare_page: rate(seconds, |_| Scene::bare_page(Arc::clone(&scene))).await?,
        page: rate(seconds, |number| Scene::page(Arc::clone(&scene), number)).await?,
        bare_booking: rate(seconds, bare).await?,
        booking: rate(seconds, |number| Scene::book(Arc::clone(&scene), Arc::clone(&slots), number)).await?,
    })
}

/// How many times a second `AT_ONCE` loops do something.
async fn rate<F>(seconds: Duration, once: impl Fn(usize) -> F + Sync) -> Result<f64>
where
    F: Future<Output = Result<()>> + Send,
{
    let (done, began) = (AtomicU64::new(0), Instant::now());
    let until = began + seconds;
    let loops = (0..AT_ONCE).map(async |number| {
        while Instant::now() < until {
            once(number).await?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<_, anyhow::Error>(())
    });
    futures_util::future::try_join_all(loops).await?;
    let count = u32::try_from(done.into_inner()).context("fewer than that")?;
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

impl Scene {
    /// People with accounts, and a room of theirs that holds messages.
    async fn set(arguments: &Arguments, pg: PgPool) -> Result<Self> {
        let (http, api) = (reqwest::Client::builder().no_proxy().build()?, format!("{}/api/v1", arguments.api));
        let run = Uuid::now_v7().simple().to_string();
        let (mut tokens, mut people) = (Vec::new(), Vec::new());
        for number in 0..AT_ONCE {
            let name = format!("{run}-{number}");
            let body = json!({"email": format!("{name}@example.org"), "password": name, "display_name": "Reader"});
            let answer = post(&http, &format!("{api}/auth/register"), None, &body).await?;
            tokens.push(text(&answer, "/access_token")?);
            people.push(text(&answer, "/user/id")?);
        }
        let body = json!({
            "title": "Bench", "starts_at": "2035-01-01T10:00:00Z", "ends_at": "2035-01-01T11:00:00Z",
            "participant_ids": people,
        });
        let event = post(&http, &format!("{api}/events"), tokens.first(), &body).await?;
        let room: Uuid = text(&event, "/id")?.parse()?;
        let sender: Uuid = people.first().context("somebody")?.parse()?;
        sqlx::query(
            "INSERT INTO chat_messages_by_event (event_id, seq, kind, id, created_at, sender, sender_id, sender_name,
                                                 temp_id, content, message_type)
             SELECT $1, 1000000 + n, 'message', gen_random_uuid(), now(), $2, $2, 'Reader', 't' || n, repeat('x', 200),
                    'text' FROM generate_series(1, $3) n",
        )
        .bind(room)
        .bind(sender)
        .bind(MESSAGES)
        .execute(&pg)
        .await?;
        sqlx::query("ANALYZE chat_messages_by_event").execute(&pg).await?;
        let people = people.iter().map(|id| id.parse()).collect::<Result<_, _>>()?;
        Ok(Self { api, pg, http, tokens, people, room })
    }

    fn token(&self, number: usize) -> Option<&String> {
        self.tokens.get(number)
    }

    async fn bare_page(this: Arc<Self>) -> Result<()> {
        let rows = sqlx::query("SELECT * FROM chat_messages_by_event WHERE event_id = $1 ORDER BY seq DESC LIMIT $2")
            .bind(this.room)
            .bind(PAGE)
            .fetch_all(&this.pg)
            .await?;
        ensure!(rows.len() == 50 && rows.iter().all(|row| row.get::<&str, _>("content").len() == 200), "a page");
        Ok(())
    }

    async fn page(this: Arc<Self>, number: usize) -> Result<()> {
        let address = format!("{}/rooms/{}/messages", this.api, this.room);
        let answer = this.http.get(address).bearer_auth(this.token(number).context("a token")?).send().await?;
        let (status, body) = (answer.status(), answer.bytes().await?);
        ensure!(status == 200 && body.len() > 10_000, "{status}: {}", String::from_utf8_lossy(&body));
        Ok(())
    }

    /// The event of a first booking.
    async fn book_once(&self, slots: &Slots) -> Result<Uuid> {
        let body = json!({"slot_id": slots.next()?.0});
        let event = post(&self.http, &format!("{}/events", self.api), self.token(0), &body).await?;
        Ok(text(&event, "/id")?.parse()?)
    }

    async fn book_bare(this: Arc<Self>, slots: Arc<Slots>, template: Arc<Template>, number: usize) -> Result<()> {
        let customer = this.people.get(number).copied().context("somebody")?;
        booking::book(&this.pg, &template, slots.next()?, customer).await
    }

    async fn book(this: Arc<Self>, slots: Arc<Slots>, number: usize) -> Result<()> {
        let body = json!({"slot_id": slots.next()?.0});
        post(&this.http, &format!("{}/events", this.api), this.token(number), &body).await.map(drop)
    }
}

fn text(answer: &Value, pointer: &str) -> Result<String> {
    let found = answer.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("no {pointer} in {answer}"))
}

async fn post(http: &reqwest::Client, address: &str, token: Option<&String>, body: &Value) -> Result<Value> {
    let mut request = http.post(address).json(body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    ensure!(status == 200 || status == 201, "{address}: {status}: {text}");
    Ok(serde_json::from_str(&text)?)
}

/// Open slots, each handed out once.
struct Slots {
    /// With their sellers.
    slots: Vec<(Uuid, Uuid)>,
    next: AtomicI64,
}

/// Above any rate of taking and booking together.
const SLOTS_A_SECOND: u64 = 12_000;

impl Slots {
    async fn open(pg: &PgPool, seconds: u64) -> Result<Self> {
        let count = i64::try_from(SLOTS_A_SECOND * seconds)?;
        let sellers = i64::try_from(SELLERS)?;
        sqlx::query(
            "WITH sellers AS (
                 INSERT INTO users (id, display_name, role, created_at, updated_at)
                 SELECT gen_random_uuid(), 'Seller', 'business', now(), now() FROM generate_series(1, $2) RETURNING id
             ), numbered AS (SELECT id, row_number() OVER () - 1 AS number FROM sellers)
             INSERT INTO open_slots (id, owner_id, service, starts_at, ends_at, local_starts_at, local_ends_at,
                                     time_zone, created_at, updated_at)
             SELECT gen_random_uuid(), numbered.id, 'Bench', at, at + interval '1 hour', at AT TIME ZONE 'UTC',
                    at AT TIME ZONE 'UTC' + interval '1 hour', 'UTC', now(), now()
             FROM generate_series(0, $1 - 1) n JOIN numbered ON numbered.number = n % $2,
                  LATERAL (SELECT timestamptz '2040-01-01 00:00Z' + (n / $2) * interval '1 hour' AS at) AS times",
        )
        .bind(count)
        .bind(sellers)
        .execute(pg)
        .await?;
        sqlx::query("ANALYZE open_slots").execute(pg).await?;
        let slots = sqlx::query_as(
            "SELECT id, owner_id FROM open_slots WHERE service = 'Bench' AND is_available ORDER BY starts_at, id",
        )
        .fetch_all(pg)
        .await?;
        Ok(Self { slots, next: AtomicI64::new(0) })
    }

    fn next(&self) -> Result<(Uuid, Uuid)> {
        let number = usize::try_from(self.next.fetch_add(1, Ordering::Relaxed))?;
        self.slots
            .get(number)
            .copied()
            .context("there are no slots left: they were sold faster than was thought possible")
    }
}
