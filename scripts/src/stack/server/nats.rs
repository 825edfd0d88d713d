//! nats-server with the shipped `nats.conf`, for a test and for a whole stack alike.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;

use super::super::{
    layout::NatsPorts,
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

/// A server on its own, or a cluster of them: `nats-1` …
pub(in crate::stack) fn processes(run_dir: &RunDir, ports: &[NatsPorts], is_detached: bool) -> Result<Vec<Process>> {
    if let [alone] = ports {
        return Ok(vec![process(run_dir, NAME, alone.clients, &[], is_detached)?]);
    }
    let routes: Vec<_> = ports.iter().map(|ports| route(ports.routes)).collect();
    let servers = ports.iter().enumerate().map(|(n, ports)| {
        let name = format!("{NAME}-{}", n + 1);
        let of_cluster = [
            ["--server_name", &name],
            ["--cluster_name", "timingle"],
            ["--cluster", &route(ports.routes)],
            ["--routes", &routes.join(",")],
        ];
        let of_cluster: Vec<_> = of_cluster.as_flattened().iter().map(|&argument| argument.to_owned()).collect();
        process(run_dir, &name, ports.clients, &of_cluster, is_detached)
    });
    servers.collect()
}

fn route(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

/// A server on `port` with its streams in the run folder.
fn process(run_dir: &RunDir, name: &str, port: u16, more: &[String], is_detached: bool) -> Result<Process> {
    let program = tool::nats::ensure()?;
    let store = run_dir.data(name);
    fs::create_dir_all(&store)?;
    let mut arguments = arguments(port, &store);
    arguments.extend_from_slice(more);
    Ok(Process {
        name: name.to_owned(),
        program,
        arguments,
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

/// The URLs for `user` of all the servers of a cluster, or of the only one.
pub(in crate::stack) fn urls(user: &str, ports: &[u16]) -> String {
    ports.iter().map(|port| url(user, *port)).collect::<Vec<_>>().join(",")
}

/// These servers listen on loopback alone and hold nothing but development's data: a password anybody can guess still
/// proves that every process uses its own user.
pub(in crate::stack) fn password(user: &str) -> String {
    format!("{user}-development")
}
