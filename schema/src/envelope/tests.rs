//! What may be shown, and what a frame looks like after the log has had its word.

use super::*;

fn room() -> RoomId {
    "11111111-1111-4111-8111-111111111111".parse().expect("an id")
}

fn body() -> Body {
    Body::Message {
        room_id: room(),
        id: "22222222-2222-8222-8222-222222222222".parse().expect("an id"),
        sender_id: "33333333-3333-4333-8333-333333333333".parse().expect("an id"),
        sender_name: "Ann".into(),
        temp_id: "a-1".into(),
        content: "안녕 }".into(),
        message_type: MessageType::Text,
        reply_to_id: None,
    }
}

fn headers() -> HeaderMap {
    Headers { sender: None, gateway: None, is_resend: false, is_moderator: false }.to_map(body().id())
}

#[test]
fn what_cannot_be_shown_is_refused_with_its_reason() {
    let good = body().to_bytes();
    let check = |map: Option<&HeaderMap>, bytes: &[u8]| check(room(), map, bytes).map(|head| head.kind);
    let headers = headers();
    assert_eq!(check(Some(&headers), &good), Ok(Kind::Message));
    assert_eq!(check(None, &good), Err(Malformed::Version));
    assert_eq!(check(Some(&headers), b"{\"type\":\"message\""), Err(Malformed::NotAnEnvelope));
    assert_eq!(check(Some(&headers), b"[]"), Err(Malformed::NotAnEnvelope));
    assert_eq!(check(Some(&headers), b"{\"type\":\"\xff\"}"), Err(Malformed::NotUtf8));
    assert_eq!(check(Some(&headers), &vec![b' '; BODY_BYTES_MAX + 1]), Err(Malformed::TooLarge));
    let twice = [good.as_ref(), good.as_ref()].concat();
    assert_eq!(check(Some(&headers), &twice), Err(Malformed::NotAnEnvelope));
    let late = format!(r#"{{"room_id":"{}","type":"message","id":"{}"}}"#, room(), body().id());
    assert_eq!(check(Some(&headers), late.as_bytes()), Err(Malformed::NotAnEnvelope));
    let escaped = String::from_utf8(good.to_vec()).expect("text").replacen("message", "messa\\u0067e", 1);
    assert_eq!(check(Some(&headers), escaped.as_bytes()), Err(Malformed::NotAnEnvelope));
    let other = super::check(RoomId::random(), Some(&headers), &good);
    assert_eq!(other, Err(Malformed::OtherRoom));
}

#[test]
fn an_envelope_may_be_spaced_as_its_publisher_likes() {
    let value = serde_json::to_value(body()).expect("JSON");
    let fields = value.as_object().expect("an object").iter().filter(|(key, _)| *key != "type");
    let fields: Vec<String> = fields.map(|(key, value)| format!("{key:?} : {value}")).collect();
    let spaced = format!("{{\n  \"type\" : \"message\" ,\n  {}\n}}", fields.join(",\n  "));
    assert_eq!(check(room(), Some(&headers()), spaced.as_bytes()).map(|head| head.kind), Ok(Kind::Message));
    assert_eq!(first_type(spaced.as_bytes()), Some(b"message".as_slice()));
    let created_at = Timestamp::parse("2026-11-21T05:58:48.927Z").expect("a time");
    let [spaced, compact] = [spaced.as_bytes(), &body().to_bytes()].map(|body| splice(body, 7, 3, created_at));
    let read = |frame: &[u8]| serde_json::from_slice::<Value>(frame).expect("a frame");
    assert_eq!(read(&spaced), read(&compact));
}

#[test]
fn a_spliced_frame_is_the_body_with_its_place_in_the_log() {
    let created_at = Timestamp::parse("2026-11-21T05:58:48.927Z").expect("a time");
    let frame = splice(&body().to_bytes(), 7, 3, created_at);
    let mut expected = serde_json::to_value(body()).expect("JSON");
    expected["seq"] = 7.into();
    expected["prev"] = 3.into();
    expected["created_at"] = "2026-11-21T05:58:48.927Z".into();
    assert_eq!(serde_json::from_slice::<Value>(&frame).expect("JSON"), expected);
}

#[test]
fn a_retry_may_carry_another_snapshot_of_the_name_but_no_other_content() {
    let renamed = |name: &str, text: &str| {
        let mut other = body();
        if let Body::Message { sender_name, content, .. } = &mut other {
            *sender_name = name.into();
            *content = text.into();
        }
        other
    };
    assert!(body().says_the_same(&renamed("Anne", "안녕 }")));
    assert!(!body().says_the_same(&renamed("Ann", "bye")));
}
