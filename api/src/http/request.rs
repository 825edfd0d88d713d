//! What goes with a request from its first byte to its last: a name for it, and how much of the caller's rate it left.
//! Both are put on every answer here, in one place.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use hyper::{Request, Response, body::Incoming, service::Service};
use uuid::Uuid;
use warp::http::{HeaderMap, HeaderName, HeaderValue};

use crate::{error::whole_seconds, limit::Quota, openapi};

tokio::task_local! {
    static CONTEXT: Context;
}

struct Context {
    id: Uuid,
    quota: Cell<Option<Quota>>,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// The name of the request that is being answered.
pub(crate) fn id() -> String {
    CONTEXT.try_with(|context| context.id.to_string()).unwrap_or_default()
}

/// Notes what is left of the caller's rate, for the answer's headers.
pub(crate) fn note_quota(quota: Quota) {
    // Outside of a request nobody reads it.
    CONTEXT.try_with(|context| context.quota.set(Some(quota))).ok();
}

/// Names each request, measures it and finishes its answer.
#[derive(Clone, Debug)]
pub(crate) struct Traced<S>(pub(crate) S);

impl<S, B> Service<Request<Incoming>> for Traced<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send,
    B: Send,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let method = request.method().as_str().to_owned();
        let path = request.uri().path().to_owned();
        let answer = self.0.call(request);
        let context = Context { id: Uuid::now_v7(), quota: Cell::new(None) };
        Box::pin(CONTEXT.scope(context, async move {
            let began = Instant::now();
            let mut response = answer.await?;
            finish(response.headers_mut());
            measure(&method, &path, response.status().as_u16(), began.elapsed());
            Ok(response)
        }))
    }
}

fn finish(headers: &mut HeaderMap) {
    CONTEXT.with(|context| {
        let id = HeaderValue::from_str(&context.id.to_string()).expect("a UUID is a header's value");
        headers.insert(REQUEST_ID, id);
        if let Some(quota) = context.quota.get() {
            headers.insert(LIMIT, quota.limit.into());
            headers.insert(REMAINING, quota.remaining.into());
            headers.insert(RESET, whole_seconds(quota.reset).into());
        }
    });
}

fn measure(method: &str, path: &str, status: u16, took: Duration) {
    tracing::debug!(request.id = id(), http.method = method, http.path = path, http.status = status, ?took, "answered");
    let (method, route) = (known(method), openapi::address(path));
    metrics::counter!("api_requests_total", "method" => method, "route" => route, "status" => status.to_string())
        .increment(1);
    metrics::histogram!("api_request_seconds", "method" => method, "route" => route).record(took);
}

/// A method as a label: callers must not be able to invent series.
fn known(method: &str) -> &'static str {
    ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"]
        .into_iter()
        .find(|name| *name == method)
        .unwrap_or("other")
}
