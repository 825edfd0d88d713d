//! `cargo x status`: one line a process; exit code 1 unless all are ready.

use std::process::ExitCode;

use anyhow::Result;

use crate::{console, stack::Stack, workspace};

pub(super) fn run() -> Result<ExitCode> {
    let conditions = Stack::at(workspace::run_dir()).conditions()?;
    if conditions.is_empty() {
        console::answer("nothing is started: `cargo x up` starts it");
        return Ok(ExitCode::FAILURE);
    }
    for condition in &conditions {
        let state = match condition.pid {
            None => format!("ended (`cargo x restart {}` starts it again)", condition.name),
            Some(pid) if condition.is_ready => format!("ready      pid {pid}"),
            Some(pid) => format!("not ready  pid {pid}"),
        };
        console::answer(format_args!("{:<15} port {:<5}  {state}", condition.name, condition.port));
    }
    Ok(if conditions.iter().all(|condition| condition.is_ready) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
