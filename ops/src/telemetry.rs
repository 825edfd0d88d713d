//! Logs as JSON lines on standard output, metrics in the Prometheus text format.

use std::sync::Arc;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::database;

/// What is logged unless told otherwise.
const LOG_DEFAULT: &str = "info";

/// The target of lines that tell where single messages are: `info,hop=debug` logs them.
pub const HOP: &str = "hop";

/// What is logged.
#[derive(Clone, Debug, clap::Args)]
pub struct LogSettings {
    /// What is logged, as a `tracing` filter: `info`, `info,gateway=debug` …
    #[arg(long, env = "TIMINGLE_LOG", default_value = LOG_DEFAULT, value_parser = filter)]
    pub log: String,
}

/// Checks a filter before anything is logged by it.
fn filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_filter| text.to_owned()).map_err(|error| error.to_string())
}

/// The process's metrics; the operators' port shows them.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(&SECONDS_BUCKETS)?.build_recorder();
        Ok(Self { handle: recorder.handle(), recorder: Arc::new(recorder) })
    }

    /// All metrics as text.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Sorts what histograms have recorded since: without it they grow until somebody asks for the text.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Metrics of one process that is under test with others in one program: only handles that were
    /// made by [`Self::hold`] record into them.
    pub fn detached() -> Self {
        Self::new().expect("the bounds are not empty")
    }

    /// Makes handles that record into these metrics.
    pub fn hold<T>(&self, make: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&*self.recorder, make)
    }
}

/// Histogram bounds that suit waits from a fraction of a millisecond to a minute, in seconds.
const SECONDS_BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Sets up logging and metrics; call once, first thing.
pub fn init(settings: &LogSettings) -> anyhow::Result<Metrics> {
    let filter = EnvFilter::try_new(&settings.log)?;
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_filter(filter);
    tracing_subscriber::registry().with(lines).with(database::measure::layer()).init();
    #[cfg(feature = "mutants")]
    crate::mutant::warn();
    install_metrics()
}

/// The same for a command whose answer goes to standard output: it logs to standard error, and unless it was told
/// otherwise only what is wrong.
pub fn init_beside_answer(settings: &LogSettings) -> anyhow::Result<Metrics> {
    let filter = if settings.log == LOG_DEFAULT { "warn" } else { &settings.log };
    let filter = EnvFilter::try_new(filter)?;
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter);
    subscriber.with_writer(std::io::stderr).init();
    #[cfg(feature = "mutants")]
    crate::mutant::warn();
    install_metrics()
}

fn install_metrics() -> anyhow::Result<Metrics> {
    let metrics = Metrics::new()?;
    metrics::set_global_recorder(Arc::clone(&metrics.recorder))
        .map_err(|_taken| anyhow::anyhow!("metrics were set up twice"))?;
    Ok(metrics)
}
