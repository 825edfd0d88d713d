//! A wire that can be cut: TCP in, TCP out.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};

/// A wire to `target`, whole until it is cut.
pub(crate) struct Wire {
    pub(crate) port: u16,
    state: Arc<State>,
    _task: JoinSet<()>,
}

#[derive(Default)]
struct State {
    is_cut: AtomicBool,
    open: AtomicUsize,
    cut: Notify,
}

impl Wire {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let mut task = JoinSet::new();
        let shared = Arc::clone(&state);
        task.spawn(async move {
            let mut links = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                if !shared.is_cut.load(Ordering::SeqCst) {
                    links.spawn(carry(Arc::clone(&shared), near, target));
                }
            }
        });
        Self { port, state, _task: task }
    }

    /// Ends every connection and takes no new one. Returns when they are gone.
    pub(crate) async fn cut(&self) {
        self.state.is_cut.store(true, Ordering::SeqCst);
        while self.state.open.load(Ordering::SeqCst) > 0 {
            self.state.cut.notify_waiters();
            tokio::task::yield_now().await;
        }
    }

    /// Takes connections again.
    pub(crate) fn mend(&self) {
        self.state.is_cut.store(false, Ordering::SeqCst);
    }
}

async fn carry(state: Arc<State>, mut near: TcpStream, target: SocketAddr) {
    state.open.fetch_add(1, Ordering::SeqCst);
    if let Ok(mut far) = TcpStream::connect(target).await {
        let both_ways = tokio::io::copy_bidirectional(&mut near, &mut far);
        tokio::select! {
            ended = both_ways => drop(ended),
            () = state.cut.notified() => {}
        }
    }
    state.open.fetch_sub(1, Ordering::SeqCst);
}
