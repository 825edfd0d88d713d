//! The API describes itself, and what it says is so.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use sqlx::PgPool;

use crate::harness::{TestApi, read};

const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn every_method_of_every_address_is_in_the_document_and_nothing_else_is(pool: PgPool) {
    let api = TestApi::with(pool, &["--limits=off"]).await;
    let document = read(api.root("/api/v1/openapi.json").send().await.unwrap(), 200).await;
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in paths {
        let is_at_the_root = methods.as_object().unwrap().values().any(|operation| operation.get("servers").is_some());
        // As many ids as there are names: one that nobody has does for all.
        let address: Vec<_> = path
            .split('/')
            .map(|part| if part.starts_with('{') { "00000000-0000-7000-8000-000000000001" } else { part })
            .collect();
        let address = address.join("/");
        for method in METHODS {
            // An address without ids may be one of an address with ids, too: `/payments/webhook`.
            let is_described = paths.iter().any(|(template, methods)| {
                fits(template, &address) && methods.get(method.as_str().to_lowercase()).is_some()
            });
            let request = if is_at_the_root {
                api.root(&address)
            } else {
                api.request(method.clone(), &address).header("content-type", "application/json").body("{}")
            };
            if is_at_the_root && method != Method::GET {
                continue;
            }
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let is_there = status != StatusCode::METHOD_NOT_ALLOWED && !is_no_route(answer).await;
            assert_eq!(is_there, is_described, "{method} {path} answers {status}");
        }
    }
}

fn fits(template: &str, address: &str) -> bool {
    let (template, address): (Vec<_>, Vec<_>) = (template.split('/').collect(), address.split('/').collect());
    template.len() == address.len()
        && template.iter().zip(address).all(|(part, found)| part.starts_with('{') || *part == found)
}

/// The router's own refusal: nobody without a token hears from a handler that there is nothing.
async fn is_no_route(answer: reqwest::Response) -> bool {
    if answer.status() != StatusCode::NOT_FOUND {
        return false;
    }
    let problem: Value = answer.json().await.unwrap();
    problem["detail"] == "there is nothing at this address"
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn the_page_needs_nothing_from_elsewhere(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let page = api.root("/docs").send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let text = page.text().await.unwrap();
    assert!(text.contains("/api/v1/openapi.json"));
    for elsewhere in ["http://", "https://", "src=", "@import"] {
        assert!(!text.contains(elsewhere), "{elsewhere}");
    }
    // Where others look for it; the client follows.
    let moved = api.root("/swagger-ui.html").send().await.unwrap();
    assert_eq!((moved.status(), moved.url().path()), (StatusCode::OK, "/docs"));
}
