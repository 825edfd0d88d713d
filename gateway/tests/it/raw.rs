//! The handshake by hand, and frames by hand: what no well-behaved client sends.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{harness::DEADLINE, phone::Phone};

/// A handshake that is about to be made.
#[derive(Clone)]
pub(crate) struct Door {
    address: SocketAddr,
    path: String,
    headers: Vec<(String, String)>,
    /// How little the client's kernel takes for it; as much as it likes when not said.
    receives_bytes: Option<u32>,
}

/// An answer that is no upgrade.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The problem's code, of an answer that is problem JSON as it must be.
    pub(crate) fn code(&self) -> String {
        assert!(self.head.contains("Content-Type: application/problem+json\r\n"), "{}", self.head);
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        let request_id = problem["request_id"].as_str().unwrap();
        assert!(self.head.contains(&format!("X-Request-Id: {request_id}\r\n")), "{}", self.head);
        problem["code"].as_str().unwrap().into()
    }

    /// Status and code.
    pub(crate) fn what(&self) -> (u16, String) {
        (self.status, self.code())
    }
}

impl Door {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let headers = [
            ("Host", "localhost"),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let headers = headers.map(|(name, value)| (name.into(), value.into())).into();
        Self { address, path: "/api/v1/ws".into(), headers, receives_bytes: None }
    }

    pub(crate) fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    pub(crate) fn query(self, query: &str) -> Self {
        self.path(format!("/api/v1/ws?{query}"))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Of a client that takes next to nothing before it reads.
    pub(crate) const fn taking_little(mut self) -> Self {
        self.receives_bytes = Some(4_096);
        self
    }

    /// Makes the handshake; a refusal is the error.
    pub(crate) async fn open(self) -> Result<Phone, Answer> {
        let raw = self.open_raw().await?;
        Ok(Phone::over(raw).await)
    }

    /// Makes the handshake and gives the bare connection.
    pub(crate) async fn open_raw(self) -> Result<Raw, Answer> {
        let mut raw = match self.receives_bytes {
            Some(bytes) => Raw::connect_taking(bytes, self.address).await,
            None => Raw::connect(self.address).await,
        };
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let request = format!("GET {} HTTP/1.1\r\n{}\r\n", self.path, headers.collect::<String>());
        raw.write(request.as_bytes()).await;
        let answer = raw.answer().await;
        if answer.status == 101 { Ok(raw.upgraded(answer)) } else { Err(answer) }
    }

    /// Makes a handshake that must be refused.
    pub(crate) async fn refused(self) -> Answer {
        let path = self.path.clone();
        match self.open_raw().await {
            Ok(_raw) => panic!("{path} was not refused"),
            Err(answer) => answer,
        }
    }
}

/// A connection whose bytes are the test's own.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    /// What was read and not used.
    pub(crate) rest: Vec<u8>,
    /// The head of the answer that switched protocols.
    pub(crate) head: String,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = timeout(DEADLINE, TcpStream::connect(address)).await.unwrap().unwrap();
        Self { stream, rest: Vec::new(), head: String::new() }
    }

    async fn connect_taking(bytes: u32, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        let stream = timeout(DEADLINE, socket.connect(address)).await.unwrap().unwrap();
        Self { stream, rest: Vec::new(), head: String::new() }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        timeout(DEADLINE, self.stream.write_all(bytes)).await.expect("the gateway takes it").unwrap();
    }

    /// Writes to a server that may have hung up already.
    pub(crate) async fn write_or_gone(&mut self, bytes: &[u8]) {
        let written = timeout(DEADLINE, self.stream.write_all(bytes)).await.expect("the server takes it");
        written.unwrap_or(());
    }

    fn upgraded(mut self, answer: Answer) -> Self {
        self.head = answer.head;
        self
    }

    /// Reads more; false at the end.
    async fn read(&mut self) -> bool {
        let read = timeout(DEADLINE, self.stream.read_buf(&mut self.rest)).await.expect("the gateway answers");
        read.unwrap_or(0) > 0
    }

    /// Reads an HTTP answer: its head, and its body unless it switches protocols.
    pub(crate) async fn answer(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.read().await, "the connection ended before an answer");
        };
        let head = String::from_utf8(self.rest.drain(..end).collect()).unwrap();
        let status = head[9..12].parse().unwrap();
        if status != 101 {
            while self.read().await {}
        }
        let body = if status == 101 { Vec::new() } else { std::mem::take(&mut self.rest) };
        Answer { status, head, body: String::from_utf8(body).unwrap() }
    }

    /// Reads one server frame: its first byte and its payload.
    pub(crate) async fn frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Some((first, payload, len)) = parse(&self.rest) {
                self.rest.drain(..len);
                return (first, payload);
            }
            assert!(self.read().await, "the connection ended without a close frame");
        }
    }

    /// Reads until the close frame; its code.
    pub(crate) async fn close_code(&mut self) -> u16 {
        let until_closed = async {
            loop {
                let (first, payload) = self.frame().await;
                if first == 0x88 {
                    return u16::from_be_bytes([payload[0], payload[1]]);
                }
            }
        };
        timeout(DEADLINE, until_closed).await.expect("the gateway closes the socket")
    }

    /// Reads a text frame.
    pub(crate) async fn any(&mut self) -> Value {
        let (first, payload) = self.frame().await;
        assert_eq!(first, 0x81, "a text frame");
        serde_json::from_slice(&payload).unwrap()
    }

    /// Reads text frames until one of this type.
    pub(crate) async fn hears(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.any().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Reads until the connection has ended.
    pub(crate) async fn end(&mut self) {
        while self.read().await {}
    }
}

fn parse(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (first, len) = (*bytes.first()?, *bytes.get(1)?);
    let (at, len) = match len {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).unwrap()),
        len => (2, usize::from(len)),
    };
    let payload = bytes.get(at..at + len)?.to_vec();
    Some((first, payload, at + len))
}

/// A masked client frame.
pub(crate) fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [7, 1, 8, 2];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..=0xffff => {
            frame.push(0xfe);
            frame.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            frame.push(0xff);
            frame.extend(u64::try_from(len).unwrap().to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
