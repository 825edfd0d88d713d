//! Redis, which keeps sessions, so it writes what it is told.

use std::{fs, time::Duration};

use anyhow::Result;

use super::super::{
    process::{Process, Stop},
    ready::Ready,
    run_dir::RunDir,
};
use crate::tool;

/// The name of its files in a run folder.
pub(in crate::stack) const NAME: &str = "redis";

const READY_WITHIN: Duration = Duration::from_mins(1);

/// A server on `port` with an append-only file in the run folder.
pub(in crate::stack) fn process(run_dir: &RunDir, port: u16, is_detached: bool) -> Result<Process> {
    let program = tool::redis::ensure()?;
    let data = run_dir.data(NAME);
    fs::create_dir_all(&data)?;
    let (port_text, data_text) = (port.to_string(), data.display().to_string());
    let arguments =
        ["--bind", "127.0.0.1", "--port", &port_text, "--dir", &data_text, "--appendonly", "yes", "--save", ""];
    Ok(Process {
        name: NAME.to_owned(),
        program,
        arguments: arguments.map(str::to_owned).to_vec(),
        environment: [("LC_ALL".to_owned(), "C.UTF-8".to_owned())].into(),
        folder: data,
        core: None,
        run_as: None,
        ready: Ready::Redis { port },
        ready_within: READY_WITHIN,
        stop: Stop::Terminate,
        is_detached,
    })
}

/// What clients are told.
pub(in crate::stack) fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}
