//! `auth`: says who a socket is, or renews the token of one that is known.

use schema::{
    clock::Timestamp,
    frame::{close::CloseReason, server::ServerFrame},
    id::RoomId,
    problem::Code,
};

use super::{join, refuse};
use crate::{
    admission::Membership,
    connection::Connection,
    handshake::{self, credential},
    socket::Identity,
};

/// Does what an `auth` frame asks for.
pub(crate) async fn authenticate(connection: &mut Connection, token: &str) {
    let known = connection.socket.identity();
    let identity = match connection.gateway.tokens.identify(token, &connection.gateway.gate).await {
        Ok(identity) => identity,
        Err(code) => return reject(connection, known, code),
    };
    if let Err(refusal) = credential::check_session(&connection.gateway, identity).await {
        return reject(connection, known, refusal.code());
    }
    match known {
        Some(known) if known.user_id != identity.user_id => {
            refuse(connection, Code::UserMismatch, "the token is another user's", None, None);
        }
        Some(_) => {
            connection.socket.set_identity(identity);
            confirm(connection, identity);
        }
        None => first(connection, identity).await,
    }
}

/// A token that is no good ends a socket that has no other.
fn reject(connection: &Connection, known: Option<Identity>, code: Code) {
    if known.is_some() {
        return refuse(connection, code, code.title(), None, None);
    }
    let reason = match code {
        Code::Unavailable => CloseReason::Unavailable,
        _ => CloseReason::InvalidToken,
    };
    connection.socket.close(reason);
}

/// The socket is known from now on.
async fn first(connection: &mut Connection, identity: Identity) {
    match handshake::place(&connection.gateway, identity) {
        Ok(place) => connection.place = Some(place),
        Err(_no_place) => return connection.socket.close(CloseReason::TooManyConnections),
    }
    let room = connection.joins_first.map(|(room, _)| room);
    let membership = match room {
        Some(room) => match membership(connection, identity, room).await {
            Ok(membership) => Some(membership),
            Err(reason) => return connection.socket.close(reason),
        },
        None => None,
    };
    confirm(connection, identity);
    begin(connection, identity, membership).await;
}

async fn membership(connection: &Connection, identity: Identity, room: RoomId) -> Result<Membership, CloseReason> {
    match connection.gateway.admission.check(identity.user_id, room).await {
        Ok(Some(membership)) => Ok(membership),
        Ok(None) => Err(CloseReason::NotAMember),
        Err(_cannot_check) => Err(CloseReason::Unavailable),
    }
}

fn confirm(connection: &Connection, identity: Identity) {
    let expires_at = Timestamp::from_unix_millis(identity.expires_at.saturating_mul(1000));
    // Development's bare user ids never end; no clock of ours can write that.
    let expires_at = expires_at.unwrap_or_else(|_never| connection.gateway.clock.now());
    connection.socket.say(&ServerFrame::Authenticated { user_id: identity.user_id, expires_at });
}

/// Notes whose socket it is, and joins the room that its address named.
pub(crate) async fn begin(connection: &mut Connection, identity: Identity, membership: Option<Membership>) {
    connection.socket.set_identity(identity);
    connection.gateway.sockets.assign(&connection.socket, identity.user_id);
    if let (Some((room, since)), Some(membership)) = (connection.joins_first.take(), membership) {
        join::seat(connection, room, since, membership).await;
    }
}
