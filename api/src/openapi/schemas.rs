//! The shapes of what is sent and answered.

use schema::problem::Code;
use serde_json::{Map, Value, json};

use super::talk;

pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

pub(super) fn text(max: usize) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": max})
}

pub(super) fn uuid() -> Value {
    json!({"type": "string", "format": "uuid"})
}

pub(super) fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

pub(super) fn one_of(values: &[&str]) -> Value {
    json!({"type": "string", "enum": values})
}

pub(super) fn boolean() -> Value {
    json!({"type": "boolean"})
}

pub(super) fn whole() -> Value {
    json!({"type": "integer", "format": "int64"})
}

pub(super) fn string() -> Value {
    json!({"type": "string"})
}

#[expect(clippy::needless_pass_by_value, reason = "schemas are made where they are used")]
pub(super) fn array(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

#[expect(clippy::needless_pass_by_value, reason = "schemas are made where they are used")]
pub(super) fn nullable(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

/// A name that ends with `?` may be missing.
pub(super) fn object(fields: &[(&str, Value)]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, schema) in fields {
        let name = name.strip_suffix('?').unwrap_or_else(|| {
            required.push(*name);
            name
        });
        properties.insert(name.to_owned(), schema.clone());
    }
    json!({"type": "object", "properties": properties, "required": required})
}

pub(super) fn page(of: &str) -> Value {
    object(&[("items", array(reference(of))), ("next_cursor", nullable(string()))])
}

/// Every schema by its name.
pub(super) fn all() -> Value {
    let mut all = Map::new();
    let parts =
        [people(), events(), history_of_events(), slots(), payments(), talk::rooms(), talk::reading(), common()];
    for (name, schema) in parts.into_iter().flatten() {
        all.insert(name.to_owned(), schema);
    }
    Value::Object(all)
}

fn common() -> Vec<(&'static str, Value)> {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let field = object(&[("field", string()), ("code", string())]);
    let problem = object(&[
        ("type", string()),
        ("title", string()),
        ("status", json!({"type": "integer"})),
        ("code", one_of(&codes)),
        ("detail", string()),
        ("request_id", string()),
        ("errors?", array(field)),
    ]);
    let key = object(&[("kty", string()), ("kid", string()), ("alg", string()), ("n", string()), ("e", string())]);
    vec![("Problem", problem), ("Health", object(&[("status", string())])), ("Keys", object(&[("keys", array(key))]))]
}

fn people() -> Vec<(&'static str, Value)> {
    let role = || one_of(&["user", "business", "admin"]);
    let own_role = || one_of(&["user", "business"]);
    let password = || json!({"type": "string", "minLength": 8, "maxLength": 256, "format": "password"});
    let user = object(&[
        ("id", uuid()),
        ("email", nullable(string())),
        ("display_name", text(64)),
        ("role", role()),
        ("status_text", nullable(string())),
        ("created_at", time()),
    ]);
    let profile = object(&[("id", uuid()), ("display_name", text(64)), ("status_text", nullable(string()))]);
    let signed_in = object(&[
        ("user", reference("User")),
        ("access_token", string()),
        ("token_type", string()),
        ("expires_in", whole()),
        ("refresh_token", string()),
    ]);
    let registration = object(&[
        ("email", json!({"type": "string", "format": "email", "maxLength": 254})),
        ("password", password()),
        ("display_name", text(64)),
        ("role?", own_role()),
    ]);
    let sign_in = object(&[
        ("email", json!({"type": "string", "format": "email", "maxLength": 254})),
        ("password", json!({"type": "string", "maxLength": 256, "format": "password"})),
    ]);
    let change = object(&[
        ("display_name?", text(64)),
        ("status_text?", nullable(json!({"type": "string", "maxLength": 200}))),
        ("role?", own_role()),
    ]);
    vec![
        ("User", user),
        ("Profile", profile),
        ("SignedIn", signed_in),
        ("Registration", registration),
        ("SignIn", sign_in),
        ("RefreshToken", object(&[("refresh_token", string())])),
        ("OptionalRefreshToken", object(&[("refresh_token?", string())])),
        ("Revoked", object(&[("revoked", whole())])),
        ("Ticket", object(&[("ticket", string()), ("expires_in", whole())])),
        ("ProfileChange", change),
        ("GoogleSignIn", object(&[("id_token", string()), ("nonce?", string())])),
        ("PhoneNumber", object(&[("phone", json!({"type": "string", "pattern": r"^\+[1-9][0-9]{7,14}$"}))])),
        ("CodeSent", object(&[("expires_in", whole()), ("retry_after", whole())])),
        (
            "PhoneCode",
            object(&[
                ("phone", json!({"type": "string", "pattern": r"^\+[1-9][0-9]{7,14}$"})),
                ("code", json!({"type": "string", "pattern": "^[0-9]{6}$"})),
                ("display_name?", text(64)),
            ]),
        ),
    ]
}

fn events() -> Vec<(&'static str, Value)> {
    let status = || one_of(&["proposed", "confirmed", "cancelled", "completed"]);
    let event = object(&[
        ("id", uuid()),
        ("room_id", uuid()),
        ("owner_id", uuid()),
        ("title", text(200)),
        ("description", nullable(string())),
        ("location", nullable(string())),
        ("starts_at", time()),
        ("ends_at", time()),
        ("local_starts_at", string()),
        ("local_ends_at", string()),
        ("time_zone", string()),
        ("status", status()),
        ("slot_id", nullable(uuid())),
        ("payment_id", nullable(uuid())),
        ("participant_ids", array(uuid())),
        ("version", whole()),
        ("created_at", time()),
        ("updated_at", time()),
    ]);
    let fields = |is_new: bool| {
        let mut fields = vec![
            // With slot_id title and times come from the slot.
            ("title?", text(200)),
            ("description?", nullable(text(4_000))),
            ("location?", nullable(text(500))),
            ("starts_at?", time()),
            ("ends_at?", time()),
            ("time_zone?", json!({"type": "string", "description": "IANA, as Asia/Seoul"})),
        ];
        if is_new {
            fields.push(("slot_id?", uuid()));
            fields.push(("participant_ids?", json!({"type": "array", "items": uuid(), "maxItems": 500})));
        }
        object(&fields)
    };
    let participant = object(&[
        ("user_id", uuid()),
        ("display_name", string()),
        ("role", string()),
        ("answer", nullable(one_of(&["pending", "accepted", "declined", "tentative"]))),
        ("attendance", nullable(one_of(&["checked_in", "no_show"]))),
        ("attendance_reason", nullable(string())),
        ("attendance_at", nullable(time())),
        ("joined_at", time()),
    ]);
    vec![
        ("Event", event),
        ("Events", page("Event")),
        ("NewEvent", fields(true)),
        ("EventChange", fields(false)),
        ("Participant", participant),
        ("Participants", page("Participant")),
        ("NewParticipant", object(&[("user_id", uuid())])),
        ("Answer", object(&[("answer", one_of(&["accepted", "declined", "tentative"]))])),
        ("Attendance", object(&[("attendance", nullable(one_of(&["checked_in", "no_show"]))), ("reason?", text(500))])),
    ]
}

fn history_of_events() -> Vec<(&'static str, Value)> {
    let field = object(&[("field", string()), ("old", json!({})), ("new", json!({}))]);
    let change = object(&[
        ("id", uuid()),
        ("change", string()),
        ("version", whole()),
        ("actor_id", nullable(uuid())),
        ("changed_at", time()),
        ("fields", array(field)),
        ("added", array(uuid())),
        ("removed", array(uuid())),
        ("hash", nullable(string())),
    ]);
    let problem = object(&[("version", whole()), ("id", nullable(uuid())), ("problem", string())]);
    let verdict = object(&[
        ("whole", boolean()),
        ("changes", whole()),
        ("pending", whole()),
        ("version", whole()),
        ("hash", nullable(string())),
        ("problems", array(problem)),
    ]);
    vec![("Change", change), ("Changes", page("Change")), ("Verdict", verdict)]
}

fn slots() -> Vec<(&'static str, Value)> {
    let money = object(&[
        ("amount", json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": 1_000_000_000_000_i64})),
        ("currency", json!({"type": "string", "pattern": "^[A-Za-z]{3}$"})),
    ]);
    let hours = || json!({"type": "integer", "minimum": 0, "maximum": 2_160});
    let slot = object(&[
        ("id", uuid()),
        ("owner_id", uuid()),
        ("series_id", nullable(uuid())),
        ("service", text(120)),
        ("starts_at", time()),
        ("ends_at", time()),
        ("local_starts_at", string()),
        ("local_ends_at", string()),
        ("time_zone", string()),
        ("price", nullable(reference("Money"))),
        ("free_until_hours", nullable(hours())),
        ("is_available", boolean()),
        ("event_id?", uuid()),
        ("version", whole()),
        ("created_at", time()),
        ("updated_at", time()),
    ]);
    let repeat = object(&[
        ("freq", one_of(&["daily", "weekly"])),
        ("interval?", json!({"type": "integer", "minimum": 1, "maximum": 52})),
        ("by_day?", array(one_of(&["mo", "tu", "we", "th", "fr", "sa", "su"]))),
        ("count?", json!({"type": "integer", "minimum": 1, "maximum": 366})),
        ("until?", json!({"type": "string", "format": "date"})),
    ]);
    let new = object(&[
        ("service", text(120)),
        ("starts_at", time()),
        ("ends_at", time()),
        ("time_zone?", string()),
        ("price?", nullable(reference("Money"))),
        ("free_until_hours?", nullable(hours())),
        ("is_available?", boolean()),
        ("repeat?", nullable(repeat)),
    ]);
    let change = object(&[
        ("service?", text(120)),
        ("starts_at?", time()),
        ("ends_at?", time()),
        ("time_zone?", string()),
        ("price?", nullable(reference("Money"))),
        ("free_until_hours?", nullable(hours())),
        ("is_available?", boolean()),
    ]);
    vec![
        ("Money", money),
        ("Slot", slot),
        ("Slots", page("Slot")),
        ("NewSlot", new),
        ("SlotChange", change),
        ("OneSlotOrMany", json!({"anyOf": [reference("Slot"), reference("Slots")]})),
    ]
}

fn payments() -> Vec<(&'static str, Value)> {
    let payment = object(&[
        ("id", uuid()),
        ("event_id", uuid()),
        ("slot_id", uuid()),
        ("payer_id", uuid()),
        ("payee_id", uuid()),
        ("amount", whole()),
        ("currency", string()),
        ("status", one_of(&["requested", "authorised", "captured", "refunded", "failed"])),
        ("client_secret?", string()),
        ("refunded_amount", whole()),
        ("failure", nullable(string())),
        ("expires_at", time()),
        ("created_at", time()),
        ("updated_at", time()),
    ]);
    vec![
        ("Payment", payment),
        ("Refund", object(&[("amount?", json!({"type": "integer", "format": "int64", "minimum": 1}))])),
        ("Notice", object(&[("id", text(255)), ("type", string()), ("data?", json!({"type": "object"}))])),
        ("Received", object(&[("received", boolean())])),
    ]
}
