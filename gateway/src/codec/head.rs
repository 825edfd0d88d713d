//! The head of a client's frame: parsed byte by byte, so that what is wrong is known at its first wrong byte
//! however the wire cuts it.

use schema::frame::close::CloseReason;

use super::frame::Opcode;

/// What a frame says of itself before its payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) is_final: bool,
    pub(super) opcode: Opcode,
    pub(super) mask: [u8; 4],
    pub(super) payload_len: usize,
}

/// The bytes of a head that is not whole yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadBytes {
    bytes: [u8; Self::MAX],
    len: usize,
}

impl HeadBytes {
    /// Two bytes, eight of a length, four of a mask.
    const MAX: usize = 14;

    /// Whether no head has begun.
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes one more byte; the head once it is whole.
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<Head>, CloseReason> {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
        let head = parse(self.bytes.get(..self.len).unwrap_or_default())?;
        if head.is_some() {
            self.len = 0;
        }
        Ok(head)
    }
}

/// `None` until the head is whole. RFC 6455, 5.2: no extension is agreed, so no reserved bit is set; a client
/// masks; a length takes as few bytes as it can.
fn parse(bytes: &[u8]) -> Result<Option<Head>, CloseReason> {
    let [first, rest @ ..] = bytes else { return Ok(None) };
    let opcode = Opcode::parse(first & 0x0F).ok_or(CloseReason::BrokenFraming)?;
    let has_reserved_bits = first & 0x70 != 0;
    if has_reserved_bits {
        return Err(CloseReason::BrokenFraming);
    }
    let [second, rest @ ..] = rest else { return Ok(None) };
    let is_masked = second & 0x80 != 0;
    if !is_masked {
        return Err(CloseReason::BrokenFraming);
    }
    let (payload_len, len_min, len_bytes) = match second & 0x7F {
        126 => (rest.first_chunk().map(|len| u64::from(u16::from_be_bytes(*len))), 126, 2),
        127 => (rest.first_chunk().map(|len| u64::from_be_bytes(*len)), 0x1_0000, 8),
        len => (Some(u64::from(len)), 0, 0),
    };
    let Some(payload_len) = payload_len else { return Ok(None) };
    if payload_len < len_min || payload_len > i64::MAX.unsigned_abs() {
        return Err(CloseReason::BrokenFraming);
    }
    let payload_len = usize::try_from(payload_len).map_err(|_too_long| CloseReason::TooBig)?;
    let Some(mask) = rest.get(len_bytes..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
    Ok(Some(Head { is_final: first & 0x80 != 0, opcode, mask: *mask, payload_len }))
}
