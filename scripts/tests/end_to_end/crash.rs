//! Processes are killed while people talk. Nothing is lost, and nothing is there twice.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use chaos::evidence::all_is_well;
use scripts::{
    phone::{Ledger, Phone},
    stack::Store,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use uuid::Uuid;

use crate::house::{House, Person, bounded, enter, plan};

/// Between two messages of one person.
const PACE: Duration = Duration::from_millis(40);
/// Of each person, between two things that happen.
const STRETCH: usize = 20;
/// How long a stretch, or to come back, may take.
const STRETCH_WITHIN: Duration = Duration::from_secs(30);
const SETTLED_WITHIN: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_worker_gateway_and_nats_are_killed_on_postgresql() -> Result<()> {
    bounded(nothing_is_lost(Store::Postgres)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_worker_gateway_and_nats_are_killed_on_scylla() -> Result<()> {
    bounded(nothing_is_lost(Store::Scylla)).await
}

async fn nothing_is_lost(store: Store) -> Result<()> {
    let house = House::start(plan(store)).await?;
    let stack = &house.stack;
    let people =
        Arc::new([house.person("Ann", 0).await?, house.person("Ben", 1).await?, house.person("Cara", 0).await?]);
    let [ann, ben, cara] = &*people;
    let rooms = [
        ann.account.make_event("One", &[&ben.account, &cara.account]).await?,
        ben.account.make_event("Two", &[&cara.account, &ann.account]).await?,
    ];
    enter(&*people, &rooms).await?;
    let chatter = Chatter::start(&people, rooms);
    another_stretch(&*people).await?;

    stack.kill9("chat-worker-1")?;
    // The log takes what the store cannot.
    another_stretch(&*people).await?;
    stack.restart("chat-worker-1").await?;
    all_saved_until_now(&*people).await?;

    stack.kill9("gateway-1")?;
    for person in [ann, cara] {
        let is_back = |ledger: &Ledger| ledger.sockets > 1 && rooms.iter().all(|room| ledger.is_live(*room));
        person.phone.until("coming back through the other gateway", STRETCH_WITHIN, is_back).await?;
    }
    another_stretch(&*people).await?;
    stack.restart("gateway-1").await?;

    let meant: Vec<_> = people.iter().map(|person| person.phone.look(|ledger| ledger.intents.len())).collect();
    stack.kill9("nats")?;
    for (person, meant) in people.iter().zip(meant) {
        person.phone.until("talking on", STRETCH_WITHIN, |ledger| ledger.intents.len() > meant + STRETCH).await?;
    }
    stack.restart("nats").await?;
    another_stretch(&*people).await?;
    chatter.stop().await?;

    let evidence = all_is_well(stack, &*people, &rooms, SETTLED_WITHIN).await?;
    for ledger in &evidence.ledgers {
        let (meant, saved) = (ledger.intents.len(), ledger.saved());
        ensure!(meant == saved, "{} meant {meant} messages and {saved} are saved", ledger.name);
        ensure!(meant > 5 * STRETCH, "{} hardly said a thing", ledger.name);
    }
    Ok(())
}

/// Everybody talks, now in this room and now in that, until told to stop.
struct Chatter {
    stop: watch::Sender<bool>,
    talkers: JoinSet<Result<()>>,
}

impl Chatter {
    fn start(people: &Arc<[Person; 3]>, rooms: [Uuid; 2]) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut talkers = JoinSet::new();
        for n in 0..people.len() {
            let (people, stopped) = (Arc::clone(people), stopped.clone());
            talkers.spawn(async move {
                let person = people.get(n).context("a person")?;
                talk(&person.phone, rooms, stopped).await
            });
        }
        Self { stop, talkers }
    }

    async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(true);
        while let Some(talker) = self.talkers.join_next().await {
            talker??;
        }
        Ok(())
    }
}

async fn talk(phone: &Phone, rooms: [Uuid; 2], stopped: watch::Receiver<bool>) -> Result<()> {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for (n, room) in rooms.into_iter().cycle().enumerate() {
        pace.tick().await;
        if *stopped.borrow() {
            break;
        }
        phone.say(room, &format!("the {n}th")).await?;
    }
    Ok(())
}

/// Everybody gets some more messages into the log.
async fn another_stretch(people: &[Person]) -> Result<()> {
    let goals: Vec<_> = people.iter().map(|person| person.phone.look(Ledger::sent) + STRETCH).collect();
    for (person, goal) in people.iter().zip(goals) {
        person.phone.until("getting on", STRETCH_WITHIN, |ledger| ledger.sent() >= goal).await?;
    }
    Ok(())
}

/// All that has been said so far gets into the store.
async fn all_saved_until_now(people: &[Person]) -> Result<()> {
    let goals: Vec<_> = people.iter().map(|person| person.phone.look(|ledger| ledger.intents.len())).collect();
    for (person, goal) in people.iter().zip(goals) {
        let is_saved = |ledger: &Ledger| ledger.intents.iter().take(goal).all(scripts::phone::Intent::is_over);
        person.phone.until("catching up", STRETCH_WITHIN, is_saved).await?;
    }
    Ok(())
}
