//! What `verify` holds in memory while it walks a store, and how long it walks: it must hold no more for ten million rows
//! than for a page of them.

use std::{
    io::Read as _,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bench::{load::resident_bytes, plan::Dialect};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    super::{
        Arguments,
        house::{Furnishing, House},
        page::{Goal, Page},
        ratio::Spread,
        run::{self, Load},
        world::World,
    },
    Scenario, number, quiet,
};
use crate::{console, interrupt, stack::Store};

const WORKER: &str = "chat-worker-1";
/// What a check may hold, however much it checks.
const HELD_MAX_MEBIBYTES: f64 = 64.0;
/// Rows of PostgreSQL that are written by one statement.
const SLICE: u64 = 500_000;
const ROWS_OF_ROOM: u64 = 10_000;
const CONTENT_BYTES: usize = 100;
/// Two hundred rooms; what they say is written into the CQL store by the worker.
const WORLD: World = World { first_room: 95_000, rooms: 200, members: 2, senders: 1, targets: 1 };
const CQL_ROWS: u32 = 200_000;
const RATE: f64 = 2_000.0;
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the worker may take for what was said.
const STORED_WITHIN: Duration = Duration::from_mins(3);

pub(super) fn measure(programs: &Path, arguments: &Arguments, page: &mut Page) -> Result<()> {
    let rows = arguments.rows;
    let house = House::open(programs, &Furnishing { workers: 1, ..quiet(arguments, 1) })?;
    fill(&house, rows)?;
    let walk = walk(&house)?;
    ensure!(walk.rows >= rows, "{} rows were checked, not {rows}", walk.rows);
    note(page, "PostgreSQL", &walk);
    drop(house);

    let furnishing = Furnishing { workers: 1, store: Store::Scylla, ..quiet(arguments, 1) };
    let mut house = House::open(programs, &furnishing)?;
    let sent = say(programs, &mut house)?;
    let walk = walk_all(&house, sent)?;
    note(page, "the CQL store", &walk);
    Ok(())
}

fn note(page: &mut Page, store: &str, walk: &Walk) {
    let Walk { rows, seconds, bytes } = walk;
    let mebibytes = number(*bytes) / 1_048_576.0;
    console::step("found", format_args!("{rows} rows of {store}: {seconds:.0} s, {mebibytes:.0} MiB"));
    let what = format!("MiB held at most by a check of {rows} rows of {store}");
    page.goal(Goal::at_most(Scenario::Verify.title(), &what, Spread::of(vec![mebibytes]), HELD_MAX_MEBIBYTES));
    page.remark(&format!("{rows} rows of {store} were checked in {seconds:.0} s."));
}

/// Writes rows as the worker would have, of messages that the log no longer holds, and lets its numbers go on above them.
fn fill(house: &House, rows: u64) -> Result<()> {
    let [room, id, sender] = [(); 3].map(|()| Uuid::now_v7());
    let content = "x".repeat(CONTENT_BYTES);
    let body = json!({
        "type": "message", "room_id": room, "id": id, "sender_id": sender, "sender_name": "Ann", "temp_id": "t-1",
        "content": content, "message_type": "text", "reply_to_id": null,
    });
    let at = "'2026-01-01T00:00:00Z'::timestamptz";
    let mut from = 1;
    while from <= rows {
        if interrupt::is_raised() {
            bail!("interrupted");
        }
        let to = rows.min(from + SLICE - 1);
        let numbered = format!(
            "(SELECT n AS seq, ('00000000-0000-7000-b000-' || lpad(to_hex(n / {ROWS_OF_ROOM}), 12, '0'))::uuid AS room,
                     ('00000000-0000-8000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS id
              FROM generate_series({from}::bigint, {to}) n) numbered"
        );
        house.psql(&format!(
            "INSERT INTO chat_message_ids (message_id, event_id, seq, kind, sender, created_at)
               SELECT id, room, seq, 'message', '{sender}', {at} FROM {numbered};
             INSERT INTO room_log_by_event (event_id, seq, kind, id, created_at, body)
               SELECT room, seq, 'message', id, {at}, replace(replace('{body}', '{room}', room::text), '{id}', id::text)
               FROM {numbered};
             INSERT INTO chat_messages_by_event (event_id, seq, kind, id, created_at, sender, sender_id, sender_name,
                                                 temp_id, content, message_type)
               SELECT room, seq, 'message', id, {at}, '{sender}', '{sender}', 'Ann', 't-1', '{content}', 'text'
               FROM {numbered};"
        ))?;
        console::step("filled", format_args!("{to} of {rows} rows"));
        from = to + 1;
    }
    house.psql(&format!(
        "INSERT INTO log_high_water (name, seq) VALUES ('CHAT_MESSAGES', {rows})
           ON CONFLICT (name) DO UPDATE SET seq = excluded.seq;
         ANALYZE chat_message_ids; ANALYZE room_log_by_event; ANALYZE chat_messages_by_event;"
    ))?;
    let operator = house.stack().env("NATS_URL")?;
    let settings = [("NATS_URL", operator.as_str())];
    let status = house.stack().start_beside(WORKER, &["reopen-log"], &settings, Stdio::inherit())?.wait()?;
    ensure!(status.success(), "the log was not opened above the rows ({status})");
    Ok(())
}

/// Has people say so much; answers how much that was.
fn say(programs: &Path, house: &mut House) -> Result<u64> {
    WORLD.settle(house)?;
    let seats = WORLD.seats(&mut house.tokens)?;
    let measure = f64::from(CQL_ROWS) / RATE;
    let load = Load { rate: RATE, content_bytes: CONTENT_BYTES, warm_up: 1.0, measure, settle: 1.0 };
    let plan = load.plan(Dialect::Timingle, house.gateway_addresses()?, house.processes()?, seats);
    console::step("saying", format_args!("{CQL_ROWS} messages, {RATE} a second"));
    Ok(run::run(programs, &plan)?.sent)
}

/// What a check came to.
struct Walk {
    rows: u64,
    seconds: f64,
    /// The most that it held.
    bytes: u64,
}

/// The part of `verify --json` that counts here.
#[derive(Deserialize)]
struct Said {
    clean: bool,
    checked: Checked,
    seconds: f64,
}

#[derive(Deserialize)]
struct Checked {
    log_rows: u64,
}

/// Checks until all that was said is among what is checked.
fn walk_all(house: &House, sent: u64) -> Result<Walk> {
    let begun = Instant::now();
    loop {
        let walk = walk(house)?;
        if walk.rows >= sent {
            return Ok(walk);
        }
        ensure!(begun.elapsed() < STORED_WITHIN, "{} of {sent} messages were stored", walk.rows);
    }
}

fn walk(house: &House) -> Result<Walk> {
    console::step("verifying", "everything");
    let mut child = house.stack().start_beside(WORKER, &["verify", "--json"], &[], Stdio::piped())?;
    let pid = i32::try_from(child.id())?;
    let mut bytes = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if interrupt::is_raised() {
            child.kill()?;
            bail!("interrupted");
        }
        bytes = bytes.max(resident_bytes(pid));
        thread::sleep(LOOK_EVERY);
    };
    let mut said = String::new();
    child.stdout.take().context("its answer was asked for")?.read_to_string(&mut said)?;
    let Said { clean, checked, seconds } =
        serde_json::from_str(&said).with_context(|| format!("verify ended with {status} and said: {said}"))?;
    ensure!(clean, "verify found something wrong: {said}");
    Ok(Walk { rows: checked.log_rows, seconds, bytes })
}
