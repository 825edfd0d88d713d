//! The process `api`: settings, logs, connections, service, drain.

use std::{process::ExitCode, time::Duration};

use api::{
    Api, Role,
    config::{Command, Config},
};
use ops::{lifecycle::Lifecycle, probe, settings, telemetry};

/// How long tasks may take once the listener has drained.
const DRAIN_WITHIN: Duration = Duration::from_secs(15);

#[tokio::main]
async fn main() -> ExitCode {
    let config = match settings::parse(Config::check) {
        Ok(config) => config,
        Err(code) => return code,
    };
    match &config.command {
        None | Some(Command::Serve) => report(serve(config).await),
        Some(Command::Grant { email, role }) => report(grant(&config, email, *role).await.map(|()| true)),
        Some(Command::Probe) => match probe::ask(config.ops_listen).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(_not_ready) => ExitCode::FAILURE,
        },
    }
}

async fn grant(config: &Config, email: &str, role: Role) -> anyhow::Result<()> {
    let _metrics = telemetry::init(&config.log)?;
    api::grant(&config.database.pool()?, email, role).await?;
    Ok(())
}

async fn serve(config: Config) -> anyhow::Result<bool> {
    let metrics = telemetry::init(&config.log)?;
    let lifecycle = Lifecycle::new();
    lifecycle.stop_on_signals()?;
    Api::bind(&config, &lifecycle).await?.run(&lifecycle, metrics);
    lifecycle.stopping().cancelled().await;
    if !lifecycle.drain(DRAIN_WITHIN).await {
        tracing::warn!("some tasks did not end in time");
    }
    Ok(!lifecycle.has_failed())
}

fn report(outcome: anyhow::Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
