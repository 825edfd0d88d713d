//! Every refusal is problem JSON, and nothing panics.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{TestApi, read, refused};

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_is_no_request_of_ours_is_refused_in_one_form(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    refused(ann.get("/nothing/here").await, 404, "not_found").await;
    refused(ann.get("").await, 404, "not_found").await;
    refused(api.root("/nothing").send().await.unwrap(), 404, "not_found").await;
    refused(ann.delete("/events").await, 405, "method_not_allowed").await;
    refused(ann.put("/users/me", json!({})).await, 405, "method_not_allowed").await;
    refused(api.request(Method::GET, "/auth/login").send().await.unwrap(), 405, "method_not_allowed").await;
    let send = async |kind: &str, body: Vec<u8>| {
        ann.request(Method::POST, "/events").header("content-type", kind).body(body).send().await.unwrap()
    };
    let json = "application/json; charset=utf-8";
    refused(send("text/plain", b"{}".to_vec()).await, 415, "unsupported_media_type").await;
    refused(send("application/jsonp", b"{}".to_vec()).await, 415, "unsupported_media_type").await;
    refused(send(json, b"{".to_vec()).await, 400, "invalid_json").await;
    refused(send(json, Vec::new()).await, 400, "invalid_json").await;
    refused(send(json, b"[]".to_vec()).await, 400, "invalid_json").await;
    refused(send(json, b"{\"title\":\"\xff\"}".to_vec()).await, 400, "invalid_json").await;
    refused(send(json, "[".repeat(10_000).into_bytes()).await, 400, "invalid_json").await;
    refused(send(json, b"{}".to_vec()).await, 422, "invalid_fields").await;
    let filled = |bytes: usize| json!({"title": "x".repeat(bytes - r#"{"title":""}"#.len())}).to_string().into_bytes();
    refused(send(json, filled(64 * 1024)).await, 422, "invalid_fields").await;
    refused(send(json, filled(64 * 1024 + 1)).await, 413, "body_too_large").await;
    let no_kind = ann.request(Method::POST, "/events").body("{}").send().await.unwrap();
    refused(no_kind, 415, "unsupported_media_type").await;
    read(ann.get("/events?%ff=%ff&x&=&&limit=5").await, 200).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn every_answer_has_a_name_of_its_own(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let mut names = std::collections::HashSet::new();
    for path in ["/health", "/.well-known/jwks.json", "/nothing"] {
        let answer = api.root(path).send().await.unwrap();
        assert!(names.insert(answer.headers()["x-request-id"].clone()));
    }
    assert_eq!(read(api.root("/health").send().await.unwrap(), 200).await["status"], "ok");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn strange_values_in_every_field_break_nothing(pool: PgPool) {
    let api = TestApi::with(pool, &["--limits=off"]).await;
    let ann = api.user("ann").await;
    let id = ann.makes_event("Lunch", &[]).await["id"].as_str().unwrap().to_owned();
    let strange = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e308),
        json!(""),
        json!("\u{0}"),
        json!("\u{202e}x"),
        json!("x".repeat(10_000)),
        json!([]),
        json!([[]]),
        json!({}),
        json!({"$ne": null}),
        json!("' OR 1=1 --"),
    ];
    let routes: [(Method, String, &[&str]); 8] = [
        (Method::POST, "/auth/register".into(), &["email", "password", "display_name"]),
        (Method::POST, "/auth/login".into(), &["email", "password"]),
        (Method::POST, "/auth/refresh".into(), &["refresh_token"]),
        (Method::PATCH, "/users/me".into(), &["display_name", "status_text"]),
        (Method::POST, "/events".into(), &["title", "starts_at", "ends_at", "time_zone", "participant_ids"]),
        (Method::PATCH, format!("/events/{id}"), &["title", "description", "location", "starts_at", "time_zone"]),
        (Method::POST, format!("/events/{id}/participants"), &["user_id"]),
        (Method::POST, format!("/rooms/{id}/messages"), &["temp_id", "content", "message_type", "resend"]),
    ];
    for (method, path, fields) in routes {
        for field in fields {
            for value in &strange {
                let body: Value = json!({*field: value});
                let answer = ann.request(method.clone(), &path).json(&body).send().await.unwrap();
                let status = answer.status().as_u16();
                assert!(status < 500, "{method} {path} {field}={value}: {status} {}", answer.text().await.unwrap());
            }
        }
    }
}
