//! The operators' port: `/livez` touches nothing, `/readyz` asks the dependencies (at most once a
//! second), `/metrics` is for Prometheus.

use std::{convert::Infallible, fmt::Write as _, future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use tokio::{net::TcpListener, time::Instant};

use crate::{
    http::{self, HttpLimits},
    lifecycle::Lifecycle,
    telemetry::Metrics,
};

/// What one check says: `Ok`, or the reason why not.
pub type Verdict = Result<(), String>;
type Check = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Verdict> + Send>> + Send + Sync>;

/// How long an answer of `/readyz` is used again.
const CACHED_FOR: Duration = Duration::from_secs(1);
/// How often histograms are sorted.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// How long one check may take before it counts as failed.
const CHECK_WITHIN: Duration = Duration::from_secs(2);

/// What this process needs to be of use.
#[derive(Clone)]
pub struct Readiness {
    checks: Vec<(&'static str, Importance, Check)>,
    lifecycle: Lifecycle,
    cache: Arc<tokio::sync::Mutex<Option<(Instant, Report)>>>,
}

/// Whether the process can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// Red without it.
    Needed,
    /// Worse without it, but not red.
    Degrading,
}

/// The answer of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether everything needed is there.
    pub is_ready: bool,
    /// One line a check.
    pub text: String,
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.checks.iter().map(|(name, importance, _)| (name, importance))).finish()
    }
}

impl Readiness {
    /// Needs nothing yet; red as soon as `lifecycle` stops.
    pub fn new(lifecycle: Lifecycle) -> Self {
        Self { checks: Vec::new(), lifecycle, cache: Arc::default() }
    }

    /// Adds a check.
    #[must_use]
    pub fn with<F, V>(mut self, name: &'static str, importance: Importance, check: F) -> Self
    where
        F: Fn() -> V + Send + Sync + 'static,
        V: Future<Output = Verdict> + Send + 'static,
    {
        self.checks.push((name, importance, Arc::new(move || Box::pin(check()))));
        self
    }

    /// Asks every check, or answers what was found less than a second ago.
    pub async fn report(&self) -> Report {
        if self.lifecycle.is_stopping() {
            return Report { is_ready: false, text: "stopping\n".into() };
        }
        let mut cache = self.cache.lock().await;
        if let Some((at, report)) = cache.as_ref()
            && at.elapsed() < CACHED_FOR
        {
            return report.clone();
        }
        let mut report = Report { is_ready: true, text: String::new() };
        let asked = self.checks.iter().map(|(_, _, check)| tokio::time::timeout(CHECK_WITHIN, check()));
        let verdicts = futures_util::future::join_all(asked).await;
        for ((name, importance, _), verdict) in self.checks.iter().zip(verdicts) {
            let verdict = verdict.unwrap_or_else(|_elapsed| Err("no answer in 2 s".into()));
            let word = match (&verdict, importance) {
                (Ok(()), _) => "ok".to_owned(),
                (Err(reason), Importance::Degrading) => format!("degraded: {reason}"),
                (Err(reason), Importance::Needed) => {
                    report.is_ready = false;
                    format!("down: {reason}")
                }
            };
            writeln!(report.text, "{name}: {word}").expect("a String takes all that is written");
        }
        *cache = Some((Instant::now(), report.clone()));
        report
    }
}

/// Serves the operators' port until the process has drained.
pub async fn serve(listener: TcpListener, readiness: Readiness, metrics: Metrics) {
    let kept_up = metrics.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (readiness, metrics) = (readiness.clone(), metrics.clone());
        async move { Ok::<_, Infallible>(answer(&request, &readiness, &metrics).await) }
    });
    // The port outlives the stop signal: operators watch the drain through it.
    let served = http::serve(listener, service, HttpLimits::default(), Lifecycle::new());
    let upkeep = async {
        loop {
            tokio::time::sleep(UPKEEP_EVERY).await;
            kept_up.upkeep();
        }
    };
    tokio::select! {
        () = served => {}
        () = upkeep => {}
    }
}

async fn answer(request: &Request<Incoming>, readiness: &Readiness, metrics: &Metrics) -> Response<Full<Bytes>> {
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n".into()),
        "/readyz" => {
            let report = readiness.report().await;
            let status = if report.is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            text(status, report.text)
        }
        "/metrics" => text(StatusCode::OK, metrics.render()),
        _ => text(StatusCode::NOT_FOUND, "try /livez, /readyz or /metrics\n".into()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    response
}

/// Asks a process's own `/readyz`, for container health checks: images without a shell have no `curl`.
pub async fn ask(address: SocketAddr) -> anyhow::Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.take(16 * 1024).read_to_string(&mut answer).await?;
    anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "not ready: {answer}");
    Ok(())
}

#[cfg(test)]
mod tests;
