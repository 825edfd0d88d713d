//! Drills: what an operator does when the log is not what it was. docs/reliability.md tells the same in words.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use chaos::{
    Person,
    evidence::{gather, operator, quiet},
};
use scripts::{
    phone::{Incoming, Ledger, Word, audit::audit},
    stack::{Stack, Store, nats_url},
};
use tokio::time::{interval, timeout};
use uuid::Uuid;

use crate::house::{House, bounded, enter, plan};

const SAVED_WITHIN: Duration = Duration::from_secs(30);
const RED_WITHIN: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const MESSAGES: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_of_the_log_is_seen_refused_and_opened_again_with_nothing_lost() -> Result<()> {
    bounded(older_copy()).await
}

async fn older_copy() -> Result<()> {
    let house = House::start(plan(Store::Postgres)).await?;
    let stack = &house.stack;
    let people = [house.person("Ann", 0).await?, house.person("Ben", 1).await?];
    let [ann, _ben] = &people;
    let room = ann.account.make_event("Before and after", &[&people[1].account]).await?;
    enter(&people, &[room]).await?;
    all_say(&people, room, "kept").await?;

    // A backup is made, and later put back: the log is then older than what was stored of it.
    let (data, copy) = (stack.folder().join("data/nats"), stack.folder().join("older"));
    stack.kill9("nats")?;
    copy_folder(&data, &copy)?;
    stack.restart("nats").await?;
    all_say(&people, room, "not in the copy").await?;
    stack.kill9("nats")?;
    fs::remove_dir_all(&data)?;
    fs::rename(&copy, &data)?;
    stack.restart("nats").await?;

    // Numbers would be given a second time: nothing is taken, visibly, and the workers are red.
    until_red(stack).await?;
    ann.phone.say(room, "into the past").await?;
    ann.phone.until("a refusal", SAVED_WITHIN, was_refused).await?;
    ensure!(ann.phone.look(|ledger| ledger.intents.last().is_some_and(|intent| intent.place().is_none())));

    let operators = nats_url("operator", port(stack)?);
    stack.ask_as("chat-worker-1", &["reopen-log"], &[("NATS_URL", &operators)]).await?;
    for person in &people {
        person.phone.until_settled("what was refused to be saved", SAVED_WITHIN).await?;
    }
    all_say(&people, room, "after").await?;
    nothing_is_lost(stack, &people, room).await
}

/// Everybody says some things, and they are stored.
async fn all_say(people: &[Person], room: Uuid, what: &str) -> Result<()> {
    for n in 0..MESSAGES {
        for person in people {
            person.phone.say(room, &format!("{what}, the {n}th")).await?;
        }
    }
    for person in people {
        person.phone.until_settled(what, SAVED_WITHIN).await?;
    }
    Ok(())
}

fn was_refused(ledger: &Ledger) -> bool {
    ledger.heard.iter().any(|heard| {
        matches!(&heard.frame, Incoming::Status { word: Word::Failed { code, retry: true, .. }, .. } if code == "log_behind")
    })
}

/// What phones were told is in the store, although the log does not have all of it any more.
async fn nothing_is_lost(stack: &Stack, people: &[Person], room: Uuid) -> Result<()> {
    let js = operator(stack).await?;
    quiet(&js).await?;
    let mut evidence = gather(stack, &js, people, &[room]).await?;
    evidence.logs.retain(|log| log.keeper != "the stream");
    let violations: Vec<_> = audit(&evidence).iter().map(ToString::to_string).collect();
    ensure!(violations.is_empty(), "{}", violations.join("\n"));
    for ledger in &evidence.ledgers {
        ensure!(
            ledger.saved() == ledger.intents.len() && ledger.saved() >= 3 * MESSAGES,
            "{} are saved",
            ledger.saved()
        );
    }
    stack.ask("chat-worker-1", &["verify"]).await.context("verify")
}

async fn until_red(stack: &Stack) -> Result<()> {
    let url = stack.env("WORKER_OPS_URLS")?;
    let url = format!("{}/readyz", url.split(',').next().unwrap_or_default());
    let mut looks = interval(LOOK_AGAIN);
    let looking = async {
        loop {
            looks.tick().await;
            let answer = reqwest::get(&url).await?;
            if answer.status() == 503 && answer.text().await?.contains("log: down") {
                return anyhow::Ok(());
            }
        }
    };
    timeout(RED_WITHIN, looking).await.context("the worker does not see that the log went back")?
}

fn port(stack: &Stack) -> Result<u16> {
    let url = stack.env("NATS_URL")?;
    url.rsplit(':').next().and_then(|port| port.parse().ok()).context("NATS_URL ends with a port")
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
