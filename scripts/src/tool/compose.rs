//! docker-compose, to check compose.yaml where no docker engine runs.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::{apt, on_path};

/// The command that takes compose's arguments: the plugin, or the program of older days.
pub(crate) fn ensure() -> Result<Command> {
    if has_plugin() {
        let mut command = Command::new("docker");
        command.arg("compose");
        return Ok(command);
    }
    if on_path("docker-compose").is_none() {
        apt::ensure(&["docker-compose"], "neither `docker compose` nor docker-compose is there")?;
    }
    Ok(Command::new("docker-compose"))
}

fn has_plugin() -> bool {
    super::output_of(Path::new("docker"), &["compose", "version"]).contains("Compose version")
}
