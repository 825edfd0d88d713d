//! RFC 6455 over a real connection, against a server that is our codec and says everything back.

use gateway::codec::Rules;
use tokio::net::TcpListener;

use crate::raw::{Raw, client_frame};

#[path = "../../examples/echo/server.rs"]
mod server;

/// As the gateway takes them, and bytes too.
const RULES: Rules = Rules { message_bytes_max: 128 * 1024, takes_binary: true };

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// The beginning of a text in fragments, and its other pieces.
const FIRST: u8 = 0x01;
const NEXT: u8 = 0x00;
const LAST: u8 = 0x80;

/// How the connection ends, after what was said back.
type End = (u8, Vec<u8>);

/// A new connection to an echo server of its own.
async fn echo() -> Raw {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's own runtime")]
    drop(tokio::spawn(server::serve(listener, RULES)));
    let mut raw = Raw::connect(address).await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    raw.write(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{key}\r\n\r\n").as_bytes()).await;
    let answer = raw.answer().await;
    assert!(answer.head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{}", answer.head);
    raw
}

/// Writes all of `bytes` at once, then each byte by itself: both must be answered by `expected`, and by
/// nothing more before the connection ends.
async fn check(which: &str, bytes: &[u8], expected: &[End]) {
    let is_long = bytes.len() > 10_000;
    for size in if is_long { vec![bytes.len(), 4_001] } else { vec![bytes.len(), 1] } {
        let mut raw = echo().await;
        for piece in bytes.chunks(size.max(1)) {
            raw.write_or_gone(piece).await;
        }
        for (first, payload) in expected {
            let (found, found_payload) = raw.frame().await;
            assert_eq!(found, *first, "{which}, in pieces of {size}");
            assert!(found_payload == *payload, "{which}, in pieces of {size}: {} bytes", found_payload.len());
        }
        if expected.last().is_some_and(|(first, _)| *first == CLOSE) {
            raw.end().await;
            assert!(raw.rest.is_empty(), "{which}: after its close frame the server says nothing");
        }
    }
}

fn closes(code: u16, reason: &str) -> End {
    (CLOSE, [&code.to_be_bytes(), reason.as_bytes()].concat())
}

fn broken() -> End {
    closes(1002, "broken_framing")
}

fn not_utf8() -> End {
    closes(1007, "not_utf8")
}

fn joined(frames: &[(u8, &[u8])]) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| client_frame(*first, payload)).collect()
}

#[tokio::test]
async fn messages_of_every_size_go_back_as_they_came() {
    for len in [0, 1, 125, 126, 127, 128, 65_535, 65_536, RULES.message_bytes_max] {
        let payload = vec![b'*'; len];
        for first in [TEXT, BINARY] {
            check(&format!("{len} bytes"), &client_frame(first, &payload), &[(first, payload.clone())]).await;
        }
    }
    let too_big = vec![b'*'; RULES.message_bytes_max + 1];
    check("a byte too many", &client_frame(TEXT, &too_big), &[closes(1009, "too_big")]).await;
    let half = &too_big[..=RULES.message_bytes_max / 2];
    check("too many in pieces", &joined(&[(FIRST, half), (LAST, half)]), &[closes(1009, "too_big")]).await;
}

#[tokio::test]
async fn every_byte_of_a_message_of_bytes_goes_back() {
    let all: Vec<u8> = (0..=255).collect();
    check("all bytes", &client_frame(BINARY, &all), &[(BINARY, all.clone())]).await;
    let (first, last) = all.split_at(200);
    check("in pieces", &joined(&[(0x02, first), (LAST, last)]), &[(BINARY, all.clone())]).await;
}

#[tokio::test]
async fn pings_are_answered_in_order_and_pongs_are_not() {
    check("a ping", &client_frame(PING, b""), &[(PONG, Vec::new())]).await;
    check("with a payload", &client_frame(PING, b"\x00\xff\xfe"), &[(PONG, b"\x00\xff\xfe".into())]).await;
    let longest = vec![0xfe; 125];
    check("as long as may be", &client_frame(PING, &longest), &[(PONG, longest.clone())]).await;
    check("too long", &client_frame(PING, &[0; 126]), &[broken()]).await;
    check("a pong for nothing", &joined(&[(PONG, b"x"), (PING, b"y")]), &[(PONG, b"y".into())]).await;
    let ten: Vec<_> = (0..10_u8).flat_map(|n| client_frame(PING, &[n])).collect();
    check("ten", &ten, &(0..10).map(|n| (PONG, vec![n])).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn reserved_bits_and_opcodes_are_refused() {
    for bits in 1..=7_u8 {
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
            let frame = client_frame(opcode | bits << 4, b"");
            check(&format!("bits {bits} on {opcode:#x}"), &frame, &[broken()]).await;
        }
    }
    for opcode in (3..=7).chain(11..=15) {
        check(&format!("opcode {opcode}"), &client_frame(0x80 | opcode, b"x"), &[broken()]).await;
    }
    let late = joined(&[(TEXT, b"fine"), (0xc1, b"x"), (PING, b"not answered")]);
    check("after something good", &late, &[(TEXT, b"fine".into()), broken()]).await;
}

#[tokio::test]
async fn fragments_are_joined_and_control_frames_pass_between_them() {
    let bytes =
        joined(&[(FIRST, b"one "), (PING, b"now"), (NEXT, b""), (NEXT, b"two "), (PONG, b"?"), (LAST, b"three")]);
    check("five pieces", &bytes, &[(PONG, b"now".into()), (TEXT, b"one two three".into())]).await;
    check("empty pieces", &joined(&[(FIRST, b""), (NEXT, b""), (LAST, b"")]), &[(TEXT, Vec::new())]).await;
    let two = joined(&[(FIRST, b"a"), (LAST, b"b"), (FIRST, b"c"), (LAST, b"d")]);
    check("two messages", &two, &[(TEXT, b"ab".into()), (TEXT, b"cd".into())]).await;
    for (which, bytes) in [
        ("a control frame in pieces", joined(&[(0x09, b"x"), (LAST, b"y")])),
        ("a pong in pieces", joined(&[(0x0a, b"x")])),
        ("a close in pieces", joined(&[(0x08, b"")])),
        ("a continuation of nothing", joined(&[(LAST, b"x")])),
        ("a beginning of a continuation of nothing", joined(&[(NEXT, b"x")])),
        ("a second beginning", joined(&[(FIRST, b"x"), (TEXT, b"y")])),
        ("a second beginning in bytes", joined(&[(FIRST, b"x"), (BINARY, b"y")])),
    ] {
        check(which, &bytes, &[broken()]).await;
    }
    let after = joined(&[(FIRST, b"x"), (LAST, b"y"), (LAST, b"z")]);
    check("a continuation of what is over", &after, &[(TEXT, b"xy".into()), broken()]).await;
}

#[tokio::test]
async fn text_is_utf8_across_its_fragments() {
    let text = "κόσμε 안녕 👋";
    for at in 0..=text.len() {
        let (first, last) = text.as_bytes().split_at(at);
        let bytes = joined(&[(FIRST, first), (PING, b""), (LAST, last)]);
        check(&format!("cut at {at}"), &bytes, &[(PONG, Vec::new()), (TEXT, text.into())]).await;
    }
    for good in ["\u{0}", "\u{7f}", "\u{80}", "\u{7ff}", "\u{800}", "\u{fffd}", "\u{ffff}", "\u{10000}", "\u{10ffff}"] {
        check("an edge", &client_frame(TEXT, good.as_bytes()), &[(TEXT, good.into())]).await;
    }
    let bad: [&[u8]; 11] = [
        b"\x80",
        b"\xbf",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x80\x80\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xff",
    ];
    for bad in bad {
        check(&format!("{bad:x?}"), &client_frame(TEXT, bad), &[not_utf8()]).await;
        check(&format!("{bad:x?} as bytes"), &client_frame(BINARY, bad), &[(BINARY, bad.into())]).await;
    }
    check("a character that never ends", &client_frame(TEXT, b"x\xed\x95"), &[not_utf8()]).await;
    let cut = joined(&[(FIRST, b"x\xed"), (LAST, b"y")]);
    check("a character that goes on wrongly", &cut, &[not_utf8()]).await;
}

/// The rest of the message has not come, and need not.
#[tokio::test]
async fn what_can_never_be_text_is_refused_before_the_rest_has_come() {
    let unfinished = client_frame(FIRST, b"fine so far \xf4\x90");
    check("at the end of a piece", &unfinished, &[not_utf8()]).await;
    let whole = client_frame(TEXT, &[b"x\xff".as_slice(), &[b'x'; 1_000]].concat());
    check("within a frame", &whole[..20], &[not_utf8()]).await;
    let declared = client_frame(TEXT, &vec![b'x'; RULES.message_bytes_max + 1]);
    check("too big by its head", &declared[..14], &[closes(1009, "too_big")]).await;
    check("a close too long by its head", &client_frame(CLOSE, &[3; 200])[..8], &[broken()]).await;
}

#[tokio::test]
async fn every_close_code_is_taken_or_refused_as_the_rfc_says() {
    let good = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999_u16];
    for code in good {
        let frame = client_frame(CLOSE, &code.to_be_bytes().iter().chain(b"why").copied().collect::<Vec<_>>());
        check(&format!("close {code}"), &frame, &[closes(code, "")]).await;
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535_u16] {
        check(&format!("close {code}"), &client_frame(CLOSE, &code.to_be_bytes()), &[broken()]).await;
    }
    check("without a code", &client_frame(CLOSE, b""), &[closes(1000, "bye")]).await;
    check("half a code", &client_frame(CLOSE, b"\x03"), &[broken()]).await;
    let longest = [&1000_u16.to_be_bytes()[..], &[b'*'; 123]].concat();
    check("the longest reason", &client_frame(CLOSE, &longest), &[closes(1000, "")]).await;
    check("a longer one", &client_frame(CLOSE, &[&longest[..], b"*"].concat()), &[broken()]).await;
    let reason = [&1000_u16.to_be_bytes()[..], b"\xce\xba\xff"].concat();
    check("a reason that is no text", &client_frame(CLOSE, &reason), &[not_utf8()]).await;
}

#[tokio::test]
async fn after_a_close_nothing_is_answered() {
    let bye = 1000_u16.to_be_bytes();
    for (which, after) in [
        ("a ping", client_frame(PING, b"?")),
        ("a message", client_frame(TEXT, b"?")),
        ("another close", client_frame(CLOSE, &bye)),
        ("nonsense", vec![0xff; 20]),
    ] {
        let bytes = [client_frame(CLOSE, &bye), after].concat();
        check(which, &bytes, &[closes(1000, "")]).await;
    }
    let amid = joined(&[(FIRST, b"half"), (CLOSE, &bye), (LAST, b"the other half")]);
    check("a close amid a message", &amid, &[closes(1000, "")]).await;
}

#[tokio::test]
async fn lengths_take_as_few_bytes_as_they_can_and_frames_are_masked() {
    let mask = [7, 1, 8, 2];
    let frame = |len: &[u8], payload: usize| [&[TEXT], len, &mask, &vec![0; payload]].concat();
    check("5 in two bytes", &frame(&[0xfe, 0, 5], 5), &[broken()]).await;
    check("125 in two bytes", &frame(&[0xfe, 0, 125], 125), &[broken()]).await;
    check("126 in eight bytes", &frame(&[0xff, 0, 0, 0, 0, 0, 0, 0, 126], 126), &[broken()]).await;
    check("65,535 in eight bytes", &frame(&[0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 10), &[broken()]).await;
    check("the highest bit", &frame(&[0xff, 0x80, 0, 0, 0, 0, 1, 0, 0], 10), &[broken()]).await;
    check("without a mask", &[TEXT, 2, b'h', b'i'], &[broken()]).await;
    check("a ping without a mask", &[PING, 0], &[broken()]).await;
    check("a long one without a mask", &[TEXT, 126, 1, 0], &[broken()]).await;
    // A mask of nothing is a mask.
    check("masked with zeros", &[TEXT, 0x82, 0, 0, 0, 0, b'h', b'i'], &[(TEXT, b"hi".into())]).await;
}

#[tokio::test]
async fn frames_that_come_together_are_answered_one_by_one() {
    let many: Vec<u8> = (0..1_000).flat_map(|n| client_frame(TEXT, format!("message {n}").as_bytes())).collect();
    let expected: Vec<End> = (0..1_000).map(|n| (TEXT, format!("message {n}").into())).collect();
    check("a thousand at once", &many, &expected).await;
    let mixed = joined(&[(TEXT, b"a"), (PING, b"b"), (BINARY, b"c"), (FIRST, b"d"), (PING, b"e"), (LAST, b"f")]);
    let answers: [(u8, &[u8]); 5] = [(TEXT, b"a"), (PONG, b"b"), (BINARY, b"c"), (PONG, b"e"), (TEXT, b"df")];
    check("of every kind", &mixed, &answers.map(|(first, payload)| (first, payload.to_vec()))).await;
}

#[tokio::test]
async fn a_frame_may_be_cut_anywhere() {
    let payload = "안녕".repeat(70);
    let bytes = joined(&[(PING, b"before"), (FIRST, payload.as_bytes()), (LAST, b"."), (PING, b"after")]);
    for at in 0..bytes.len() {
        let mut raw = echo().await;
        let (first, second) = bytes.split_at(at);
        raw.write(first).await;
        // The server meets the first piece by itself.
        tokio::task::yield_now().await;
        raw.write(second).await;
        assert_eq!(raw.frame().await, (PONG, b"before".into()), "cut at {at}");
        assert_eq!(raw.frame().await, (TEXT, format!("{payload}.").into()), "cut at {at}");
        assert_eq!(raw.frame().await, (PONG, b"after".into()), "cut at {at}");
    }
}
