//! The codec against random bytes, and against good streams with random bytes wrong: the same from the same
//! seed, so that what fails once fails again.

use std::collections::VecDeque;

use gateway::codec::{Incoming, Reader, Rules};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use schema::frame::{close::CloseReason, limit};

use crate::raw::client_frame;

/// Streams of each kind.
const STREAMS: u64 = 4_000;

/// What a reader makes of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    read: Vec<Incoming>,
    broken: Option<CloseReason>,
}

/// Feeds a stream in the pieces that `next_len` says, checking what is held after each.
fn feed(stream: &[u8], rules: Rules, mut next_len: impl FnMut() -> usize) -> Outcome {
    let mut reader = Reader::new(rules);
    let mut out = VecDeque::new();
    let mut rest = stream;
    let mut broken = None;
    while !rest.is_empty() && broken.is_none() {
        let (piece, later) = rest.split_at(next_len().clamp(1, rest.len()));
        rest = later;
        broken = reader.feed(&mut piece.to_vec(), &mut out).err();
        // A message, and a control frame between its pieces.
        let held_max = rules.message_bytes_max + 2 * 125;
        assert!(reader.held_bytes() <= held_max, "{} bytes are held", reader.held_bytes());
    }
    for message in &out {
        let len = match message {
            Incoming::Text(text) => text.len(),
            Incoming::Binary(bytes) => bytes.len(),
            Incoming::Ping(payload) => payload.len(),
            Incoming::Pong | Incoming::Close(_) => 0,
        };
        assert!(len <= rules.message_bytes_max, "a message of {len} bytes");
    }
    let is_closed_before_the_end = out.iter().rev().skip(1).any(|message| matches!(message, Incoming::Close(_)));
    assert!(!is_closed_before_the_end, "something was read after a close");
    Outcome { read: out.into(), broken }
}

/// However it is cut, a stream means the same.
fn check(seed: u64, stream: &[u8]) {
    let strict = Rules::default();
    let tight = Rules { message_bytes_max: 300, takes_binary: true };
    assert_eq!(strict.message_bytes_max, limit::FRAME_BYTES_MAX);
    for rules in [strict, tight] {
        let whole = feed(stream, rules, || usize::MAX);
        let mut dice = StdRng::seed_from_u64(seed);
        for longest in [1, 3, 20, 5_000] {
            let cut = feed(stream, rules, || dice.random_range(1..=longest));
            assert_eq!(cut, whole, "seed {seed}, in pieces of at most {longest}, by {rules:?}");
        }
    }
}

/// A few frames that fit together: messages in pieces, control frames between, and now and then a close.
fn good_stream(dice: &mut StdRng) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..dice.random_range(1..6) {
        let text = "né 한👋".repeat(dice.random_range(0..40));
        let (opcode, bytes) =
            if dice.random_bool(0.8) { (1, text.into_bytes()) } else { (2, dice.random::<[u8; 16]>().to_vec()) };
        let pieces = dice.random_range(1..5_usize);
        let size = bytes.len().div_ceil(pieces).max(1);
        let count = bytes.chunks(size).len().max(1);
        for n in 0..count {
            let piece = bytes.chunks(size).nth(n).unwrap_or_default();
            let first = if n == 0 { opcode } else { 0 } | if n + 1 == count { 0x80 } else { 0 };
            stream.extend(client_frame(first, piece));
            if dice.random_bool(0.3) {
                let len = dice.random_range(0..=125);
                stream.extend(client_frame(if dice.random() { 0x89 } else { 0x8a }, &vec![b'p'; len]));
            }
        }
    }
    if dice.random_bool(0.3) {
        stream.extend(client_frame(0x88, &dice.random_range(990..1020_u16).to_be_bytes()));
    }
    stream
}

#[test]
fn random_bytes_are_refused_and_never_more() {
    for seed in 0..STREAMS {
        let mut dice = StdRng::seed_from_u64(seed);
        let len = dice.random_range(0..400);
        let stream: Vec<u8> = (0..len).map(|_| dice.random()).collect();
        check(seed, &stream);
    }
}

#[test]
fn good_streams_with_bytes_wrong_mean_the_same_however_they_are_cut() {
    for seed in 0..STREAMS {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut stream = good_stream(&mut dice);
        for _ in 0..dice.random_range(0..4) {
            let at = dice.random_range(0..stream.len());
            match dice.random_range(0..4) {
                0 => stream[at] = dice.random(),
                1 => stream[at] ^= 1 << dice.random_range(0..8),
                2 => drop(stream.drain(at..(at + dice.random_range(1..5)).min(stream.len()))),
                _ => stream.insert(at, dice.random()),
            }
            if stream.is_empty() {
                break;
            }
        }
        check(seed, &stream);
    }
}

#[test]
fn a_message_that_never_ends_holds_no_more_than_a_message_may_have() {
    for seed in 0..20 {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut stream = client_frame(0x01, b"");
        while stream.len() < 3 * limit::FRAME_BYTES_MAX {
            stream.extend(client_frame(0x00, &vec![b'x'; dice.random_range(0..4_000)]));
        }
        let outcome = feed(&stream, Rules::default(), || dice.random_range(1..10_000));
        assert_eq!(outcome, Outcome { read: Vec::new(), broken: Some(CloseReason::TooBig) });
    }
}
