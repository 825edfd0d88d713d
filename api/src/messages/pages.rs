//! Equal pages that are asked for at the same time are read once: when a room's phones come back together, all of them
//! want its newest page.
//!
//! A page must hold what was saved before it was asked for, so nobody gets one whose reading had begun by then: who comes
//! while one is read waits for the next, together with all who came meanwhile.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use chat_store::{MessageStore, Window};
use ops::mutant::{self, Mutant};
use parking_lot::Mutex;
use schema::{
    frame::history::HistoryItem,
    id::{RoomId, UserId},
};

use super::{model::History, settled::SettledSeq};
use crate::error::ApiError;

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) room: RoomId,
    pub(super) window: Window,
    pub(super) limit: usize,
}

/// Reads pages.
pub(crate) struct Pages {
    store: Arc<dyn MessageStore>,
    settled: Arc<SettledSeq>,
    /// Orders readings and their askers.
    ticks: AtomicU64,
    under_way: Mutex<HashMap<Wanted, Arc<tokio::sync::Mutex<Last>>>>,
}

/// The last reading of a page.
#[derive(Default)]
struct Last {
    /// When it began, in ticks.
    began: u64,
    /// The answer, unless it differs from reader to reader.
    answer: Option<Bytes>,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

impl Pages {
    pub(crate) fn new(store: Arc<dyn MessageStore>, settled: Arc<SettledSeq>) -> Self {
        Self { store, settled, ticks: AtomicU64::new(1), under_way: Mutex::default() }
    }

    /// The page as `reader` sees it, encoded.
    pub(super) async fn get(&self, wanted: Wanted, reader: UserId) -> Result<Bytes, ApiError> {
        let asked = self.ticks.fetch_add(1, Ordering::SeqCst);
        let place = self.enter(wanted);
        {
            let mut last = place.last.lock().await;
            if last.began <= asked {
                let began = self.ticks.fetch_add(1, Ordering::SeqCst);
                let (answer, is_everybodys) = self.read(wanted, reader).await?;
                *last = Last { began, answer: is_everybodys.then(|| answer.clone()) };
                return Ok(answer);
            }
            if let Some(answer) = &last.answer {
                return Ok(answer.clone());
            }
        }
        Ok(self.read(wanted, reader).await?.0)
    }

    /// The page, and whether everybody gets the same.
    async fn read(&self, wanted: Wanted, reader: UserId) -> Result<(Bytes, bool), ApiError> {
        let Wanted { room, window, limit } = wanted;
        // First the floor, then the page: every seq up to the one is in the other.
        let settled_seq = self.settled.get().await;
        let mut page = self.store.history(room, reader, window, limit).await?;
        if mutant::is(Mutant::PageOutOfOrder) && page.items.len() > 2 {
            page.items.swap(0, 1);
        }
        // A reaction says whether it is the reader's own.
        let is_everybodys = page.items.iter().all(|item| match item {
            HistoryItem::Message { reactions, .. } | HistoryItem::System { reactions, .. } => reactions.is_empty(),
        });
        let answer = serde_json::to_vec(&History::new(page, settled_seq));
        Ok((answer.map_err(|error| ApiError::Internal(error.into()))?.into(), is_everybodys))
    }

    fn enter(&self, wanted: Wanted) -> Place<'_> {
        let last = Arc::clone(self.under_way.lock().entry(wanted).or_default());
        Place { pages: self, wanted, last }
    }
}

/// A place among those who wait for a page; the last to leave takes the page along.
struct Place<'a> {
    pages: &'a Pages,
    wanted: Wanted,
    last: Arc<tokio::sync::Mutex<Last>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut under_way = self.pages.under_way.lock();
        // The map's and ours.
        if Arc::strong_count(&self.last) == 2 {
            under_way.remove(&self.wanted);
        }
    }
}
