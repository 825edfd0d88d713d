//! A way to NATS that can be cut.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::Result;

/// Passes bytes on; what it passes can be cut off, and comes back over a new connection.
#[derive(Debug)]
pub(super) struct Proxy {
    port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    /// Leads to the port that `target` names when somebody connects: it is known only then.
    pub(super) fn start(target: impl Fn() -> Result<u16> + Send + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let open = Arc::new(Mutex::new(Vec::new()));
        let proxy = Self { port, open: Arc::clone(&open) };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(port) = target() else { continue };
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                // A connection that can not be set up ends, and its client tries again.
                drop(join(client, server, &open));
            }
        });
        Ok(proxy)
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Ends every connection.
    pub(super) fn cut(&self) {
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn join(client: TcpStream, server: TcpStream, open: &Mutex<Vec<TcpStream>>) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut known = open.lock().unwrap_or_else(PoisonError::into_inner);
    known.push(client.try_clone()?);
    known.push(server.try_clone()?);
    drop(known);
    pass(client.try_clone()?, server.try_clone()?);
    pass(server, client);
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        drop(io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Both));
    });
}
