//! How nats-server is found and started, for a test and for a whole stack alike.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::{tool, workspace};

/// The users of `docker/nats.conf` and the variables its passwords come from.
const USERS: [(&str, &str); 4] = [
    ("api", "NATS_API_PASSWORD"),
    ("gateway", "NATS_GATEWAY_PASSWORD"),
    ("worker", "NATS_WORKER_PASSWORD"),
    ("operator", "NATS_OPERATOR_PASSWORD"),
];

/// The command line for a server on `port` of loopback with its streams in `store`.
pub(super) fn arguments(port: u16, store: &Path) -> Vec<OsString> {
    let conf = workspace::root().join("docker/nats.conf");
    let port = port.to_string();
    vec![
        "-c".into(),
        conf.into(),
        "-a".into(),
        "127.0.0.1".into(),
        "-p".into(),
        port.into(),
        "-sd".into(),
        store.into(),
    ]
}

/// What nats.conf wants in its environment.
pub(super) fn passwords() -> impl Iterator<Item = (&'static str, String)> {
    USERS.into_iter().map(|(user, variable)| (variable, password(user)))
}

/// The URL for `user` of the server on `port`.
///
/// # Panics
///
/// When nats.conf has no such user.
pub(super) fn url(user: &str, port: u16) -> String {
    assert!(USERS.iter().any(|(known, _)| *known == user), "docker/nats.conf has no user {user}");
    format!("nats://{user}:{}@127.0.0.1:{port}", password(user))
}

/// The program: on PATH, in Go's folder, or in the tool cache.
pub(super) fn find() -> Result<PathBuf> {
    tool::nats::find()
}

/// These servers listen on loopback alone and hold nothing but development's data: a password anybody can guess still
/// proves that every process uses its own user.
pub(super) fn password(user: &str) -> String {
    format!("{user}-development")
}
