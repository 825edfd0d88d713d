//! What a phone that is wrong, old or hostile may send: each mistake has its code, and nothing panics.

use super::*;

const ROOM: &str = "11111111-1111-4111-8111-111111111111";
const MESSAGE: &str = "22222222-2222-8222-8222-222222222222";
/// Stands in tokens and contents; no refusal may repeat it.
const CANARY: &str = "c4n4ry";

fn fill(text: &str) -> String {
    text.replace("{room}", ROOM).replace("{message}", MESSAGE)
}

fn refusal(text: &str) -> BadFrame {
    let text = fill(text);
    let shown: String = text.chars().take(200).collect();
    ClientFrame::parse(&text).expect_err(&shown)
}

/// Refused with `code`, as `status failed` to the `temp_id` that the frame named.
fn check(text: &str, code: Code, temp_id: Option<&str>) {
    let bad = refusal(text);
    let shown: String = text.chars().take(200).collect();
    assert_eq!((bad.code, bad.temp_id.as_deref()), (code, temp_id), "{shown} says {:?}", bad.detail);
    assert!(!bad.detail.is_empty(), "{shown}");
}

fn is_taken(text: &str) -> bool {
    ClientFrame::parse(&fill(text)).is_ok()
}

#[test]
fn what_is_not_one_json_object_is_refused() {
    let objects = ["", " ", "{", "}", "{}{}", "null", "7", "\"ping\"", "{\"type\":\"ping\"", "{\"type\":\"ping\"} x"];
    for text in objects {
        check(text, Code::InvalidFrame, None);
    }
    // An array with the fields of every frame in their order is no frame either.
    check(r#"["ping"]"#, Code::InvalidFrame, None);
    let fields = vec!["null"; 16].join(",");
    check(&format!(r#"["leave",{fields}]"#), Code::InvalidFrame, None);
    check(r#"[{"type":"ping"}]"#, Code::InvalidFrame, None);
    check("\u{feff}{\"type\":\"ping\"}", Code::InvalidFrame, None);
    check("{'type':'ping'}", Code::InvalidFrame, None);
    check(r#"{"type":"ping",}"#, Code::InvalidFrame, None);
    check(r#"{"type":"ping","nonce":"\ud800"}"#, Code::InvalidFrame, None);
    check("{\"type\":\"ping\",\"nonce\":\"\n\"}", Code::InvalidFrame, None);
}

#[test]
fn a_type_is_one_of_ours() {
    check(r#"{"temp_id":"a-1"}"#, Code::InvalidFrame, Some("a-1"));
    check(r#"{"type":null,"temp_id":"a-1"}"#, Code::InvalidFrame, Some("a-1"));
    check(r#"{"type":7,"temp_id":"a-1"}"#, Code::InvalidFrame, Some("a-1"));
    // What the server says, and `system` above all, is not the client's to say.
    let types =
        ["system", "message_updated", "hello", "status", "presence", "Message", "PING", "ping ", "", "auth\u{0}"];
    for name in types {
        let name = serde_json::to_string(name).expect("a string");
        check(&format!(r#"{{"type":{name},"temp_id":"a-1","content":"hi"}}"#), Code::UnknownType, Some("a-1"));
    }
    check(r#"{"type":"system"}"#, Code::UnknownType, None);
}

#[test]
fn what_a_type_needs_is_required() {
    check(r#"{"type":"auth"}"#, Code::InvalidFrame, None);
    check(r#"{"type":"typing","room_id":"{room}"}"#, Code::InvalidFrame, None);
    check(r#"{"type":"message","temp_id":"a-1"}"#, Code::InvalidFrame, Some("a-1"));
    check(r#"{"type":"edit","temp_id":"a-1","message_id":"{message}"}"#, Code::InvalidFrame, Some("a-1"));
    check(r#"{"type":"edit","temp_id":"a-1","content":"hi"}"#, Code::InvalidFrame, Some("a-1"));
    check(r#"{"type":"delete","temp_id":"a-1"}"#, Code::InvalidFrame, Some("a-1"));
    check(r#"{"type":"react","temp_id":"a-1","message_id":"{message}"}"#, Code::InvalidFrame, Some("a-1"));
    check(r#"{"type":"unreact","temp_id":"a-1","emoji":"👍"}"#, Code::InvalidFrame, Some("a-1"));
    for frame in ["message", "send", "edit", "delete", "react", "unreact"] {
        let rest = r#""message_id":"{message}","content":"hi","emoji":"👍""#;
        check(&format!(r#"{{"type":"{frame}",{rest}}}"#), Code::InvalidTempId, None);
        check(&format!(r#"{{"type":"{frame}","temp_id":null,{rest}}}"#), Code::InvalidTempId, None);
        assert!(is_taken(&format!(r#"{{"type":"{frame}","temp_id":"a-1",{rest}}}"#)), "{frame}");
    }
}

#[test]
fn a_temp_id_has_1_to_64_printable_characters() {
    let say = |temp_id: &str| {
        let temp_id = serde_json::to_string(temp_id).expect("a string");
        format!(r#"{{"type":"message","temp_id":{temp_id},"content":"hi"}}"#)
    };
    for temp_id in ["", "  ", "a\nb", "a\u{0}", "\u{7f}", &"x".repeat(65), &"한".repeat(65)] {
        check(&say(temp_id), Code::InvalidTempId, None);
    }
    for temp_id in ["a", "임시-1", "👍", &"x".repeat(64), &"👍".repeat(64)] {
        assert!(is_taken(&say(temp_id)), "{temp_id}");
    }
    let edit = r#"{"type":"edit","temp_id":"a-2","message_id":"{message}","content":"hi","message_temp_id":""}"#;
    check(edit, Code::InvalidTempId, Some("a-2"));
    check(&edit.replace("edit", "delete"), Code::InvalidTempId, Some("a-2"));
    // A number is no name, however readable.
    check(r#"{"type":"message","temp_id":1,"content":"hi"}"#, Code::InvalidFrame, None);
}

#[test]
fn a_content_has_text_and_at_most_4000_characters() {
    let say = |content: &str| {
        let content = serde_json::to_string(content).expect("a string");
        format!(r#"{{"type":"message","temp_id":"a-1","content":{content}}}"#)
    };
    for content in ["", " \n\t", "\u{3000}", "a\0b"] {
        check(&say(content), Code::InvalidContent, Some("a-1"));
    }
    for c in ["x", "한", "👍"] {
        assert!(is_taken(&say(&c.repeat(4000))), "{c}");
        check(&say(&c.repeat(4001)), Code::ContentTooLong, Some("a-1"));
    }
    check(&say("x").replace("message", "edit"), Code::InvalidFrame, Some("a-1"));
    let edit = |content: &str| say(content).replace(r#""message","#, &fill(r#""edit","message_id":"{message}","#));
    check(&edit(""), Code::InvalidContent, Some("a-1"));
    check(&edit(&"x".repeat(4001)), Code::ContentTooLong, Some("a-1"));
    check(r#"{"type":"message","temp_id":"a-1","content":["hi"]}"#, Code::InvalidFrame, Some("a-1"));
    check(r#"{"type":"message","temp_id":"a-1","content":null}"#, Code::InvalidFrame, Some("a-1"));
}

#[test]
fn an_id_is_a_uuid_in_hyphens() {
    let simple = ROOM.replace('-', "");
    for text in ["", "*", ">", "lobby", "a.b", &simple, &format!("{{{ROOM}}}"), &format!("{ROOM}0"), " "] {
        let say = |field: &str| format!(r#"{{"type":"message","temp_id":"a-1","content":"hi","{field}":"{text}"}}"#);
        check(&say("room_id"), Code::InvalidFrame, Some("a-1"));
        check(&say("reply_to_id"), Code::InvalidFrame, Some("a-1"));
        let delete = format!(r#"{{"type":"delete","temp_id":"a-1","message_id":"{text}"}}"#);
        check(&delete, Code::InvalidFrame, Some("a-1"));
        for frame in ["join", "leave", "read", "typing"] {
            let text = format!(r#"{{"type":"{frame}","active":true,"room_id":"{text}"}}"#);
            check(&text, Code::InvalidFrame, None);
        }
    }
}

#[test]
fn what_is_not_taken_yet_is_said_to_be_so() {
    for field in ["thread_id", "attachments"] {
        let say = |frame: &str, value: &str| {
            format!(r#"{{"type":"{frame}","temp_id":"a-1","content":"hi","{field}":{value}}}"#)
        };
        for frame in ["message", "send"] {
            for value in ["\"x\"", "[]", "{}", "0", "false", "[[{\"a\":[1]}]]"] {
                check(&say(frame, value), Code::UnsupportedField, Some("a-1"));
            }
            // Null is how some phones write what they do not have.
            assert!(is_taken(&say(frame, "null")), "{field}");
        }
        // The field is answered before what else is wrong: the phone must know that it is too new.
        check(&say("message", "1").replace("\"hi\"", "\"\""), Code::UnsupportedField, Some("a-1"));
    }
}

#[test]
fn null_is_absence() {
    let nulls = r#""room_id":null,"token":null,"since":null,"seq":null,"message_type":null,"reply_to_id":null,
        "resend":null,"message_temp_id":null,"nonce":null,"thread_id":null,"attachments":null"#;
    for frame in ["join", "leave", "read", "ping"] {
        let with = ClientFrame::parse(&format!(r#"{{"type":"{frame}",{nulls}}}"#));
        assert_eq!(with, ClientFrame::parse(&format!(r#"{{"type":"{frame}"}}"#)), "{frame}");
        assert!(with.is_ok(), "{frame}");
    }
    let with = ClientFrame::parse(&format!(r#"{{"type":"message","temp_id":"a-1","content":"hi",{nulls}}}"#));
    assert_eq!(with, ClientFrame::parse(r#"{"type":"message","temp_id":"a-1","content":"hi"}"#));
    assert!(with.is_ok());
    check(r#"{"type":"typing","active":null}"#, Code::InvalidFrame, None);
    check(r#"{"type":"auth","token":null}"#, Code::InvalidFrame, None);
}

#[test]
fn numbers_booleans_and_strings_are_not_each_other() {
    for value in ["\"5\"", "-1", "1.5", "1e3", "18446744073709551616", "true", "[]", "{}"] {
        check(&format!(r#"{{"type":"join","room_id":"{{room}}","since":{value}}}"#), Code::InvalidFrame, None);
        check(&format!(r#"{{"type":"read","seq":{value}}}"#), Code::InvalidFrame, None);
    }
    for value in ["\"true\"", "1", "0", "{}"] {
        check(&format!(r#"{{"type":"typing","active":{value}}}"#), Code::InvalidFrame, None);
        let text = format!(r#"{{"type":"message","temp_id":"a-1","content":"hi","resend":{value}}}"#);
        check(&text, Code::InvalidFrame, Some("a-1"));
    }
    for value in ["7", "\"poem\"", "\"system\"", "\"Text\"", "\"\""] {
        let text = format!(r#"{{"type":"message","temp_id":"a-1","content":"hi","message_type":{value}}}"#);
        check(&text, Code::InvalidFrame, Some("a-1"));
    }
    check(r#"{"type":"ping","nonce":7}"#, Code::InvalidFrame, None);
    check(r#"{"type":"auth","token":7}"#, Code::InvalidFrame, None);
}

#[test]
fn a_nonce_and_an_emoji_are_short() {
    let ping = |nonce: &str| format!(r#"{{"type":"ping","nonce":"{nonce}"}}"#);
    assert!(is_taken(&ping(&"👍".repeat(64))));
    check(&ping(&"x".repeat(65)), Code::InvalidFrame, None);
    let react =
        |emoji: &str| format!(r#"{{"type":"react","temp_id":"a-1","message_id":"{{message}}","emoji":"{emoji}"}}"#);
    for emoji in ["👍", "👩‍👩‍👧", "❤️", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"] {
        assert!(is_taken(&react(emoji)), "{emoji}");
    }
    for emoji in ["", " ", "a b", "\\u0000", "\\n", &"👍".repeat(17)] {
        check(&react(emoji), Code::InvalidFrame, Some("a-1"));
    }
}

#[test]
fn unknown_fields_are_ignored_whatever_they_hold() {
    for value in ["null", "[1,{}]", "\"x\"", "1e400", "{\"type\":\"leave\"}"] {
        assert!(is_taken(&format!(r#"{{"type":"ping","protocol":{value},"":1,"seq ":-1}}"#)), "{value}");
    }
    // Fields of other frames are checked for their form alone.
    assert!(is_taken(r#"{"type":"ping","content":"","temp_id":"","message_id":"none"}"#));
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    check(r#"{"type":"ping","type":"leave"}"#, Code::InvalidFrame, None);
    let text = r#"{"type":"message","temp_id":"a-1","content":"hi","content":"bye"}"#;
    check(text, Code::InvalidFrame, Some("a-1"));
    // Which of the two names is meant, nobody can know.
    check(r#"{"type":"message","temp_id":"a-1","temp_id":"a-2","content":"hi"}"#, Code::InvalidFrame, None);
    // Not even an escape hides the second.
    check(r#"{"type":"ping","nonce":"a","n\u006fnce":"b"}"#, Code::InvalidFrame, None);
    assert!(is_taken(r#"{"type":"ping","x":1,"x":2}"#));
}

#[test]
fn nesting_costs_no_stack() {
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    assert!(is_taken(&format!(r#"{{"type":"ping","x":{deep}}}"#)));
    let objects = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    assert!(is_taken(&format!(r#"{{"type":"ping","x":{objects}}}"#)));
    let content = format!(r#"{{"type":"message","temp_id":"a-1","content":{deep}}}"#);
    check(&content, Code::InvalidFrame, Some("a-1"));
    check(&format!(r#"{{"type":"message","content":"hi","temp_id":{deep}}}"#), Code::InvalidFrame, None);
    check(&"[".repeat(limit::FRAME_BYTES_MAX), Code::InvalidFrame, None);
    check(&"{\"type\":".repeat(8_000), Code::InvalidFrame, None);
}

#[test]
fn the_largest_frames_are_read_to_their_end() {
    let around = r#"{"type":"message","temp_id":"a-1","content":""}"#;
    let largest = around.replace(r#":"""#, &format!(":\"{}\"", "x".repeat(limit::FRAME_BYTES_MAX - around.len())));
    assert_eq!(largest.len(), limit::FRAME_BYTES_MAX);
    check(&largest, Code::ContentTooLong, Some("a-1"));
    // 4,000 characters fit even when every one of them is escaped as a pair of surrogates.
    let escaped = around.replace(r#":"""#, &format!(":\"{}\"", r"\ud83d\udc4d".repeat(4000)));
    assert!(escaped.len() < limit::FRAME_BYTES_MAX);
    let frame = ClientFrame::parse(&escaped);
    assert!(matches!(&frame, Ok(ClientFrame::Message { content, .. }) if content.as_str().chars().count() == 4000));
    let key = "k".repeat(limit::FRAME_BYTES_MAX - 20);
    assert!(is_taken(&format!(r#"{{"type":"ping","{key}":1}}"#)));
}

#[test]
fn a_refusal_names_the_room_and_never_what_was_said() {
    let bad = refusal(r#"{"type":"message","room_id":"{room}","temp_id":"a-1","content":""}"#);
    assert_eq!(bad.room_id.map(|room| room.to_string()).as_deref(), Some(ROOM));
    let bad = refusal(r#"{"type":"message","room_id":"{room}","temp_id":"a-1","content":7}"#);
    assert_eq!(bad.room_id.map(|room| room.to_string()).as_deref(), Some(ROOM));
    let bad = refusal(r#"{"type":"message","room_id":"lobby","temp_id":"a-1","content":"hi"}"#);
    assert_eq!((bad.room_id, bad.temp_id.as_deref()), (None, Some("a-1")));
    let texts = [
        r#"{"type":"auth","token":{"c4n4ry":"c4n4ry"}}"#,
        r#"{"type":"c4n4ry"}"#,
        r#"{"type":"message","temp_id":"a-1","content":"hi","message_type":"c4n4ry"}"#,
        r#"{"type":"message","temp_id":"a-1","content":["c4n4ry"]}"#,
        r#"{"type":"join","since":"c4n4ry"}"#,
        r#"{"type":"auth","token":"c4n4ry"#,
        r#"{"type":"auth","type":"c4n4ry"}"#,
    ];
    for text in texts {
        let bad = refusal(text);
        assert!(!bad.detail.contains(CANARY), "{text} is answered {:?}", bad.detail);
    }
}

/// Xorshift: the same mistakes in every run, so that one that was found is found again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let sides = u64::try_from(sides).expect("a usize fits");
        usize::try_from(self.0 % sides).expect("less than a usize")
    }

    /// Cuts, doubles, overwrites or swaps a few bytes of `text`.
    fn spoil(&mut self, text: &str, splinters: &[&str]) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=self.roll(3) {
            let at = self.roll(bytes.len().max(1)).min(bytes.len());
            let to = (at + 1 + self.roll(12)).min(bytes.len());
            match self.roll(5) {
                0 => drop(bytes.drain(at..to)),
                1 => {
                    let twice = bytes[at..to].to_vec();
                    drop(bytes.splice(at..at, twice));
                }
                2 => drop(bytes.splice(at..to, splinters[self.roll(splinters.len())].bytes())),
                3 => drop(bytes.splice(at..at, splinters[self.roll(splinters.len())].bytes())),
                _ => bytes[at..to].reverse(),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[test]
fn spoilt_frames_never_panic_and_are_refused_by_a_code_of_the_protocol() {
    let frames = [
        r#"{"type":"auth","token":"c4n4ry"}"#,
        r#"{"type":"join","room_id":"{room}","since":4711}"#,
        r#"{"type":"message","room_id":"{room}","temp_id":"a-1","content":"c4n4ry 안녕 👋","message_type":"image","reply_to_id":"{message}","resend":true}"#,
        r#"{"type":"edit","room_id":"{room}","temp_id":"a-2","message_id":"{message}","message_temp_id":"a-1","content":"c4n4ry"}"#,
        r#"{"type":"delete","room_id":"{room}","temp_id":"a-3","message_id":"{message}"}"#,
        r#"{"type":"react","room_id":"{room}","temp_id":"a-4","message_id":"{message}","emoji":"👍"}"#,
        r#"{"type":"read","room_id":"{room}","seq":4722}"#,
        r#"{"type":"typing","room_id":"{room}","active":true}"#,
        r#"{"type":"ping","nonce":"c4n4ry"}"#,
    ]
    .map(fill);
    let splinters = [
        "null",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "\\",
        "\\u0000",
        "\\ud800",
        ":",
        ",",
        "-1",
        "1e999",
        "\u{0}",
        "\u{feff}",
        "true",
        "\"thread_id\":1,",
        "\"type\":\"system\",",
        "*",
        ">",
    ];
    let codes = [
        Code::InvalidFrame,
        Code::UnknownType,
        Code::UnsupportedField,
        Code::InvalidTempId,
        Code::InvalidContent,
        Code::ContentTooLong,
    ];
    let mut dice = Dice(0x7469_6d69_6e67_6c65);
    let mut met = [0_usize; 7];
    for round in 0..20_000 {
        let text = dice.spoil(&frames[round % frames.len()], &splinters);
        let kind = match ClientFrame::parse(&text) {
            Ok(_) => codes.len(),
            Err(bad) => {
                assert!(!bad.detail.contains(CANARY), "{text} is answered {:?}", bad.detail);
                assert!(bad.temp_id.is_none_or(|temp_id| TempId::parse(&temp_id).is_ok()), "{text}");
                codes.iter().position(|code| *code == bad.code).expect("a code of this parser")
            }
        };
        met[kind] += 1;
    }
    // The dice reach every answer but one, whose frame they are too short for.
    let unmet: Vec<_> = codes.iter().zip(met).filter(|(_, times)| *times == 0).map(|(code, _)| *code).collect();
    assert_eq!(unmet, [Code::ContentTooLong], "{met:?}");
    assert!(met[codes.len()] > 0, "some spoilt frames are frames");
}
