//! One operation of the document, and what all of them have in common.

use std::collections::BTreeMap;

use schema::{frame::limit, problem::Code};
use serde_json::{Map, Value, json};

use super::schemas::{reference, text, uuid};

/// One method of one address.
#[derive(Debug)]
pub(super) struct Operation {
    id: &'static str,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    summary: &'static str,
    /// Whether it needs no token.
    is_open: bool,
    /// Whether it stands below `/api/v1`.
    is_versioned: bool,
    query: Vec<(&'static str, &'static str, Value)>,
    headers: Vec<(&'static str, &'static str)>,
    /// The schema's name, and whether there must be one.
    body: Option<(&'static str, bool)>,
    /// The status, and the schema's name if there is a body.
    answer: (u16, Option<&'static str>),
    codes: Vec<Code>,
}

/// What every request with a token may be answered.
const OF_CALLERS: [Code; 5] =
    [Code::InvalidToken, Code::SessionRevoked, Code::RateLimited, Code::Unavailable, Code::Internal];
/// What every request may be answered.
const OF_ALL: [Code; 3] = [Code::RateLimited, Code::Unavailable, Code::Internal];
/// What every request with a body may be answered.
const OF_BODIES: [Code; 5] =
    [Code::InvalidRequest, Code::InvalidJson, Code::BodyTooLarge, Code::UnsupportedMediaType, Code::InvalidFields];

/// An operation that needs a token and answers 200.
pub(super) fn op(
    id: &'static str,
    method: &'static str,
    path: &'static str,
    schema: &'static str,
    summary: &'static str,
) -> Operation {
    Operation {
        id,
        method,
        path,
        summary,
        is_open: false,
        is_versioned: true,
        query: Vec::new(),
        headers: Vec::new(),
        body: None,
        answer: (200, Some(schema)),
        codes: Vec::new(),
    }
}

impl Operation {
    pub(super) fn open(self) -> Self {
        Self { is_open: true, ..self }
    }

    pub(super) fn at_the_root(self) -> Self {
        Self { is_versioned: false, ..self }
    }

    pub(super) fn takes(self, schema: &'static str) -> Self {
        Self { body: Some((schema, true)), ..self }
    }

    pub(super) fn may_take(self, schema: &'static str) -> Self {
        Self { body: Some((schema, false)), ..self }
    }

    pub(super) fn creates(self) -> Self {
        Self { answer: (201, self.answer.1), ..self }
    }

    pub(super) fn answers_nothing(self) -> Self {
        Self { answer: (204, None), ..self }
    }

    pub(super) fn query(mut self, name: &'static str, what: &'static str, schema: Value) -> Self {
        self.query.push((name, what, schema));
        self
    }

    /// A list in pages.
    pub(super) fn in_pages(self) -> Self {
        self.limited()
            .query("cursor", "next_cursor of the page before", json!({"type": "string"}))
            .or(&[Code::InvalidCursor, Code::InvalidFields])
    }

    pub(super) fn limited(self) -> Self {
        self.query("limit", "how many", json!({"type": "integer", "minimum": 1, "maximum": 100, "default": 50}))
    }

    pub(super) fn header(mut self, name: &'static str, what: &'static str) -> Self {
        self.headers.push((name, what));
        self
    }

    pub(super) fn or(mut self, codes: &[Code]) -> Self {
        self.codes.extend_from_slice(codes);
        self
    }

    /// Its address from the root on.
    pub(super) fn full_path(&self) -> String {
        let base = if self.is_versioned { "/api/v1" } else { "" };
        format!("{base}{}", self.path)
    }

    /// The operation as it stands in the document.
    pub(super) fn to_json(&self) -> Value {
        let mut operation = json!({
            "operationId": self.id,
            "summary": self.summary,
            "tags": [self.tag()],
            "parameters": self.parameters(),
            "responses": self.responses(),
        });
        let mut set = |key: &str, value: Value| {
            if let Some(fields) = operation.as_object_mut() {
                fields.insert(key.to_owned(), value);
            }
        };
        if self.is_open {
            set("security", json!([]));
        }
        if !self.is_versioned {
            set("servers", json!([{"url": "/"}]));
        }
        if let Some((schema, is_required)) = self.body {
            let content = json!({"application/json": {"schema": reference(schema)}});
            set("requestBody", json!({"required": is_required, "content": content}));
        }
        operation
    }

    fn tag(&self) -> &'static str {
        self.path.trim_start_matches('/').split('/').next().unwrap_or_default()
    }

    fn parameters(&self) -> Vec<Value> {
        let in_path = self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let mut all: Vec<Value> = in_path
            .map(|name| {
                let schema = if name == "emoji" { text(limit::EMOJI_BYTES_MAX) } else { uuid() };
                json!({"name": name, "in": "path", "required": true, "schema": schema})
            })
            .collect();
        all.extend(
            self.query.iter().map(
                |(name, what, schema)| json!({"name": name, "in": "query", "description": what, "schema": schema}),
            ),
        );
        all.extend(self.headers.iter().map(|(name, what)| {
            json!({"name": name, "in": "header", "description": what, "schema": {"type": "string", "minLength": 1, "maxLength": 255}})
        }));
        all
    }

    fn responses(&self) -> Value {
        let mut responses = Map::new();
        let (status, schema) = self.answer;
        let mut good = json!({"description": if status == 204 { "done" } else { "as asked" }});
        if let (Some(schema), Some(fields)) = (schema, good.as_object_mut()) {
            fields.insert("content".to_owned(), json!({"application/json": {"schema": reference(schema)}}));
        }
        responses.insert(status.to_string(), good);
        let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
        let common: &[Code] = if self.is_open { &OF_ALL } else { &OF_CALLERS };
        let of_body: &[Code] = if self.body.is_some() { &OF_BODIES } else { &[] };
        for code in common.iter().chain(of_body).chain(&self.codes) {
            let codes = by_status.entry(code.http_status()).or_default();
            if !codes.contains(&code.as_str()) {
                codes.push(code.as_str());
            }
        }
        for (status, codes) in by_status {
            let content = json!({"application/problem+json": {"schema": reference("Problem")}});
            responses.insert(
                status.to_string(),
                json!({"description": format!("`{}`", codes.join("`, `")), "content": content}),
            );
        }
        Value::Object(responses)
    }
}
