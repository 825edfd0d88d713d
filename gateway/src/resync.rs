//! Looks for live copies that went missing: on a wheel, after a reconnect, after an overflow.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ops::broker::LinkChange;
use schema::id::RoomId;
use tokio::sync::broadcast::error::RecvError;

use crate::{hub::Hub, state::Gateway};

/// Between two tries when the log does not answer.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Messages that are looked at right after a reconnect: a short cut hides no more than that.
const MOVED_MAX: usize = 1_000;

/// Runs until the process stops.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let stopping = gateway.lifecycle.stopping().clone();
    let mut link = gateway.broker.link_changes();
    // The last seq of any room here when the link was lost.
    let mut known = None;
    loop {
        let is_urgent = tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(gateway.config.resync_every) => false,
            change = link.recv() => match change {
                Ok(LinkChange::Lost) => {
                    known = gateway.hub.rooms().iter().map(|room| room.last()).max();
                    continue;
                }
                Ok(LinkChange::Reconnected | LinkChange::Overflowed) | Err(RecvError::Lagged(_)) => true,
                Err(RecvError::Closed) => return,
            },
        };
        if is_urgent && let Some(known) = known.take() {
            moved(&gateway, known).await;
        }
        while let Err(error) = all(&gateway, is_urgent).await {
            tracing::warn!(error, "resync failed: trying again");
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(RETRY_AFTER) => {}
            }
        }
    }
}

/// Most of what a short cut hid is the end of the log, and found with one question. All rooms are compared after it:
/// that takes longer, and also finds what got lost in another way.
async fn moved(gateway: &Gateway, since: u64) {
    let began = Instant::now();
    let mut rooms = match gateway.log.moved_since(since, MOVED_MAX).await {
        Ok(rooms) => rooms,
        Err(error) => return tracing::warn!(%error, "what a lost link hid is found by comparing all rooms"),
    };
    rooms.retain(|room, _| gateway.hub.find(*room).is_some());
    // Who was removed while we did not hear must not hear what was missed.
    crate::recheck::in_rooms(gateway, &rooms).await;
    doubt(&gateway.hub, &rooms);
    tracing::info!(rooms = rooms.len(), took.ms = began.elapsed().as_millis(), "looked for what a lost link hid");
}

/// Has the rooms that are behind their top in the log read on.
pub(crate) fn doubt<'a>(hub: &Hub, tops: impl IntoIterator<Item = (&'a RoomId, &'a u64)>) {
    for (room, top) in tops {
        if let Some(room) = hub.find(*room) {
            room.doubt(*top);
        }
    }
}

/// Compares every room that is here with the log; the feeds read what they lack. What may have gone unheard was
/// membership, too: then nobody is shown anything before it is checked.
async fn all(gateway: &Gateway, is_urgent: bool) -> Result<(), String> {
    let began = Instant::now();
    let rooms = gateway.hub.rooms();
    let ids: Vec<_> = rooms.iter().map(|room| room.id).collect();
    let checking = async {
        if is_urgent {
            crate::recheck::all(gateway).await;
        }
        began.elapsed()
    };
    let asking = async {
        let tops = gateway.log.tops(&ids).await;
        (tops, began.elapsed())
    };
    let (checked_after, (tops, asked_after)) = tokio::join!(checking, asking);
    doubt(&gateway.hub, tops.map_err(|error| error.to_string())?.iter().map(|(room, top)| (room, top)));
    for room in &rooms {
        room.trim();
    }
    if is_urgent {
        let (checked, asked) = (checked_after.as_millis(), asked_after.as_millis());
        tracing::info!(rooms = rooms.len(), checked.ms = checked, asked.ms = asked, "resynced after a lost link");
    }
    Ok(())
}
