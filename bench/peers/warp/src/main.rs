//! A plain room server on warp, for the benchmark to compare the gateway with: what Rust's usual WebSocket stack (warp,
//! hyper, tungstenite) does with the same sockets and the same messages, but without a log, members or a check of who
//! may say what.
//!
//! How it is written, and why:
//! - One task and one bounded queue per socket. A message is queued to all members and never waited for; the task takes
//!   all that is queued, feeds it to the socket and flushes once, so that messages in a burst share a system call.
//! - warp has no frame prepared for many sockets. The text is shared (cloning a `Message` copies no bytes), but
//!   tungstenite puts header and text together once per member.
//! - One lock per room, held while a message is queued: all members see one order, rooms do not wait for each other.
//! - A member whose queue is full, or who takes nothing for ten seconds, is dropped, or it would fill the memory.
//! - tungstenite sets aside 128 KiB to read into for every socket, and warp has no setting for less.
//! - warp accepts connections itself and sets no `TCP_NODELAY`; on Linux they inherit it from the listening socket.
//! - tungstenite checks the text's UTF-8; warp does not know compression.

use std::{collections::HashMap, env, error::Error, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use tokio::{net::TcpSocket, select, sync::mpsc, time::timeout};
use warp::{
    Filter,
    filters::ws::{Message, WebSocket, Ws},
    path::Tail,
};

const BACKLOG: u32 = 4_096;
/// Messages a member may be behind.
const QUEUE: usize = 4_096;
/// Messages that are written with one flush at most.
const BATCH: usize = 256;
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// All rooms in which somebody is. The lock on the map is taken before a room's own.
#[derive(Default)]
struct Rooms {
    by_id: Mutex<HashMap<String, Arc<Room>>>,
}

#[derive(Default)]
struct Room {
    members: Mutex<Vec<mpsc::Sender<Message>>>,
}

/// A socket's place in a room, given up when dropped.
struct Seat {
    rooms: Arc<Rooms>,
    id: String,
    room: Arc<Room>,
    queue: mpsc::WeakSender<Message>,
}

impl Rooms {
    fn enter(self: Arc<Self>, id: String, queue: mpsc::Sender<Message>) -> Seat {
        let mut by_id = self.by_id.lock();
        let room = Arc::clone(by_id.entry(id.clone()).or_default());
        let weak = queue.downgrade();
        room.members.lock().push(queue);
        drop(by_id);
        Seat { rooms: self, id, room, queue: weak }
    }
}

impl Room {
    /// Queues a message to every member, and drops those who are too far behind: their tasks see their queues end.
    fn tell(&self, message: &Message) {
        self.members.lock().retain(|member| member.try_send(message.clone()).is_ok());
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut by_id = self.rooms.by_id.lock();
        let mut members = self.room.members.lock();
        if let Some(queue) = self.queue.upgrade()
            && let Some(place) = members.iter().position(|member| member.same_channel(&queue))
        {
            members.swap_remove(place);
        }
        // A member who was dropped may outlive the room, and find another of the same name.
        let listed = by_id.get(&self.id).is_some_and(|room| Arc::ptr_eq(room, &self.room));
        if members.is_empty() && listed {
            by_id.remove(&self.id);
        }
    }
}

/// A socket's life.
async fn serve(mut socket: WebSocket, id: String, rooms: Arc<Rooms>) {
    let (queue, mut queued) = mpsc::channel(QUEUE);
    let seat = rooms.enter(id, queue);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        select! {
            said = socket.next() => match said {
                Some(Ok(message)) if message.is_text() => seat.room.tell(&message),
                // Pings and a close are answered below warp; binary messages are nothing to a room.
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            taken = queued.recv_many(&mut batch, BATCH) => {
                let write = async {
                    for message in batch.drain(..) {
                        socket.feed(message).await?;
                    }
                    socket.flush().await
                };
                if taken == 0 || !matches!(timeout(WRITE_DEADLINE, write).await, Ok(Ok(()))) {
                    return;
                }
            }
        }
    }
}

fn listen_address() -> Result<SocketAddr, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => Ok(SocketAddr::from(([127, 0, 0, 1], 8080))),
        [name, address] if name == "--listen" => Ok(address.parse()?),
        _ => Err("usage: peer-warp [--listen ADDRESS:PORT]".into()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = listen_address()?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;

    let rooms = Arc::new(Rooms::default());
    let room = warp::path("rooms").and(warp::path::tail()).and(warp::ws()).map(move |id: Tail, upgrade: Ws| {
        let rooms = Arc::clone(&rooms);
        upgrade.on_upgrade(move |socket| serve(socket, id.as_str().to_owned(), rooms))
    });
    let health = warp::path!("health").map(warp::reply);
    warp::serve(health.or(room)).incoming(listener).run().await;
    Ok(())
}
