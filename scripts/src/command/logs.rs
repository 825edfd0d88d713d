//! `cargo x logs <name>`: a process' log, whole, and what is added if asked.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;

use crate::{console, stack::Stack, workspace};

const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Read and written piece by piece: a log may be larger than memory.
const PIECE_BYTES: u64 = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// api, gateway-1, chat-worker-1, migrate, nats, postgres, redis or cassandra
    name: String,
    /// Go on with what is added, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let path = Stack::at(workspace::run_dir()).log_file(&arguments.name);
    let mut file = File::open(&path).with_context(|| {
        format!("no log of {}: `cargo x status` shows the names ({})", arguments.name, path.display())
    })?;
    let mut position = 0;
    loop {
        let mut piece = Vec::new();
        let read = Read::by_ref(&mut file).take(PIECE_BYTES).read_to_end(&mut piece)?;
        console::raw(&piece);
        position += u64::try_from(read)?;
        if read > 0 {
            continue;
        }
        if !arguments.follow {
            return Ok(());
        }
        if file.metadata()?.len() < position {
            // Somebody emptied it.
            position = file.seek(SeekFrom::Start(0))?;
        }
        thread::sleep(LOOK_AGAIN);
    }
}
