//! Time that is offered, and booked once.

use futures_util::future::join_all;
use reqwest::Response;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Person, TestApi, eventually, read, refused, wrong_fields};

fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

fn offer(starts_at: &str, ends_at: &str) -> Value {
    json!({"service": "Haircut", "starts_at": starts_at, "ends_at": ends_at, "time_zone": "Asia/Seoul"})
}

async fn offers(seller: &Person<'_>, hour: u32) -> Value {
    let body = offer(&format!("2030-01-01T{hour:02}:00:00Z"), &format!("2030-01-01T{:02}:00:00Z", hour + 1));
    read(seller.post("/open_slots", body).await, 201).await
}

async fn books(person: &Person<'_>, slot: &Value) -> Response {
    person.post("/events", json!({"slot_id": slot["id"]})).await
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_slot_is_offered_found_changed_and_withdrawn(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (zoe, ann) = (api.user("zoe").await, api.user("ann").await);
    refused(ann.post("/open_slots", offer("2030-01-01T10:00:00Z", "2030-01-01T11:00:00Z")).await, 403, "forbidden")
        .await;
    read(zoe.patch("/users/me", json!({"role": "business"})).await, 200).await;
    // Who they are is known for half a second.
    eventually("the role counts", async || {
        let answer = zoe.post("/open_slots", json!({})).await;
        (answer.status() != 403).then_some(())
    })
    .await;
    let mut body = offer("2030-01-01T10:00:00Z", "2030-01-01T11:00:00Z");
    body["price"] = json!({"amount": 3500, "currency": "eur"});
    let slot = read(zoe.post("/open_slots", body).await, 201).await;
    assert_eq!(slot["local_starts_at"], "2030-01-01T19:00:00.000");
    assert_eq!(slot["price"], json!({"amount": 3500, "currency": "EUR"}));
    assert_eq!((&slot["is_available"], &slot["owner_id"]), (&json!(true), &json!(zoe.id)));
    let path = format!("/open_slots/{}", id(&slot));
    assert_eq!(read(ann.get(&path).await, 200).await, slot);
    let found = async |query: &str| {
        let list = read(ann.get(&format!("/open_slots?{query}")).await, 200).await;
        list["items"].as_array().unwrap().len()
    };
    let of_zoe = format!("owner_id={}", zoe.id);
    for (query, count) in [
        (of_zoe.as_str(), 1),
        ("service=haircut&is_available=true", 1),
        ("service=massage", 0),
        ("is_available=false", 0),
        ("from=2030-01-01T10:30:00Z", 1),
        ("from=2030-01-01T11:00:00Z", 0),
        ("to=2030-01-01T10:00:00Z", 0),
        ("price_min=3500&price_max=3500&currency=EUR", 1),
        ("price_max=3499", 0),
        ("currency=KRW", 0),
    ] {
        assert_eq!(found(query).await, count, "{query}");
    }
    refused(ann.get("/open_slots?is_available=maybe").await, 422, "invalid_fields").await;
    refused(ann.patch(&path, json!({"service": "Shave"})).await, 403, "forbidden").await;
    let closed = read(zoe.patch(&path, json!({"is_available": false, "price": null})).await, 200).await;
    assert_eq!(
        (&closed["is_available"], &closed["price"], &closed["version"]),
        (&json!(false), &json!(null), &json!(2))
    );
    refused(books(&ann, &slot).await, 409, "slot_taken").await;
    refused(ann.delete(&path).await, 403, "forbidden").await;
    assert_eq!(zoe.delete(&path).await.status(), 204);
    refused(zoe.get(&path).await, 404, "not_found").await;
    refused(zoe.get("/open_slots/nonsense").await, 404, "not_found").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_is_no_slot_is_refused_field_by_field(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let zoe = api.seller("zoe").await;
    let body = json!({
        "service": " ", "starts_at": "2030-01-01T10:00:00Z", "ends_at": "2030-01-01T10:00:00Z", "time_zone": "Moon/Base",
        "price": {"amount": 12.5, "currency": "EUR"}, "free_until_hours": -1, "repeat": {"freq": "daily"},
    });
    let problem = refused(zoe.post("/open_slots", body).await, 422, "invalid_fields").await;
    let mut fields = wrong_fields(&problem);
    fields.sort();
    let expected = [
        ("ends_at", "not_after_start"),
        ("free_until_hours", "out_of_range"),
        ("price", "not_a_whole_amount"),
        ("repeat", "count_or_until"),
        ("service", "empty"),
        ("time_zone", "unknown"),
    ];
    assert_eq!(fields, expected.map(|(field, code)| (field.to_owned(), code.to_owned())));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_rule_makes_many_slots_at_the_same_time_on_the_wall(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let zoe = api.seller("zoe").await;
    // Summer time begins on 31 March 2030.
    let mut body = offer("2030-03-24T08:00:00Z", "2030-03-24T08:30:00Z");
    body["time_zone"] = json!("Europe/Berlin");
    body["repeat"] = json!({"freq": "weekly", "count": 3});
    let post = async || {
        zoe.request(reqwest::Method::POST, "/open_slots")
            .header("idempotency-key", "week")
            .json(&body)
            .send()
            .await
            .unwrap()
    };
    let made = read(post().await, 201).await;
    let starts: Vec<_> = made["items"].as_array().unwrap().iter().map(|slot| slot["starts_at"].clone()).collect();
    assert_eq!(starts, ["2030-03-24T08:00:00.000Z", "2030-03-31T07:00:00.000Z", "2030-04-07T07:00:00.000Z"]);
    let local: Vec<_> = made["items"].as_array().unwrap().iter().map(|slot| &slot["local_ends_at"]).collect();
    assert!(local.iter().all(|at| at.as_str().unwrap().ends_with("T09:30:00.000")), "{local:?}");
    assert_eq!(read(post().await, 201).await, made, "sent again it makes no more");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_booked_slot_is_an_event_with_its_seller(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (zoe, ann, bob) = (api.seller("zoe").await, api.user("ann").await, api.user("bob").await);
    let slot = offers(&zoe, 10).await;
    refused(books(&zoe, &slot).await, 403, "forbidden").await;
    let wrong = json!({"slot_id": slot["id"], "starts_at": "2030-01-01T10:15:00Z"});
    let problem = refused(ann.post("/events", wrong).await, 422, "invalid_fields").await;
    assert_eq!(wrong_fields(&problem), [("starts_at".to_owned(), "not_the_slots".to_owned())]);
    let event = read(books(&ann, &slot).await, 201).await;
    assert_eq!((&event["title"], &event["starts_at"]), (&json!("Haircut"), &slot["starts_at"]));
    assert_eq!((&event["slot_id"], &event["time_zone"]), (&slot["id"], &json!("Asia/Seoul")));
    assert_eq!(event["participant_ids"], json!([ann.id, zoe.id]));
    refused(books(&bob, &slot).await, 409, "slot_taken").await;
    let path = format!("/open_slots/{}", id(&slot));
    assert_eq!(read(zoe.get(&path).await, 200).await["event_id"], event["id"]);
    assert!(read(bob.get(&path).await, 200).await.get("event_id").is_none(), "who has it is its seller's to know");
    refused(zoe.patch(&path, json!({"service": "Shave"})).await, 409, "slot_taken").await;
    refused(zoe.delete(&path).await, 409, "slot_taken").await;
    let event_path = format!("/events/{}", id(&event));
    refused(ann.patch(&event_path, json!({"starts_at": "2030-01-01T10:30:00Z"})).await, 409, "conflict").await;
    // Its seller says where it stands, and changes nothing else.
    assert_eq!(read(zoe.post(&format!("{event_path}/confirm"), json!({})).await, 200).await["status"], "confirmed");
    refused(zoe.patch(&event_path, json!({"title": "Shave"})).await, 403, "forbidden").await;
    refused(bob.post(&format!("{event_path}/complete"), json!({})).await, 403, "not_a_member").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_cancelled_booking_frees_its_slot_by_the_sellers_policy(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (zoe, ann, bob) = (api.seller("zoe").await, api.user("ann").await, api.user("bob").await);
    let free = async |slot: &Value| {
        read(bob.get(&format!("/open_slots/{}", id(slot))).await, 200).await["is_available"] == true
    };
    let cancel = async |person: &Person<'_>, event: &Value| {
        read(person.post(&format!("/events/{}/cancel", id(event)), json!({})).await, 200).await
    };
    let slot = offers(&zoe, 10).await;
    let event = read(books(&ann, &slot).await, 201).await;
    assert!(!free(&slot).await);
    cancel(&ann, &event).await;
    assert!(free(&slot).await);
    let event = read(books(&bob, &slot).await, 201).await;
    assert_eq!(ann.delete(&format!("/events/{}", id(&event))).await.status(), 403);
    assert_eq!(bob.delete(&format!("/events/{}", id(&event))).await.status(), 204);
    assert!(free(&slot).await, "deleted is called off, too");
    let event = read(books(&ann, &slot).await, 201).await;
    cancel(&zoe, &event).await;
    assert!(!free(&slot).await, "who sells does not want it sold again");
    // From now on nobody gets a slot back.
    let mut body = offer("2030-01-02T10:00:00Z", "2030-01-02T11:00:00Z");
    body["free_until_hours"] = json!(null);
    let slot = read(zoe.post("/open_slots", body).await, 201).await;
    let event = read(books(&ann, &slot).await, 201).await;
    cancel(&ann, &event).await;
    assert!(!free(&slot).await);
    // Nor one whose notice is longer than the time that is left.
    let soon = time::OffsetDateTime::now_utc() + time::Duration::hours(5);
    let text = |at: time::OffsetDateTime| at.format(&time::format_description::well_known::Rfc3339).unwrap();
    let mut body = offer(&text(soon), &text(soon + time::Duration::hours(1)));
    body["free_until_hours"] = json!(6);
    let slot = read(zoe.post("/open_slots", body).await, 201).await;
    let event = read(books(&ann, &slot).await, 201).await;
    cancel(&ann, &event).await;
    assert!(!free(&slot).await);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_slot_is_sold_once_however_many_ask(pool: PgPool) {
    let api = TestApi::with(pool, &["--limits=off"]).await;
    let zoe = api.seller("zoe").await;
    let mut buyers = Vec::new();
    for number in 0..10 {
        buyers.push(api.user(&format!("buyer{number}")).await);
    }
    let slot = offers(&zoe, 10).await;
    let answers = join_all((0..100).map(|n| books(&buyers[n % 10], &slot))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201);
    assert!(statuses[1..].iter().all(|status| *status == 409), "{statuses:?}");
    let sold: i64 = sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&api.pg).await.unwrap();
    assert_eq!(sold, 1);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn one_owners_slots_that_overlap_are_not_both_sold(pool: PgPool) {
    let api = TestApi::with(pool, &["--limits=off"]).await;
    let (zoe, ann) = (api.seller("zoe").await, api.user("ann").await);
    let mut slots = Vec::new();
    for minute in 0..50 {
        let body = offer(&format!("2030-01-01T10:{minute:02}:00Z"), &format!("2030-01-01T12:{minute:02}:00Z"));
        slots.push(read(zoe.post("/open_slots", body).await, 201).await);
        let later = offer(&format!("2030-01-01T13:{minute:02}:00Z"), &format!("2030-01-01T15:{minute:02}:00Z"));
        slots.push(read(zoe.post("/open_slots", later).await, 201).await);
    }
    let answers = join_all(slots.iter().map(|slot| books(&ann, slot))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 2, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 98, "{statuses:?}");
}
