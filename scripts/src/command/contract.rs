//! `cargo x contract`: strangers hold the running API to its document. A public validator reads it, a client that is
//! generated from it books a slot, and a fuzzer looks for answers that it does not know.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::build;
use crate::{
    console, interrupt,
    stack::{self, Plan, Ports, Stack},
    tool, workspace,
};

/// What no operation may answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
/// The fuzzer knows one address for all, and some stand at the root; and its token must stay good.
const NOT_FUZZED: &str = r"^/(health|\.well-known)|logout";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How many requests the fuzzer makes up for each operation; 0: none
    #[arg(long, value_name = "N", default_value = "20")]
    examples: u32,
    /// Where the fuzzer's choices begin
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    interrupt::catch()?;
    let source = workspace::root().join("scripts/contract");
    let python = tool::python::environment("contract", &source.join("requirements.txt"))?;
    let binaries = build::binaries(false)?;
    let folder = workspace::root().join(".run/contract");
    Stack::at(&folder).clear()?;
    let plan = Plan::new(&folder).ports(Ports::Auto).limits(false).binaries(binaries);
    let stack = stack::start(&plan)?;
    let contract = Contract { api: stack.api_url()?, python, source, work: folder.join("work") };
    let kept = contract.check(arguments);
    console::step("stopping", "the stack of the contract");
    stack.stop_now()?;
    kept?;
    console::answer("the API and its document agree");
    Ok(ExitCode::SUCCESS)
}

struct Contract {
    api: String,
    /// The folder with the tools.
    python: PathBuf,
    /// The folder with our own script.
    source: PathBuf,
    work: PathBuf,
}

impl Contract {
    fn check(&self, arguments: &Arguments) -> Result<()> {
        fs::create_dir_all(&self.work)?;
        let document = self.work.join("openapi.json");
        let client = self.work.join("client");
        self.run("python", |python| {
            python.arg(self.source.join("fetch.py")).arg(format!("{}/api/v1/openapi.json", self.api)).arg(&document)
        })?;
        console::step("reading", "the document with openapi-spec-validator");
        self.run("openapi-spec-validator", |validator| validator.arg(&document))?;
        console::step("booking", "a slot with a client that openapi-python-client generates");
        self.run("openapi-python-client", |generator| {
            let paths = [("--path", &document), ("--output-path", &client)];
            generator.args(["generate", "--meta", "none", "--overwrite", "--fail-on-warning"]).args(both(&paths))
        })?;
        let token_file = self.work.join("token");
        self.run("python", |python| {
            python.env("PYTHONPATH", &self.work).arg(self.source.join("book.py")).arg(&self.api).arg(&token_file)
        })?;
        if arguments.examples == 0 {
            return Ok(());
        }
        console::step("fuzzing", format_args!("{} requests an operation, with schemathesis", arguments.examples));
        let token = fs::read_to_string(&token_file)?;
        self.run("schemathesis", |fuzzer| {
            fuzzer
                .arg("run")
                .arg(&document)
                .args(["--url", &format!("{}/api/v1", self.api), "--checks", CHECKS])
                .args(["--header", &format!("Authorization: Bearer {}", token.trim())])
                .args(["--max-examples", &arguments.examples.to_string(), "--seed", &arguments.seed.to_string()])
                .args(["--exclude-path-regex", NOT_FUZZED, "--no-color"])
        })
    }

    fn run(&self, program: &str, complete: impl FnOnce(&mut Command) -> &mut Command) -> Result<()> {
        let mut command = Command::new(self.python.join(program));
        // The generator formats what it wrote with a tool of its own environment.
        let path = std::env::join_paths(
            std::iter::once(self.python.clone())
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
        )?;
        let status = complete(command.env("PATH", path).current_dir(&self.work))
            .status()
            .with_context(|| format!("cannot start {program}"))?;
        if !status.success() {
            bail!("{program} is not content ({status}); the document is {}", self.work.join("openapi.json").display());
        }
        Ok(())
    }
}

fn both<'a>(pairs: &'a [(&'a str, &'a PathBuf)]) -> impl Iterator<Item = &'a Path> {
    pairs.iter().flat_map(|(flag, value)| [Path::new(flag), value.as_path()])
}
