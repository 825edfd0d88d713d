//! A phone in somebody's hand.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, timeout},
};
use uuid::Uuid;

use super::{
    account::{Account, Page},
    ledger::{Heard, Ledger},
    session::{Session, Wish},
    view::View,
};

const WISHES_MAX: usize = 1024;

/// A phone that is switched on. It keeps a socket at one of the gateways until it is dropped.
#[derive(Debug)]
pub struct Phone {
    wishes: mpsc::Sender<Wish>,
    ledger: watch::Receiver<Ledger>,
    /// How many things its owner said; the ledger knows of them a little later.
    said: AtomicUsize,
    /// Ends the task with the phone.
    _session: JoinSet<()>,
}

impl Phone {
    /// Switches a phone on that tries `gateways` (`http://host:port`) in turn, the `first`th first.
    pub fn start(account: &Account, gateways: &[String], first: usize) -> Self {
        Self::with(account, gateways, first, Ledger::new(account.id, account.name.clone()))
    }

    /// As [`Phone::start`], for somebody who says nothing again that has failed.
    pub fn start_resigned(account: &Account, gateways: &[String], first: usize) -> Self {
        let mut ledger = Ledger::new(account.id, account.name.clone());
        ledger.gives_up = true;
        Self::with(account, gateways, first, ledger)
    }

    fn with(account: &Account, gateways: &[String], first: usize, ledger: Ledger) -> Self {
        let (wishes, received) = mpsc::channel(WISHES_MAX);
        let (sender, ledger) = watch::channel(ledger);
        let session = Session {
            token: account.token.clone(),
            gateways: gateways.to_vec(),
            next_gateway: first,
            ledger: sender,
            wishes: received,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(session.run());
        Self { wishes, ledger, said: AtomicUsize::new(0), _session: tasks }
    }

    /// Opens a room and keeps it joined: from now on, or from after `since`.
    pub async fn join(&self, room: Uuid, since: Option<u64>) -> Result<()> {
        self.wish(Wish::Open { room, view: Box::new(View::new(since)) }).await
    }

    /// Opens a room with the newest page of its history, and joins it where that ends for sure.
    pub async fn join_from_history(&self, room: Uuid, page: Page) -> Result<()> {
        self.wish(Wish::Open { room, view: Box::new(View::of_history(page, Instant::now())) }).await
    }

    /// Says something; returns at once with the phone's own name for it.
    pub async fn say(&self, room: Uuid, text: &str) -> Result<String> {
        let temp_id = Uuid::now_v7().to_string();
        let wish = Wish::Say { room, temp_id: temp_id.clone(), text: text.to_owned(), at: Instant::now() };
        self.wish(wish).await?;
        self.said.fetch_add(1, Ordering::Relaxed);
        Ok(temp_id)
    }

    /// Loses the socket without a good-bye.
    pub async fn lose_socket(&self) -> Result<()> {
        self.wish(Wish::Drop).await
    }

    /// The ledger as it is now.
    pub fn ledger(&self) -> Ledger {
        self.ledger.borrow().clone()
    }

    /// Looks into the ledger without copying it.
    pub fn look<T>(&self, what: impl FnOnce(&Ledger) -> T) -> T {
        what(&self.ledger.borrow())
    }

    /// Returns when `is_met`; an error that tells how far the phone came when that takes longer than `within`.
    pub async fn until(&self, what: &str, within: Duration, is_met: impl FnMut(&Ledger) -> bool + Send) -> Result<()> {
        let mut ledger = self.ledger.clone();
        match timeout(within, ledger.wait_for(is_met)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_closed)) => bail!("{what}: the phone ended, {}", self.look(summary)),
            Err(_elapsed) => bail!("{what}: not within {within:?}, {}", self.look(summary)),
        }
    }

    /// Returns when nothing more is to be expected of anything that was said before.
    pub async fn until_settled(&self, what: &str, within: Duration) -> Result<()> {
        let said = self.said.load(Ordering::Relaxed);
        self.until(what, within, |ledger| ledger.intents.len() >= said && ledger.is_settled()).await
    }

    /// Waits for the `n`th frame (from 0) and returns it.
    pub async fn heard(&self, n: usize) -> Result<Heard> {
        let mut ledger = self.ledger.clone();
        let ledger = ledger.wait_for(|ledger| ledger.heard.len() > n).await.context("the phone ended")?;
        ledger.heard.get(n).cloned().context("a frame that was waited for is there")
    }

    async fn wish(&self, wish: Wish) -> Result<()> {
        self.wishes.send(wish).await.map_err(|_gone| anyhow::anyhow!("the phone ended, {}", self.look(summary)))
    }
}

fn summary(ledger: &Ledger) -> String {
    let rooms: Vec<_> = ledger
        .rooms
        .iter()
        .map(|(room, view)| {
            format!(
                "{room}: live {}, last {:?}, {} shown, {} holes",
                view.is_live(),
                view.last,
                view.shown.len(),
                view.holes
            )
        })
        .collect();
    let oddities: Vec<_> = ledger.all_oddities().take(5).collect();
    let open = ledger.intents.iter().find(|intent| !intent.is_over());
    let open = open.map(|intent| format!("{} {:?} after {} tries", intent.temp_id, intent.outcome, intent.tries));
    format!(
        "{}: connected {} on socket {}, end {:?}, {} meant, {} sent, {} saved, first open {open:?}, rooms {rooms:?}, oddities {oddities:?}",
        ledger.name,
        ledger.is_connected,
        ledger.sockets,
        ledger.end,
        ledger.intents.len(),
        ledger.sent(),
        ledger.saved(),
    )
}
