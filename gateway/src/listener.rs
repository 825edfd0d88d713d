//! The accept loop: a place for each connection, then the handshake, then the socket.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::{
    connection,
    gate::Entered,
    handshake::{self, Refusal},
    state::Gateway,
};

/// Connections that may wait to be accepted: a whole gateway's phones may come at once.
const BACKLOG: u32 = 4_096;

/// Accepted one after the other, before everything else has its turn.
const ACCEPTS_A_TURN: usize = 16;

/// Binds the port of sockets.
pub(crate) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until the process has drained: while it drains, newcomers are told to go elsewhere.
pub(crate) async fn run(gateway: Arc<Gateway>, listener: TcpListener, is_drained: tokio_util::sync::CancellationToken) {
    for accepts in 1_usize.. {
        if accepts.is_multiple_of(ACCEPTS_A_TURN) {
            tokio::task::yield_now().await;
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = is_drained.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => match gateway.gate.enter(peer.ip()) {
                Ok(entered) => start(&gateway, stream, entered),
                Err(refusal) => turn_away(&gateway, stream, refusal),
            },
            Err(error) => {
                // Out of file descriptors, most likely: waiting lets others close.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn start(gateway: &Arc<Gateway>, stream: TcpStream, entered: Entered) {
    let gateway = Arc::clone(gateway);
    gateway.lifecycle.clone().spawn(async move {
        let Entered { place, unfinished } = entered;
        // The handshake's needs are not kept for the socket's life.
        let admitted = Box::pin(handshake::perform(&gateway, stream)).await;
        drop(unfinished);
        if let Some(admitted) = admitted {
            connection::run(gateway, admitted).await;
        }
        drop(place);
    });
}

/// Says why; in a flood in one write, if the kernel takes it, because that is not worth a task each.
fn turn_away(gateway: &Arc<Gateway>, stream: TcpStream, refusal: Refusal) {
    if let Some(turn) = gateway.gate.turn_away() {
        let gateway = Arc::clone(gateway);
        gateway.lifecycle.clone().spawn(async move {
            handshake::turn_away(&gateway, stream, &refusal).await;
            drop(turn);
        });
        return;
    }
    gateway.measure.refused(refusal.code());
    if let Err(error) = stream.try_write(refusal.to_http().as_bytes()) {
        tracing::debug!(%error, "a connection was turned away without a word");
    }
}
