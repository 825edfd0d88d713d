//! A WebSocket server on the gateway's codec and nothing else of it: every message and every ping goes back.

use std::{collections::VecDeque, io, time::Duration};

use bytes::Bytes;
use gateway::codec::{Incoming, Opcode, Reader, Rules, accept_key, close_frame, encode};
use schema::frame::close::CloseReason;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// The most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// One read's worth.
const READ_BYTES: usize = 64 * 1024;
/// How long the client may take to hang up after a close frame.
const LEAVES_WITHIN: Duration = Duration::from_secs(1);

/// Serves until the listener fails.
pub(crate) async fn serve(listener: TcpListener, rules: Rules) -> io::Result<()> {
    loop {
        let (stream, _peer) = listener.accept().await?;
        #[expect(clippy::disallowed_methods, reason = "an example has no life to end in good order")]
        drop(tokio::spawn(async move {
            // A client that vanishes is the client's own affair.
            drop(echo(stream, rules).await);
        }));
    }
}

async fn echo(mut stream: TcpStream, rules: Rules) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = shake_hands(&mut stream).await?;
    let mut reader = Reader::new(rules);
    let mut incoming = VecDeque::new();
    loop {
        let fed = reader.feed(&mut buffer, &mut incoming);
        for message in incoming.drain(..) {
            if let Incoming::Close(code) = message {
                return leave(stream, &close_answer(code)).await;
            }
            stream.write_all(&answer(message)).await?;
        }
        if let Err(reason) = fed {
            return leave(stream, &close_frame(reason)).await;
        }
        buffer.resize(READ_BYTES, 0);
        let len = stream.read(&mut buffer).await?;
        buffer.truncate(len);
        if len == 0 {
            return Ok(());
        }
    }
}

fn answer(message: Incoming) -> Bytes {
    match message {
        Incoming::Text(text) => encode(Opcode::Text, text.as_bytes()),
        Incoming::Binary(bytes) => encode(Opcode::Binary, &bytes),
        Incoming::Ping(payload) => encode(Opcode::Pong, &payload),
        Incoming::Pong | Incoming::Close(_) => Bytes::new(),
    }
}

/// The client's own code goes back to it.
fn close_answer(code: Option<u16>) -> Bytes {
    code.map_or_else(|| close_frame(CloseReason::Normal), |code| encode(Opcode::Close, &code.to_be_bytes()))
}

/// Says goodbye and reads on for a moment: closing over unread bytes would take the goodbye with it.
async fn leave(mut stream: TcpStream, goodbye: &[u8]) -> io::Result<()> {
    stream.write_all(goodbye).await?;
    stream.shutdown().await?;
    let mut rest = vec![0; READ_BYTES];
    let hung_up = async { while stream.read(&mut rest).await.is_ok_and(|len| len > 0) {} };
    // Whoever stays is left.
    drop(tokio::time::timeout(LEAVES_WITHIN, hung_up).await);
    Ok(())
}

/// Answers the request; gives what came behind it.
async fn shake_hands(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(&bytes).map_err(io::Error::other)?;
        if let httparse::Status::Complete(len) = parsed {
            let key = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("sec-websocket-key"));
            let key = String::from_utf8_lossy(key.map(|key| key.value).unwrap_or_default()).into_owned();
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {}\r\n\r\n",
                accept_key(&key)
            );
            stream.write_all(head.as_bytes()).await?;
            return Ok(bytes.split_off(len));
        }
        if bytes.len() >= HEAD_BYTES_MAX || stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}
