//! Turns the bytes of one socket into messages. Holds nothing while no frame is half read.

use std::collections::VecDeque;

use schema::frame::{close::CloseReason, limit};

use super::frame::Opcode;

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A whole text message, its fragments joined.
    Text(String),
    /// Are you there?
    Ping(Vec<u8>),
    /// An answer to a ping: proof of life.
    Pong,
    /// The client ends the conversation, with this code if it gave one.
    Close(Option<u16>),
}

/// Reads the frames of one socket.
#[derive(Debug, Default)]
pub struct Reader {
    /// Bytes of a frame that is not whole yet.
    partial: Vec<u8>,
    /// The pieces so far of a message in fragments; `None` between messages.
    fragments: Option<Vec<u8>>,
}

struct Head {
    is_final: bool,
    opcode: Opcode,
    mask: [u8; 4],
    /// Where the payload begins and how long it is.
    payload_at: usize,
    payload_len: usize,
}

impl Reader {
    /// Takes `bytes` off the wire and adds every message that is whole to `out`. After an error the
    /// socket is beyond repair.
    pub fn feed(&mut self, bytes: &mut [u8], out: &mut VecDeque<Incoming>) -> Result<(), CloseReason> {
        if self.partial.is_empty() {
            let used = self.drain(bytes, out)?;
            self.partial.extend_from_slice(bytes.get(used..).unwrap_or_default());
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.partial);
        joined.extend_from_slice(bytes);
        let used = self.drain(&mut joined, out)?;
        if used < joined.len() {
            joined.drain(..used);
            self.partial = joined;
        }
        Ok(())
    }

    /// Reads whole frames from the front of `bytes`; says how many bytes they were.
    fn drain(&mut self, bytes: &mut [u8], out: &mut VecDeque<Incoming>) -> Result<usize, CloseReason> {
        let mut at = 0;
        while let Some(rest) = bytes.get_mut(at..)
            && let Some(head) = parse_head(rest)?
        {
            self.check(&head)?;
            let end = head.payload_at + head.payload_len;
            let Some(payload) = rest.get_mut(head.payload_at..end) else { break };
            unmask(payload, head.mask);
            self.take(&head, payload, out)?;
            at += end;
        }
        Ok(at)
    }

    /// Refuses what the head alone proves wrong, before its payload has arrived.
    fn check(&self, head: &Head) -> Result<(), CloseReason> {
        if head.opcode.is_control() {
            let fits = head.is_final && head.payload_len <= Opcode::CONTROL_BYTES_MAX;
            return if fits { Ok(()) } else { Err(CloseReason::BrokenFraming) };
        }
        match (head.opcode, &self.fragments) {
            (Opcode::Binary, None) => return Err(CloseReason::Unsupported),
            (Opcode::Continuation, Some(_)) | (Opcode::Text, None) => {}
            _ => return Err(CloseReason::BrokenFraming),
        }
        let so_far = self.fragments.as_ref().map_or(0, Vec::len);
        if so_far + head.payload_len > limit::FRAME_BYTES_MAX { Err(CloseReason::TooBig) } else { Ok(()) }
    }

    fn take(&mut self, head: &Head, payload: &[u8], out: &mut VecDeque<Incoming>) -> Result<(), CloseReason> {
        match head.opcode {
            Opcode::Ping => out.push_back(Incoming::Ping(payload.to_vec())),
            Opcode::Pong => out.push_back(Incoming::Pong),
            Opcode::Close => out.push_back(Incoming::Close(close_code(payload)?)),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                let mut message = self.fragments.take().unwrap_or_default();
                message.extend_from_slice(payload);
                if head.is_final {
                    let text = String::from_utf8(message).map_err(|_invalid| CloseReason::NotUtf8)?;
                    out.push_back(Incoming::Text(text));
                } else {
                    self.fragments = Some(message);
                }
            }
        }
        Ok(())
    }
}

/// `None` until the head is whole.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, CloseReason> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let opcode = Opcode::parse(first & 0x0F).ok_or(CloseReason::BrokenFraming)?;
    let has_reserved_bits = first & 0x70 != 0;
    let is_masked = second & 0x80 != 0;
    if has_reserved_bits || !is_masked {
        return Err(CloseReason::BrokenFraming);
    }
    let (payload_len, len_bytes) = match second & 0x7F {
        126 => (rest.first_chunk().map(|len| u64::from(u16::from_be_bytes(*len))), 2),
        127 => (rest.first_chunk().map(|len| u64::from_be_bytes(*len)), 8),
        len => (Some(u64::from(len)), 0),
    };
    let Some(payload_len) = payload_len else { return Ok(None) };
    // No message may be so long that the addition below could overflow.
    let payload_len = usize::try_from(payload_len).map_err(|_too_long| CloseReason::TooBig)?;
    if payload_len > usize::MAX / 2 {
        return Err(CloseReason::BrokenFraming);
    }
    let Some(mask) = rest.get(len_bytes..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
    let is_final = first & 0x80 != 0;
    Ok(Some(Head { is_final, opcode, mask: *mask, payload_at: 2 + len_bytes + 4, payload_len }))
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let (words, rest) = payload.as_chunks_mut::<4>();
    let mask_word = u32::from_ne_bytes(mask);
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ mask_word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// The code of a close frame; wrong codes and reasons are broken framing (RFC 6455, 7.4 and 8.1).
fn close_code(payload: &[u8]) -> Result<Option<u16>, CloseReason> {
    match payload {
        [] => Ok(None),
        [a, b, reason @ ..] => {
            let code = u16::from_be_bytes([*a, *b]);
            let is_valid = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            if std::str::from_utf8(reason).is_err() {
                return Err(CloseReason::NotUtf8);
            }
            if is_valid { Ok(Some(code)) } else { Err(CloseReason::BrokenFraming) }
        }
        [_] => Err(CloseReason::BrokenFraming),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            len @ 0..=125 => bytes.push(0x80 | u8::try_from(len).expect("small")),
            len @ 126..=0xffff => {
                bytes.push(0xfe);
                bytes.extend(u16::try_from(len).expect("fits").to_be_bytes());
            }
            len => {
                bytes.push(0xff);
                bytes.extend(u64::try_from(len).expect("fits").to_be_bytes());
            }
        }
        bytes.extend(MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// Feeds the bytes in pieces of every size from one to all: the answer must not depend on it.
    fn check(bytes: &[u8], expected: &Result<Vec<Incoming>, CloseReason>) {
        let sizes = [1, 2, 3, 7, 64, 1000, bytes.len().max(1)];
        for size in sizes {
            let mut reader = Reader::default();
            let mut out = VecDeque::new();
            let fed = bytes.chunks(size).try_for_each(|piece| reader.feed(&mut piece.to_vec(), &mut out));
            let found = fed.map(|()| Vec::from(out));
            assert_eq!(&found, expected, "in pieces of {size}");
        }
    }

    fn text(text: &str) -> Incoming {
        Incoming::Text(text.into())
    }

    #[test]
    fn messages_of_every_size_class_are_read() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536] {
            let payload = "a".repeat(len);
            check(&frame(0x81, payload.as_bytes()), &Ok(vec![text(&payload)]));
        }
    }

    #[test]
    fn fragments_are_joined_with_control_frames_between_them() {
        let (first, second) = "안녕".as_bytes().split_at(4);
        let bytes = [frame(0x01, first), frame(0x89, b"p"), frame(0x80, second), frame(0x8a, b"")].concat();
        check(&bytes, &Ok(vec![Incoming::Ping(b"p".to_vec()), text("안녕"), Incoming::Pong]));
    }

    #[test]
    fn broken_framing_is_refused() {
        let broken = Err(CloseReason::BrokenFraming);
        check(&frame(0xc1, b"x"), &broken); // a reserved bit
        check(&frame(0x83, b"x"), &broken); // a reserved opcode
        check(&[0x81, 1, b'x'], &broken); // no mask
        check(&frame(0x80, b"x"), &broken); // a continuation of nothing
        check(&[frame(0x01, b"x"), frame(0x81, b"y")].concat(), &broken); // a second beginning
        check(&frame(0x09, b"x"), &broken); // a control frame in pieces
        check(&frame(0x89, &[0; 126]), &broken); // a control frame too long
        check(&frame(0x88, &[3]), &broken); // half a close code
        check(&frame(0x88, &1005_u16.to_be_bytes()), &broken); // a code that never travels
    }

    #[test]
    fn what_is_too_big_or_no_text_is_refused_by_its_own_code() {
        let too_big = limit::FRAME_BYTES_MAX + 1;
        check(&frame(0x81, &vec![b'x'; too_big]), &Err(CloseReason::TooBig));
        let half = vec![b'x'; limit::FRAME_BYTES_MAX / 2 + 1];
        check(&[frame(0x01, &half), frame(0x80, &half)].concat(), &Err(CloseReason::TooBig));
        check(&frame(0x81, b"\xff\xfe"), &Err(CloseReason::NotUtf8));
        check(&frame(0x82, b"x"), &Err(CloseReason::Unsupported));
    }

    #[test]
    fn a_close_is_read_with_and_without_a_code() {
        check(&frame(0x88, b""), &Ok(vec![Incoming::Close(None)]));
        check(&frame(0x88, &1000_u16.to_be_bytes()), &Ok(vec![Incoming::Close(Some(1000))]));
    }
}
