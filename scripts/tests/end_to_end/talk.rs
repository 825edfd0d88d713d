//! Two people, two gateways, and nothing in their way.

use std::time::Duration;

use anyhow::{Result, ensure};
use chaos::evidence::all_is_well;
use scripts::{phone::Ledger, stack::Store};

use crate::house::{House, bounded, enter, plan};

const ROOMS: usize = 5;
/// In all rooms, by both people.
const MESSAGES: usize = 500;
const SETTLED_WITHIN: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_messages_in_five_rooms_are_the_same_for_both_people_on_postgresql() -> Result<()> {
    bounded(five_hundred_messages(Store::Postgres)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_messages_in_five_rooms_are_the_same_for_both_people_on_scylla() -> Result<()> {
    bounded(five_hundred_messages(Store::Scylla)).await
}

async fn five_hundred_messages(store: Store) -> Result<()> {
    let house = House::start(plan(store)).await?;
    let people = [house.person("Ann", 0).await?, house.person("Ben", 1).await?];
    let [ann, ben] = &people;
    let mut rooms = Vec::new();
    for n in 0..ROOMS {
        rooms.push(ann.account.make_event(&format!("Appointment {n}"), &[&ben.account]).await?);
    }
    enter(&people, &rooms).await?;
    for n in 0..MESSAGES / ROOMS / people.len() {
        for room in &rooms {
            for person in &people {
                person.phone.say(*room, &format!("{} says the {n}th: 안녕 👋", person.account.name)).await?;
            }
        }
    }
    let evidence = all_is_well(&house.stack, &people, &rooms, SETTLED_WITHIN).await?;

    for ledger in &evidence.ledgers {
        // That `sent` came before `saved`, once, and at the same place, is part of the audit.
        ensure!(
            ledger.sent() == MESSAGES / 2 && ledger.saved() == MESSAGES / 2,
            "{} of {}",
            ledger.saved(),
            ledger.name
        );
        ensure!(ledger.intents.iter().all(|intent| intent.tries == 1), "{} had to send again", ledger.name);
        ensure!(ledger.sockets == 1, "{} lost the socket", ledger.name);
        // Every frame named the one before it, and none of those was missing: there was no hole to fill.
        ensure!(ledger.rooms.values().all(|view| view.holes == 0 && view.repeats == 0), "{} had holes", ledger.name);
    }
    let [ann, ben] = evidence.ledgers.as_slice() else { anyhow::bail!("two ledgers") };
    for room in &rooms {
        let (ann, ben) = (screen(ann, *room), screen(ben, *room));
        ensure!(ann == ben, "{room} is {ann:?} for Ann and {ben:?} for Ben");
        let messages = ann.iter().filter(|(_, kind)| kind == "message").count();
        ensure!(messages == MESSAGES / ROOMS, "{messages} messages in {room}");
    }
    Ok(())
}

fn screen(ledger: &Ledger, room: uuid::Uuid) -> Vec<(u64, String)> {
    let view = ledger.rooms.get(&room);
    view.iter().flat_map(|view| view.shown.values()).map(|shown| (shown.seq, shown.kind.clone())).collect()
}
