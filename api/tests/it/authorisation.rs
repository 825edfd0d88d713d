//! Who may do what: every operation of the document by everybody there is. An operation without a row fails.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use time::{Duration, format_description::well_known::Rfc3339, macros::datetime};

use crate::harness::{Person, TestApi, read};

/// Without a token, a stranger, somebody who was removed, somebody who is in it, its owner, an admin.
type Row = (&'static str, [u16; 6]);

/// Everybody with a token may.
const ALL: [u16; 6] = [401, 200, 200, 200, 200, 200];
/// Who is in it may read.
const READ: [u16; 6] = [401, 403, 403, 200, 200, 200];
/// Its owner may.
const OWN: [u16; 6] = [401, 403, 403, 403, 200, 200];
/// No token counts here.
const OPEN: [u16; 6] = [0; 6];

const ROWS: &[Row] = &[
    ("register", OPEN),
    ("login", OPEN),
    ("login_google", OPEN),
    ("start_phone", OPEN),
    ("login_phone", OPEN),
    ("refresh", OPEN),
    ("logout", ALL),
    ("logout_all", ALL),
    ("socket_ticket", ALL),
    ("payment_notice", OPEN),
    ("health", OPEN),
    ("keys", OPEN),
    ("me", ALL),
    ("change_me", ALL),
    ("my_messages", ALL),
    ("user", ALL),
    ("list_events", ALL),
    ("create_event", [401, 201, 201, 201, 201, 201]),
    ("event", READ),
    ("change_event", OWN),
    ("delete_event", [401, 403, 403, 403, 204, 204]),
    ("confirm_event", OWN),
    ("cancel_event", OWN),
    ("complete_event", [401, 403, 403, 403, 409, 409]),
    ("event_history", READ),
    ("verify_history", READ),
    ("list_participants", READ),
    ("add_participant", [401, 403, 403, 403, 201, 201]),
    // An admin who is not in it has nothing to answer or to leave.
    ("answer_event", [401, 403, 403, 200, 200, 403]),
    ("leave_event", [401, 403, 403, 204, 409, 404]),
    ("remove_participant", [401, 403, 403, 204, 204, 204]),
    // Nobody comes to what is only proposed; who may say so hears that.
    ("mark_attendance", [401, 403, 403, 409, 409, 409]),
    ("list_slots", ALL),
    ("create_slot", [401, 403, 403, 403, 201, 201]),
    ("slot", ALL),
    ("change_slot", OWN),
    ("delete_slot", [401, 403, 403, 403, 204, 204]),
    ("payment", [401, 404, 404, 200, 200, 200]),
    // It is not paid yet.
    ("refund", [401, 404, 404, 403, 409, 409]),
    ("list_rooms", ALL),
    ("room", READ),
    ("list_members", READ),
    ("presence", READ),
    // An admin who is not in it leaves no trace.
    ("read", [401, 403, 403, 200, 200, 403]),
    ("read_marks", READ),
    ("sync", ALL),
    ("history", READ),
    ("say", [401, 403, 403, 201, 201, 201]),
    ("message", READ),
    // The owner wrote it: nobody else puts words in their mouth, and who runs the room may delete.
    ("edit", [401, 403, 403, 403, 200, 403]),
    ("delete", [401, 403, 403, 403, 204, 204]),
    ("react", READ),
    ("unreact", [401, 403, 403, 204, 204, 204]),
    ("message_status", READ),
];

/// Everybody there is, in the order of the rows; nobody comes first.
struct People<'a> {
    all: [Option<Person<'a>>; 6],
    newcomer: Person<'a>,
}

impl<'a> People<'a> {
    async fn new(api: &'a TestApi, name: &str) -> Self {
        let person = async |who: &str| api.user(&format!("{name}-{who}")).await;
        let (stranger, removed, member) = (person("stranger").await, person("removed").await, person("member").await);
        let owner = api.seller(&format!("{name}-owner")).await;
        let (admin, newcomer) = (person("admin").await, person("newcomer").await);
        // Before their first request: what somebody is, is remembered for a moment.
        let change = "UPDATE users SET role = 'admin' WHERE id = $1";
        sqlx::query(change).bind(admin.id).execute(&api.pg).await.unwrap();
        Self { all: [None, Some(stranger), Some(removed), Some(member), Some(owner), Some(admin)], newcomer }
    }

    fn get(&self, place: usize) -> &Person<'a> {
        self.all[place].as_ref().unwrap()
    }
}

/// What one look needs: an event with its people, a slot, and a booked one with its payment.
struct Scene<'a> {
    people: &'a People<'a>,
    event: String,
    message: String,
    slot: String,
    payment: String,
}

impl<'a> Scene<'a> {
    /// The `number`th of a test: nobody's slots overlap.
    async fn new(people: &'a People<'a>, number: i64) -> Self {
        let (removed, member, owner) = (people.get(2), people.get(3), people.get(4));
        let event = owner.makes_event("Lunch", &[member, removed]).await["id"].as_str().unwrap().to_owned();
        let gone = owner.delete(&format!("/events/{event}/participants/{}", removed.id)).await;
        assert_eq!(gone.status(), 204);
        let message = owner.says(event.parse().unwrap(), "hello", "hello").await["id"].as_str().unwrap().to_owned();
        let begins = datetime!(2030-01-01 0:00 UTC) + Duration::hours(number);
        let offers = async |minutes: i64, price: Value| {
            let at = |minutes: i64| (begins + Duration::minutes(minutes)).format(&Rfc3339).unwrap();
            let body = json!({
                "service": "Haircut", "starts_at": at(minutes), "ends_at": at(minutes + 20), "price": price,
            });
            read(owner.post("/open_slots", body).await, 201).await["id"].as_str().unwrap().to_owned()
        };
        let slot = offers(0, json!(null)).await;
        let sold = offers(30, json!({"amount": 100, "currency": "EUR"})).await;
        let booked = read(member.post("/events", json!({"slot_id": sold})).await, 201).await;
        let payment = booked["payment_id"].as_str().unwrap().to_owned();
        Self { people, event, message, slot, payment }
    }

    fn address(&self, path: &str) -> String {
        let member = self.people.get(3).id.to_string();
        let mut address = path.to_owned();
        for (name, id) in [
            ("{event_id}", &self.event),
            ("{room_id}", &self.event),
            ("{message_id}", &self.message),
            ("{slot_id}", &self.slot),
            ("{payment_id}", &self.payment),
            ("{user_id}", &member),
            ("{emoji}", &"%F0%9F%91%8D".to_owned()),
        ] {
            address = address.replace(name, id);
        }
        match path {
            "/messages/status" => format!("{address}?room_id={}&temp_id=hello", self.event),
            _ => address,
        }
    }

    fn body(&self, operation: &str) -> Option<Value> {
        let times = json!({"title": "Tea", "starts_at": "2030-02-01T10:00:00Z", "ends_at": "2030-02-01T11:00:00Z"});
        Some(match operation {
            "change_me" => json!({"status_text": "here"}),
            "create_event" => times,
            "change_event" => json!({"title": "Dinner"}),
            "add_participant" => json!({"user_id": self.people.newcomer.id}),
            "answer_event" => json!({"answer": "accepted"}),
            "mark_attendance" => json!({"attendance": "checked_in"}),
            "create_slot" => {
                json!({"service": "Shave", "starts_at": "2031-01-01T10:00:00Z", "ends_at": "2031-01-01T11:00:00Z"})
            }
            "change_slot" => json!({"service": "Shave"}),
            "say" => json!({"temp_id": "said", "content": "hi"}),
            "edit" => json!({"content": "hello!"}),
            "logout" | "refund" => json!({}),
            _ => return None,
        })
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn everybody_may_do_what_is_theirs_and_nothing_else(pool: PgPool) {
    let api = TestApi::with(pool, &["--limits=off"]).await;
    let _store = api.runs_a_worker().await;
    let document = read(api.root("/api/v1/openapi.json").send().await.unwrap(), 200).await;
    let (mut named, mut scenes) = (BTreeSet::new(), 0..);
    let everybody = People::new(&api, "all").await;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            named.insert(id.to_owned());
            let row = ROWS.iter().find(|(name, _)| *name == id);
            let (_, expected) = row.unwrap_or_else(|| panic!("{id} has no row: who may {method} {path}?"));
            if *expected == OPEN {
                assert_eq!(operation["security"], json!([]), "{id} is said to be open");
                continue;
            }
            // Who signs out is not there any more for the others, nor for another scene.
            let leaving;
            let leaves = id.starts_with("logout");
            let people = if leaves {
                leaving = People::new(&api, id).await;
                &leaving
            } else {
                &everybody
            };
            let scene = Scene::new(people, scenes.next().unwrap()).await;
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            // Who may not do it goes first: who may, may change what the others would find.
            for (place, status) in expected.iter().enumerate() {
                let scene = if place > 2 && method != Method::GET && !leaves {
                    &Scene::new(people, scenes.next().unwrap()).await
                } else {
                    &scene
                };
                let address = scene.address(path);
                let request = match &people.all[place] {
                    Some(person) => person.request(method.clone(), &address),
                    None => api.request(method.clone(), &address),
                };
                let request = match scene.body(id) {
                    Some(body) => request.json(&body),
                    None => request,
                };
                let answer = request.send().await.unwrap();
                let found = answer.status().as_u16();
                let who = ["nobody", "a stranger", "who was removed", "a member", "the owner", "an admin"][place];
                assert_eq!(found, *status, "{who}: {id}: {}", answer.text().await.unwrap());
            }
        }
    }
    let rows: BTreeSet<String> = ROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(rows.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new(), "rows without an operation");
}
