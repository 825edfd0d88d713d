//! Golden ids. They were computed without this code, by Python's `hashlib` and `uuid`:
//!
//! ```python
//! digest = sha256(b"timingle.id.1" + frame_type + b"\0" + sender.bytes + room.bytes + temp_id.encode()).digest()
//! b = bytearray(digest[:16]); b[6] = b[6] & 0x0F | 0x80; b[8] = b[8] & 0x3F | 0x80; UUID(bytes=bytes(b))
//! ```
//!
//! Every gateway, of whatever version, must find the same id for the same words, or a retry is a second message.

use schema::{envelope::Kind, id::MessageId, text::TempId};
use uuid::{Uuid, Variant};

use super::sample::{ANN, ROOM, id};

const OTHER_SENDER: &str = "0191e0a4-7c3b-7e2f-9a51-0f6d2c4b8e01";
const OTHER_ROOM: &str = "c7a1f3d2-5b64-8c19-b0e7-6f2d3a4c5b6e";

fn check(kind: Kind, sender: &str, room: &str, temp_id: &str, expected: &str) {
    let temp_id = TempId::parse(temp_id).expect("a temp_id");
    let found = MessageId::of(kind, id(sender), id(room), &temp_id);
    assert_eq!(found.to_string(), expected, "{kind} {sender} {room} {temp_id:?}");
}

#[test]
fn each_kind_has_ids_of_its_own() {
    check(Kind::Message, ANN, ROOM, "a-1", "2e906bb2-1da7-85dd-910a-7d8fc68b1c3f");
    check(Kind::MessageUpdated, ANN, ROOM, "a-1", "dbcff9fd-e57c-837d-8713-991cef1e572b");
    check(Kind::MessageDeleted, ANN, ROOM, "a-1", "e7c04528-ba48-8497-a1b3-5cf773795ee9");
    check(Kind::Reaction, ANN, ROOM, "a-1", "a8e0487c-3133-8ebd-a99f-a199756b8bf4");
    check(Kind::System, ANN, ROOM, "a-1", "70d0fb45-6e3a-8567-bdc9-4b35add79486");
}

#[test]
fn sender_and_room_are_part_of_the_id_and_not_exchangeable() {
    check(Kind::Message, OTHER_SENDER, OTHER_ROOM, "a-1", "adbf3e5f-1c3c-88f7-a919-fe4a52be1906");
    check(Kind::Message, ANN, OTHER_ROOM, "a-1", "2bf3c227-94f0-815f-a89f-fd1fb5b5ac09");
    check(Kind::Message, OTHER_SENDER, ROOM, "a-1", "e5a62e7b-db0c-847b-a8f6-d5fe39305c31");
    check(Kind::Message, ROOM, ANN, "a-1", "2a293ef6-87b4-8775-b2cc-a23431afbb40");
    let (nil, max) = (Uuid::nil().to_string(), Uuid::max().to_string());
    check(Kind::Message, &nil, &nil, "0", "6bb4518d-c9e4-8ccc-bfb2-5edaf1e0f1ae");
    check(Kind::Message, &max, &max, "~", "b33a2813-e5c9-830b-ab50-29fde5b0754f");
}

#[test]
fn a_temp_id_counts_by_its_bytes_as_they_came() {
    check(Kind::Message, ANN, ROOM, OTHER_SENDER, "1990d97a-af88-8515-a4b9-b33350f6b133");
    check(Kind::Message, ANN, ROOM, "안녕하세요", "30c34cb9-8875-8f2a-a02d-1cfb2a836ba4");
    check(Kind::Message, ANN, ROOM, &"한".repeat(64), "40ee12df-3401-80e1-ad77-9566ecad94af");
    check(Kind::Message, ANN, ROOM, "👩‍👩‍👧 👍🏽", "695ae852-c6e6-8396-aa44-3d372ad1dbc7");
    // One letter in two encodings is two names: nobody normalises.
    check(Kind::Message, ANN, ROOM, "\u{e9}", "ac85c1a1-b93e-8cd5-9390-baad4f97e95f");
    check(Kind::Message, ANN, ROOM, "e\u{301}", "61c855d3-144f-8982-9afa-3009c512a099");
}

#[test]
fn a_message_id_is_a_uuid_of_version_8() {
    let uuid = MessageId::of(Kind::Message, id(ANN), id(ROOM), &TempId::parse("a-1").expect("a temp_id")).as_uuid();
    assert_eq!((uuid.get_version_num(), uuid.get_variant()), (8, Variant::RFC4122));
}
