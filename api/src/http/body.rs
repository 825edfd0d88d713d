//! A request's body: bounded, read once, and judged only when the caller may send it at all.

use std::{pin::pin, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use schema::problem::Code;
use serde_json::Value;
use warp::{
    Filter, Rejection,
    http::{HeaderMap, header},
};

use super::Form;
use crate::error::ApiError;

/// What came, or why it could not be read. Refusing is the service's turn: 401 and 403 come first.
#[derive(Debug)]
pub(crate) struct Body(Result<Bytes, ApiError>);

/// The most bytes of a body.
const BYTES_MAX: usize = 64 * 1024;
/// How long a body may take to arrive.
const ARRIVES_WITHIN: Duration = Duration::from_secs(15);

/// Reads the body.
pub(crate) fn body() -> impl Filter<Extract = (Body,), Error = Rejection> + Copy {
    warp::header::headers_cloned().and(warp::body::stream()).then(async |headers, stream| {
        let read = tokio::time::timeout(ARRIVES_WITHIN, read(headers, stream)).await;
        Body(read.unwrap_or_else(|_elapsed| Err(ApiError::refused(Code::InvalidRequest, "the body did not arrive"))))
    })
}

async fn read<B: Buf>(
    headers: HeaderMap,
    stream: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Bytes, ApiError> {
    let mut stream = pin!(stream);
    let mut bytes = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let mut chunk = chunk.map_err(|_broken| ApiError::refused(Code::InvalidRequest, "the body broke off"))?;
        if bytes.len() + chunk.remaining() > BYTES_MAX {
            return Err(ApiError::refused(Code::BodyTooLarge, "a body may have at most 65536 bytes"));
        }
        while chunk.has_remaining() {
            let part = chunk.chunk();
            bytes.extend_from_slice(part);
            let length = part.len();
            chunk.advance(length);
        }
    }
    if !bytes.is_empty() && !is_json(&headers) {
        return Err(ApiError::refused(Code::UnsupportedMediaType, "send application/json"));
    }
    Ok(bytes.freeze())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

impl Body {
    /// The body's fields; it must be one JSON object.
    pub(crate) fn form(self) -> Result<Form, ApiError> {
        let bytes = self.0?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Ok(Form::new(fields)),
            Ok(_) => Err(ApiError::refused(Code::InvalidJson, "the body must be one JSON object")),
            // The place alone, never the text: it may hold a password.
            Err(error) => Err(ApiError::refused(
                Code::InvalidJson,
                format!("no JSON from line {}, column {} on", error.line(), error.column()),
            )),
        }
    }

    /// As [`Self::form`], of a body that may be missing.
    pub(crate) fn form_if_any(self) -> Result<Form, ApiError> {
        if matches!(&self.0, Ok(bytes) if bytes.is_empty()) {
            return Ok(Form::new(serde_json::Map::new()));
        }
        self.form()
    }

    /// The bytes as they came, for a fingerprint.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}
