//! One frame's head, printed and parsed.

use bytes::{BufMut, Bytes, BytesMut};
use schema::frame::close::CloseReason;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// The next piece of a message.
    Continuation,
    /// A message, or its first piece, in UTF-8.
    Text,
    /// The same in bytes.
    Binary,
    /// The end.
    Close,
    /// Are you there?
    Ping,
    /// I am.
    Pong,
}

impl Opcode {
    /// The most payload bytes of a control frame.
    pub const CONTROL_BYTES_MAX: usize = 125;

    pub(super) const fn parse(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    pub(super) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A whole server frame: the same bytes for every socket.
pub fn encode(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + 10);
    frame.put_u8(0x80 | opcode.bits());
    if let Ok(len) = u8::try_from(payload.len())
        && len < 126
    {
        frame.put_u8(len);
    } else if let Ok(len) = u16::try_from(payload.len()) {
        frame.put_u8(126);
        frame.put_u16(len);
    } else {
        frame.put_u8(127);
        frame.put_u64(u64::try_from(payload.len()).unwrap_or(u64::MAX));
    }
    frame.put_slice(payload);
    frame.freeze()
}

/// A close frame with its code and reason.
pub fn close_frame(reason: CloseReason) -> Bytes {
    let mut payload = BytesMut::with_capacity(Opcode::CONTROL_BYTES_MAX);
    payload.put_u16(reason.code());
    payload.put_slice(reason.as_str().as_bytes());
    encode(Opcode::Close, &payload)
}

/// How long the first of these whole server frames is; the length of all, should they be no frames.
pub fn first_frame_len(frames: &[u8]) -> usize {
    let len = match frames {
        [_, len @ 0..=125, ..] => 2 + usize::from(*len),
        [_, 126, a, b, ..] => 4 + usize::from(u16::from_be_bytes([*a, *b])),
        [_, 127, rest @ ..] => rest.first_chunk().map_or(usize::MAX, |len| {
            usize::try_from(u64::from_be_bytes(*len)).map_or(usize::MAX, |len| len.saturating_add(10))
        }),
        _ => usize::MAX,
    };
    len.min(frames.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_class_has_its_own_head_and_is_measured_back() {
        let check = |len: usize, head: &[u8]| {
            let frame = encode(Opcode::Text, &vec![b'x'; len]);
            assert!(frame.starts_with(head), "{len}");
            assert_eq!(frame.len(), head.len() + len);
            let two = [frame.as_ref(), frame.as_ref()].concat();
            assert_eq!(first_frame_len(&two), frame.len());
        };
        check(0, &[0x81, 0]);
        check(125, &[0x81, 125]);
        check(126, &[0x81, 126, 0, 126]);
        check(65_535, &[0x81, 126, 0xff, 0xff]);
        check(65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_close_frame_carries_its_code() {
        assert!(close_frame(CloseReason::SlowConsumer).starts_with(&[0x88, 15, 0x0f, 0xa1]));
    }
}
