//! Clients that misbehave: connections that trickle their request, and sockets that flood the server with frames.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::frame::{self, opcode};

/// Between two bytes of a request that trickles.
const TRICKLE_EVERY: Duration = Duration::from_millis(500);
/// Frames written at once by a flood.
const FRAMES_AT_ONCE: usize = 64;

/// What to do, for how long.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The gateway
    #[arg(long)]
    target: SocketAddr,
    /// Connections that send their request a byte at a time
    #[arg(long, default_value = "0")]
    trickles: usize,
    /// Sockets that send frames as fast as they are taken
    #[arg(long, default_value = "0")]
    floods: usize,
    /// The rooms and tokens of the floods: `room token` a line
    #[arg(long)]
    seats: Option<std::path::PathBuf>,
    /// Seconds
    #[arg(long, default_value = "10")]
    seconds: u64,
}

/// Misbehaves until the time is over.
pub fn run(arguments: &Arguments) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    let seats = arguments.seats.as_ref().map_or_else(|| Ok(String::new()), std::fs::read_to_string)?;
    let target = arguments.target;
    thread::scope(|scope| {
        let trickles = arguments.trickles;
        scope.spawn(move || trickle(target, trickles, until));
        for seat in seats.lines().take(arguments.floods) {
            let (room, token) = seat.split_once(' ').unwrap_or((seat, ""));
            scope.spawn(move || while Instant::now() < until && flood(target, room, token, until).is_err() {});
        }
    });
    Ok(())
}

/// Keeps so many half requests open.
fn trickle(target: SocketAddr, count: usize, until: Instant) {
    let request =
        b"GET /api/v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let mut open: Vec<(TcpStream, usize)> = Vec::new();
    while Instant::now() < until {
        while open.len() < count {
            let Ok(stream) = TcpStream::connect(target) else { break };
            open.push((stream, 0));
        }
        open.retain_mut(|(stream, at)| {
            let byte = request.get(*at % request.len()..).and_then(<[u8]>::first_chunk::<1>);
            *at += 1;
            byte.is_some_and(|byte| stream.write_all(byte).is_ok())
        });
        thread::sleep(TRICKLE_EVERY);
    }
}

/// One socket's flood, until it is closed or the time is over.
fn flood(target: SocketAddr, room: &str, token: &str, until: Instant) -> Result<()> {
    let mut stream = TcpStream::connect(target)?;
    stream.set_write_timeout(Some(Duration::from_millis(200)))?;
    write!(
        stream,
        "GET /api/v1/ws?room_id={room} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    )?;
    let mut answers = stream.try_clone()?;
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut buffer = vec![0; 65_536];
            while Instant::now() < until && answers.read(&mut buffer).is_ok_and(|len| len > 0) {}
        });
        let mut frames = Vec::new();
        for _ in 0..FRAMES_AT_ONCE {
            frame::put_masked(&mut frames, opcode::TEXT, br#"{"type":"ping","nonce":"flood"}"#);
        }
        while Instant::now() < until {
            match stream.write_all(&frames) {
                Ok(()) => {}
                // Not read any more: that is what a server should do.
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        stream.shutdown(std::net::Shutdown::Both)?;
        Ok(())
    })
}
