//! What an operator sees of a process that is well, worse, red or going.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::*;

const SOON: Duration = Duration::from_secs(10);

async fn well() -> Verdict {
    Ok(())
}

async fn away() -> Verdict {
    Err("connection refused".into())
}

fn readiness() -> Readiness {
    Readiness::new(Lifecycle::new())
}

/// A check that counts how often it is asked.
fn counted(count: &Arc<AtomicUsize>) -> impl Fn() -> std::future::Ready<Verdict> + Send + Sync + 'static {
    let count = Arc::clone(count);
    move || {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(()))
    }
}

#[tokio::test]
async fn without_what_it_needs_a_process_is_red_and_without_the_rest_it_is_not() {
    use Importance::{Degrading, Needed};
    let nothing = readiness().report().await;
    assert_eq!(nothing, Report { is_ready: true, text: String::new() });

    let fine = readiness().with("postgres", Needed, well).with("redis", Degrading, well).report().await;
    assert_eq!(fine, Report { is_ready: true, text: "postgres: ok\nredis: ok\n".into() });

    let worse = readiness().with("postgres", Needed, well).with("redis", Degrading, away).report().await;
    assert!(worse.is_ready);
    assert_eq!(worse.text, "postgres: ok\nredis: degraded: connection refused\n");

    let red = readiness().with("postgres", Needed, away).with("redis", Degrading, well).report().await;
    assert!(!red.is_ready);
    assert_eq!(red.text, "postgres: down: connection refused\nredis: ok\n");
}

#[tokio::test]
async fn a_check_that_hangs_is_down_and_does_not_hold_up_the_others() {
    let hangs = || std::future::pending::<Verdict>();
    let readiness = readiness().with("store", Importance::Needed, hangs).with("nats", Importance::Needed, hangs);
    let began = Instant::now();
    let report = tokio::time::timeout(SOON, readiness.report()).await.expect("an answer");
    assert_eq!(report.text, "store: down: no answer in 2 s\nnats: down: no answer in 2 s\n");
    assert!(!report.is_ready);
    // Both were asked at once: one after the other would be four seconds.
    assert!(began.elapsed() < CHECK_WITHIN.mul_f64(1.8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn dependencies_are_asked_once_a_second_however_many_probe() {
    let asked = Arc::new(AtomicUsize::new(0));
    let readiness = readiness().with("postgres", Importance::Needed, counted(&asked));
    let began = Instant::now();
    let reports = futures_util::future::join_all((0..50).map(|_| readiness.report())).await;
    assert!(reports.iter().all(|report| report.is_ready));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    while asked.load(Ordering::SeqCst) == 1 {
        assert!(began.elapsed() < SOON, "the old answer is used for ever");
        readiness.clone().report().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() >= CACHED_FOR, "asked again after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_stop_is_red_at_once_whatever_was_cached() {
    let lifecycle = Lifecycle::new();
    let readiness = Readiness::new(lifecycle.clone()).with("postgres", Importance::Needed, well);
    assert!(readiness.report().await.is_ready);
    lifecycle.stop();
    assert_eq!(readiness.report().await, Report { is_ready: false, text: "stopping\n".into() });
}

/// An operators' port of its own.
struct Port {
    address: SocketAddr,
    process: Lifecycle,
}

impl Port {
    async fn open(build: impl FnOnce(Readiness) -> Readiness) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let process = Lifecycle::new();
        let readiness = build(Readiness::new(process.clone()));
        process.spawn(serve(listener, readiness, Metrics::detached()));
        Self { address, process }
    }

    async fn get(&self, path: &str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(self.address).await.expect("the port is open");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("connected");
        let mut answer = String::new();
        tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await.expect("in time").expect("an answer");
        answer
    }

    async fn answers(&self, path: &str, status: u16, body: &str) {
        let answer = self.get(path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{path}: {answer}");
    }
}

#[tokio::test]
async fn the_port_tells_life_from_readiness() {
    let is_away = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&is_away);
    let port = Port::open(|readiness| {
        readiness.with("postgres", Importance::Needed, move || {
            let is_away = switch.load(Ordering::SeqCst);
            async move { if is_away { away().await } else { well().await } }
        })
    })
    .await;
    port.answers("/livez", 200, "ok\n").await;
    port.answers("/readyz", 503, "postgres: down: connection refused\n").await;
    port.answers("/metrics", 200, "").await;
    port.answers("/", 404, "try /livez, /readyz or /metrics\n").await;
    let refused = ask(port.address).await.expect_err("not ready").to_string();
    assert!(refused.contains("postgres: down"), "{refused}");

    is_away.store(false, Ordering::SeqCst);
    let began = Instant::now();
    while ask(port.address).await.is_err() {
        assert!(began.elapsed() < SOON, "the process stays red");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    port.answers("/readyz", 200, "postgres: ok\n").await;
}

#[tokio::test]
async fn a_liveness_probe_asks_nobody() {
    let asked = Arc::new(AtomicUsize::new(0));
    let port = Port::open(|readiness| readiness.with("postgres", Importance::Needed, counted(&asked))).await;
    port.answers("/livez", 200, "ok\n").await;
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    port.answers("/readyz", 200, "postgres: ok\n").await;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_port_is_open_while_the_process_drains() {
    let port = Port::open(|readiness| readiness.with("postgres", Importance::Needed, well)).await;
    port.process.stop();
    port.answers("/readyz", 503, "stopping\n").await;
    port.answers("/livez", 200, "ok\n").await;
    assert!(ask(port.address).await.is_err());
}
