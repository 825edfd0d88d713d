//! The people of a run: they talk over sockets, and over REST they post, edit, delete, react, read and change events.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Result, bail};
use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use reqwest::Method;
use scripts::phone::{Account, Answer, Item, Phone};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use uuid::Uuid;

use crate::scene::Scene;

/// Somebody with an account and a phone.
#[derive(Debug)]
pub struct Person {
    /// Who.
    pub account: Account,
    /// Their phone.
    pub phone: Phone,
}

/// Something said over REST, and what was answered in the end.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    /// Who said it.
    pub sender: Uuid,
    /// Where.
    pub room: Uuid,
    /// The sender's own name for it.
    pub temp_id: String,
    /// What the server said became of it.
    pub told: Told,
}

/// What became of something said over REST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is this message, at this seq.
    Said(Uuid, u64),
    /// It was not said.
    Refused,
    /// Nobody knows.
    Nothing,
}

impl Told {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Said(..) => "said",
            Self::Refused => "refused",
            Self::Nothing => "unknown",
        }
    }
}

/// Somebody was taken out of a room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Removal {
    /// Of which room.
    pub room: Uuid,
    /// When the api had said so.
    pub at: Instant,
    /// Until when: then they were asked in again.
    pub until: Option<Instant>,
}

/// What is known beside the phones' ledgers.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// What was said over REST.
    pub posted: Vec<Posted>,
    /// What authors wanted their messages to say instead.
    pub edits: HashMap<Uuid, Vec<String>>,
    /// Who was taken out.
    pub removals: Vec<Removal>,
    /// What the api must not answer, in words.
    pub oddities: Vec<String>,
    /// Calls by status; 0 = no answer.
    pub calls: HashMap<u16, u64>,
}

/// Everybody does what people do, until told to stop.
#[derive(Debug)]
pub(crate) struct Bustle {
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<()>>,
}

/// Between two things one person does over REST.
const CHORE_EVERY: Duration = Duration::from_millis(700);
/// A change of the event by its owner.
const EVENT_EVERY: Duration = Duration::from_millis(1500);
/// How long a call that must get through is tried again.
const INSIST_FOR: Duration = Duration::from_mins(2);
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Messages of one's own that are still changed.
const RECENT: usize = 40;

impl Bustle {
    /// The first `talkers` start: each says something every `pace`. The guest is taken in and out of the first room.
    pub(crate) fn start(scene: &Scene, talkers: usize, pace: Duration, seed: u64) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for n in 0..talkers.min(scene.people.len()) {
            let (people, notes) = (Arc::clone(&scene.people), Arc::clone(&scene.notes));
            let world = World { people, rooms: scene.rooms.clone(), me: n, notes };
            let rng = |salt: u64| StdRng::seed_from_u64(seed ^ (salt << 32) ^ u64::try_from(n).unwrap_or_default());
            tasks.spawn(world.clone().talk(stopped.clone(), pace, rng(1)));
            tasks.spawn(world.clone().do_chores(stopped.clone(), rng(2)));
            if n == 0 {
                tasks.spawn(world.clone().change_events(stopped.clone()));
                tasks.spawn(world.have_guest(stopped.clone(), Arc::clone(&scene.guest), rng(3)));
            }
        }
        Self { stop, tasks }
    }

    /// Everybody stops.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.stop.send_replace(true);
        while let Some(task) = self.tasks.join_next().await {
            task??;
        }
        Ok(())
    }
}

#[derive(Clone)]
struct World {
    people: Arc<Vec<Person>>,
    rooms: Vec<Uuid>,
    me: usize,
    notes: Arc<Mutex<Notes>>,
}

impl World {
    fn person(&self) -> Result<&Person> {
        self.people.get(self.me).ok_or_else(|| anyhow::anyhow!("there is no person {}", self.me))
    }

    fn room(&self, rng: &mut StdRng) -> Uuid {
        self.rooms.choose(rng).copied().unwrap_or_default()
    }

    async fn talk(self, mut stopped: watch::Receiver<bool>, pace: Duration, mut rng: StdRng) -> Result<()> {
        let mut ticks = interval(pace);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for n in 0_u64.. {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
                _ = ticks.tick() => {}
            }
            let room = self.room(&mut rng);
            self.person()?.phone.say(room, &format!("the {n}th")).await?;
        }
        Ok(())
    }

    async fn do_chores(self, mut stopped: watch::Receiver<bool>, mut rng: StdRng) -> Result<()> {
        for n in 0_u64.. {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
                () = sleep(CHORE_EVERY.mul_f64(rng.random_range(0.5..1.5))) => {}
            }
            match rng.random_range(0..10) {
                0..3 => self.post(n, &mut rng).await?,
                3..5 => self.edit(n, &mut rng).await?,
                5 => self.delete(&mut rng).await?,
                6..8 => self.react(&mut rng).await?,
                _ => self.read(&mut rng).await?,
            }
        }
        Ok(())
    }

    /// A call whose answer may be anything but what no server may say.
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Option<Answer>> {
        let answer = self.person()?.account.call(method.clone(), path, body).await.ok();
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        let mut notes = self.notes.lock();
        *notes.calls.entry(status).or_default() += 1;
        let is_fine = matches!(status, 0 | 200..=299 | 403 | 404 | 409 | 429 | 503);
        if let Some(answer) = answer.as_ref().filter(|_| !is_fine) {
            notes.oddities.push(format!("{method} {path}: {status} {}", answer.body));
        }
        Ok(answer)
    }

    /// Calls until the answer is `wanted`, or one that says that it was done before.
    async fn insist(&self, method: Method, path: &str, body: Option<&Value>, wanted: &[u16]) -> Result<()> {
        let insisting = async {
            loop {
                if let Some(answer) = self.call(method.clone(), path, body).await?
                    && wanted.contains(&answer.status)
                {
                    return anyhow::Ok(());
                }
                sleep(AGAIN_AFTER).await;
            }
        };
        match timeout(INSIST_FOR, insisting).await {
            Ok(result) => result,
            Err(_elapsed) => bail!("{method} {path}: not within {INSIST_FOR:?}"),
        }
    }

    async fn post(&self, n: u64, rng: &mut StdRng) -> Result<()> {
        let (room, temp_id) = (self.room(rng), format!("rest-{n}"));
        let body = json!({ "temp_id": temp_id, "content": format!("the {n}th over REST") });
        let mut told = Told::Nothing;
        // As an app does: the same again until somebody says what became of it.
        for tries in 1..=20 {
            match self.call(Method::POST, &format!("/rooms/{room}/messages"), Some(&body)).await? {
                Some(answer) if answer.status == 201 => {
                    let item: Item = answer.expect(201)?;
                    told = Told::Said(item.id, item.seq);
                }
                // Some are content with that: else nobody would see that what was refused was said nevertheless, and what
                // nobody knew of twice.
                Some(answer) if tries == 1 && n.is_multiple_of(2) && is_refusal(&answer) => told = Told::Refused,
                Some(answer) if tries == 1 && !n.is_multiple_of(2) && is_unknown(&answer) => {}
                _ => {
                    sleep(AGAIN_AFTER).await;
                    continue;
                }
            }
            break;
        }
        let sender = self.person()?.account.id;
        self.notes.lock().posted.push(Posted { sender, room, temp_id, told });
        Ok(())
    }

    /// A message of one's own that is in the log, of late.
    fn mine(&self, rng: &mut StdRng) -> Result<Option<(Uuid, Uuid)>> {
        let mine: Vec<(Uuid, Uuid)> = self.person()?.phone.look(|ledger| {
            let recent = ledger.intents.iter().rev().take(RECENT);
            recent.filter_map(|intent| Some((intent.room, intent.place()?.0))).collect()
        });
        Ok(mine.choose(rng).copied())
    }

    async fn edit(&self, n: u64, rng: &mut StdRng) -> Result<()> {
        let Some((room, id)) = self.mine(rng)? else { return Ok(()) };
        // More than once, so that there is an order to get wrong.
        for again in 0..3 {
            let content = format!("edited for the {n}th time, and again {again}");
            self.notes.lock().edits.entry(id).or_default().push(content.clone());
            let body = json!({ "content": content });
            drop(self.call(Method::PATCH, &format!("/rooms/{room}/messages/{id}"), Some(&body)).await?);
        }
        Ok(())
    }

    async fn delete(&self, rng: &mut StdRng) -> Result<()> {
        // The first of them owns the rooms, and may delete what others say.
        let found = if self.me == 0 {
            let room = self.room(rng);
            self.shown(room, rng)?.map(|id| (room, id))
        } else {
            self.mine(rng)?
        };
        let Some((room, id)) = found else { return Ok(()) };
        self.call(Method::DELETE, &format!("/rooms/{room}/messages/{id}"), None).await.map(drop)
    }

    /// A message that is on the screen, of late.
    fn shown(&self, room: Uuid, rng: &mut StdRng) -> Result<Option<Uuid>> {
        let shown: Vec<Uuid> = self.person()?.phone.look(|ledger| {
            let view = ledger.rooms.get(&room).into_iter();
            let recent = view.flat_map(|view| view.shown.values().rev().take(RECENT));
            recent.filter(|shown| shown.kind == "message").map(|shown| shown.id).collect()
        });
        Ok(shown.choose(rng).copied())
    }

    async fn react(&self, rng: &mut StdRng) -> Result<()> {
        let room = self.room(rng);
        let Some(id) = self.shown(room, rng)? else { return Ok(()) };
        let method = if rng.random_bool(0.7) { Method::PUT } else { Method::DELETE };
        let emoji = if rng.random_bool(0.5) { "%F0%9F%91%8D" } else { "%F0%9F%8E%89" };
        self.call(method, &format!("/rooms/{room}/messages/{id}/reactions/{emoji}"), None).await.map(drop)
    }

    async fn read(&self, rng: &mut StdRng) -> Result<()> {
        let room = self.room(rng);
        self.call(Method::POST, &format!("/rooms/{room}/read"), Some(&json!({}))).await.map(drop)
    }

    /// The owner gives the event another title, now and again.
    async fn change_events(self, mut stopped: watch::Receiver<bool>) -> Result<()> {
        for n in 0_u64.. {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
                () = sleep(EVENT_EVERY) => {}
            }
            for room in &self.rooms {
                let body = json!({ "title": format!("The {n}th title") });
                drop(self.call(Method::PATCH, &format!("/events/{room}"), Some(&body)).await?);
            }
        }
        Ok(())
    }

    /// The guest comes and is asked to leave, again and again.
    async fn have_guest(self, mut stopped: watch::Receiver<bool>, guest: Arc<Person>, mut rng: StdRng) -> Result<()> {
        let Some(room) = self.rooms.first().copied() else { return Ok(()) };
        let user = guest.account.id;
        loop {
            if let Some(removal) = self.notes.lock().removals.last_mut() {
                removal.until = Some(Instant::now());
            }
            let body = json!({ "user_id": user });
            // Twice is a conflict: the first answer was lost.
            self.insist(Method::POST, &format!("/events/{room}/participants"), Some(&body), &[201, 409]).await?;
            guest.phone.join(room, None).await?;
            sleep(Duration::from_secs_f64(rng.random_range(1.5..4.0))).await;
            // Who is gone already is not found.
            let path = format!("/events/{room}/participants/{user}");
            self.insist(Method::DELETE, &path, None, &[204, 404]).await?;
            self.notes.lock().removals.push(Removal { room, at: Instant::now(), until: None });
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
                () = sleep(Duration::from_secs_f64(rng.random_range(2.5..4.0))) => {}
            }
        }
    }
}

/// Whether an answer says that nothing was said.
fn is_refusal(answer: &Answer) -> bool {
    matches!(answer.status, 429 | 503) && answer.body.get("code").is_some_and(|code| code != "unknown")
}

/// Whether an answer says that nobody knows.
fn is_unknown(answer: &Answer) -> bool {
    answer.body.get("code").is_some_and(|code| code == "unknown")
}
