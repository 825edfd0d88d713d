//! Everything a run has: the house, its people, and what is known of them.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use async_nats::jetstream;
use futures_util::future::try_join_all;
use parking_lot::Mutex;
use scripts::phone::{Account, Ledger, Phone};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    evidence::operator,
    house::House,
    link::Link,
    people::{Notes, Person},
};

/// How many talk.
pub(crate) const TALKERS: usize = 6;
const ROOMS: usize = 4;
const LIVE_WITHIN: Duration = Duration::from_secs(30);

/// A run's house and people.
#[derive(Debug)]
pub(crate) struct Scene {
    /// The processes.
    pub house: House,
    /// `JetStream`, with an operator's rights.
    pub js: jetstream::Context,
    /// Who talks, and last the one with a slow phone.
    pub people: Arc<Vec<Person>>,
    /// Who is taken in and out of the first room.
    pub guest: Arc<Person>,
    /// An account with many sockets.
    pub crowd: Account,
    /// How many.
    pub crowd_size: usize,
    /// The slow phone's way to its gateway.
    pub slow_link: Link,
    /// Where everybody is.
    pub rooms: Vec<Uuid>,
    /// What is known beside the phones' ledgers.
    pub notes: Arc<Mutex<Notes>>,
}

impl Scene {
    /// People sign up, make events, and open their rooms on their phones.
    pub(crate) async fn set(house: House, crowd_size: usize) -> Result<Self> {
        let urls = house.stack.gateway_urls()?;
        let url = urls.first().context("a gateway")?;
        let port: u16 = url.rsplit(':').next().context("a port")?.parse()?;
        let slow_link = Link::start(move || Ok(port)).await?;
        let mut people = Vec::new();
        for n in 0..TALKERS {
            let account = Account::register(&house.rest, &format!("Person {}", n + 1)).await?;
            // One at each gateway takes `failed` at its word.
            let phone = if n + 2 >= TALKERS { Phone::start_resigned } else { Phone::start };
            people.push(Person { phone: phone(&account, &house.gateways, n), account });
        }
        let slow = Account::register(&house.rest, "Slow").await?;
        let slow_gateway = format!("http://127.0.0.1:{}", slow_link.port());
        people.push(Person { phone: Phone::start(&slow, &[slow_gateway], 0), account: slow });
        let guest = Account::register(&house.rest, "Guest").await?;
        let guest = Person { phone: Phone::start(&guest, &house.gateways, 1), account: guest };
        let crowd = Account::register(&house.rest, "Crowd").await?;
        let (owner, others) = people.split_first().context("people")?;
        let mut others: Vec<&Account> = others.iter().map(|person| &person.account).collect();
        others.push(&crowd);
        let mut rooms = Vec::new();
        for n in 0..ROOMS {
            rooms.push(owner.account.make_event(&format!("Event {}", n + 1), &others).await?);
        }
        for person in &people {
            for room in &rooms {
                person.phone.join(*room, Some(0)).await?;
            }
        }
        for person in &people {
            let all_live = |ledger: &Ledger| rooms.iter().all(|room| ledger.is_live(*room));
            person.phone.until("joining the rooms", LIVE_WITHIN, all_live).await?;
        }
        let js = operator(&house.stack).await?;
        let (people, guest, notes) = (Arc::new(people), Arc::new(guest), Arc::default());
        Ok(Self { house, js, people, guest, crowd, crowd_size, slow_link, rooms, notes })
    }

    /// Everybody says something in every room; answers how long it took until all of it was saved and had come to everybody.
    pub(crate) async fn probe(&self, within: Duration) -> Result<Duration> {
        let begun = Instant::now();
        let mut said = Vec::new();
        for person in self.people.iter().filter(|person| !person.phone.look(|ledger| ledger.gives_up)) {
            for room in &self.rooms {
                said.push((person, *room, person.phone.say(*room, "does this come through?").await?));
            }
        }
        let deadline = begun + within;
        let mut places = Vec::new();
        for (person, room, temp_id) in &said {
            let left = deadline.saturating_duration_since(Instant::now());
            let is_saved = |ledger: &Ledger| saved_at(ledger, *room, temp_id).is_some();
            person.phone.until("a probe to be saved", left, is_saved).await?;
            let Some(seq) = person.phone.look(|ledger| saved_at(ledger, *room, temp_id)) else {
                bail!("a saved probe")
            };
            places.push((*room, seq));
        }
        let everybody = self.people.iter().flat_map(|person| places.iter().map(move |place| (person, place)));
        try_join_all(everybody.map(|(person, (room, seq))| {
            let left = deadline.saturating_duration_since(Instant::now());
            let has_it = |ledger: &Ledger| ledger.rooms.get(room).is_some_and(|view| view.last >= Some(*seq));
            person.phone.until("a probe to come", left, has_it)
        }))
        .await?;
        Ok(begun.elapsed())
    }
}

/// Where a message stands, once it is saved.
fn saved_at(ledger: &Ledger, room: Uuid, temp_id: &str) -> Option<u64> {
    let intent = ledger.intents.iter().rev().find(|intent| intent.room == room && intent.temp_id == temp_id)?;
    intent.saved_at.and(intent.place()).map(|(_, seq)| seq)
}
