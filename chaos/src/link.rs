//! The way between two processes, which can be cut, held, slowed down and mended.

use std::{future::pending, io, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// How the way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything passes.
    Open,
    /// Nobody gets through, and connections end.
    Cut,
    /// Connections stand and nothing passes, as when a cable is pulled; what was sent passes afterwards.
    Held,
    /// As [`Mode::Held`], but only what the client says: it still hears.
    HeldToServer,
    /// Everything takes so much longer.
    Late(Duration),
    /// The client reads a byte a second.
    Trickle,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

impl Mode {
    fn holds(self, way: Way) -> bool {
        self == Self::Held || (self == Self::HeldToServer && way == Way::ToServer)
    }
}

/// A port of loopback that leads to another one.
#[derive(Debug)]
pub(crate) struct Link {
    port: u16,
    mode: watch::Sender<Mode>,
    /// Ends everything with the link.
    _task: JoinSet<()>,
}

const CHUNK: usize = 16 * 1024;
const TRICKLE_PAUSE: Duration = Duration::from_secs(1);

impl Link {
    /// Leads to the port that `target` names when somebody connects: it may be known only then.
    pub(crate) async fn start(target: impl Fn() -> Result<u16> + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for a link")?;
        let port = listener.local_addr()?.port();
        let (mode, seen) = watch::channel(Mode::Open);
        let mut task = JoinSet::new();
        task.spawn(accept(listener, Arc::new(target), seen));
        Ok(Self { port, mode, _task: task })
    }

    /// Where clients come in.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// From now on the way is like this.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn accept(
    listener: TcpListener,
    target: Arc<dyn Fn() -> Result<u16> + Send + Sync>,
    mode: watch::Receiver<Mode>,
) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                if *mode.borrow() == Mode::Cut {
                    continue;
                }
                if let Ok(port) = target() {
                    open.spawn(join(client, port, mode.clone()));
                }
            }
            Some(_) = open.join_next() => {}
        }
    }
}

/// Passes bytes both ways until one side has ended or the link is cut; an end of one side is an end of both.
async fn join(client: TcpStream, port: u16, mode: watch::Receiver<Mode>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
        return;
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        _ = pass(from_client, to_server, Way::ToServer, mode.clone()) => {}
        _ = pass(from_server, to_client, Way::ToClient, mode.clone()) => {}
        () = cut(mode) => {}
    }
}

async fn cut(mut mode: watch::Receiver<Mode>) {
    if mode.wait_for(|mode| *mode == Mode::Cut).await.is_err() {
        // The link itself is gone, and this task with it.
        pending::<()>().await;
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Way,
    mut mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        free(&mut mode, way).await;
        let trickles = *mode.borrow_and_update() == Mode::Trickle && way == Way::ToClient;
        let room = if trickles { 1 } else { CHUNK };
        let Some(chunk) = buffer.get_mut(..room) else { return Ok(()) };
        let read = tokio::select! {
            read = from.read(chunk) => read?,
            // Looked at anew, with as much room as fits.
            _ = mode.changed() => continue,
        };
        let now = *mode.borrow();
        match now {
            _ if read == 0 => return Ok(()),
            Mode::Late(by) => sleep(by).await,
            Mode::Trickle if trickles => sleep(TRICKLE_PAUSE).await,
            _ => {}
        }
        free(&mut mode, way).await;
        to.write_all(chunk.get(..read).unwrap_or_default()).await?;
    }
}

/// Returns when nothing is held.
async fn free(mode: &mut watch::Receiver<Mode>, way: Way) {
    if mode.wait_for(|mode| !mode.holds(way)).await.is_err() {
        pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);
    const A_WHILE: Duration = Duration::from_millis(200);

    /// A server that says back what it hears, a link to it, and a client at its other end.
    async fn echo() -> (Link, TcpStream, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut servers = JoinSet::new();
        servers.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                open.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    drop(tokio::io::copy(&mut from, &mut to).await);
                });
            }
        });
        let link = Link::start(move || Ok(port)).await.unwrap();
        let client = TcpStream::connect(("127.0.0.1", link.port())).await.unwrap();
        (link, client, servers)
    }

    async fn hears(client: &mut TcpStream) -> Option<u8> {
        timeout(SOON, client.read_u8()).await.unwrap().ok()
    }

    #[tokio::test]
    async fn what_is_held_passes_afterwards() {
        let (link, mut client, _servers) = echo().await;
        client.write_u8(1).await.unwrap();
        assert_eq!(hears(&mut client).await, Some(1));
        for mode in [Mode::Held, Mode::HeldToServer] {
            link.set(mode);
            client.write_u8(2).await.unwrap();
            assert!(timeout(A_WHILE, client.read_u8()).await.is_err(), "{mode:?}");
            link.set(Mode::Open);
            assert_eq!(hears(&mut client).await, Some(2));
        }
    }

    #[tokio::test]
    async fn what_is_cut_ends_and_comes_back_over_a_new_connection() {
        let (link, mut client, _servers) = echo().await;
        client.write_u8(1).await.unwrap();
        assert_eq!(hears(&mut client).await, Some(1));
        link.set(Mode::Cut);
        assert_eq!(hears(&mut client).await, None);
        let mut refused = TcpStream::connect(("127.0.0.1", link.port())).await.unwrap();
        assert_eq!(hears(&mut refused).await, None);
        link.set(Mode::Open);
        let mut client = TcpStream::connect(("127.0.0.1", link.port())).await.unwrap();
        client.write_u8(3).await.unwrap();
        assert_eq!(hears(&mut client).await, Some(3));
    }

    #[tokio::test]
    async fn a_slow_client_reads_byte_by_byte() {
        let (link, mut client, _servers) = echo().await;
        link.set(Mode::Trickle);
        client.write_all(&[1, 2, 3]).await.unwrap();
        let mut heard = Vec::new();
        let reading = async {
            while let Ok(byte) = client.read_u8().await {
                heard.push(byte);
            }
        };
        assert!(timeout(TRICKLE_PAUSE + TRICKLE_PAUSE / 2, reading).await.is_err());
        assert_eq!(heard, [1], "one byte in a second and a half");
    }
}
