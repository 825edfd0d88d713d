//! Our own accept loop around hyper: the usual servers set no header timeout and no connection cap, and
//! lose the peer's address.

use std::{collections::HashMap, net::IpAddr, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    server::conn::http1,
    service::Service,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};

use crate::lifecycle::Lifecycle;

/// Who is at the other end of the connection; the loop puts it into each request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// What a listener allows.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// How long a request's head may take to arrive.
    pub header_within: Duration,
    /// The most bytes of a request's head.
    pub header_bytes_max: usize,
    /// The most connections at once.
    pub connections_max: usize,
    /// The most connections at once of one address.
    pub connections_per_ip_max: usize,
    /// How long open requests may take once the process stops.
    pub drain_within: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_within: Duration::from_secs(10),
            header_bytes_max: 16 * 1024,
            connections_max: 10_000,
            connections_per_ip_max: 1_000,
            drain_within: Duration::from_secs(10),
        }
    }
}

/// Counts connections, in total and by address.
#[derive(Clone, Debug)]
pub struct ConnectionCaps {
    total_max: usize,
    per_ip_max: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// Holds one connection's place; dropping it frees the place.
#[derive(Debug)]
pub struct Place {
    ip: IpAddr,
    open: Arc<Mutex<Open>>,
}

impl ConnectionCaps {
    /// Allows so many connections in total and per address.
    pub fn new(total_max: usize, per_ip_max: usize) -> Self {
        Self { total_max, per_ip_max, open: Arc::default() }
    }

    /// Takes a place for a connection from `ip`; `None` when there is none left.
    pub fn enter(&self, ip: IpAddr) -> Option<Place> {
        let mut open = self.open.lock();
        let is_full = open.total >= self.total_max;
        let of_ip = open.by_ip.get(&ip).copied().unwrap_or(0);
        if is_full || of_ip >= self.per_ip_max {
            return None;
        }
        open.by_ip.insert(ip, of_ip + 1);
        open.total += 1;
        Some(Place { ip, open: Arc::clone(&self.open) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        open.total -= 1;
        if let Some(of_ip) = open.by_ip.get_mut(&self.ip) {
            *of_ip -= 1;
            if *of_ip == 0 {
                open.by_ip.remove(&self.ip);
            }
        }
    }
}

/// Serves HTTP/1.1 until the process stops, then lets open requests finish.
pub async fn serve<S, B>(listener: TcpListener, service: S, limits: HttpLimits, lifecycle: Lifecycle)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let caps = ConnectionCaps::new(limits.connections_max, limits.connections_per_ip_max);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = lifecycle.stopping().cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: waiting lets others close.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = caps.enter(peer.ip()) else {
            metrics::counter!("http_connections_refused_total").increment(1);
            continue;
        };
        let connection = graceful.watch(connection(stream, peer, service.clone(), limits));
        #[expect(clippy::disallowed_methods, reason = "the graceful shutdown below waits for it, and not for ever")]
        drop(tokio::task::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        }));
    }
    drop(listener);
    if tokio::time::timeout(limits.drain_within, graceful.shutdown()).await.is_err() {
        tracing::warn!("open requests did not finish in time");
    }
}

fn connection<S, B>(
    stream: TcpStream,
    peer: SocketAddr,
    service: S,
    limits: HttpLimits,
) -> http1::Connection<TokioIo<TcpStream>, WithPeer<S>>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_within)
        .max_buf_size(limits.header_bytes_max)
        .serve_connection(TokioIo::new(stream), WithPeer { service, peer: Peer(peer) })
}

/// Puts the peer's address into each request.
#[derive(Clone, Debug)]
pub struct WithPeer<S> {
    service: S,
    peer: Peer,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for WithPeer<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: Request<Incoming>) -> S::Future {
        request.extensions_mut().insert(self.peer);
        self.service.call(request)
    }
}

#[cfg(test)]
mod tests;
