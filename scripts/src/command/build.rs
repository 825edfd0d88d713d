//! Building our own programs with cargo.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{console, interrupt, workspace};

/// The packages whose programs make up a stack.
const PACKAGES: [&str; 3] = ["api", "gateway", "chat-worker"];

/// The cargo that runs us, or the one on PATH.
pub(super) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(workspace::root()).stdin(Stdio::null());
    command
}

/// Builds the programs and returns the folder they are in.
pub(super) fn binaries(is_release: bool) -> Result<PathBuf> {
    build(&PACKAGES, is_release)
}

/// Builds the programs of a stack and `more` beside them, and returns the folder they are in.
pub(super) fn binaries_and(more: &str, is_release: bool) -> Result<PathBuf> {
    let packages: Vec<&str> = PACKAGES.into_iter().chain([more]).collect();
    build(&packages, is_release)
}

/// Builds optimised programs and returns the folder they are in.
pub(crate) fn release(packages: &[&str]) -> Result<PathBuf> {
    build(packages, true)
}

/// Builds the programs of a stack with deliberate bugs, and what finds those, and puts all of them into `folder`: the place
/// where programs are built to belongs to those without.
pub(super) fn mutants(folder: &Path) -> Result<PathBuf> {
    let features: Vec<_> = PACKAGES.iter().map(|package| format!("{package}/mutants")).collect();
    let checker = build(&["chaos"], false)?;
    let built = build_with(&PACKAGES, &["--features", &features.join(",")])?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, from) in PACKAGES.iter().map(|name| (name, &built)).chain([(&"chaos", &checker)]) {
        // A program that runs cannot be written to, but another one may take its name.
        let part = folder.join("part");
        fs::copy(from.join(name), &part).and_then(|_| fs::rename(&part, folder.join(name)))?;
    }
    Ok(folder.to_owned())
}

fn build(packages: &[&str], is_release: bool) -> Result<PathBuf> {
    build_with(packages, if is_release { &["--release"] } else { &[] })
}

fn build_with(packages: &[&str], flags: &[&str]) -> Result<PathBuf> {
    console::step("building", packages.join(", "));
    let mut command = cargo();
    command.args(["build", "--message-format=json-render-diagnostics"]);
    for package in packages {
        command.args(["--package", package]);
    }
    command.args(flags);
    // Cargo's progress goes past us to the terminal; what it has built comes to us.
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("a piped standard output is there")?;
    let mut folder = None;
    for line in BufReader::new(output).lines() {
        folder = folder_of(&line?).or(folder);
    }
    let status = child.wait()?;
    if interrupt::is_raised() {
        bail!("interrupted");
    }
    if !status.success() {
        bail!("the build failed ({status})");
    }
    folder.context("cargo built no program")
}

/// The folder of the program that a message of cargo's tells of.
fn folder_of(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let program = PathBuf::from(message.get("executable")?.as_str()?);
    program.parent().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_that_of_a_program_not_of_a_library() {
        assert_eq!(folder_of(r#"{"reason":"compiler-artifact","executable":null}"#), None);
        assert_eq!(folder_of(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(
            folder_of(r#"{"reason":"compiler-artifact","executable":"/t/debug/api"}"#),
            Some(PathBuf::from("/t/debug"))
        );
    }
}
