//! What logs of processes say of one message: lines with the target [`HOP`], which `TIMINGLE_LOG=info,hop=debug` writes.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use ops::telemetry::HOP;
use schema::id::MessageId;
use serde::Deserialize;

use crate::console::visible;

/// One line.
#[derive(Debug)]
pub(super) struct Line {
    /// Which hop.
    pub(super) hop: String,
    /// When.
    pub(super) at: String,
    /// Whose log it is in.
    pub(super) process: String,
    /// How many sockets it went to, for those that say so.
    pub(super) sockets: Option<u64>,
}

#[derive(Deserialize)]
struct Written {
    timestamp: String,
    target: String,
    message: String,
    #[serde(rename = "message.id")]
    message_id: MessageId,
    sockets: Option<u64>,
}

/// What these files say of the message, in the order of time.
pub(super) fn read(files: &[PathBuf], id: MessageId) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for file in files {
        read_file(file, id, &mut lines).with_context(|| format!("{} can not be read", file.display()))?;
    }
    lines.sort_by(|a, b| a.at.cmp(&b.at));
    Ok(lines)
}

fn read_file(file: &Path, id: MessageId, lines: &mut Vec<Line>) -> std::io::Result<()> {
    let process = file.file_stem().map(|name| visible(&name.to_string_lossy())).unwrap_or_default();
    let needle = id.to_string();
    let mut reader = BufReader::new(File::open(file)?);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        let line = String::from_utf8_lossy(&bytes);
        // Most lines are of something else, and are not worth a parser.
        if line.contains(&needle)
            && let Ok(written) = serde_json::from_str::<Written>(&line)
            && written.target == HOP
            && written.message_id == id
        {
            let Written { timestamp: at, message: hop, sockets, .. } = written;
            lines.push(Line { hop, at: visible(&at), process: process.clone(), sockets });
        }
        bytes.clear();
    }
    Ok(())
}
