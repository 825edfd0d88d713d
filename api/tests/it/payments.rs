//! Slots with a price: held until they are paid, sold when they are, free again when they are not.

use std::sync::Arc;

use aws_lc_rs::hmac;
use parking_lot::Mutex;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use sqlx::PgPool;
use time::OffsetDateTime;
use warp::{Filter as _, http::HeaderMap};

use crate::harness::{Person, TestApi, eventually, read, refused, wrong_fields};

/// What development signs notices with.
const SECRET: &str = "development";

async fn offers(seller: &Person<'_>, hour: u32) -> Value {
    let body = json!({
        "service": "Massage", "price": {"amount": 4500, "currency": "EUR"},
        "starts_at": format!("2030-01-01T{hour:02}:00:00Z"), "ends_at": format!("2030-01-01T{hour:02}:50:00Z"),
    });
    read(seller.post("/open_slots", body).await, 201).await
}

async fn books(person: &Person<'_>, slot: &Value) -> Value {
    read(person.post("/events", json!({"slot_id": slot["id"]})).await, 201).await
}

async fn payment(person: &Person<'_>, event: &Value) -> Value {
    read(person.get(&format!("/payments/{}", event["payment_id"].as_str().unwrap())).await, 200).await
}

/// The provider's name of a payment: the fake's is made of ours.
fn reference(payment: &Value) -> String {
    format!("pi_fake_{}", payment["id"].as_str().unwrap())
}

fn signature(body: &str, at: i64, secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
    format!("t={at},v1={}", hex::encode(tag))
}

async fn send(api: &TestApi, body: &str, signature: &str) -> Response {
    let request = api.request(Method::POST, "/payments/webhook").header("content-type", "application/json");
    request.header("stripe-signature", signature).body(body.to_owned()).send().await.unwrap()
}

/// The provider says something, in good order.
async fn says(api: &TestApi, id: &str, kind: &str, object: Value) -> Response {
    let body = json!({"id": id, "type": kind, "data": {"object": object}}).to_string();
    send(api, &body, &signature(&body, OffsetDateTime::now_utc().unix_timestamp(), SECRET)).await
}

async fn status(person: &Person<'_>, event: &Value) -> (Value, Value) {
    let found = read(person.get(&format!("/events/{}", event["id"].as_str().unwrap())).await, 200).await;
    (found["status"].clone(), payment(person, event).await["status"].clone())
}

async fn is_free(person: &Person<'_>, slot: &Value) -> bool {
    read(person.get(&format!("/open_slots/{}", slot["id"].as_str().unwrap())).await, 200).await["is_available"] == true
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_paid_slot_is_confirmed_and_a_repeated_notice_changes_nothing(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (zoe, ann, bob) = (api.seller("zoe").await, api.user("ann").await, api.user("bob").await);
    let slot = offers(&zoe, 10).await;
    let event = books(&ann, &slot).await;
    assert_eq!(event["status"], "proposed");
    let wanted = payment(&ann, &event).await;
    assert_eq!((&wanted["amount"], &wanted["currency"]), (&json!(4500), &json!("EUR")));
    assert_eq!((&wanted["status"], &wanted["payee_id"]), (&json!("requested"), &json!(zoe.id)));
    assert!(wanted["client_secret"].as_str().unwrap().starts_with("pi_fake_"));
    assert!(payment(&zoe, &event).await.get("client_secret").is_none(), "to pay with is the payer's alone");
    let path = format!("/payments/{}", wanted["id"].as_str().unwrap());
    refused(bob.get(&path).await, 404, "not_found").await;
    refused(bob.post("/events", json!({"slot_id": slot["id"]})).await, 409, "slot_taken").await;
    let intent = json!({"id": reference(&wanted)});
    read(says(&api, "evt_1", "payment_intent.succeeded", intent.clone()).await, 200).await;
    assert_eq!(status(&ann, &event).await, (json!("confirmed"), json!("captured")));
    // Out of order, and again.
    read(says(&api, "evt_0", "payment_intent.amount_capturable_updated", intent.clone()).await, 200).await;
    read(says(&api, "evt_1", "payment_intent.succeeded", intent.clone()).await, 200).await;
    read(says(&api, "evt_2", "payment_intent.payment_failed", intent).await, 200).await;
    assert_eq!(status(&ann, &event).await, (json!("confirmed"), json!("captured")));
    let versions = read(ann.get(&format!("/events/{}", event["id"].as_str().unwrap())).await, 200).await;
    assert_eq!(versions["version"], 2);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn only_what_is_signed_now_is_heard(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let body = json!({"id": "evt_1", "type": "customer.created", "data": {"object": {}}}).to_string();
    read(send(&api, &body, &signature(&body, now, SECRET)).await, 200).await;
    refused(send(&api, &body, &signature(&body, now, "guess")).await, 400, "invalid_signature").await;
    refused(send(&api, &body, &signature(&body, now - 900, SECRET)).await, 400, "invalid_signature").await;
    refused(send(&api, "{}", &signature(&body, now, SECRET)).await, 400, "invalid_signature").await;
    refused(api.post("/payments/webhook", json!({})).await, 400, "invalid_signature").await;
    refused(send(&api, "[]", &signature("[]", now, SECRET)).await, 400, "invalid_request").await;
    let stranger = says(&api, "evt_2", "payment_intent.succeeded", json!({"id": "pi_of_somebody"})).await;
    refused(stranger, 404, "not_found").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_is_not_paid_in_time_is_free_again_and_late_money_goes_back(pool: PgPool) {
    let api = TestApi::with(pool, &["--slot-hold-secs=1", "--limits=off"]).await;
    let (zoe, ann, bob) = (api.seller("zoe").await, api.user("ann").await, api.user("bob").await);
    let slot = offers(&zoe, 10).await;
    let event = books(&ann, &slot).await;
    eventually("the hold is over", async || is_free(&bob, &slot).await.then_some(())).await;
    assert_eq!(status(&ann, &event).await, (json!("cancelled"), json!("failed")));
    assert_eq!(payment(&ann, &event).await["failure"], "expired");
    let again = books(&bob, &slot).await;
    let wanted = payment(&ann, &event).await;
    read(says(&api, "evt_1", "payment_intent.succeeded", json!({"id": reference(&wanted)})).await, 200).await;
    assert_eq!(status(&ann, &event).await, (json!("cancelled"), json!("refunded")));
    assert_eq!(again["slot_id"], slot["id"], "and who booked meanwhile keeps the slot");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_declined_payment_frees_the_slot(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (zoe, ann) = (api.seller("zoe").await, api.user("ann").await);
    let slot = offers(&zoe, 10).await;
    let event = books(&ann, &slot).await;
    let wanted = payment(&ann, &event).await;
    read(says(&api, "evt_1", "payment_intent.payment_failed", json!({"id": reference(&wanted)})).await, 200).await;
    assert_eq!(status(&ann, &event).await, (json!("cancelled"), json!("failed")));
    assert!(is_free(&ann, &slot).await);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn money_goes_back_by_the_sellers_word_or_by_cancelling_in_time(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (zoe, ann) = (api.seller("zoe").await, api.user("ann").await);
    let paid = async |hour: u32| {
        let event = books(&ann, &offers(&zoe, hour).await).await;
        let wanted = payment(&ann, &event).await;
        let notice = format!("evt_{hour}");
        read(says(&api, &notice, "payment_intent.succeeded", json!({"id": reference(&wanted)})).await, 200).await;
        event
    };
    let event = paid(10).await;
    let path = format!("/payments/{}/refund", event["payment_id"].as_str().unwrap());
    refused(ann.post(&path, json!({})).await, 403, "forbidden").await;
    let problem = refused(zoe.post(&path, json!({"amount": 4501})).await, 422, "invalid_fields").await;
    assert_eq!(wrong_fields(&problem), [("amount".to_owned(), "out_of_range".to_owned())]);
    let part = async || {
        let request = zoe.request(Method::POST, &path).header("idempotency-key", "part");
        read(request.json(&json!({"amount": 500})).send().await.unwrap(), 200).await
    };
    part().await;
    let part = part().await;
    assert_eq!((&part["status"], &part["refunded_amount"]), (&json!("captured"), &json!(500)));
    let all = read(zoe.post(&path, json!({})).await, 200).await;
    assert_eq!((&all["status"], &all["refunded_amount"]), (&json!("refunded"), &json!(4500)));
    read(zoe.post(&path, json!({})).await, 200).await;
    let event = paid(12).await;
    read(ann.post(&format!("/events/{}/cancel", event["id"].as_str().unwrap()), json!({})).await, 200).await;
    assert_eq!(status(&ann, &event).await, (json!("cancelled"), json!("refunded")));
    let open = books(&ann, &offers(&zoe, 14).await).await;
    let path = format!("/payments/{}/refund", open["payment_id"].as_str().unwrap());
    refused(zoe.post(&path, json!({})).await, 409, "conflict").await;
    // What a provider's own page paid back is heard of.
    let event = paid(16).await;
    let charge = json!({"payment_intent": reference(&payment(&ann, &event).await), "amount_refunded": 4500});
    read(says(&api, "evt_refund", "charge.refunded", charge).await, 200).await;
    assert_eq!(status(&ann, &event).await, (json!("confirmed"), json!("refunded")));
}

/// A server of the provider's shape, which notes what it is asked.
type Asked = Arc<Mutex<Vec<(String, String, String)>>>;

fn provider(asked: Asked, failures: usize) -> (String, impl Future<Output = ()> + Send + 'static) {
    let left = Arc::new(Mutex::new(failures));
    let routes = warp::path::full().and(warp::header::headers_cloned()).and(warp::body::bytes()).map(
        move |path: warp::path::FullPath, headers: HeaderMap, body: bytes::Bytes| {
            let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(header("authorization").as_deref(), Some("Bearer sk_test"));
            let key = header("idempotency-key").unwrap();
            asked.lock().push((path.as_str().to_owned(), key, String::from_utf8(body.to_vec()).unwrap()));
            let mut left = left.lock();
            let status = if *left > 0 { 503 } else { 200 };
            *left = left.saturating_sub(1);
            let answer =
                json!({"id": "pi_real", "client_secret": "pi_real_secret", "status": "requires_payment_method"});
            warp::reply::with_status(warp::reply::json(&answer), warp::http::StatusCode::from_u16(status).unwrap())
        },
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    (base, async move { warp::serve(routes).incoming(listener).run().await })
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_real_provider_is_asked_once_for_each_thing_however_often_it_fails(pool: PgPool) {
    let asked = Asked::default();
    let (base, server) = provider(Arc::clone(&asked), 1);
    let url = format!("--stripe-url={base}");
    let settings = [
        "--payment-provider=stripe",
        &url,
        "--stripe-secret-key=sk_test",
        "--payment-webhook-secret=development",
        "--limits=off",
    ];
    let api = TestApi::with(pool, &settings).await;
    api.runs(server);
    let (zoe, ann) = (api.seller("zoe").await, api.user("ann").await);
    let event = books(&ann, &offers(&zoe, 10).await).await;
    // The first try failed; the booking stands, and the provider is asked again under the same key.
    let wanted = eventually("the provider was asked", async || {
        let wanted = payment(&ann, &event).await;
        wanted["client_secret"].is_string().then_some(wanted)
    })
    .await;
    let id = wanted["id"].as_str().unwrap();
    for (path, key, body) in asked.lock().drain(..) {
        assert_eq!((path.as_str(), key.as_str()), ("/v1/payment_intents", id));
        assert!(body.starts_with("amount=4500&currency=eur&"), "{body}");
    }
    read(says(&api, "evt_1", "payment_intent.succeeded", json!({"id": "pi_real"})).await, 200).await;
    let refund = read(zoe.post(&format!("/payments/{id}/refund"), json!({"amount": 100})).await, 200).await;
    assert_eq!(refund["refunded_amount"], 100);
    let expected = ("/v1/refunds", "pi_real:refund:100", "payment_intent=pi_real&amount=100");
    let found = asked.lock().drain(..).collect::<Vec<_>>();
    assert_eq!(found, [(expected.0.to_owned(), expected.1.to_owned(), expected.2.to_owned())]);
}
