//! The gateway's program: settings, logs, life, exit code.

use std::process::ExitCode;

use gateway::config::{Command, Config};
use ops::{lifecycle::Lifecycle, probe, settings, telemetry};

/// A message costs the system's allocator an eighth of its time in small rooms.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let config = match settings::parse(Config::check) {
        Ok(config) => config,
        Err(code) => return code,
    };
    match config.command {
        Some(Command::Probe) => exit_code(probe::ask(config.ops_listen).await.map(|()| true)),
        Some(Command::Serve) | None => match telemetry::init(&config.log) {
            Ok(metrics) => exit_code(gateway::serve(config, metrics, Lifecycle::new()).await),
            Err(error) => exit_code(Err(error)),
        },
    }
}

fn exit_code(ended: anyhow::Result<bool>) -> ExitCode {
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the gateway can not go on");
            ExitCode::FAILURE
        }
    }
}
