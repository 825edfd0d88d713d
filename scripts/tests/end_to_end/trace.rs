//! The way of one message, told afterwards.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use scripts::{phone::Outcome, stack::Store};
use serde_json::Value;
use tokio::time::interval;

use crate::house::{House, bounded, enter, plan};

const SAVED_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hop_of_a_message_has_its_time_and_they_are_in_order() -> Result<()> {
    bounded(every_hop()).await
}

async fn every_hop() -> Result<()> {
    const LOG: &str = "TIMINGLE_LOG";
    let plan = plan(Store::Postgres).env("gateway", LOG, "info,hop=debug").env("chat-worker", LOG, "info,hop=debug");
    let house = House::start(plan).await?;
    let people = [house.person("Ann", 0).await?, house.person("Ben", 1).await?];
    let [ann, _ben] = &people;
    let room = ann.account.make_event("On its way", &[&people[1].account]).await?;
    enter(&people, &[room]).await?;
    ann.phone.say(room, "hi").await?;
    ann.phone.until_settled("to be saved", SAVED_WITHIN).await?;
    let outcome = ann.phone.look(|ledger| ledger.intents.first().map(|intent| intent.outcome.clone()));
    let Some(Outcome::Saved { id, .. }) = outcome else { anyhow::bail!("{outcome:?}") };

    let mut arguments = vec!["trace".to_owned(), id.to_string(), "--json".to_owned()];
    for file in house.stack.logs_of(&["gateway", "chat-worker"])? {
        arguments.extend(["--logs".to_owned(), file]);
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    // A log may be written a moment after what it tells of.
    let mut looks = interval(LOOK_AGAIN);
    let hops = loop {
        looks.tick().await;
        let said = house.stack.output("chat-worker-1", &arguments, &[(LOG, "warn")]).await?;
        let trace: Value = serde_json::from_slice(&said.stdout).context("a trace is JSON")?;
        let hops = trace.get("hops").and_then(Value::as_array).context("a trace has hops")?.clone();
        let last = hops.last().context("there are hops")?;
        let is_twice = |wanted: &str| hops.iter().filter(|hop| hop["hop"] == wanted).count() == 2;
        // Both gateways have somebody in the room.
        if last["at"].is_string() && is_twice("republished") && is_twice("delivered") {
            break hops;
        }
    };
    let name = |hop: &Value| hop["hop"].as_str().unwrap_or_default().to_owned();
    let names: Vec<_> = hops.iter().map(name).collect();
    let expected = [
        "accepted",
        "published",
        "in the log",
        "republished",
        "republished",
        "delivered",
        "delivered",
        "in the store",
        "reported saved",
    ];
    ensure!(names == expected, "{names:?}");
    ensure!(hops.iter().all(|hop| hop["at"].is_string()), "{hops:#?}");
    let delivered: Vec<_> = hops.iter().filter(|hop| hop["hop"] == "delivered").collect();
    let to_one = |hop: &&Value| hop["detail"].as_str().is_some_and(|detail| detail.contains("to 1 sockets"));
    ensure!(delivered.iter().all(to_one), "{delivered:#?}");
    // All clocks are this machine's; headers and the log's time are cut to the millisecond.
    let millis = |hop: &Value| hop["at"].as_str().map(|at| at.chars().take(23).collect::<String>());
    for way in [
        ["in the log", "republished", "delivered"].as_slice(),
        &["accepted", "published", "in the log", "in the store", "reported saved"],
    ] {
        let times: Vec<_> =
            way.iter().filter_map(|wanted| hops.iter().find(|hop| hop["hop"] == *wanted)).map(millis).collect();
        ensure!(times.is_sorted(), "{hops:#?}");
    }
    Ok(())
}
