//! Answers of the gateway's port that are no upgrade: problem JSON, as REST gives it.

use std::ops::RangeInclusive;

use rand::RngExt as _;
use schema::{
    id::ConnectionId,
    problem::{Code, Problem},
};

/// When to come back, drawn for each answer: those who were refused together should not come together.
const RETRY_AFTER_SECS: RangeInclusive<u32> = 1..=3;

/// Why there is no upgrade.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: Code,
    detail: String,
}

impl Refusal {
    /// Refuses with `code`, for this reason.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// The code.
    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// The whole HTTP answer.
    pub(crate) fn to_http(&self) -> String {
        let request_id = ConnectionId::random().to_string();
        let problem = Problem::new(self.code, self.detail.clone(), request_id.clone());
        let body = serde_json::to_string(&problem).expect("strings and numbers serialise");
        let extra = match self.code {
            Code::UpgradeRequired => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n".to_owned(),
            Code::InvalidToken => "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n".to_owned(),
            code if code.may_retry() => format!("Retry-After: {}\r\n", rand::rng().random_range(RETRY_AFTER_SECS)),
            _ => String::new(),
        };
        http(problem.status, Problem::CONTENT_TYPE, &format!("{extra}X-Request-Id: {request_id}\r\n"), &body)
    }
}

/// `GET /health`.
pub(crate) fn health_answer() -> String {
    http(200, "application/json", "", r#"{"status":"ok"}"#)
}

fn http(status: u16, content_type: &str, extra: &str, body: &str) -> String {
    let phrase = match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    };
    format!(
        "HTTP/1.1 {status} {phrase}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Connection: close\r\n{extra}\r\n{body}",
        body.len()
    )
}
