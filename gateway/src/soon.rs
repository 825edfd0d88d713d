//! What is to be written soon. Work that comes in together goes out together: a room's frame and the word to
//! its sender that it is in the log share one write, because both wait until everything has been taken in
//! that one read of the wire brought.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    hub::{Delivery, Slice},
    socket::Socket,
    state::Gateway,
};

/// Slices and sockets that have something to write.
#[derive(Debug, Default)]
pub(crate) struct Soon {
    slices: Mutex<Vec<Arc<Slice>>>,
    /// Sockets that were told something that may wait for the room's next frame.
    sockets: Mutex<Vec<Arc<Socket>>>,
    wake: Notify,
}

impl Soon {
    /// Drains `slice` once what has just come in is taken in.
    pub(crate) fn drain(&self, slice: Arc<Slice>) {
        self.slices.lock().push(slice);
        self.wake.notify_one();
    }

    /// Flushes `socket` within the window, unless a frame of its room takes its words along.
    pub(crate) fn flush(&self, socket: Arc<Socket>) {
        self.sockets.lock().push(socket);
        self.wake.notify_one();
    }

    fn drain_all(&self, delivery: &Delivery) {
        let slices = std::mem::take(&mut *self.slices.lock());
        for slice in slices {
            slice.drain_now(delivery);
        }
    }

    fn flush_all(&self) {
        let sockets = std::mem::take(&mut *self.sockets.lock());
        for socket in sockets {
            socket.uncork();
        }
    }
}

/// Writes until the last socket is gone.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    tokio::select! {
        () = write(gateway.hub.delivery()) => {}
        () = gateway.over() => {}
    }
}

/// Writes whatever is to be written soon, for ever.
pub(crate) async fn write(delivery: &Delivery) {
    let (soon, window) = (&delivery.soon, delivery.window);
    let mut flushed_at: Option<Instant> = None;
    loop {
        let wait = flushed_at.map_or(Duration::ZERO, |at| window.saturating_sub(at.elapsed()));
        let has_sockets = !soon.sockets.lock().is_empty();
        tokio::select! {
            () = soon.wake.notified() => {}
            () = tokio::time::sleep(wait), if has_sockets => {
                soon.flush_all();
                flushed_at = Some(Instant::now());
                continue;
            }
        }
        // Everybody who was woken by the same read of the wire has their turn first.
        tokio::task::yield_now().await;
        soon.drain_all(delivery);
    }
}
