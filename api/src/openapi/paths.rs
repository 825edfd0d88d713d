//! Every operation there is.

use schema::problem::Code;
use serde_json::json;

use super::{
    operation::{Operation, op},
    schemas::{boolean, one_of, text, time, uuid, whole},
};

/// All of them, in the order of the page.
pub(super) fn all() -> Vec<Operation> {
    let parts = [
        sign_in(),
        users(),
        events(),
        participants(),
        slots(),
        payments(),
        rooms(),
        messages(),
        changes_of_messages(),
        root(),
    ];
    parts.into_iter().flatten().collect()
}

fn sign_in() -> Vec<Operation> {
    // Not found: not set up here.
    let linked = [Code::InvalidCredentials, Code::InvalidToken, Code::Conflict, Code::NotFound];
    vec![
        op("register", "post", "/auth/register", "SignedIn", "Makes an account and signs it in")
            .open()
            .takes("Registration")
            .creates()
            .or(&[Code::EmailTaken]),
        op("login", "post", "/auth/login", "SignedIn", "Signs in by e-mail and password")
            .open()
            .takes("SignIn")
            .or(&[Code::InvalidCredentials]),
        op("login_google", "post", "/auth/google", "SignedIn", "Signs in by Google, or links it to the token's user")
            .open()
            .takes("GoogleSignIn")
            .or(&linked),
        op("start_phone", "post", "/auth/phone/start", "CodeSent", "Sends a code to a telephone number")
            .open()
            .takes("PhoneNumber")
            .or(&[Code::NotFound]),
        op("login_phone", "post", "/auth/phone/verify", "SignedIn", "Signs in by the code, or links the number")
            .open()
            .takes("PhoneCode")
            .or(&linked),
        op("refresh", "post", "/auth/refresh", "SignedIn", "Takes a refresh token for its successor")
            .open()
            .takes("RefreshToken")
            .or(&[Code::InvalidToken]),
        op("logout", "post", "/auth/logout", "Revoked", "Signs out the session of the token")
            .open()
            .may_take("OptionalRefreshToken")
            .or(&[Code::InvalidToken, Code::SessionRevoked]),
        op("logout_all", "post", "/auth/logout-all", "Revoked", "Signs out every session of the token's user"),
        op("socket_ticket", "post", "/ws/ticket", "Ticket", "Makes a ticket for a socket: one use, 30 s"),
    ]
}

fn users() -> Vec<Operation> {
    vec![
        op("me", "get", "/users/me", "User", "Who the token stands for"),
        op("change_me", "patch", "/users/me", "User", "Changes name, status or role").takes("ProfileChange"),
        op("my_messages", "get", "/users/me/messages", "Written", "What I wrote, newest first").in_pages(),
        op("user", "get", "/users/{user_id}", "Profile", "Somebody as others see them").or(&[Code::NotFound]),
    ]
}

fn events() -> Vec<Operation> {
    let mine = [Code::NotAMember];
    let run = [Code::NotAMember, Code::Forbidden, Code::BadTransition];
    vec![
        op("list_events", "get", "/events", "Events", "My events by their beginning")
            .query("from", "that end after", time())
            .query("to", "that begin before", time())
            .query("status", "in this state", one_of(&["proposed", "confirmed", "cancelled", "completed"]))
            .query("role", "that I own, or do not", one_of(&["owner", "participant"]))
            .query("q", "that hold this text", text(100))
            .in_pages(),
        op("create_event", "post", "/events", "Event", "Makes an event; with slot_id it books a slot")
            .header("Idempotency-Key", "sent again under the same key it makes no second event")
            .takes("NewEvent")
            .creates()
            .or(&[Code::Forbidden, Code::SlotTaken, Code::IdempotencyKeyReused]),
        op("event", "get", "/events/{event_id}", "Event", "One event of mine").or(&mine),
        op("change_event", "patch", "/events/{event_id}", "Event", "Changes an event's fields")
            .header("If-Match", "the ETag it was read with")
            .takes("EventChange")
            .or(&run)
            .or(&[Code::Stale, Code::Conflict, Code::UnsupportedField]),
        op("delete_event", "delete", "/events/{event_id}", "Nothing", "Deletes an event; its room is archived")
            .header("If-Match", "the ETag it was read with")
            .answers_nothing()
            .or(&[Code::NotAMember, Code::Forbidden, Code::Stale]),
        op("confirm_event", "post", "/events/{event_id}/confirm", "Event", "Confirms it")
            .or(&run)
            .or(&[Code::Conflict]),
        op("cancel_event", "post", "/events/{event_id}/cancel", "Event", "Calls it off").or(&run),
        op("complete_event", "post", "/events/{event_id}/complete", "Event", "Says that it took place")
            .or(&run)
            .or(&[Code::Conflict]),
        op("event_history", "get", "/events/{event_id}/history", "Changes", "Every change, newest first")
            .in_pages()
            .or(&mine),
        op("verify_history", "get", "/events/{event_id}/history/verify", "Verdict", "Whether it is as it was written")
            .or(&mine),
    ]
}

fn participants() -> Vec<Operation> {
    let run = [Code::NotAMember, Code::Forbidden];
    vec![
        op("list_participants", "get", "/events/{event_id}/participants", "Participants", "Who is in it")
            .in_pages()
            .or(&[Code::NotAMember]),
        op("add_participant", "post", "/events/{event_id}/participants", "Participant", "Puts somebody in")
            .header("Idempotency-Key", "sent again under the same key it adds nobody a second time")
            .takes("NewParticipant")
            .creates()
            .or(&run)
            .or(&[Code::AlreadyParticipant, Code::Conflict, Code::IdempotencyKeyReused]),
        op("answer_event", "put", "/events/{event_id}/participants/me", "Participant", "Says whether I come")
            .takes("Answer")
            .or(&[Code::NotAMember]),
        op("leave_event", "delete", "/events/{event_id}/participants/me", "Nothing", "Leaves it")
            .answers_nothing()
            .or(&run)
            .or(&[Code::Conflict, Code::NotFound]),
        op(
            "remove_participant",
            "delete",
            "/events/{event_id}/participants/{user_id}",
            "Nothing",
            "Takes somebody out",
        )
        .answers_nothing()
        .or(&run)
        .or(&[Code::Conflict, Code::NotFound]),
        op(
            "mark_attendance",
            "put",
            "/events/{event_id}/participants/{user_id}/attendance",
            "Participant",
            "Says who came and who did not",
        )
        .takes("Attendance")
        .or(&run)
        .or(&[Code::NotFound, Code::BadTransition, Code::Conflict]),
    ]
}

fn slots() -> Vec<Operation> {
    let run = [Code::NotFound, Code::Forbidden, Code::SlotTaken];
    vec![
        op("list_slots", "get", "/open_slots", "Slots", "Slots by their beginning")
            .query("owner_id", "of this seller", uuid())
            .query("from", "that end after", time())
            .query("to", "that begin before", time())
            .query("service", "of this name", text(120))
            .query("is_available", "to be had, or not", boolean())
            .query("price_min", "in minor units", whole())
            .query("price_max", "in minor units", whole())
            .query("currency", "in this currency", json!({"type": "string", "pattern": "^[A-Za-z]{3}$"}))
            .in_pages(),
        op("create_slot", "post", "/open_slots", "OneSlotOrMany", "Offers a slot; with repeat many")
            .header("Idempotency-Key", "sent again under the same key it makes no more")
            .takes("NewSlot")
            .creates()
            .or(&[Code::Forbidden, Code::IdempotencyKeyReused, Code::NotFound]),
        op("slot", "get", "/open_slots/{slot_id}", "Slot", "One slot").or(&[Code::NotFound]),
        op("change_slot", "patch", "/open_slots/{slot_id}", "Slot", "Changes a slot that nobody has")
            .takes("SlotChange")
            .or(&run),
        op("delete_slot", "delete", "/open_slots/{slot_id}", "Nothing", "Withdraws a slot that nobody has")
            .answers_nothing()
            .or(&run),
    ]
}

fn payments() -> Vec<Operation> {
    vec![
        op("payment", "get", "/payments/{payment_id}", "Payment", "A payment of mine").or(&[Code::NotFound]),
        op("refund", "post", "/payments/{payment_id}/refund", "Payment", "Pays all back, or a part")
            .header("Idempotency-Key", "sent again under the same key it pays nothing back a second time")
            .may_take("Refund")
            .or(&[Code::NotFound, Code::Forbidden, Code::Conflict, Code::IdempotencyKeyReused]),
        op("payment_notice", "post", "/payments/webhook", "Received", "What the provider says, signed by it")
            .open()
            .header("Stripe-Signature", "over time and body")
            .takes("Notice")
            .or(&[Code::InvalidSignature, Code::NotFound]),
    ]
}

fn rooms() -> Vec<Operation> {
    let mine = [Code::NotAMember];
    vec![
        op("list_rooms", "get", "/rooms", "Rooms", "My rooms, newest activity first").in_pages(),
        op("room", "get", "/rooms/{room_id}", "Room", "One room of mine").or(&mine),
        op("list_members", "get", "/rooms/{room_id}/members", "Members", "Who is in it")
            .in_pages()
            .or(&mine)
            .or(&[Code::Forbidden]),
        op("presence", "get", "/rooms/{room_id}/presence", "Presence", "Who of them is online")
            .or(&mine)
            .or(&[Code::Forbidden]),
        op("read", "post", "/rooms/{room_id}/read", "Reader", "Says how far I have read; to the top, if not how far")
            .may_take("UpTo")
            .or(&mine),
        op("read_marks", "get", "/rooms/{room_id}/read_marks", "ReadMarks", "How far everybody has read")
            .or(&mine)
            .or(&[Code::Forbidden]),
        op("sync", "get", "/sync", "Sync", "What all my rooms said since a seq")
            .query("since", "above this seq; without it from the beginning", whole())
            .or(&[Code::InvalidFields]),
    ]
}

fn messages() -> Vec<Operation> {
    let mine = [Code::NotAMember, Code::InvalidFields];
    vec![
        op("history", "get", "/rooms/{room_id}/messages", "History", "What was said, in ascending seq")
            .query("before", "below this seq", whole())
            .query("after", "above this seq", whole())
            .query("around", "on both sides of this seq", whole())
            .query("before_id", "before this message", uuid())
            .limited()
            .or(&mine)
            .or(&[Code::NotFound, Code::InvalidRequest]),
        op("say", "post", "/rooms/{room_id}/messages", "HistoryItem", "Says something, as a socket does")
            .header("Idempotency-Key", "not needed: sent again under the same temp_id it is said once")
            .takes("NewMessage")
            .creates()
            .or(&[
                Code::NotAMember,
                Code::Forbidden,
                Code::UnsupportedField,
                Code::InvalidTempId,
                Code::InvalidContent,
                Code::ContentTooLong,
                Code::TempIdReused,
                Code::IdempotencyKeyReused,
                Code::Conflict,
                Code::NotSettled,
                Code::Backlog,
                Code::LogBehind,
                Code::Unknown,
            ]),
        op("message", "get", "/rooms/{room_id}/messages/{message_id}", "HistoryItem", "One message").or(&[
            Code::NotAMember,
            Code::NotFound,
            Code::NotSettled,
        ]),
        op("message_status", "get", "/messages/status", "MessageStatus", "What became of what I named so")
            .query("room_id", "in this room", uuid())
            .query("temp_id", "my own name for it", text(64))
            .or(&mine),
    ]
}

fn changes_of_messages() -> Vec<Operation> {
    let changes = [
        Code::NotAMember,
        Code::Forbidden,
        Code::NotFound,
        Code::Conflict,
        Code::NotSettled,
        Code::Backlog,
        Code::LogBehind,
        Code::Unknown,
    ];
    vec![
        op(
            "edit",
            "patch",
            "/rooms/{room_id}/messages/{message_id}",
            "HistoryItem",
            "Says something else in its place",
        )
        .takes("NewContent")
        .or(&changes)
        .or(&[Code::InvalidTempId, Code::InvalidContent, Code::ContentTooLong, Code::TempIdReused]),
        op("delete", "delete", "/rooms/{room_id}/messages/{message_id}", "Nothing", "Takes it back, text and all")
            .answers_nothing()
            .or(&changes),
        op(
            "react",
            "put",
            "/rooms/{room_id}/messages/{message_id}/reactions/{emoji}",
            "HistoryItem",
            "Puts an emoji under it",
        )
        .or(&changes)
        .or(&[Code::InvalidFields]),
        op(
            "unreact",
            "delete",
            "/rooms/{room_id}/messages/{message_id}/reactions/{emoji}",
            "Nothing",
            "Takes the emoji away",
        )
        .answers_nothing()
        .or(&changes)
        .or(&[Code::InvalidFields]),
    ]
}

fn root() -> Vec<Operation> {
    vec![
        op("health", "get", "/health", "Health", "The process is there").open().at_the_root(),
        op("keys", "get", "/.well-known/jwks.json", "Keys", "The keys of access tokens").open().at_the_root(),
    ]
}
