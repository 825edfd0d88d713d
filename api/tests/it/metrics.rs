//! What an operator sees of the requests and of PostgreSQL.

use std::collections::HashMap;

use ops::telemetry;
use reqwest::Method;
use sqlx::PgPool;

use crate::harness::{TestApi, eventually, read};

/// Every series and its value, in whole.
fn series(text: &str) -> HashMap<&str, u64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parts = lines.filter_map(|line| line.rsplit_once(' '));
    parts.filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect()
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn requests_queries_and_the_pool_can_be_watched(pool: PgPool) {
    let metrics = telemetry::init(&telemetry::LogSettings { log: "off".into() }).unwrap();
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let event = ann.makes_event("Lunch", &[]).await["id"].as_str().unwrap().to_owned();
    for _ in 0..3 {
        read(ann.get(&format!("/events/{event}")).await, 200).await;
    }
    read(ann.get(&format!("/events/{}", ann.id)).await, 403).await;
    read(api.request(Method::GET, "/no/such/place?of=mine").send().await.unwrap(), 404).await;
    let text = eventually("the pool was looked at", async || {
        let text = metrics.render();
        text.contains("db_pool_connections").then_some(text)
    })
    .await;
    let found = series(&text);
    let requests = |status: u16, route: &str| {
        found[format!(r#"api_requests_total{{method="GET",route="{route}",status="{status}"}}"#).as_str()]
    };
    assert_eq!((requests(200, "/events/{event_id}"), requests(403, "/events/{event_id}")), (3, 1));
    assert_eq!(requests(404, "other"), 1, "callers can not invent series");
    assert_eq!(found[r#"api_request_seconds_count{method="GET",route="/events/{event_id}"}"#], 4);
    assert!(found[r#"db_query_seconds_count{statement="select"}"#] >= 4);
    assert!(found[r#"db_query_seconds_count{statement="insert"}"#] >= 2);
    assert!(found["db_pool_wait_seconds_count"] >= 4);
    assert_eq!(found["db_pool_max"], 8);
    assert!(!text.contains("no/such") && !text.contains(&event), "nothing of what callers send");
}
