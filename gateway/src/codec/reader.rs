//! Turns the bytes of one socket into messages. Holds nothing while no frame is half read.

use std::collections::VecDeque;

use schema::frame::{close::CloseReason, limit};

use super::{
    frame::Opcode,
    head::{Head, HeadBytes},
    message::Message,
};

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A whole text message, its fragments joined.
    Text(String),
    /// A whole message of bytes, where the rules take them.
    Binary(Vec<u8>),
    /// Are you there?
    Ping(Vec<u8>),
    /// An answer to a ping: proof of life.
    Pong,
    /// The client ends the conversation, with this code if it gave one.
    Close(Option<u16>),
}

/// What a reader takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The most bytes of a whole message, its fragments together.
    pub message_bytes_max: usize,
    /// Whether messages may be bytes and not text.
    pub takes_binary: bool,
}

impl Default for Rules {
    /// The gateway's own.
    fn default() -> Self {
        Self { message_bytes_max: limit::FRAME_BYTES_MAX, takes_binary: false }
    }
}

/// Reads the frames of one socket.
#[derive(Debug, Default)]
pub struct Reader {
    rules: Rules,
    /// What is half read; none between frames of no message.
    half: Option<Box<Half>>,
    /// Whether the client has closed, or broke something: nothing after that means anything.
    has_ended: bool,
}

/// What is half read.
#[derive(Debug, Default)]
struct Half {
    head: HeadBytes,
    frame: Option<Frame>,
    /// The pieces so far of a message in fragments; none between messages.
    message: Option<Message>,
}

/// A frame whose payload is arriving.
#[derive(Debug)]
struct Frame {
    head: Head,
    left: usize,
    /// The payload so far of a control frame; a message's goes to the message.
    control: Vec<u8>,
}

impl Reader {
    /// A reader with rules of its own.
    pub const fn new(rules: Rules) -> Self {
        Self { rules, half: None, has_ended: false }
    }

    /// Takes `bytes` off the wire and adds every message that is whole to `out`. After an error, or after
    /// the client's close, whatever else comes is not looked at.
    pub fn feed(&mut self, bytes: &mut [u8], out: &mut VecDeque<Incoming>) -> Result<(), CloseReason> {
        if self.has_ended {
            return Ok(());
        }
        // Most reads begin and end between two frames: then nothing is allocated.
        let mut half = self.half.take().map_or_else(Half::default, |half| *half);
        match half.read(bytes, self.rules, out) {
            Ok(has_closed) => {
                self.has_ended = has_closed;
                if !has_closed && !half.is_empty() {
                    self.half = Some(Box::new(half));
                }
                Ok(())
            }
            Err(reason) => {
                self.has_ended = true;
                Err(reason)
            }
        }
    }

    /// How many payload bytes it holds room for, for what is half read.
    pub fn held_bytes(&self) -> usize {
        let Some(half) = &self.half else { return 0 };
        let of_frame = half.frame.as_ref().map_or(0, |frame| frame.control.capacity());
        of_frame + half.message.as_ref().map_or(0, Message::capacity)
    }
}

impl Half {
    const fn is_empty(&self) -> bool {
        self.head.is_empty() && self.frame.is_none() && self.message.is_none()
    }

    /// Reads on; says whether the client has closed.
    fn read(&mut self, mut bytes: &mut [u8], rules: Rules, out: &mut VecDeque<Incoming>) -> Result<bool, CloseReason> {
        loop {
            let frame = if let Some(frame) = &mut self.frame {
                frame
            } else {
                let Some((byte, rest)) = bytes.split_first_mut() else { return Ok(false) };
                bytes = rest;
                let Some(head) = self.head.push(*byte)? else { continue };
                self.begin(&head, rules)?;
                self.frame.insert(Frame { left: head.payload_len, head, control: Vec::new() })
            };
            let len = frame.left.min(bytes.len());
            let (piece, rest) = std::mem::take(&mut bytes).split_at_mut(len);
            bytes = rest;
            unmask(piece, frame.head.mask);
            frame.head.mask.rotate_left(len % 4);
            frame.left -= len;
            if frame.head.opcode.is_control() {
                frame.control.extend_from_slice(piece);
            } else if let Some(message) = &mut self.message {
                message.push(piece, rules.message_bytes_max)?;
            }
            if frame.left > 0 {
                return Ok(false);
            }
            if let Some(frame) = self.frame.take()
                && let Some(incoming) = self.finish(frame)?
            {
                let has_closed = matches!(incoming, Incoming::Close(_));
                out.push_back(incoming);
                if has_closed {
                    return Ok(true);
                }
            }
        }
    }

    /// Refuses what the head alone proves wrong, before its payload has arrived.
    fn begin(&mut self, head: &Head, rules: Rules) -> Result<(), CloseReason> {
        if head.opcode.is_control() {
            let fits = head.is_final && head.payload_len <= Opcode::CONTROL_BYTES_MAX;
            return if fits { Ok(()) } else { Err(CloseReason::BrokenFraming) };
        }
        let message = match (head.opcode, &mut self.message) {
            (Opcode::Continuation, Some(message)) => message,
            (Opcode::Text, message @ None) => message.insert(Message::text()),
            (Opcode::Binary, message @ None) if rules.takes_binary => message.insert(Message::binary()),
            (Opcode::Binary, None) => return Err(CloseReason::Unsupported),
            _ => return Err(CloseReason::BrokenFraming),
        };
        let fits = head.payload_len <= rules.message_bytes_max.saturating_sub(message.len());
        if fits { Ok(()) } else { Err(CloseReason::TooBig) }
    }

    /// What a whole frame makes whole.
    fn finish(&mut self, frame: Frame) -> Result<Option<Incoming>, CloseReason> {
        match frame.head.opcode {
            Opcode::Ping => Ok(Some(Incoming::Ping(frame.control))),
            Opcode::Pong => Ok(Some(Incoming::Pong)),
            Opcode::Close => Ok(Some(Incoming::Close(close_code(&frame.control)?))),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                self.message.take_if(|_| frame.head.is_final).map(Message::finish).transpose()
            }
        }
    }
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
        check(&[0x81, 0xfe, 0, 1, 1, 2, 3, 4, 0], &broken); // a length in more bytes than it needs
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
