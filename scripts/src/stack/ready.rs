//! When a server counts as started: it answers a question of its own protocol, not just the port's.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// How to ask a server whether it takes work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Ready {
    /// PostgreSQL's own question.
    Postgres { pg_isready: PathBuf, port: u16 },
    /// `PING`; a server that still loads its data answers something else.
    Redis { port: u16 },
    /// The greeting, which names JetStream once it is on.
    Nats { port: u16 },
    /// A CQL query that gets rows.
    Cql { port: u16 },
    /// `GET /readyz` on an operators' port.
    Http { port: u16 },
}

impl Ready {
    /// Whether the server takes work now.
    pub(crate) fn is_met(&self) -> bool {
        match self {
            Self::Postgres { pg_isready, port } => Command::new(pg_isready)
                .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
                .stdin(Stdio::null())
                .status()
                .is_ok_and(|status| status.success()),
            Self::Redis { port } => first_line(*port, b"PING\r\n").is_some_and(|line| line.starts_with("+PONG")),
            Self::Nats { port } => greets(*port),
            Self::Cql { port } => answers_cql(*port).unwrap_or(false),
            Self::Http { port } => {
                let question = format!("GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
                first_line(*port, question.as_bytes()).is_some_and(|line| line.starts_with("HTTP/1.1 200"))
            }
        }
    }

    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Postgres { port, .. }
            | Self::Redis { port }
            | Self::Nats { port }
            | Self::Cql { port }
            | Self::Http { port } => *port,
        }
    }
}

/// A nats-server says `INFO {…}` first; that line names `JetStream` once it is on.
pub(super) fn greets(port: u16) -> bool {
    first_line(port, b"").is_some_and(|line| line.starts_with("INFO ") && line.contains("\"jetstream\":true"))
}

fn connect(port: u16) -> Option<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN).ok()?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    Some(stream)
}

fn first_line(port: u16, question: &[u8]) -> Option<String> {
    let mut stream = connect(port)?;
    stream.write_all(question).ok()?;
    let mut line = String::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut line).ok()?;
    Some(line)
}

/// STARTUP, then a query, in plain CQL v4: `true` only when rows come back.
fn answers_cql(port: u16) -> Option<bool> {
    const STARTUP: u8 = 0x01;
    const READY: u8 = 0x02;
    const QUERY: u8 = 0x07;
    const RESULT: u8 = 0x08;
    const ROWS: [u8; 4] = [0, 0, 0, 2];

    let mut stream = connect(port)?;
    // A map of one option.
    let options = [b"\0\x01\0\x0bCQL_VERSION\0\x05".as_slice(), b"3.0.0"].concat();
    let (opcode, _) = exchange(&mut stream, STARTUP, &options)?;
    if opcode != READY {
        return Some(false);
    }
    let query = "SELECT release_version FROM system.local";
    let length = u32::try_from(query.len()).ok()?.to_be_bytes();
    // Consistency ONE, no flags.
    let body = [length.as_slice(), query.as_bytes(), &[0, 1, 0]].concat();
    let (opcode, answer) = exchange(&mut stream, QUERY, &body)?;
    Some(opcode == RESULT && answer.starts_with(&ROWS))
}

/// Sends one CQL frame and reads one: its opcode and body.
fn exchange(stream: &mut TcpStream, opcode: u8, body: &[u8]) -> Option<(u8, Vec<u8>)> {
    let length = u32::try_from(body.len()).ok()?.to_be_bytes();
    stream.write_all(&[[4, 0, 0, 0, opcode].as_slice(), &length, body].concat()).ok()?;
    let mut header = [0; 9];
    stream.read_exact(&mut header).ok()?;
    let [_, _, _, _, opcode, length @ ..] = header;
    let mut answer = Vec::new();
    stream.take(u64::from(u32::from_be_bytes(length)).min(ANSWER_BYTES_MAX)).read_to_end(&mut answer).ok()?;
    Some((opcode, answer))
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// A server that says `answer` to whoever connects, once.
    fn server(answer: &'static [u8]) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer).unwrap();
        });
        port
    }

    #[test]
    fn only_the_right_answer_is_ready() {
        assert!(Ready::Redis { port: server(b"+PONG\r\n") }.is_met());
        assert!(!Ready::Redis { port: server(b"-LOADING Redis is loading the dataset in memory\r\n") }.is_met());
        assert!(Ready::Http { port: server(b"HTTP/1.1 200 OK\r\n\r\n") }.is_met());
        assert!(!Ready::Http { port: server(b"HTTP/1.1 503 Service Unavailable\r\n\r\n") }.is_met());
        assert!(Ready::Nats { port: server(b"INFO {\"jetstream\":true}\r\n") }.is_met());
        assert!(!Ready::Nats { port: server(b"INFO {\"server_id\":\"N\"}\r\n") }.is_met());
    }

    #[test]
    fn nobody_there_is_not_ready() {
        assert!(!Ready::Cql { port: server(b"") }.is_met());
    }
}
