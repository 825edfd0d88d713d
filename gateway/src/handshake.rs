//! From the bytes of a new connection to a socket with a user, or to a refusal before the upgrade.

pub(crate) mod credential;
mod head;
mod refusal;

use std::{sync::Arc, time::Duration};

use schema::{id::RoomId, problem::Code};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{
    admission::Membership, codec::accept_key, config::Config, socket::Identity, sockets::UserPlace, state::Gateway,
};
use credential::Credential;
use head::Head;
pub(crate) use refusal::{Refusal, health_answer};

/// A connection that may become a socket.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The connection.
    pub stream: TcpStream,
    /// What is to be said on it first: that it is a WebSocket from here on.
    pub answer: String,
    /// What the client sent behind its request.
    pub rest: Vec<u8>,
    /// Whose it is; none until a first frame `auth`.
    pub identity: Option<Identity>,
    /// The user's place for it.
    pub place: Option<UserPlace>,
    /// The room its address names, and what the user is in it; the latter none until `auth`.
    pub room: Option<(RoomId, Option<Membership>)>,
    /// The seq the client was told of in that room.
    pub since: Option<u64>,
}

/// How long an answer that is no upgrade may take, until the client has hung up.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The address of the socket.
const PATH: &str = "/api/v1/ws";
/// The subprotocol that is echoed when offered.
const SUBPROTOCOL: &str = "timingle.v1";

/// Reads the request, decides, and answers it. `None` when the connection is done: refused, or asked
/// for something else.
pub(crate) async fn perform(gateway: &Arc<Gateway>, mut stream: TcpStream) -> Option<Box<Admitted>> {
    let read = tokio::time::timeout(head::WITHIN, head::read(&mut stream)).await;
    let (head, rest) = match read {
        Ok(Ok(Some(read))) => read,
        Ok(Ok(None)) => return None,
        Ok(Err(refusal)) => return refuse(gateway, stream, &refusal).await,
        Err(_elapsed) => return None,
    };
    match decide(gateway, &head).await {
        Ok(Decision::Health) => {
            answer(stream, &health_answer()).await;
            None
        }
        Ok(Decision::Upgrade(upgrade)) => {
            let Upgrade { identity, place, room, since, answer } = *upgrade;
            Some(Box::new(Admitted { stream, answer, rest, identity, place, room, since }))
        }
        Err(refusal) => refuse(gateway, stream, &refusal).await,
    }
}

enum Decision {
    Health,
    Upgrade(Box<Upgrade>),
}

struct Upgrade {
    identity: Option<Identity>,
    place: Option<UserPlace>,
    room: Option<(RoomId, Option<Membership>)>,
    since: Option<u64>,
    answer: String,
}

async fn decide(gateway: &Arc<Gateway>, head: &Head) -> Result<Decision, Refusal> {
    match head.path.as_str() {
        PATH => {}
        "/health" => return Ok(Decision::Health),
        _ => return Err(Refusal::new(Code::NotFound, "sockets live at /api/v1/ws")),
    }
    if head.method != "GET" {
        return Err(Refusal::new(Code::MethodNotAllowed, "sockets are opened by GET"));
    }
    let key = head.upgrade_key()?;
    if gateway.lifecycle.is_stopping() {
        return Err(Refusal::new(Code::Draining, "connect again, to another gateway"));
    }
    gateway.gate.check()?;
    check_origin(&gateway.config, head)?;
    let credential = Credential::find(head, gateway.config.allows_query_token())?;
    let identity = match credential {
        Some(credential) => Some(credential.identify(gateway).await?),
        None => None,
    };
    let room_id = head.room()?;
    let since = head.since()?;
    let room = match (room_id, identity) {
        (Some(room_id), Some(identity)) => Some((room_id, Some(membership(gateway, identity, room_id).await?))),
        (Some(room_id), None) => Some((room_id, None)),
        (None, _) => None,
    };
    let place = match identity {
        Some(identity) => Some(place(gateway, identity)?),
        None => None,
    };
    let answer = switching(&key, head.offers(SUBPROTOCOL));
    Ok(Decision::Upgrade(Box::new(Upgrade { identity, place, room, since, answer })))
}

async fn membership(gateway: &Gateway, identity: Identity, room: RoomId) -> Result<Membership, Refusal> {
    match gateway.admission.check(identity.user_id, room).await {
        Ok(Some(membership)) => Ok(membership),
        Ok(None) => Err(Refusal::new(Code::NotAMember, "not a member of this room, or there is none")),
        Err(error) => Err(Refusal::new(Code::Unavailable, error.to_string())),
    }
}

/// Takes one of the user's places.
pub(crate) fn place(gateway: &Gateway, identity: Identity) -> Result<UserPlace, Refusal> {
    let places_max =
        if gateway.config.common.limits.are_on() { schema::frame::limit::SOCKETS_PER_USER_MAX } else { usize::MAX };
    let place = gateway.sockets.reserve(identity.user_id, places_max);
    place.ok_or_else(|| Refusal::new(Code::TooManyConnections, "this user has too many sockets on this gateway"))
}

/// Refuses a browser that runs somebody else's page. No origin, no browser: no cookie is ever a
/// credential here, so such a client proves itself by its token.
fn check_origin(config: &Config, head: &Head) -> Result<(), Refusal> {
    let Some(origin) = head.header("origin") else { return Ok(()) };
    let is_listed = config.allowed_origins.iter().any(|allowed| allowed == origin);
    let is_local = config.allowed_origins.is_empty() && config.common.is_development() && is_localhost(origin);
    if is_listed || is_local {
        return Ok(());
    }
    Err(Refusal::new(Code::OriginNotAllowed, "this origin is not in GATEWAY_ALLOWED_ORIGINS"))
}

/// `http://localhost` or `http://127.0.0.1`, with any port or none, and nothing else.
fn is_localhost(origin: &str) -> bool {
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let Some(host) = host else { return false };
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    (name == "localhost" || name == "127.0.0.1") && port.parse::<u16>().is_ok()
}

fn switching(key: &str, echoes_subprotocol: bool) -> String {
    let accept = accept_key(key);
    let subprotocol =
        if echoes_subprotocol { format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n") } else { String::new() };
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{subprotocol}\r\n"
    )
}

async fn refuse(gateway: &Gateway, stream: TcpStream, refusal: &Refusal) -> Option<Box<Admitted>> {
    turn_away(gateway, stream, refusal).await;
    None
}

/// Says why, and waits a moment for the client to hang up.
pub(crate) async fn turn_away(gateway: &Gateway, stream: TcpStream, refusal: &Refusal) {
    gateway.measure.refused(refusal.code());
    answer(stream, &refusal.to_http()).await;
}

async fn answer(mut stream: TcpStream, answer: &str) {
    let sent = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // What the client still sends is read away: closing over it would reset the connection and
        // take the answer with it.
        let mut rest = [0; 1024];
        while tokio::io::AsyncReadExt::read(&mut stream, &mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    match tokio::time::timeout(ANSWER_WITHIN, sent).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the client left in the handshake"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_key_is_that_of_the_rfc() {
        let answer = switching("dGhlIHNhbXBsZSBub25jZQ==", true);
        assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(answer.contains("Sec-WebSocket-Protocol: timingle.v1\r\n"));
        assert!(!switching("x", false).contains("Protocol:"));
    }

    #[test]
    fn only_this_machine_is_local() {
        assert!(is_localhost("http://localhost"));
        assert!(is_localhost("http://127.0.0.1:5173"));
        assert!(!is_localhost("http://localhost.evil.example"));
        assert!(!is_localhost("http://127.0.0.1:evil"));
        assert!(!is_localhost("null"));
        assert!(!is_localhost("http://192.168.0.1"));
    }
}
