//! nats-server with the shipped `nats.conf`, for a test and for a whole stack alike.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;

use super::super::{
    process::{Process, Stop},
    ready::Ready,
    run_dir::RunDir,
};
use crate::{tool, workspace};

/// The name of its files in a run folder.
pub(in crate::stack) const NAME: &str = "nats";

/// The users of `docker/nats.conf` and the variables its passwords come from.
const USERS: [(&str, &str); 4] = [
    ("api", "NATS_API_PASSWORD"),
    ("gateway", "NATS_GATEWAY_PASSWORD"),
    ("worker", "NATS_WORKER_PASSWORD"),
    ("operator", "NATS_OPERATOR_PASSWORD"),
];

/// Streams are read back before clients are let in.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// A server on `port` with its streams in the run folder.
pub(in crate::stack) fn process(run_dir: &RunDir, port: u16, is_detached: bool) -> Result<Process> {
    let program = tool::nats::ensure()?;
    let store = run_dir.data(NAME);
    fs::create_dir_all(&store)?;
    Ok(Process {
        name: NAME.to_owned(),
        program,
        arguments: arguments(port, &store),
        environment: passwords().map(|(variable, password)| (variable.to_owned(), password)).collect(),
        folder: run_dir.path().to_owned(),
        core: None,
        run_as: None,
        ready: Ready::Nats { port },
        ready_within: READY_WITHIN,
        stop: Stop::Terminate,
        is_detached,
    })
}

/// The command line for a server on `port` of loopback with its streams in `store`.
pub(in crate::stack) fn arguments(port: u16, store: &Path) -> Vec<String> {
    let conf = workspace::root().join("docker/nats.conf").display().to_string();
    ["-c", &conf, "-a", "127.0.0.1", "-p", &port.to_string(), "-sd", &store.display().to_string()]
        .map(str::to_owned)
        .to_vec()
}

/// What nats.conf wants in its environment.
pub(in crate::stack) fn passwords() -> impl Iterator<Item = (&'static str, String)> {
    USERS.into_iter().map(|(user, variable)| (variable, password(user)))
}

/// The URL for `user` of the server on `port`.
///
/// # Panics
///
/// When nats.conf has no such user.
pub(in crate::stack) fn url(user: &str, port: u16) -> String {
    assert!(USERS.iter().any(|(known, _)| *known == user), "docker/nats.conf has no user {user}");
    format!("nats://{user}:{}@127.0.0.1:{port}", password(user))
}

/// These servers listen on loopback alone and hold nothing but development's data: a password anybody can guess still
/// proves that every process uses its own user.
pub(in crate::stack) fn password(user: &str) -> String {
    format!("{user}-development")
}
