//! Who is in an event.

use schema::id::UserId;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{TestApi, read, refused, wrong_fields};

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn the_owner_adds_and_removes_and_everybody_leaves_for_themselves(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, bob, cat) = (api.user("ann").await, api.user("bob").await, api.user("cat").await);
    let event = ann.makes_event("Lunch", &[&bob]).await;
    let id = event["id"].as_str().unwrap();
    let path = format!("/events/{id}/participants");
    refused(bob.post(&path, json!({"user_id": cat.id})).await, 403, "forbidden").await;
    let added = read(ann.post(&path, json!({"user_id": cat.id})).await, 201).await;
    assert_eq!((&added["user_id"], &added["answer"]), (&json!(cat.id), &json!("pending")));
    refused(ann.post(&path, json!({"user_id": cat.id})).await, 409, "already_participant").await;
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
