//! The program: reads its settings, does what they say, and says how it went by its exit code.

use std::process::ExitCode;

use chat_worker::{
    conclusion::{self, Conclusion},
    config::{Command, Config},
    dead, trace, verify,
};
use ops::telemetry::{self, Metrics};

#[tokio::main]
async fn main() -> ExitCode {
    let config = match ops::settings::parse(Config::check) {
        Ok(config) => config,
        Err(code) => return code,
    };
    match config.command() {
        Command::Run => logged(&config, async |metrics| chat_worker::serve::run(&config, metrics).await).await,
        Command::Migrate => logged(&config, async |_| chat_worker::migrate::run(&config).await).await,
        Command::Probe => logged(&config, async |_| ops::probe::ask(config.ops_listen).await).await,
        Command::ReopenLog => logged(&config, async |_| chat_worker::reopen::run(&config).await).await,
        Command::Dead(command) => answered(&config, async |_| dead::run(&config, command).await).await,
        Command::Verify(arguments) => {
            answered(&config, async |metrics| verify::run(&config, arguments, metrics).await).await
        }
        Command::Trace(arguments) => answered(&config, async |_| trace::run(&config, arguments).await).await,
    }
}

/// A part of the service's life: what there is to say is logged.
async fn logged(config: &Config, work: impl AsyncFnOnce(Metrics) -> anyhow::Result<()>) -> ExitCode {
    let result = match telemetry::init(&config.log) {
        Ok(metrics) => work(metrics).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "chat-worker failed");
            ExitCode::FAILURE
        }
    }
}

/// An operator's question: the answer goes to the terminal.
async fn answered(config: &Config, work: impl AsyncFnOnce(Metrics) -> anyhow::Result<Conclusion>) -> ExitCode {
    conclusion::exit_code(match telemetry::init_beside_answer(&config.log) {
        Ok(metrics) => work(metrics).await,
        Err(error) => Err(error),
    })
}
