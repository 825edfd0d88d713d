//! The life of an event.

use reqwest::Method;
use schema::id::EventId;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{TestApi, eventually, read, refused, wrong_fields};

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn an_event_is_made_with_its_room_its_people_and_its_local_time(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let body = json!({
        "title": "  Lunch ", "description": "noodles", "location": "Seoul", "time_zone": "asia/seoul",
        "starts_at": "2030-01-01T12:00:00+09:00", "ends_at": "2030-01-01T13:00:00.5+09:00",
        "participant_ids": [bob.id, bob.id, ann.id],
    });
    let response = ann.post("/events", body).await;
    assert_eq!(response.headers()["etag"], "\"1\"");
    let event = read(response, 201).await;
    assert_eq!(event["title"], "Lunch");
    assert_eq!(event["starts_at"], "2030-01-01T03:00:00.000Z");
    assert_eq!(event["ends_at"], "2030-01-01T04:00:00.500Z");
    assert_eq!(event["local_starts_at"], "2030-01-01T12:00:00.000");
    assert_eq!(event["time_zone"], "Asia/Seoul");
    assert_eq!(event["status"], "proposed");
    assert_eq!(event["room_id"], event["id"]);
    assert_eq!(event["owner_id"], json!(ann.id));
    assert_eq!(event["participant_ids"], json!([ann.id, bob.id]));
    let path = format!("/events/{}", event["id"].as_str().unwrap());
    assert_eq!(read(bob.get(&path).await, 200).await, event);
    let room = read(bob.get(&format!("/rooms/{}", event["id"].as_str().unwrap())).await, 200).await;
    assert_eq!((&room["name"], &room["room_type"]), (&json!("Lunch"), &json!("event")));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_change_needs_the_version_it_was_made_from(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let event = ann.makes_event("Lunch", &[&bob]).await;
    let path = format!("/events/{}", event["id"].as_str().unwrap());
    let change = async |tag: &str, body: Value| {
        ann.request(Method::PATCH, &path).header("if-match", tag).json(&body).send().await.unwrap()
    };
    let changed = change("\"1\"", json!({"title": "Dinner", "location": "Busan"})).await;
    assert_eq!(changed.headers()["etag"], "\"2\"");
    let changed = read(changed, 200).await;
    assert_eq!((&changed["title"], &changed["location"]), (&json!("Dinner"), &json!("Busan")));
    refused(change("\"1\"", json!({"title": "Supper"})).await, 412, "stale").await;
    refused(change("garbage", json!({"title": "Supper"})).await, 412, "stale").await;
    // A wrong value comes before the version.
    refused(change("\"1\"", json!({"title": ""})).await, 422, "invalid_fields").await;
    read(change("\"7\", \"2\"", json!({"location": null})).await, 200).await;
    let same = read(change("*", json!({"title": "Dinner"})).await, 200).await;
    assert_eq!((&same["version"], &same["location"]), (&json!(3), &json!(null)), "nothing changed by the last one");
    let delete = ann.request(Method::DELETE, &path).header("if-match", "\"1\"").send().await.unwrap();
    refused(delete, 412, "stale").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn an_event_is_confirmed_completed_or_cancelled_in_order(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let event = ann.makes_event("Lunch", &[&bob]).await;
    let path = format!("/events/{}", event["id"].as_str().unwrap());
    refused(ann.post(&format!("{path}/complete"), json!({})).await, 409, "bad_transition").await;
    let step = async |action: &str| read(ann.post(&format!("{path}/{action}"), json!({})).await, 200).await;
    assert_eq!(step("confirm").await["version"], 2);
    assert_eq!(step("confirm").await["version"], 2, "asked twice is done once");
    assert_eq!(step("complete").await["status"], "completed");
    refused(ann.post(&format!("{path}/cancel"), json!({})).await, 409, "bad_transition").await;
    refused(ann.patch(&path, json!({"title": "Dinner"})).await, 409, "bad_transition").await;
    for action in ["confirm", "cancel", "complete"] {
        refused(bob.post(&format!("{path}/{action}"), json!({})).await, 403, "forbidden").await;
    }
    let other = ann.makes_event("Tea", &[]).await;
    let path = format!("/events/{}", other["id"].as_str().unwrap());
    assert_eq!(read(ann.post(&format!("{path}/cancel"), json!({})).await, 200).await["status"], "cancelled");
    refused(ann.post(&format!("{path}/confirm"), json!({})).await, 409, "bad_transition").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_deleted_event_is_gone_and_its_room_is_silent(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let id = ann.makes_event("Lunch", &[&bob]).await["id"].as_str().unwrap().to_owned();
    refused(bob.delete(&format!("/events/{id}")).await, 403, "forbidden").await;
    read(ann.delete(&format!("/events/{id}")).await, 204).await;
    refused(ann.get(&format!("/events/{id}")).await, 403, "not_a_member").await;
    refused(ann.delete(&format!("/events/{id}")).await, 403, "not_a_member").await;
    assert_eq!(read(bob.get("/events").await, 200).await["items"], json!([]));
    let body = json!({"temp_id": "a", "content": "still there?"});
    refused(bob.post(&format!("/rooms/{id}/messages"), body).await, 403, "forbidden").await;
    assert_eq!(read(bob.get(&format!("/rooms/{id}")).await, 200).await["is_archived"], true);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_is_not_in_it_gets_the_same_answer_as_for_one_that_is_not_there(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, eve) = (api.user("ann").await, api.user("eve").await);
    let id = ann.makes_event("Lunch", &[]).await["id"].as_str().unwrap().to_owned();
    let nowhere = EventId::random().to_string();
    for id in [id.as_str(), nowhere.as_str(), "not-an-id"] {
        let get = ["", "/participants", "/history"].map(|rest| (Method::GET, format!("/events/{id}{rest}")));
        let post = ["/confirm", "/cancel", "/complete", "/participants"]
            .map(|rest| (Method::POST, format!("/events/{id}{rest}")));
        let rest = [
            (Method::PATCH, format!("/events/{id}")),
            (Method::DELETE, format!("/events/{id}")),
            (Method::PUT, format!("/events/{id}/participants/me")),
            (Method::DELETE, format!("/events/{id}/participants/{}", ann.id)),
            (Method::GET, format!("/rooms/{id}")),
            (Method::GET, format!("/rooms/{id}/members")),
            (Method::GET, format!("/rooms/{id}/messages?limit=0")),
            (Method::GET, format!("/rooms/{id}/messages/nonsense")),
            (Method::POST, format!("/rooms/{id}/messages")),
            (Method::GET, format!("/messages/status?room_id={id}")),
        ];
        for (method, path) in get.into_iter().chain(post).chain(rest) {
            // A body that is wrong, too: who may not is not told what else is wrong.
            let mut request = eve.request(method.clone(), &path);
            if method != Method::GET {
                request = request.header("content-type", "text/plain").body("nonsense");
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 403, "{method} {path}");
            refused(answer, 403, "not_a_member").await;
            let request = api.request(method, &path);
            refused(request.send().await.unwrap(), 401, "invalid_token").await;
        }
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_is_wrong_with_an_event_is_told_field_by_field(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let good = json!({"title": "x", "starts_at": "2030-01-01T10:00:00Z", "ends_at": "2030-01-01T11:00:00Z"});
    let check = async |field: &str, value: Value, code: &str| {
        let mut body = good.clone();
        body[field] = value;
        let problem = refused(ann.post("/events", body).await, 422, "invalid_fields").await;
        assert_eq!(wrong_fields(&problem), [(field.to_owned(), code.to_owned())]);
    };
    check("title", json!(null), "required").await;
    check("title", json!("x".repeat(201)), "too_long").await;
    check("title", json!(7), "not_a_string").await;
    check("starts_at", json!("2030-01-01 10:00"), "not_a_time").await;
    check("starts_at", json!("2030-01-01T10:00:00"), "not_a_time").await;
    check("ends_at", json!("2030-01-01T10:00:00Z"), "not_after_start").await;
    check("ends_at", json!("9999-12-31T23:59:59Z"), "out_of_range").await;
    check("time_zone", json!("Mars/Olympus"), "unknown").await;
    check("participant_ids", json!("ann"), "not_a_list").await;
    check("participant_ids", json!(["ann"]), "not_an_id").await;
    check("participant_ids", json!([EventId::random()]), "unknown_user").await;
    check("participant_ids", json!(vec![EventId::random(); 501]), "too_many").await;
    let mut with_slot = good.clone();
    with_slot["slot_id"] = json!(EventId::random());
    let problem = refused(ann.post("/events", with_slot).await, 422, "invalid_fields").await;
    assert_eq!(wrong_fields(&problem), [("slot_id".to_owned(), "unknown_slot".to_owned())]);
    let rooms: i64 = sqlx::query_scalar("SELECT count(*) FROM rooms").fetch_one(&api.pg).await.unwrap();
    assert_eq!(rooms, 0, "what was refused left nothing behind");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn events_are_listed_by_their_beginning_page_by_page(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    for (title, hour) in [("c", 12), ("a", 10), ("b", 11)] {
        let body = json!({"title": title, "participant_ids": [bob.id],
            "starts_at": format!("2030-01-01T{hour}:00:00Z"), "ends_at": format!("2030-01-01T{hour}:30:00Z")});
        read(ann.post("/events", body).await, 201).await;
    }
    let titles = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|e| e["title"].as_str().unwrap().to_owned()).collect()
    };
    let first = read(bob.get("/events?limit=2").await, 200).await;
    assert_eq!(titles(&first), ["a", "b"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = read(bob.get(&format!("/events?limit=2&cursor={cursor}")).await, 200).await;
    assert_eq!((titles(&second), &second["next_cursor"]), (vec!["c".to_owned()], &Value::Null));
    let some = read(bob.get("/events?from=2030-01-01T10:45:00Z&to=2030-01-01T11:45:00Z").await, 200).await;
    assert_eq!(titles(&some), ["b"]);
    assert_eq!(titles(&read(bob.get("/events?status=confirmed").await, 200).await), Vec::<String>::new());
    refused(bob.get("/events?cursor=nonsense").await, 400, "invalid_cursor").await;
    refused(bob.get("/events?limit=101").await, 422, "invalid_fields").await;
    refused(bob.get("/events?status=odd").await, 422, "invalid_fields").await;
    refused(bob.get("/events?from=soon").await, 422, "invalid_fields").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn every_change_is_in_the_history_newest_first(pool: PgPool) {
    let api = TestApi::start(pool).await;
    api.runs_a_worker().await;
    let ann = api.user("ann").await;
    let id = ann.makes_event("Lunch", &[]).await["id"].as_str().unwrap().to_owned();
    read(ann.patch(&format!("/events/{id}"), json!({"title": "Dinner"})).await, 200).await;
    read(ann.post(&format!("/events/{id}/confirm"), json!({})).await, 200).await;
    let page = eventually("three changes are stored", async || {
        let page = read(ann.get(&format!("/events/{id}/history")).await, 200).await;
        (page["items"].as_array().unwrap().len() == 3).then_some(page)
    })
    .await;
    let changes: Vec<&str> = page["items"].as_array().unwrap().iter().map(|c| c["change"].as_str().unwrap()).collect();
    assert_eq!(changes, ["event.confirmed", "event.updated", "event.created"]);
    let renamed = &page["items"][1];
    assert_eq!(renamed["actor_id"], json!(ann.id));
    assert_eq!(renamed["fields"], json!([{"field": "title", "old": "Lunch", "new": "Dinner"}]));
    let first = read(ann.get(&format!("/events/{id}/history?limit=1")).await, 200).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = read(ann.get(&format!("/events/{id}/history?cursor={cursor}")).await, 200).await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_repeat_under_the_same_key_makes_no_second_event(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let create = async |person: &crate::harness::Person<'_>, key: &str, title: &str| {
        let body = json!({"title": title, "starts_at": "2030-01-01T10:00:00Z", "ends_at": "2030-01-01T11:00:00Z"});
        person.request(Method::POST, "/events").header("idempotency-key", key).json(&body).send().await.unwrap()
    };
    let answers = futures_util::future::join_all((0..20).map(|_| create(&ann, "k", "Lunch"))).await;
    let mut events = Vec::new();
    for answer in answers {
        events.push(read(answer, 201).await);
    }
    events.dedup();
    assert_eq!(events.len(), 1);
    refused(create(&ann, "k", "Dinner").await, 422, "idempotency_key_reused").await;
    assert!(events[0]["id"].is_string());
    refused(create(&ann, "", "Dinner").await, 400, "invalid_request").await;
    assert_ne!(read(create(&bob, "k", "Lunch").await, 201).await["id"], events[0]["id"], "a key is its user's own");
    let made: i64 = sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&api.pg).await.unwrap();
    assert_eq!(made, 2);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_history_that_somebody_rewrote_is_not_whole(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let _store = api.runs_a_worker().await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let event = ann.makes_event("Lunch", &[&bob]).await;
    let path = format!("/events/{}", event["id"].as_str().unwrap());
    read(ann.patch(&path, json!({"title": "Dinner", "location": "Jeju"})).await, 200).await;
    read(bob.put(&format!("{path}/participants/me"), json!({"answer": "accepted"})).await, 200).await;
    read(ann.post(&format!("{path}/confirm"), json!({})).await, 200).await;
    let verify = async || read(bob.get(&format!("{path}/history/verify")).await, 200).await;
    let whole = eventually("all of it is stored", async || {
        let found = verify().await;
        assert_eq!(found["problems"], json!([]));
        (found["pending"] == 0).then_some(found)
    })
    .await;
    assert_eq!((&whole["whole"], &whole["changes"], &whole["version"]), (&json!(true), &json!(4), &json!(4)));
    let rewrite = async |from: &str, to: &str| {
        sqlx::query("UPDATE event_history SET fields = replace(fields, $1, $2)")
            .bind(from)
            .bind(to)
            .execute(&api.pg)
            .await
            .unwrap();
    };
    rewrite("Jeju", "Busan").await;
    let found = verify().await;
    assert_eq!(found["whole"], false);
    assert_eq!(
        (&found["problems"][0]["version"], &found["problems"][0]["problem"]),
        (&json!(2), &json!("value_changed"))
    );
    rewrite("Busan", "Jeju").await;
    assert_eq!(verify().await["whole"], true);
    sqlx::query("DELETE FROM event_history WHERE version = 3").execute(&api.pg).await.unwrap();
    let found = verify().await;
    assert_eq!((&found["problems"][0]["version"], &found["problems"][0]["problem"]), (&json!(3), &json!("missing")));
    let stranger = api.user("eve").await;
    refused(stranger.get(&format!("{path}/history/verify")).await, 403, "not_a_member").await;
}
