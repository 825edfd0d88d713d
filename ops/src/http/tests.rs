//! The accept loop against clients that are slow, many, large or gone, over real sockets.

use std::{convert::Infallible, io, net::Ipv4Addr, time::Instant};

use http_body_util::Full;
use hyper::service::service_fn;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
    sync::Semaphore,
};

use super::*;

/// Long enough for any answer on a busy machine; a test that waits this long fails.
const SOON: Duration = Duration::from_secs(10);
const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GET_SLOW: &str = "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct TestServer {
    address: SocketAddr,
    lifecycle: Lifecycle,
    /// Requests for `/slow` that have come in, and those that may go on.
    slow: Arc<(Semaphore, Semaphore)>,
}

impl TestServer {
    /// Answers with the peer's address; `/slow` waits until it may.
    async fn start(limits: HttpLimits) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (lifecycle, slow) = (Lifecycle::new(), Arc::new((Semaphore::new(0), Semaphore::new(0))));
        let gates = Arc::clone(&slow);
        let service = service_fn(move |request: Request<Incoming>| {
            let gates = Arc::clone(&gates);
            async move {
                if request.uri().path() == "/slow" {
                    gates.0.add_permits(1);
                    gates.1.acquire().await.expect("never closed").forget();
                }
                let peer = request.extensions().get::<Peer>().expect("the loop puts it there");
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(peer.0.to_string()))))
            }
        });
        lifecycle.spawn(serve(listener, service, limits, lifecycle.clone()));
        Self { address, lifecycle, slow }
    }

    async fn connect(&self) -> TcpStream {
        self.connect_from(Ipv4Addr::LOCALHOST).await
    }

    async fn connect_from(&self, ip: Ipv4Addr) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((ip, 0).into()).expect("all of 127/8 is ours");
        socket.connect(self.address).await.expect("the server listens")
    }

    /// Waits until so many requests for `/slow` are being served.
    async fn serves_slowly(&self, requests: u32) {
        soon(self.slow.0.acquire_many(requests)).await.expect("never closed").forget();
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("it took too long")
}

/// What the server says until it closes; a connection that is reset is closed, too.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    loop {
        match soon(stream.read_buf(&mut heard)).await {
            Ok(0) | Err(_) => return String::from_utf8(heard).expect("HTTP/1.1 heads are ASCII"),
            Ok(_) => {}
        }
    }
}

/// Sends a request and reads the answer's first bytes; an empty answer is a closed connection.
async fn ask(stream: &mut TcpStream, request: &str) -> String {
    if stream.write_all(request.as_bytes()).await.is_err() {
        return String::new();
    }
    let mut heard = vec![0; 4096];
    let length = soon(stream.read(&mut heard)).await.unwrap_or(0);
    String::from_utf8(heard[..length].to_vec()).expect("ASCII")
}

async fn is_served(stream: &mut TcpStream) -> bool {
    ask(stream, GET).await.starts_with("HTTP/1.1 200 ")
}

fn limits() -> HttpLimits {
    HttpLimits { header_within: SOON, ..HttpLimits::default() }
}

#[tokio::test]
async fn each_request_knows_who_asks() {
    let server = TestServer::start(limits()).await;
    for ip in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)] {
        let mut client = server.connect_from(ip).await;
        let me = client.local_addr().expect("it is bound").to_string();
        for _ in 0..2 {
            let answer = ask(&mut client, GET).await;
            assert!(answer.ends_with(&format!("\r\n\r\n{me}")), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_head_that_does_not_arrive_in_time_ends_the_connection() {
    let header_within = Duration::from_millis(300);
    let server = TestServer::start(HttpLimits { header_within, ..limits() }).await;
    for part in ["", "GET", "GET / HTTP/1.1\r\nHost: localhost\r\n"] {
        let mut client = server.connect().await;
        let began = Instant::now();
        client.write_all(part.as_bytes()).await.expect("connected");
        let answer = read_to_end(&mut client).await;
        assert!(!answer.contains(" 200 "), "{part:?} is answered {answer:?}");
        assert!(began.elapsed() >= header_within.mul_f64(0.9), "{part:?} was given {:?}", began.elapsed());
        assert!(began.elapsed() < SOON / 2, "{part:?} was given {:?}", began.elapsed());
    }
    // The patient are served.
    let mut client = server.connect().await;
    assert!(is_served(&mut client).await);
}

#[tokio::test]
async fn a_head_that_drips_in_gains_no_time() {
    let header_within = Duration::from_millis(300);
    let server = TestServer::start(HttpLimits { header_within, ..limits() }).await;
    let (mut read, mut write) = server.connect().await.into_split();
    let began = Instant::now();
    let drip = async {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        write.write_all(b"GET / HTTP/1.1\r\nX-Drip: ").await.expect("connected");
        loop {
            pause.tick().await;
            if write.write_all(b"x").await.is_err() {
                return;
            }
        }
    };
    let mut heard = Vec::new();
    let end = async { soon(read.read_to_end(&mut heard)).await };
    tokio::select! {
        () = drip => {}
        _ended_or_reset = end => {}
    }
    assert!(began.elapsed() < SOON / 2, "a client that drips was given {:?}", began.elapsed());
    assert!(!heard.starts_with(b"HTTP/1.1 200"), "{heard:?}");
}

#[tokio::test]
async fn a_connection_that_idles_after_its_answer_is_closed() {
    let header_within = Duration::from_millis(300);
    let server = TestServer::start(HttpLimits { header_within, ..limits() }).await;
    let mut client = server.connect().await;
    assert!(is_served(&mut client).await);
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_431() {
    let server = TestServer::start(limits()).await;
    let request = |bytes: usize| format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Large: {}\r\n\r\n", "x".repeat(bytes));
    let mut client = server.connect().await;
    assert!(ask(&mut client, &request(15 * 1024)).await.starts_with("HTTP/1.1 200 "));
    let answer = ask(&mut server.connect().await, &request(17 * 1024)).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many = "X-Many: 1\r\n".repeat(200);
    let answer = ask(&mut server.connect().await, &GET.replace("Host", &format!("{many}Host"))).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let answer = ask(&mut server.connect().await, "\u{16}\u{3}\u{1} no HTTP\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_no_more() {
    let server = TestServer::start(HttpLimits { connections_per_ip_max: 2, ..limits() }).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    assert!(is_served(&mut first).await && is_served(&mut second).await);
    assert!(!is_served(&mut server.connect().await).await);
    // Another address is not made to pay for it, and those that are in stay in.
    assert!(is_served(&mut server.connect_from(Ipv4Addr::new(127, 0, 0, 2)).await).await);
    assert!(is_served(&mut first).await && is_served(&mut second).await);
    drop(first);
    soon(async { while !is_served(&mut server.connect().await).await {} }).await;
}

#[tokio::test]
async fn all_addresses_together_have_so_many_connections_and_no_more() {
    let server = TestServer::start(HttpLimits { connections_max: 2, ..limits() }).await;
    let from = |last| server.connect_from(Ipv4Addr::new(127, 0, 0, last));
    let (mut first, mut second) = (from(1).await, from(2).await);
    assert!(is_served(&mut first).await && is_served(&mut second).await);
    assert!(!is_served(&mut from(3).await).await);
    drop(second);
    soon(async { while !is_served(&mut from(3).await).await {} }).await;
}

#[test]
fn a_place_is_free_again_when_it_is_left_and_nothing_is_kept() {
    let caps = ConnectionCaps::new(3, 2);
    let (ann, bob) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
    let mut places = vec![caps.enter(ann), caps.enter(ann), caps.enter(bob)];
    assert!(places.iter().all(Option::is_some));
    assert!(caps.enter(bob).is_none(), "three in all");
    drop(places.pop());
    assert!(caps.enter(ann).is_none(), "two of one address");
    drop(caps.enter(bob).expect("the third place is free"));
    drop(places);
    let open = caps.open.lock();
    assert_eq!((open.total, open.by_ip.len()), (0, 0));
}

#[tokio::test]
async fn a_stop_lets_an_open_request_finish_and_takes_no_other() {
    let server = TestServer::start(limits()).await;
    let (mut busy, mut idle) = (server.connect().await, server.connect().await);
    assert!(is_served(&mut idle).await);
    busy.write_all(GET_SLOW.as_bytes()).await.expect("connected");
    server.serves_slowly(1).await;

    server.lifecycle.stop();

    assert_eq!(read_to_end(&mut idle).await, "", "an idle connection is closed");
    soon(async { while TcpStream::connect(server.address).await.is_ok() {} }).await;
    server.slow.1.add_permits(1);
    assert!(read_to_end(&mut busy).await.starts_with("HTTP/1.1 200 "));
    assert!(server.lifecycle.drain(SOON).await, "the loop has ended");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let drain_within = Duration::from_millis(100);
    let server = TestServer::start(HttpLimits { drain_within, ..limits() }).await;
    let mut stuck = server.connect().await;
    stuck.write_all(GET_SLOW.as_bytes()).await.expect("connected");
    server.serves_slowly(1).await;
    server.lifecycle.stop();
    assert!(server.lifecycle.drain(SOON).await, "the loop has ended");
    let mut byte = [0];
    assert_eq!(stuck.try_read(&mut byte).map_err(|error| error.kind()), Err(io::ErrorKind::WouldBlock));
}
