//! Rooms do not wait for each other: one message in each of fifty, and a store that takes 10 ms for whatever it is told.
//! One after the other they would take half a second.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use async_nats::jetstream;
use chaos::evidence::operator;
use scripts::{console, stack::Stack};
use sqlx::PgPool;
use tokio::time::interval;

use super::backlog;

const ROOMS: u32 = 50;
const ROUNDS: usize = 9;
/// These open the connections.
const ROUNDS_BEFORE: usize = 3;
const LOOK_EVERY: Duration = Duration::from_millis(1);
const STORED_WITHIN: Duration = Duration::from_secs(10);

/// Every statement that writes messages takes so much longer.
const SLOW: &str = "
    CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(0.01); RETURN NULL; END $$;
    CREATE TRIGGER be_slow BEFORE INSERT ON room_log_by_event FOR EACH STATEMENT EXECUTE FUNCTION be_slow();
";

/// Milliseconds from the first publish to the last write, of rounds with the store as it is, and of as many with a slow one.
pub(super) async fn measure(stack: &Stack) -> Result<[Vec<f64>; 2]> {
    let js = operator(stack).await?;
    let pool = PgPool::connect(&stack.env("DATABASE_URL")?).await?;
    for _ in 0..ROUNDS_BEFORE {
        round(&js).await?;
    }
    let quick = rounds(&js).await?;
    sqlx::raw_sql(SLOW).execute(&pool).await?;
    let slow = rounds(&js).await?;
    Ok([quick, slow])
}

async fn rounds(js: &jetstream::Context) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        times.push(round(js).await?);
    }
    console::step("found", format_args!("{times:.1?} ms until one message of each of {ROOMS} rooms was stored"));
    Ok(times)
}

async fn round(js: &jetstream::Context) -> Result<f64> {
    let began = Instant::now();
    let last = backlog::publish(js, ROOMS, ROOMS).await?;
    let mut looks = interval(LOOK_EVERY);
    while backlog::floor(js).await? < last {
        ensure!(began.elapsed() < STORED_WITHIN, "the worker has not stored {ROOMS} messages within {STORED_WITHIN:?}");
        looks.tick().await;
    }
    Ok(began.elapsed().as_secs_f64() * 1_000.0)
}
