//! The program: reads its settings, does what they say, and says how it went by its exit code.

use std::process::ExitCode;

use chat_worker::config::{Command, Config};

#[tokio::main]
async fn main() -> ExitCode {
    let config = match ops::settings::parse(Config::check) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let result = match (config.command(), ops::telemetry::init(&config.log)) {
        (_, Err(error)) => Err(error),
        (Command::Run, Ok(metrics)) => chat_worker::serve::run(&config, metrics).await,
        (Command::Migrate, Ok(_)) => chat_worker::migrate::run(&config).await,
        (Command::Probe, Ok(_)) => ops::probe::ask(config.ops_listen).await,
        (Command::ReopenLog, Ok(_)) => chat_worker::reopen::run(&config).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "chat-worker failed");
            ExitCode::FAILURE
        }
    }
}
