//! Profiles.

use serde_json::json;
use sqlx::PgPool;

use crate::harness::{TestApi, read, refused};

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_profile_is_changed_by_its_owner_and_seen_by_others(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let body = json!({"display_name": "Anne", "status_text": "at lunch", "role": "admin"});
    let me = read(ann.patch("/users/me", body).await, 200).await;
    assert_eq!(
        (&me["display_name"], &me["status_text"], &me["role"]),
        (&json!("Anne"), &json!("at lunch"), &json!("user"))
    );
    let seen = read(bob.get(&format!("/users/{}", ann.id)).await, 200).await;
    assert_eq!(seen, json!({"id": ann.id, "display_name": "Anne", "status_text": "at lunch"}));
    let me = read(ann.patch("/users/me", json!({"status_text": null})).await, 200).await;
    assert_eq!((&me["display_name"], &me["status_text"]), (&json!("Anne"), &json!(null)));
    refused(ann.patch("/users/me", json!({"display_name": " "})).await, 422, "invalid_fields").await;
    refused(ann.get("/users/00000000-0000-4000-8000-000000000000").await, 404, "not_found").await;
    refused(ann.get("/users/nobody").await, 404, "not_found").await;
    refused(api.request(reqwest::Method::GET, "/users/nobody").send().await.unwrap(), 401, "invalid_token").await;
}
