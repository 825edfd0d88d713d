//! `cargo x check`: everything that must hold before a change is taken.

use std::{
    fs::{self, File},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{build, test};
use crate::{console, tidy, tool, workspace};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Leave the tests out; `cargo x test` runs them
    #[arg(long)]
    no_tests: bool,
}

type Step = (&'static str, fn() -> Result<()>);

/// The cheap ones first; none keeps the next from being run.
const STEPS: [Step; 8] = [
    ("tidy", tidy::run),
    ("format", format),
    ("hadolint", hadolint),
    ("compose", compose),
    ("dependencies", dependencies),
    ("advisories", advisories),
    ("lints", lints),
    ("documentation", documentation),
];

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut failed: Vec<&str> = Vec::new();
    for (name, step) in STEPS {
        console::step("checking", name);
        let began = Instant::now();
        match step() {
            Ok(()) => console::step("ok", format_args!("{name}, {} s", began.elapsed().as_secs())),
            Err(error) => {
                console::failure(&error.context(name));
                failed.push(name);
            }
        }
    }
    if !arguments.no_tests {
        console::step("checking", "tests");
        if test::run(&test::Arguments::default())? != ExitCode::SUCCESS {
            failed.push("tests");
        }
    }
    if failed.is_empty() {
        console::step("ok", "everything that was checked");
        return Ok(ExitCode::SUCCESS);
    }
    bail!("these checks failed: {}", failed.join(", "))
}

fn format() -> Result<()> {
    done(build::cargo().args(["fmt", "--all", "--check"]), "`cargo fmt --all` puts it right")
}

fn lints() -> Result<()> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    done(build::cargo().args(arguments), "clippy has said what is wrong")
}

fn documentation() -> Result<()> {
    let mut cargo = build::cargo();
    cargo.args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings");
    done(&mut cargo, "rustdoc has said what is wrong")
}

fn dependencies() -> Result<()> {
    done(deny()?.args(["check", "bans", "licenses", "sources"]), "deny.toml says what is allowed and why")
}

/// Known holes in the crates we use. Their list is fetched, so there are machines where this cannot be asked.
fn advisories() -> Result<()> {
    let log = workspace::tool_cache().join("advisories.log");
    fs::create_dir_all(workspace::tool_cache())?;
    let status = deny()?.args(["check", "advisories"]).stdout(Stdio::null()).stderr(File::create(&log)?).status()?;
    let said = fs::read_to_string(&log)?;
    if status.success() {
        return Ok(());
    }
    if said.contains("failed to fetch advisory database") {
        console::note("advisories were SKIPPED: the list of them cannot be fetched from here");
        return Ok(());
    }
    console::raw(said.as_bytes());
    bail!("a crate we use has a known hole")
}

fn deny() -> Result<Command> {
    let mut command = Command::new(tool::python::DENY.ensure()?);
    command.current_dir(workspace::root()).stdin(Stdio::null());
    Ok(command)
}

fn compose() -> Result<()> {
    let mut command = tool::compose::ensure()?;
    command.args(["-f", "docker/compose.yaml", "--profile", "scylla", "--profile", "tools", "config"]);
    command.current_dir(workspace::root()).stdin(Stdio::null()).stdout(Stdio::null());
    done(&mut command, "compose has said what is wrong with docker/compose.yaml")
}

fn hadolint() -> Result<()> {
    let mut command = Command::new(tool::python::HADOLINT.ensure()?);
    command.arg("docker/Dockerfile").current_dir(workspace::root()).stdin(Stdio::null());
    done(&mut command, "hadolint has said what is wrong with docker/Dockerfile")
}

fn done(command: &mut Command, otherwise: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{otherwise} ({status})");
    }
    Ok(())
}
