//! A gateway goes away under load, and nobody loses anything by it.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use schema::id::RoomId;
use serde_json::Value;
use sqlx::PgPool;

use crate::{
    harness::{Scene, TestGateway, User, ms},
    phone::{Phone, check_chain},
};

/// Rooms, and people in each of them.
const ROOMS: usize = 10;
const MEMBERS: usize = 22;
/// Over which the gateway closes its sockets.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);
/// Clients are told to come back within this time.
const COME_BACK_WITHIN: Duration = Duration::from_secs(5);
/// What everything else may take: answers of the log, handshakes, a busy machine.
const SLACK: Duration = Duration::from_secs(4);
/// Between two messages of one sender.
const SAYS_EVERY: Duration = Duration::from_millis(80);

/// Somebody's way from one gateway to the other.
struct Way<'a> {
    user: &'a User,
    room: RoomId,
    phone: Phone,
    /// What the phone was told of when it came.
    since: u64,
    /// What it heard of the room's log, everywhere.
    frames: Vec<Value>,
    closed_at: Option<Instant>,
    back_at: Option<Instant>,
}

impl<'a> Way<'a> {
    async fn begin(gateway: &TestGateway, user: &'a User, room: RoomId) -> Self {
        let mut phone = gateway.phone(user).await;
        let since = phone.join(room).await["seq"].as_u64().unwrap();
        Self { user, room, phone, since, frames: Vec::new(), closed_at: None, back_at: None }
    }

    fn last(&self) -> u64 {
        self.frames.last().map_or(self.since, |frame| frame["seq"].as_u64().unwrap())
    }

    /// Comes back to another gateway when it was told to, and takes up where it was.
    async fn go_on(&mut self, other: &TestGateway) {
        assert_eq!(self.phone.closed().await, 1012, "nobody is closed for another reason");
        self.closed_at = Some(Instant::now());
        let after = self.phone.hears("reconnect").await["after_ms"].as_u64().unwrap();
        assert!(ms(after) < COME_BACK_WITHIN);
        self.frames.extend(self.phone.take_log(self.room));
        self.phone.forget();
        tokio::time::sleep(ms(after)).await;
        self.phone = other.phone(self.user).await;
        let (replayed, joined) = self.phone.join_since(self.room, self.last()).await;
        assert_eq!(joined["recovered"], true);
        self.frames.extend(replayed);
        self.back_at = Some(Instant::now());
    }

    /// Talks all the way until it is over, each message until it is in the log; answers the names of its messages.
    async fn talk(&mut self, other: &TestGateway, is_over: &AtomicBool) -> BTreeSet<String> {
        let mut said = BTreeSet::new();
        for n in 0.. {
            let temp_id = format!("{}-{n}", self.user.name);
            let mut is_resend = false;
            loop {
                match self.phone.tries(self.room, &temp_id, is_resend).await {
                    Some(status) if status["status"] == "sent" => break,
                    Some(status) => assert_eq!(status["retry"], true, "{status}"),
                    None => {
                        self.go_on(other).await;
                        is_resend = true;
                    }
                }
                tokio::time::sleep(SAYS_EVERY).await;
            }
            said.insert(temp_id);
            if is_over.load(Ordering::Relaxed) && self.back_at.is_some() {
                break;
            }
            tokio::time::sleep(SAYS_EVERY).await;
        }
        said
    }

    /// Hears everything up to the room's end; the names of what was said in it.
    async fn arrive(&mut self, end: u64) -> BTreeSet<String> {
        if self.last() < end {
            let rest = self.phone.log_to(self.room, end).await;
            self.frames.extend(rest);
        }
        assert_eq!(check_chain(self.since, &self.frames), end, "{} heard all of it, once", self.user.name);
        self.phone.forget();
        let names = self.frames.iter().map(|frame| frame["temp_id"].as_str().unwrap().to_owned());
        let heard: BTreeSet<_> = names.collect();
        assert_eq!(heard.len(), self.frames.len(), "nothing was shown twice");
        heard
    }
}

async fn rooms(scene: &Scene) -> Vec<(RoomId, Vec<User>)> {
    let rooms = (0..ROOMS).map(async |room| {
        let users = join_all((0..MEMBERS).map(async |n| scene.user(&format!("u-{room}-{n}")).await)).await;
        (scene.room(&users.iter().collect::<Vec<_>>()).await, users)
    });
    join_all(rooms).await
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_gateway_that_drains_under_load_loses_nothing(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let unlimited = |config: &mut gateway::config::Config| {
        config.common.limits = ops::settings::Limits::Off;
        config.drain_within = DRAIN_WITHIN;
    };
    let (mut leaving, staying) = (scene.gateway_with(unlimited).await, scene.gateway_with(unlimited).await);
    let rooms = rooms(&scene).await;
    let ways = rooms.iter().flat_map(|(room, users)| users.iter().map(|user| Way::begin(&leaving, user, *room)));
    let ways = join_all(ways).await;
    let (mut talking, mut hearing): (Vec<_>, Vec<_>) =
        ways.into_iter().partition(|way| rooms.iter().any(|(_, users)| users[0].id == way.user.id));

    let is_over = AtomicBool::new(false);
    let talks = join_all(talking.iter_mut().map(|way| way.talk(&staying, &is_over)));
    let moves = async {
        // The load is there before the end begins, and after it.
        let mut hears = hearing.iter_mut().map(|way| way.go_on(&staying)).collect::<Vec<_>>();
        let all = join_all(hears.drain(..));
        let stop = async {
            tokio::time::sleep(ms(500)).await;
            leaving.lifecycle.stop();
            Instant::now()
        };
        let (_, stopped) = tokio::join!(all, stop);
        is_over.store(true, Ordering::Relaxed);
        stopped
    };
    let (said, stopped) = tokio::join!(talks, moves);
    assert!(leaving.ended.take().unwrap().await.unwrap(), "it ended in good order");

    for (way, said) in talking.iter_mut().zip(said) {
        let room = way.room;
        let end = staying.gateway.hub.rooms().iter().find(|known| known.id == room).map(|room| room.last()).unwrap();
        assert_eq!(way.arrive(end).await, said, "what was sent is in the room, and nothing else");
        for other in hearing.iter_mut().filter(|other| other.room == room) {
            assert_eq!(other.arrive(end).await, said);
        }
    }
    let all: Vec<_> = talking.iter().chain(&hearing).collect();
    assert_eq!(all.len(), ROOMS * MEMBERS);
    let back = all.iter().map(|way| way.back_at.unwrap() - stopped).max().unwrap();
    assert!(back < DRAIN_WITHIN + COME_BACK_WITHIN + SLACK, "the last was back after {back:?}");
    let first = all.iter().filter_map(|way| way.closed_at).min().unwrap();
    let last = all.iter().filter_map(|way| way.closed_at).max().unwrap();
    assert!(last - first > DRAIN_WITHIN / 2, "closed within {:?}", last - first);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn sockets_are_closed_a_few_at_a_time(pool: PgPool) {
    const SOCKETS: usize = 60;
    let scene = Scene::new(pool).await;
    let mut gateway = scene
        .gateway_with(|config| {
            config.common.limits = ops::settings::Limits::Off;
            config.drain_within = Duration::from_secs(2);
        })
        .await;
    let ann = scene.user("Ann").await;
    let mut phones = join_all((0..SOCKETS).map(|_| gateway.phone(&ann))).await;
    gateway.lifecycle.stop();
    let closes = phones.iter_mut().map(async |phone| {
        assert_eq!(phone.closed().await, 1012);
        (Instant::now(), phone.hears("reconnect").await["after_ms"].as_u64().unwrap())
    });
    let (mut closed, after): (Vec<_>, Vec<_>) = join_all(closes).await.into_iter().unzip();
    closed.sort_unstable();
    let span = *closed.last().unwrap() - closed[0];
    assert!(span > ms(1_500) && span < ms(5_000), "closed within {span:?}");
    // Twenty batches of three: half a second has five of them, and is given twice as many.
    let window = |from: &Instant| closed.iter().filter(|at| **at >= *from && **at - *from < ms(500)).count();
    let most = closed.iter().map(window).max().unwrap();
    assert!(most <= SOCKETS / 2, "{most} were closed within half a second");
    let distinct: BTreeSet<_> = after.iter().collect();
    assert!(distinct.len() > SOCKETS / 2, "they are not sent back together");
    assert!(gateway.ended.take().unwrap().await.unwrap(), "it ended in good order");
}
