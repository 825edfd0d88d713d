//! From history to live while the store lags: nothing is missing at the seam, and nothing is there twice.

use std::{collections::BTreeSet, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use chaos::evidence::all_is_well;
use rustix::process::{Pid, Signal, kill_process};
use scripts::{
    phone::{Account, Ledger, Page, Phone},
    stack::{Stack, Store},
};
use tokio::time::{interval, timeout};
use uuid::Uuid;

use crate::house::{House, LIVE_WITHIN, Person, bounded, enter, plan};

/// Enough for the broker to give some to each worker.
const MESSAGES: usize = 60;
/// Less than the broker waits before it gives a stopped worker's messages to another one.
const LAG_SEEN_WITHIN: Duration = Duration::from_secs(8);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const SETTLED_WITHIN: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missing_and_nothing_twice_between_history_and_live_on_postgresql() -> Result<()> {
    bounded(from_history_to_live(Store::Postgres)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missing_and_nothing_twice_between_history_and_live_on_scylla() -> Result<()> {
    bounded(from_history_to_live(Store::Scylla)).await
}

async fn from_history_to_live(store: Store) -> Result<()> {
    let house = House::start(plan(store).workers(2)).await?;
    let stack = &house.stack;
    let mut people = vec![house.person("Ann", 0).await?];
    let ben = house.account("Ben").await?;
    let ann = people.first().context("Ann")?;
    let room = ann.account.make_event("The seam", &[&ben]).await?;
    enter(&people, &[room]).await?;

    let held = Held::stop(stack, "chat-worker-1")?;
    for n in 0..MESSAGES {
        ann.phone.say(room, &format!("the {n}th")).await?;
    }
    ann.phone.until("all to be sent", SETTLED_WITHIN, |ledger| ledger.sent() == MESSAGES).await?;
    let said: BTreeSet<_> =
        ann.phone.look(|ledger| ledger.intents.iter().filter_map(|one| Some(one.place()?.1)).collect());
    let page = page_with_a_gap(&ben, room, &said).await?;

    let phone = Phone::start(&ben, &house.gateways, 1);
    phone.join_from_history(room, page).await?;
    phone.until("coming in", LIVE_WITHIN, |ledger| ledger.is_live(room)).await?;
    let messages = |ledger: &Ledger| {
        let view = ledger.rooms.get(&room);
        view.iter().flat_map(|view| view.shown.values()).filter(|shown| shown.kind == "message").count()
    };
    phone.until("seeing all", LIVE_WITHIN, |ledger| messages(ledger) == MESSAGES).await?;
    ensure!(gap(&ben.newest_page(room).await?, &said).is_some(), "the store caught up before the phone came in");
    // Live goes on where the replay ended.
    ann.phone.say(room, "one more").await?;
    phone.until("hearing one more", LIVE_WITHIN, |ledger| messages(ledger) == MESSAGES + 1).await?;
    held.go_on()?;

    let repeats = phone.look(|ledger| ledger.rooms.get(&room).map(|view| (view.repeats, view.holes)));
    ensure!(repeats == Some((0, 0)), "repeats and holes at the seam: {repeats:?}");
    people.push(Person { account: ben, phone });
    all_is_well(stack, &people, &[room], SETTLED_WITHIN).await?;
    Ok(())
}

/// A seq that is missing between others: the store has one above it.
fn gap(page: &Page, said: &BTreeSet<u64>) -> Option<u64> {
    let stored: BTreeSet<_> = page.items.iter().map(|item| item.seq).collect();
    let newest = stored.last()?;
    said.range(..newest).find(|seq| !stored.contains(seq)).copied()
}

/// The newest page, once the store has what one worker was given and lacks what the other one was.
async fn page_with_a_gap(reader: &Account, room: Uuid, said: &BTreeSet<u64>) -> Result<Page> {
    let mut looks = interval(LOOK_AGAIN);
    let looking = async {
        loop {
            looks.tick().await;
            let page = reader.newest_page(room).await?;
            if let Some(seq) = gap(&page, said) {
                ensure!(page.settled_seq < seq, "settled at {}, but {seq} is not stored", page.settled_seq);
                return Ok(page);
            }
        }
    };
    timeout(LAG_SEEN_WITHIN, looking).await.context("no gap was seen: nothing waits for the stopped worker")?
}

/// A process that is stopped; it goes on when this is dropped.
struct Held(Pid);

impl Held {
    fn stop(stack: &Stack, name: &str) -> Result<Self> {
        let pid = fs::read_to_string(stack.log_file(name).with_extension("pid"))?;
        let pid = Pid::from_raw(pid.trim().parse()?).context("a process has a number")?;
        kill_process(pid, Signal::STOP)?;
        Ok(Self(pid))
    }

    fn go_on(self) -> Result<()> {
        Ok(kill_process(self.0, Signal::CONT)?)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Gone or going on already: both are fine.
        kill_process(self.0, Signal::CONT).ok();
    }
}
