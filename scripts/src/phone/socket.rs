//! One WebSocket: opened with any of the credentials the protocol knows, then text frames both ways.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue, Request},
    },
};

use super::frame::Incoming;

const OPEN_WITHIN: Duration = Duration::from_secs(10);
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// What a close frame without a code counts as.
const NO_CODE: u16 = 1005;
/// What an end without a close frame counts as.
const ABNORMAL: u16 = 1006;

/// How a socket says whose it is.
#[derive(Clone, Debug)]
pub enum Credential {
    /// `Authorization: Bearer …`
    Header(String),
    /// Subprotocols `timingle.v1, bearer.…`: what a browser can do.
    Subprotocol(String),
    /// `?ticket=…`
    Ticket(String),
    /// The first frame.
    FirstFrame(String),
}

/// Why there is no socket.
#[derive(Debug)]
pub enum OpenError {
    /// The server answered, and not with an upgrade.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The problem, as far as it came with the head.
        body: Value,
    },
    /// There was no answer.
    Lost(anyhow::Error),
}

/// How a socket ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goodbye {
    /// The close code; 1006 when there was no close frame.
    pub code: u16,
    /// The close reason.
    pub reason: String,
}

/// What came out of a socket.
#[derive(Debug)]
pub enum Spoken {
    /// A frame, and its text.
    Frame(Incoming, String),
    /// Something the protocol does not have, in words.
    Nonsense(String),
    /// Nothing will come any more.
    Ended(Goodbye),
}

/// An open socket.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// Opens a socket at `gateway` (`http://host:port`). `query` joins a room at once: `room_id=…&since=…`, or is empty.
    pub async fn open(gateway: &str, query: &str, credential: &Credential) -> Result<Self, OpenError> {
        let request = request(gateway, query, credential).map_err(OpenError::Lost)?;
        let stream = match timeout(OPEN_WITHIN, connect_async(request)).await {
            Ok(Ok((stream, _))) => stream,
            Ok(Err(Error::Http(response))) => {
                let status = response.status().as_u16();
                let body = response.into_body().unwrap_or_default();
                return Err(OpenError::Refused { status, body: serde_json::from_slice(&body).unwrap_or_default() });
            }
            Ok(Err(error)) => return Err(OpenError::Lost(error.into())),
            Err(_elapsed) => return Err(OpenError::Lost(anyhow::anyhow!("no answer within {OPEN_WITHIN:?}"))),
        };
        let mut socket = Self { stream };
        if let Credential::FirstFrame(token) = credential {
            socket.say(&json!({ "type": "auth", "token": token })).await.map_err(OpenError::Lost)?;
        }
        Ok(socket)
    }

    /// Sends a frame.
    pub async fn say(&mut self, frame: &Value) -> Result<()> {
        let sending = self.stream.send(Message::text(frame.to_string()));
        timeout(WRITE_WITHIN, sending).await.context("the socket takes nothing")?.context("the socket is gone")
    }

    /// The next frame. Nothing is lost when this is given up while it waits.
    pub async fn hear(&mut self) -> Spoken {
        loop {
            return match self.stream.next().await {
                Some(Ok(Message::Text(text))) => match Incoming::parse(&text) {
                    Ok(frame) => Spoken::Frame(frame, text.to_string()),
                    Err(error) => Spoken::Nonsense(format!("{error}: {text}")),
                },
                // Pings are answered by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Binary(bytes))) => {
                    Spoken::Nonsense(format!("a binary frame of {} bytes", bytes.len()))
                }
                Some(Ok(Message::Close(Some(close)))) => {
                    Spoken::Ended(Goodbye { code: close.code.into(), reason: close.reason.to_string() })
                }
                Some(Ok(Message::Close(None))) => Spoken::Ended(Goodbye { code: NO_CODE, reason: String::new() }),
                Some(Err(error)) => Spoken::Ended(Goodbye { code: ABNORMAL, reason: error.to_string() }),
                None => Spoken::Ended(Goodbye { code: ABNORMAL, reason: "the connection ended".to_owned() }),
            };
        }
    }

    /// Waits for the first frame that `is_wanted`; those before it are dropped.
    pub async fn hear_until(
        &mut self,
        within: Duration,
        is_wanted: impl Fn(&Incoming) -> bool + Send + Sync,
    ) -> Result<Incoming> {
        let hearing = async {
            loop {
                match self.hear().await {
                    Spoken::Frame(frame, _) if is_wanted(&frame) => return Ok(frame),
                    Spoken::Frame(..) => {}
                    Spoken::Nonsense(what) => bail!("nonsense: {what}"),
                    Spoken::Ended(goodbye) => bail!("the socket ended: {goodbye:?}"),
                }
            }
        };
        timeout(within, hearing).await.with_context(|| format!("nothing of the kind within {within:?}"))?
    }

    /// Says good-bye and goes.
    pub async fn close(mut self) {
        // Who is not there any more needs no good-bye.
        drop(timeout(WRITE_WITHIN, self.stream.close(None)).await);
    }
}

fn request(gateway: &str, query: &str, credential: &Credential) -> Result<Request<()>> {
    let mut url = format!("{}/api/v1/ws", gateway.replacen("http", "ws", 1).trim_end_matches('/'));
    let ticket = match credential {
        Credential::Ticket(ticket) => format!("ticket={ticket}"),
        Credential::Header(_) | Credential::Subprotocol(_) | Credential::FirstFrame(_) => String::new(),
    };
    let query: Vec<_> = [query, &ticket].into_iter().filter(|part| !part.is_empty()).collect();
    if !query.is_empty() {
        url = format!("{url}?{}", query.join("&"));
    }
    let mut request = url.into_client_request()?;
    let headers = request.headers_mut();
    let protocol = HeaderName::from_static("sec-websocket-protocol");
    match credential {
        Credential::Subprotocol(token) => {
            headers.insert(protocol, HeaderValue::from_str(&format!("timingle.v1, bearer.{token}"))?);
        }
        Credential::Header(token) => {
            headers.insert(protocol, HeaderValue::from_static("timingle.v1"));
            headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {token}"))?);
        }
        Credential::Ticket(_) | Credential::FirstFrame(_) => {
            headers.insert(protocol, HeaderValue::from_static("timingle.v1"));
        }
    }
    Ok(request)
}
