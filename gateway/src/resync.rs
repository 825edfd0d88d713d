//! Looks for live copies that went missing: on a wheel, after a reconnect, after an overflow.

use std::{sync::Arc, time::Duration};

use ops::broker::LinkChange;
use tokio::sync::broadcast::error::RecvError;

use crate::state::Gateway;

/// Between two tries when the log does not answer.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Rooms asked for in one request.
const ROOMS_PER_REQUEST: usize = 1_000;

/// Runs until the process stops.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    let stopping = gateway.lifecycle.stopping().clone();
    let mut link = gateway.broker.link_changes();
    loop {
        let is_urgent = tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(gateway.config.resync_every) => false,
            change = link.recv() => match change {
                Ok(LinkChange::Reconnected | LinkChange::Overflowed) | Err(RecvError::Lagged(_)) => true,
                Err(RecvError::Closed) => return,
            },
        };
        if is_urgent {
            // Who was removed while we did not hear must not hear what was missed.
            crate::recheck::all(&gateway).await;
        }
        while let Err(error) = all(&gateway).await {
            tracing::warn!(error, "resync failed: trying again");
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(RETRY_AFTER) => {}
            }
        }
    }
}

/// Compares every room that is here with the log; the feeds read what they lack.
async fn all(gateway: &Gateway) -> Result<(), String> {
    let rooms = gateway.hub.rooms();
    for chunk in rooms.chunks(ROOMS_PER_REQUEST) {
        let ids: Vec<_> = chunk.iter().map(|room| room.id).collect();
        let tops = gateway.log.tops(&ids).await.map_err(|error| error.to_string())?;
        for (id, top) in tops {
            if let Some(room) = gateway.hub.find(id) {
                room.doubt(top);
            }
        }
        for room in chunk {
            room.trim();
        }
    }
    Ok(())
}
