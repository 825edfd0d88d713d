//! What operators see of a gateway on `/metrics`, after traffic of every kind.

use sqlx::PgPool;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{Scene, TestGateway, eventually, headers, ms};

/// What every series of a gateway is listed in.
const PAGE: &str = include_str!("../../../docs/metrics.md");

/// The text of `/metrics`.
pub(crate) struct Scrape(String);

impl Scrape {
    pub(crate) async fn of(gateway: &TestGateway) -> Self {
        let mut stream = TcpStream::connect(gateway.ops_address).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Self(answer)
    }

    /// The sum of the series whose name and labels hold all of these words.
    pub(crate) fn sum(&self, words: &str) -> u64 {
        let is_one = |line: &&str| !line.starts_with('#') && words.split(' ').all(|word| line.contains(word));
        let series: Vec<&str> = self.0.lines().filter(is_one).collect();
        assert!(!series.is_empty(), "nothing is said of {words}:\n{}", self.0);
        series.iter().map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    }

    fn names(&self) -> Vec<&str> {
        let lines = self.0.lines().filter_map(|line| line.strip_prefix("# TYPE gateway_"));
        lines.map(|line| line.split(' ').next().unwrap()).collect()
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn everything_that_happens_is_counted(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene
        .gateway_with(|config| {
            config.common.limits = ops::settings::Limits::Off;
            config.coalesce = ms(50);
        })
        .await;
    let (ann, ben, room) = scene.pair().await;
    let mut phone = gateway.phone_in(&ann, room).await;
    let mut leaving = gateway.phone_in(&ben, room).await;
    // More than memory holds, and faster than one write each.
    let last = scene.publish_many(room, &ann, 100).await;
    phone.log_to(room, last).await;
    phone.sends(room, "a-1", "by itself").await;
    let refused = scene.publish_raw(room, headers("99"), "nonsense".into()).await;
    phone.log_to(room, refused).await;
    gateway.gateway.lose_live_copies(1);
    scene.publish(room, &ann, "b-1", "lost").await;
    let last = scene.publish(room, &ann, "b-2", "found").await;
    phone.log_to(room, last).await;
    assert_eq!(leaving.close().await, 1000);
    assert_eq!(gateway.door().token("nobody").refused().await.status, 401);

    // From the top, from the beginning, and from where only the store knows.
    let mut resuming = gateway.phone(&ben).await;
    resuming.join_since(room, last).await;
    resuming.join_since(room, 0).await;
    scene.work().await;
    scene.purge_below(last + 1).await;
    resuming.join_since(room, 0).await;

    let said = Scrape::of(&gateway).await;
    let check = |words: &str, at_least: u64| {
        let found = said.sum(words);
        assert!(found >= at_least, "{words} is {found}, not {at_least}");
    };
    check("gateway_connections", 2);
    check("gateway_rooms", 1);
    check("gateway_frames_in_total", 4);
    check("gateway_deliveries_total", 206);
    check("gateway_frames_out_total", 310);
    check("gateway_coalesced_writes_total", 2);
    check("gateway_publish_seconds_count", 1);
    check("gateway_publish_seconds_bucket le=\"60\"", 1);
    check("gateway_resumes_total source=\"memory\"", 1);
    check("gateway_resumes_total source=\"stream\"", 1);
    check("gateway_resumes_total source=\"store\"", 1);
    check("gateway_resumed_frames_total source=\"stream\"", 100);
    check("gateway_resumed_frames_total source=\"store\"", 100);
    check("gateway_presence_told_total", 2);
    check("gateway_presence_snapshots_total", 2);
    check("gateway_gaps_found_total", 1);
    check("gateway_envelopes_refused_total", 1);
    check("gateway_closes_total code=\"1000\" reason=\"bye\"", 1);
    check("gateway_handshakes_refused_total code=\"invalid_token\"", 1);
    for name in said.names() {
        assert!(PAGE.contains(&format!("| `gateway_{name}`")), "gateway_{name} is not in docs/metrics.md");
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_waits_for_a_slow_reader_is_counted_to_the_byte(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.unlimited().await;
    let (ann, ben, room) = scene.pair().await;
    let slow = gateway.door().token(&ben.token()).query(&format!("event_id={room}")).open_raw().await.unwrap();
    let mut phone = gateway.phone_in(&ann, room).await;
    let body = "x".repeat(4_000);
    let mut said = 0;
    while gateway.gateway.budget.queued_bytes() <= 32 * 1024 {
        said += 1;
        let seq = scene.publish(room, &ann, &format!("a-{said}"), &body).await;
        phone.log_to(room, seq).await;
        assert!(said < 5_000, "the kernel takes everything");
    }
    phone.say(&serde_json::json!({"type": "typing", "room_id": room, "active": true})).await;
    let dropped = "gateway_frames_dropped_total reason=\"socket_behind\"";
    eventually("a signal is dropped", async || (Scrape::of(&gateway).await.sum(dropped) >= 1).then_some(())).await;
    let waiting: usize = gateway.gateway.sockets.all().iter().map(|socket| socket.queued_bytes()).sum();
    assert_eq!(gateway.gateway.budget.queued_bytes(), waiting);
    let shown = Scrape::of(&gateway).await.sum("gateway_queued_bytes");
    assert_eq!(shown, u64::try_from(waiting).unwrap());
    // It vanishes without having read.
    drop(slow);
    eventually("nothing waits", async || (gateway.gateway.budget.queued_bytes() == 0).then_some(())).await;
    let gone = Scrape::of(&gateway).await;
    assert_eq!(gone.sum("gateway_queued_bytes"), 0);
    assert_eq!(gone.sum("gateway_closes_total code=\"1006\" reason=\"gone\""), 1);
}
