//! The API describes itself: an `OpenAPI` 3.1 document, and a page to read it by that needs nothing from elsewhere.

mod address;
mod operation;
mod paths;
mod schemas;
mod talk;

pub(crate) use address::address;

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{StatusCode, header},
    reply::Response,
};

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document().to_string()));
/// The page: it reads the document, and asks nobody else for anything.
const PAGE: &str = include_str!("page.html");

/// `/api/v1/openapi.json`, `/docs`, and `/swagger-ui.html`, where others look for it.
pub(crate) fn routes() -> BoxedFilter<(Response,)> {
    let document =
        warp::path!("api" / "v1" / "openapi.json").and(warp::get()).map(|| typed("application/json", DOCUMENT.clone()));
    let page = warp::path!("docs").and(warp::get()).map(|| typed("text/html; charset=utf-8", Bytes::from(PAGE)));
    let elsewhere = warp::path!("swagger-ui.html").and(warp::get()).map(|| {
        let moved = warp::reply::with_status(warp::reply(), StatusCode::FOUND);
        warp::reply::with_header(moved, header::LOCATION, "/docs").into_response()
    });
    document.or(page).unify().or(elsewhere).unify().boxed()
}

fn typed(kind: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

/// The document.
pub(crate) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in paths::all() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            methods.insert(operation.method.to_owned(), operation.to_json());
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "timingle",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "An appointment and its conversation are one thing. Errors are problem JSON (RFC 9457): \
                            match on `code`. What goes over the socket stands in docs/socket.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "at+jwt"}},
            "schemas": schemas::all(),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| match (key.as_str(), value) {
                ("$ref", Value::String(to)) => drop(found.insert(to.clone())),
                _ => references(value, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_to_a_schema_and_every_schema_is_used() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let known: BTreeSet<String> = schemas.keys().map(|name| format!("#/components/schemas/{name}")).collect();
        assert_eq!(found, known);
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let all = paths::all();
        let document = document();
        let ids: BTreeSet<_> =
            all.iter().map(|operation| operation.to_json()["operationId"].clone().to_string()).collect();
        assert_eq!(ids.len(), all.len());
        let methods = document["paths"].as_object().unwrap().values();
        assert_eq!(methods.map(|path| path.as_object().unwrap().len()).sum::<usize>(), all.len(), "none hides another");
    }

    /// Each `warp::path!` of the features is an address of the document.
    #[test]
    fn no_route_of_the_source_is_missing() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        let mut addresses = BTreeSet::new();
        for folder in std::fs::read_dir(root).unwrap() {
            let file = folder.unwrap().path().join("mod.rs");
            if file.parent().is_some_and(|parent| parent.ends_with("openapi")) {
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            for found in text.split("warp::path!(").skip(1) {
                let template = found.split(')').next().unwrap();
                let parts = template.split('/').map(str::trim).filter(|part| *part != "..");
                let parts = parts.map(|part| part.strip_suffix("InPath").map_or(part.trim_matches('"'), |_id| "{}"));
                addresses.insert(format!("/{}", parts.collect::<Vec<_>>().join("/")));
            }
        }
        let documented: BTreeSet<String> = paths::all()
            .iter()
            .map(|operation| {
                let parts = operation.path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
                parts.collect::<Vec<_>>().join("/")
            })
            .collect();
        assert!(addresses.len() > 30, "{addresses:?}");
        assert_eq!(addresses.difference(&documented).collect::<Vec<_>>(), Vec::<&String>::new(), "not in the document");
        assert_eq!(documented.difference(&addresses).collect::<Vec<_>>(), Vec::<&String>::new(), "no such route");
    }
}
