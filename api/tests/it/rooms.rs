//! The list of rooms.

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{TestApi, eventually, read, refused};

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|room| room["id"].as_str().unwrap().to_owned()).collect()
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn rooms_come_newest_activity_first_with_what_is_new(pool: PgPool) {
    let api = TestApi::start(pool).await;
    api.runs_a_worker().await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let mut rooms = Vec::new();
    for _ in 0..3 {
        rooms.push(ann.makes_room(&[&bob]).await);
    }
    ann.says(rooms[0], "a-1", "first").await;
    bob.says(rooms[0], "b-1", "second").await;
    let said = ann.says(rooms[0], "a-2", "third").await;
    let list = eventually("three messages are stored", async || {
        let list = read(bob.get("/rooms").await, 200).await;
        (list["items"][0]["last_message"]["seq"] == said["seq"]).then_some(list)
    })
    .await;
    let expected = [rooms[0], rooms[2], rooms[1]].map(|room| room.to_string());
    assert_eq!(ids(&list), expected);
    let first = &list["items"][0];
    assert_eq!((&first["unread_count"], &first["last_message"]["content"]), (&json!(2), &json!("third")));
    assert_eq!(first["last_message_at"], said["created_at"]);
    let quiet = &list["items"][1];
    assert_eq!((&quiet["unread_count"], &quiet["last_message"]), (&json!(0), &Value::Null));
    assert_eq!(read(bob.get(&format!("/rooms/{}", rooms[0])).await, 200).await, *first);

    let page = read(bob.get("/rooms?limit=2").await, 200).await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = read(bob.get(&format!("/rooms?limit=2&cursor={cursor}")).await, 200).await;
    assert_eq!([ids(&page), ids(&rest)].concat(), expected);
    assert_eq!(rest["next_cursor"], Value::Null);
    let eve = api.user("eve").await;
    assert_eq!(ids(&read(eve.get("/rooms").await, 200).await), Vec::<String>::new());
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn an_events_participants_are_its_rooms_members(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let room = ann.makes_room(&[&bob]).await;
    let members = read(bob.get(&format!("/rooms/{room}/members")).await, 200).await;
    let told: Vec<(&Value, &Value)> =
        members["items"].as_array().unwrap().iter().map(|m| (&m["user_id"], &m["role"])).collect();
    assert_eq!(told, [(&json!(ann.id), &json!("owner")), (&json!(bob.id), &json!("member"))]);
    read(ann.delete(&format!("/events/{room}/participants/{}", bob.id)).await, 204).await;
    refused(bob.get(&format!("/rooms/{room}/members")).await, 403, "not_a_member").await;
}
