//! Every socket of this gateway, and which are whose.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::HashMap;
use metrics::Gauge;
use parking_lot::Mutex;
use schema::{
    frame::limit,
    id::{ConnectionId, UserId},
};

use crate::{rate::Bucket, socket::Socket};

/// The sockets that are open.
#[derive(Debug)]
pub struct Sockets {
    all: Mutex<HashMap<ConnectionId, Arc<Socket>>>,
    users: Arc<Mutex<HashMap<UserId, User>>>,
    connections: Gauge,
}

#[derive(Debug)]
struct User {
    /// Sockets that are there or on their way.
    places: usize,
    sockets: Vec<Arc<Socket>>,
    rate: Bucket,
}

/// One of a user's places for a socket; dropping it frees the place.
#[derive(Debug)]
pub struct UserPlace {
    user_id: UserId,
    users: Arc<Mutex<HashMap<UserId, User>>>,
}

impl Drop for UserPlace {
    fn drop(&mut self) {
        let mut users = self.users.lock();
        if let Some(user) = users.get_mut(&self.user_id) {
            user.places -= 1;
            // Who comes back at once finds the bucket as they left it.
            if user.places == 0 && user.rate.is_full(Instant::now()) {
                users.remove(&self.user_id);
            }
        }
    }
}

impl Sockets {
    /// None is open yet; `connections` shows how many are.
    pub(crate) fn new(connections: Gauge) -> Self {
        Self { all: Mutex::default(), users: Arc::default(), connections }
    }

    /// Takes a place for one more socket of `user_id`, of at most `places_max`.
    pub fn reserve(&self, user_id: UserId, places_max: usize) -> Option<UserPlace> {
        let mut users = self.users.lock();
        let user = users.entry(user_id).or_insert_with(User::new);
        if user.places >= places_max {
            return None;
        }
        user.places += 1;
        Some(UserPlace { user_id, users: Arc::clone(&self.users) })
    }

    /// Notes a socket whose user is not known yet.
    pub fn add(&self, socket: &Arc<Socket>) {
        self.all.lock().insert(socket.id, Arc::clone(socket));
        self.connections.increment(1.0);
    }

    /// Notes whose socket it is.
    pub fn assign(&self, socket: &Arc<Socket>, user_id: UserId) {
        let mut users = self.users.lock();
        users.entry(user_id).or_insert_with(User::new).sockets.push(Arc::clone(socket));
    }

    /// Forgets a socket.
    pub fn remove(&self, socket: &Socket) {
        self.all.lock().remove(&socket.id);
        self.connections.decrement(1.0);
        if let Some(identity) = socket.identity()
            && let Some(user) = self.users.lock().get_mut(&identity.user_id)
        {
            user.sockets.retain(|other| other.id != socket.id);
        }
    }

    /// The user's sockets.
    pub fn of(&self, user_id: UserId) -> Vec<Arc<Socket>> {
        self.users.lock().get(&user_id).map(|user| user.sockets.clone()).unwrap_or_default()
    }

    /// Every socket.
    pub fn all(&self) -> Vec<Arc<Socket>> {
        self.all.lock().values().map(Arc::clone).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes one message's place in the user's rate; or says how long until there is one.
    pub fn take_rate(&self, user_id: UserId) -> Result<(), Duration> {
        let mut users = self.users.lock();
        users.entry(user_id).or_insert_with(User::new).rate.take(Instant::now())
    }

    /// Forgets users who have no socket and a full bucket.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.users.lock().retain(|_, user| user.places > 0 || !user.rate.is_full(now));
    }
}

impl User {
    fn new() -> Self {
        let rate = Bucket::per_second(limit::USER_MESSAGES_PER_SECOND, limit::USER_MESSAGES_BURST);
        Self { places: 0, sockets: Vec::new(), rate }
    }
}
