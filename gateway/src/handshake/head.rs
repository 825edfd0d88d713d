//! The request's head: read within limits, then only looked at.

use std::time::Duration;

use schema::{id::RoomId, problem::Code};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

use super::Refusal;

/// How long a head may take to arrive.
pub(super) const WITHIN: Duration = Duration::from_secs(10);
/// The most bytes of a head.
const BYTES_MAX: usize = 16 * 1024;
/// The most header lines of a head.
const HEADERS_MAX: usize = 64;

/// A request without its body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) path: String,
    query: String,
    headers: Vec<(String, String)>,
}

/// Reads a head, and whatever came behind it. `None` when the client left.
pub(super) async fn read(stream: &mut TcpStream) -> Result<Option<(Head, Vec<u8>)>, Refusal> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        if let Some((head, len)) = parse(&bytes)? {
            let rest = bytes.split_off(len);
            return Ok(Some((head, rest)));
        }
        if bytes.len() >= BYTES_MAX {
            return Err(Refusal::new(Code::HeadersTooLarge, "the head of a request may have 16 KiB"));
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) => {}
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal::new(Code::HeadersTooLarge, "too many headers"));
        }
        Err(error) => return Err(Refusal::new(Code::InvalidRequest, error.to_string())),
    };
    let target = request.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).ok();
    let headers = request.headers.iter().map(|header| {
        let value = text(header.value).ok_or_else(|| Refusal::new(Code::InvalidRequest, "a header is not UTF-8"))?;
        Ok((header.name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    let head = Head {
        method: request.method.unwrap_or_default().into(),
        path: path.into(),
        query: query.into(),
        headers: headers.collect::<Result<_, Refusal>>()?,
    };
    Ok(Some((head, len)))
}

impl Head {
    /// The header's first value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every element of a header that is a list, over all its lines.
    pub(super) fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.headers.iter().filter(move |(known, _)| known == name);
        lines.flat_map(|(_, value)| value.split(',')).map(str::trim).filter(|element| !element.is_empty())
    }

    /// The query's first value of this name, percent-decoded.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let mut pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| percent_decoded(value))
    }

    /// Whether the client offers this subprotocol.
    pub(super) fn offers(&self, subprotocol: &str) -> bool {
        self.list("sec-websocket-protocol").any(|offered| offered == subprotocol)
    }

    /// The handshake's key, if this is a handshake at all.
    pub(super) fn upgrade_key(&self) -> Result<String, Refusal> {
        let names = |header: &str, word: &str| self.list(header).any(|element| element.eq_ignore_ascii_case(word));
        if !names("upgrade", "websocket") || !names("connection", "upgrade") {
            return Err(Refusal::new(Code::UpgradeRequired, "this address speaks WebSocket"));
        }
        if self.header("sec-websocket-version") != Some("13") {
            return Err(Refusal::new(Code::UpgradeRequired, "WebSocket version 13 is needed"));
        }
        let key = self.header("sec-websocket-key").filter(|key| is_key(key));
        key.map(Into::into)
            .ok_or_else(|| Refusal::new(Code::InvalidRequest, "Sec-WebSocket-Key is not 16 bytes in base64"))
    }

    /// The room the address names.
    pub(super) fn room(&self) -> Result<Option<RoomId>, Refusal> {
        let Some(text) = self.query("room_id").or_else(|| self.query("event_id")) else { return Ok(None) };
        // What is no id is no room: the same answer as for a room that is not there.
        let id = text.parse().map_err(|_not_an_id| Refusal::new(Code::NotAMember, "there is no such room"))?;
        Ok(Some(id))
    }

    /// The seq the client was told of.
    pub(super) fn since(&self) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.query("since") else { return Ok(None) };
        let seq = text.parse().map_err(|_not_a_seq| Refusal::new(Code::InvalidRequest, "since is not a seq"))?;
        Ok(Some(seq))
    }
}

fn is_key(key: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// Decodes `%XX`; anything else stands for itself, a `+` too.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.push(hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &str) -> Head {
        let bytes = format!("GET {lines}\r\n\r\n");
        parse(bytes.as_bytes()).expect("well-formed").expect("whole").0
    }

    #[test]
    fn lists_and_queries_are_read_as_browsers_write_them() {
        let head = head(
            "/api/v1/ws?event_id=%31&since=7&x HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: timingle.v1, bearer.a.b.c",
        );
        assert_eq!(head.path, "/api/v1/ws");
        assert_eq!(head.query("event_id").as_deref(), Some("1"));
        assert_eq!(head.query("x").as_deref(), Some(""));
        assert_eq!(head.since().expect("a seq"), Some(7));
        assert!(head.offers("timingle.v1"));
        assert!(head.upgrade_key().is_ok());
    }

    #[test]
    fn what_is_no_handshake_is_told_so() {
        let code = |lines: &str| head(lines).upgrade_key().expect_err("refused").code();
        assert_eq!(code("/api/v1/ws HTTP/1.1"), Code::UpgradeRequired);
        let old = "/ HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8";
        assert_eq!(code(old), Code::UpgradeRequired);
        let keyless = "/ HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
        assert_eq!(code(keyless), Code::InvalidRequest);
    }
}
