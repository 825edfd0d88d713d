//! A door between the API and one of its servers, that a test can shut.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Forwards connections to a server while it is open.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    is_open: Arc<watch::Sender<bool>>,
}

impl Gate {
    /// A door to `server`, open.
    pub(crate) async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_open = Arc::new(watch::Sender::new(true));
        let watched = Arc::clone(&is_open);
        spawn(async move {
            loop {
                let Ok((mut inside, _)) = listener.accept().await else { return };
                let (server, mut shut) = (server.clone(), watched.subscribe());
                if !*shut.borrow_and_update() {
                    continue;
                }
                spawn(async move {
                    let Ok(mut outside) = TcpStream::connect(&server).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut inside, &mut outside) => {}
                        _ = shut.wait_for(|is_open| !is_open) => {}
                    }
                });
            }
        });
        Self { address, is_open }
    }

    /// Breaks every connection and takes no new ones.
    pub(crate) fn shut(&self) {
        self.is_open.send_replace(false);
    }

    /// Takes connections again.
    pub(crate) fn open(&self) {
        self.is_open.send_replace(true);
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's helper lives as long as the test")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::task::spawn(task));
}
