//! nats-server: one static program, installed with Go.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{install, is_program, on_path, output_of};
use crate::workspace;

/// What we install and ship in compose.
pub(crate) const VERSION: &str = "2.15.2";
/// The first with what our streams are made of.
const OLDEST: (u32, u32) = (2, 12);

/// The program: on PATH, in Go's own folder, or in the tool cache.
pub(crate) fn find() -> Result<PathBuf> {
    candidates().next().with_context(|| {
        format!("no nats-server {}.{} or newer found: run `cargo x servers up`, or {}", OLDEST.0, OLDEST.1, by_hand())
    })
}

/// As [`find`], installed when there is none.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(program) = candidates().next() {
        return Ok(program);
    }
    let go = on_path("go").with_context(|| format!("nats-server is needed: install Go, then {}", by_hand()))?;
    let bin = workspace::tool_cache().join("bin");
    fs::create_dir_all(&bin)?;
    install(
        &format!("nats-server {VERSION} with Go"),
        "none of 2.12 or newer is on PATH or in Go's folder",
        Command::new(go).env("GOBIN", &bin).arg("install").arg(package()),
    )?;
    find()
}

fn package() -> String {
    format!("github.com/nats-io/nats-server/v2@v{VERSION}")
}

fn by_hand() -> String {
    format!("install it with `go install {}`", package())
}

fn candidates() -> impl Iterator<Item = PathBuf> {
    let in_go = env::home_dir().map(|home| home.join("go/bin/nats-server"));
    let cached = workspace::tool_cache().join("bin/nats-server");
    on_path("nats-server")
        .into_iter()
        .chain(in_go)
        .chain([cached])
        .filter(|file| is_program(file))
        .filter(|file| version_of(file).is_some_and(|version| version >= OLDEST))
}

fn version_of(program: &Path) -> Option<(u32, u32)> {
    parse_version(&output_of(program, &["--version"]))
}

/// Out of `nats-server: v2.15.2`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (_, version) = text.trim().split_once(": v")?;
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_major_and_minor() {
        assert_eq!(parse_version("nats-server: v2.15.2\n"), Some((2, 15)));
        assert_eq!(parse_version("nats-server: v3.0.0-RC.1"), Some((3, 0)));
        assert_eq!(parse_version("no such thing"), None);
    }
}
