//! The house rules that no other tool checks.

use std::fmt;

use anyhow::{Result, bail};

use crate::{
    console,
    source::{CRATES, Source, sources},
    workspace,
};

mod file;
mod image;
mod migration;
mod setting;

pub(crate) use migration::record;

/// What one rule has against one place.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1; `None`: the whole file.
    line: Option<usize>,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.what),
            None => write!(f, "{}: {}", self.path, self.what),
        }
    }
}

/// What is read: code, and everything else that people write here.
const TEXT: [&str; 9] = ["rs", "toml", "md", "sql", "cql", "yaml", "yml", "conf", "sh"];

/// Checks the whole workspace; lists every finding.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let mut findings = Vec::new();
    let files = sources(root, "", &TEXT)?;
    for file in &files {
        findings.extend(file::check(file));
    }
    let readme = files.iter().find(|file| file.path == "README.md").map_or("", |file| file.text.as_str());
    for file in files.iter().filter(|file| is_product(file)) {
        findings.extend(setting::check(file, readme));
    }
    findings.extend(migration::check(root)?);
    findings.extend(image::check(root)?);
    for finding in &findings {
        console::answer(finding);
    }
    if findings.is_empty() {
        return Ok(());
    }
    bail!("findings against the house rules: {}", findings.len())
}

/// Whether a file is part of what is shipped: neither tests nor this crate.
fn is_product(file: &Source) -> bool {
    CRATES.iter().any(|name| *name != "scripts" && file.path.starts_with(&format!("{name}/src/")))
}
