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
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Connections stand, but nothing passes: as if a cable were pulled.
    Frozen,
    Shut,
}

impl Gate {
    /// A door to `server`, open.
    pub(crate) async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(watch::Sender::new(State::Open));
        let watched = Arc::clone(&state);
        spawn(async move {
            loop {
                let Ok((mut inside, _)) = listener.accept().await else { return };
                let (server, mut state) = (server.clone(), watched.subscribe());
                if *state.borrow_and_update() == State::Shut {
                    continue;
                }
                spawn(async move {
                    let Ok(mut outside) = TcpStream::connect(&server).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut inside, &mut outside) => {}
                        _ = state.wait_for(|state| *state != State::Open) => {}
                    }
                    // What was on its way is lost, so a frozen connection is never taken up again.
                    drop(state.wait_for(|state| *state != State::Frozen).await);
                });
            }
        });
        Self { address, state }
    }

    /// Breaks every connection and takes no new ones.
    pub(crate) fn shut(&self) {
        self.state.send_replace(State::Shut);
    }

    /// Lets nothing pass and says nothing of it.
    pub(crate) fn freeze(&self) {
        self.state.send_replace(State::Frozen);
    }

    /// Takes connections again.
    pub(crate) fn open(&self) {
        self.state.send_replace(State::Open);
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's helper lives as long as the test")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::task::spawn(task));
}
