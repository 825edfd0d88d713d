//! Who is in an event.

use schema::id::UserId;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Person, TestApi, eventually, read, refused, wrong_fields};

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn the_owner_adds_and_removes_and_everybody_leaves_for_themselves(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, bob, cat) = (api.user("ann").await, api.user("bob").await, api.user("cat").await);
    let dan = api.user("dan").await;
    let event = ann.makes_event("Lunch", &[&bob]).await;
    let id = event["id"].as_str().unwrap();
    let path = format!("/events/{id}/participants");
    refused(bob.post(&path, json!({"user_id": cat.id})).await, 403, "forbidden").await;
    let added = read(ann.post(&path, json!({"user_id": cat.id})).await, 201).await;
    assert_eq!((&added["user_id"], &added["answer"]), (&json!(cat.id), &json!("pending")));
    refused(ann.post(&path, json!({"user_id": cat.id})).await, 409, "already_participant").await;
    let again = async |key: &str| {
        let request = ann.request(reqwest::Method::POST, &path).header("idempotency-key", key);
        request.json(&json!({"user_id": dan.id})).send().await.unwrap()
    };
    assert_eq!(read(again("k").await, 201).await, read(again("k").await, 201).await, "its answer was lost");
    refused(again("l").await, 409, "already_participant").await;
    read(ann.delete(&format!("{path}/{}", dan.id)).await, 204).await;
    let problem = refused(ann.post(&path, json!({"user_id": UserId::random()})).await, 422, "invalid_fields").await;
    assert_eq!(wrong_fields(&problem), [("user_id".to_owned(), "unknown_user".to_owned())]);
    let names = async || -> Vec<String> {
        let list = read(ann.get(&path).await, 200).await;
        list["items"].as_array().unwrap().iter().map(|p| p["display_name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names().await, ["ann", "bob", "cat"]);
    refused(bob.delete(&format!("{path}/{}", cat.id)).await, 403, "forbidden").await;
    read(bob.delete(&format!("{path}/{}", bob.id)).await, 204).await;
    refused(bob.get(&format!("/events/{id}")).await, 403, "not_a_member").await;
    read(ann.delete(&format!("{path}/{}", cat.id)).await, 204).await;
    refused(ann.delete(&format!("{path}/{}", cat.id)).await, 404, "not_found").await;
    refused(ann.delete(&format!("{path}/{}", ann.id)).await, 409, "conflict").await;
    assert_eq!(names().await, ["ann"]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn everybody_answers_for_themselves_and_who_declines_stays(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let event = ann.makes_event("Lunch", &[&bob]).await;
    let path = format!("/events/{}/participants", event["id"].as_str().unwrap());
    for answer in ["tentative", "accepted", "declined", "declined"] {
        let given = read(bob.put(&format!("{path}/me"), json!({"answer": answer})).await, 200).await;
        assert_eq!((&given["user_id"], &given["answer"]), (&json!(bob.id), &json!(answer)));
    }
    let problem =
        refused(bob.put(&format!("{path}/me"), json!({"answer": "maybe"})).await, 422, "invalid_fields").await;
    assert_eq!(wrong_fields(&problem), [("answer".to_owned(), "invalid".to_owned())]);
    let list = read(bob.get(&path).await, 200).await;
    let answers: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|p| &p["answer"]).collect();
    assert_eq!(answers, [&json!("accepted"), &json!("declined")]);
    let page = read(bob.get(&format!("{path}?limit=1")).await, 200).await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = read(bob.get(&format!("{path}?limit=1&cursor={cursor}")).await, 200).await;
    assert_eq!((&rest["items"][0]["user_id"], &rest["next_cursor"]), (&json!(bob.id), &Value::Null));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_came_and_who_did_not_is_marked_with_its_reason(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let _store = api.runs_a_worker().await;
    let (ann, bob, eve) = (api.user("ann").await, api.user("bob").await, api.user("eve").await);
    let event = ann.makes_event("Lunch", &[&bob]).await;
    let path = format!("/events/{}", event["id"].as_str().unwrap());
    let of = |person: &Person<'_>| format!("{path}/participants/{}/attendance", person.id);
    let here = json!({"attendance": "checked_in"});
    refused(bob.put(&of(&bob), here.clone()).await, 409, "bad_transition").await;
    read(ann.post(&format!("{path}/confirm"), json!({})).await, 200).await;
    refused(bob.put(&of(&ann), here.clone()).await, 403, "forbidden").await;
    refused(eve.put(&of(&eve), here.clone()).await, 403, "not_a_member").await;
    refused(ann.put(&of(&eve), here.clone()).await, 404, "not_found").await;
    refused(ann.put(&of(&bob), json!({})).await, 422, "invalid_fields").await;
    let missing = json!({"attendance": "no_show", "reason": "did not call"});
    refused(bob.put(&of(&bob), missing.clone()).await, 422, "invalid_fields").await;
    assert_eq!(read(bob.put(&of(&bob), here).await, 200).await["attendance"], "checked_in");
    refused(ann.put(&of(&bob), missing.clone()).await, 409, "conflict").await;
    let begun = json!({"starts_at": "2020-01-01T10:00:00Z", "ends_at": "2020-01-01T11:00:00Z"});
    read(ann.patch(&path, begun).await, 200).await;
    let marked = read(ann.put(&of(&bob), missing).await, 200).await;
    assert_eq!((&marked["attendance"], &marked["attendance_reason"]), (&json!("no_show"), &json!("did not call")));
    let history = eventually("all of it is stored", async || {
        let history = read(ann.get(&format!("{path}/history")).await, 200).await;
        (history["items"].as_array().unwrap().len() == 5).then_some(history)
    })
    .await;
    let field = &history["items"][0]["fields"][0];
    assert_eq!((&field["field"], &field["old"]["attendance"]), (&json!("attendance"), &json!("checked_in")));
    assert_eq!(field["new"], json!({"user_id": bob.id, "attendance": "no_show", "reason": "did not call"}));
    let cleared = read(ann.put(&of(&bob), json!({"attendance": null})).await, 200).await;
    assert_eq!((&cleared["attendance"], &cleared["attendance_at"]), (&json!(null), &json!(null)));
}
