//! The first admin, made by settings.

use serde_json::json;
use sqlx::PgPool;

use crate::{
    harness::{TestApi, eventually, read},
    logs::Captured,
};

const SETTINGS: [&str; 2] = ["--admin-email=Root@example.org", "--admin-password=a long password"];

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_system_without_an_admin_gets_the_one_of_the_settings(pool: PgPool) {
    let api = TestApi::with(pool, &SETTINGS).await;
    let sign_in = json!({"email": "root@example.org", "password": "a long password"});
    let signed_in = eventually("the first admin may sign in", async || {
        let answer = api.post("/auth/login", sign_in.clone()).await;
        if answer.status() == 200 { Some(read(answer, 200).await) } else { None }
    })
    .await;
    assert_eq!(signed_in["user"]["role"], "admin");
    let (root, ann) = (api.person(&signed_in), api.user("ann").await);
    let event = ann.makes_event("Lunch", &[]).await["id"].as_str().unwrap().to_owned();
    read(root.get(&format!("/events/{event}")).await, 200).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_took_the_admins_address_before_is_no_admin(pool: PgPool) {
    let first = TestApi::start(pool.clone()).await;
    let taken = json!({"email": "root@example.org", "password": "another password", "display_name": "Eve"});
    read(first.post("/auth/register", taken.clone()).await, 201).await;
    let captured = Captured::from("error");
    let api = TestApi::with(pool, &SETTINGS).await;
    eventually("it is refused", async || captured.text().contains("first_admin_refused").then_some(())).await;
    let eve = api.person(&read(api.post("/auth/login", taken).await, 200).await);
    assert_eq!(read(eve.get("/users/me").await, 200).await["role"], "user");
}
