//! Too much waits for slow readers: the longest queues are given up first, until there is room again.

use std::sync::Arc;

use crate::{socket::Socket, state::Gateway};

/// Watches until the last socket is gone: sockets are behind while they are drained, too.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    loop {
        tokio::select! {
            () = gateway.budget.exceeded() => {
                // It may have been told of what is over already.
                if gateway.budget.is_over() {
                    shed(&gateway);
                }
            }
            () = gateway.over() => return,
        }
    }
}

/// Closes sockets, the longest queue first.
fn shed(gateway: &Gateway) {
    let mut sockets: Vec<(usize, Arc<Socket>)> =
        gateway.sockets.all().into_iter().map(|socket| (socket.waiting_bytes(), socket)).collect();
    sockets.sort_unstable_by_key(|(waiting, _)| std::cmp::Reverse(*waiting));
    let queued = gateway.budget.queued_bytes();
    let mut closed = 0_usize;
    for (_, socket) in sockets.iter().take_while(|(waiting, _)| *waiting > 0) {
        if !gateway.budget.is_above_target() {
            break;
        }
        socket.close_slow();
        closed += 1;
    }
    tracing::warn!(queued.bytes = queued, closed, "too much waits for slow readers");
}
