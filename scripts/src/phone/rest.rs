//! The REST side of a phone: one call, its answer, and what to do when it is not the one that was wanted.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Client, Method};
use serde::de::DeserializeOwned;
use serde_json::Value;

const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// The api, as one caller sees it.
#[derive(Clone, Debug)]
pub struct Rest {
    client: Client,
    base: String,
}

/// What the api answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type, without parameters.
    pub media_type: String,
    /// The JSON; null when there is none.
    pub body: Value,
}

impl Rest {
    /// The api at `url`, which has no path.
    pub fn new(url: &str) -> Result<Self> {
        let client = Client::builder()
            .timeout(ANSWER_WITHIN)
            .no_proxy()
            // A stack of ours speaks plain HTTP: the system's certificates need not be there.
            .tls_certs_only([])
            .build()
            .context("no HTTP client")?;
        Ok(Self { client, base: format!("{}/api/v1", url.trim_end_matches('/')) })
    }

    /// Calls `path` (below `/api/v1`).
    pub async fn call(&self, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Result<Answer> {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("{method} {path}"))?;
        let status = response.status().as_u16();
        let media_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim().to_owned();
        let bytes = response.bytes().await.with_context(|| format!("{method} {path}"))?;
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
        Ok(Answer { status, media_type, body })
    }
}

impl Answer {
    /// The body as a `T`, if this is the answer that was wanted.
    pub fn expect<T: DeserializeOwned>(self, status: u16) -> Result<T> {
        if self.status != status {
            bail!("status {status} was expected, but the answer is {} {}", self.status, self.body);
        }
        serde_json::from_value(self.body).context("the answer does not hold what it must")
    }

    /// The code of a problem.
    pub fn code(&self) -> Option<&str> {
        self.body.get("code").and_then(Value::as_str)
    }
}
