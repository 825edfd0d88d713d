//! RFC 6455 as a client speaks it: frames out with a mask, frames in without.

/// The mask of every frame: chosen once, because nobody is to be protected from anything here.
const MASK: [u8; 4] = [0x5a, 0xc3, 0x17, 0x88];

/// What kinds of frame matter here.
pub mod opcode {
    /// Text.
    pub const TEXT: u8 = 0x1;
    /// Bytes.
    pub const BINARY: u8 = 0x2;
    /// The end.
    pub const CLOSE: u8 = 0x8;
    /// Are you there?
    pub const PING: u8 = 0x9;
    /// I am.
    pub const PONG: u8 = 0xA;
}

/// Appends a masked frame to `out`.
pub fn put_masked(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    put_head(out, opcode, payload.len(), 0x80);
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Appends a server's frame to `out`.
pub fn put_plain(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    put_head(out, opcode, payload.len(), 0);
    out.extend_from_slice(payload);
}

fn put_head(out: &mut Vec<u8>, opcode: u8, len: usize, mask_bit: u8) {
    out.push(0x80 | opcode);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ 0..=125), _) => out.push(mask_bit | short),
        (_, Ok(medium)) => {
            out.push(mask_bit | 0x7e);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 0x7f);
            out.extend_from_slice(&u64::try_from(len).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
}

/// A frame at the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it is.
    pub opcode: u8,
    /// Its mask, on a client's frame.
    pub mask: Option<[u8; 4]>,
    /// Where its payload begins.
    pub payload_at: usize,
    /// Where it ends.
    pub end: usize,
}

/// The first frame's head, once it is whole.
pub fn parse_head(bytes: &[u8]) -> Option<Head> {
    let [first, second, rest @ ..] = bytes else { return None };
    let (len, len_bytes) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
        127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?, 8),
        len => (usize::from(len), 0),
    };
    let mask = if second & 0x80 == 0 { None } else { Some(*rest.get(len_bytes..)?.first_chunk()?) };
    let payload_at = 2 + len_bytes + if mask.is_some() { 4 } else { 0 };
    Some(Head { opcode: first & 0x0f, mask, payload_at, end: payload_at + len })
}

/// Takes a mask off, or puts it on.
pub fn apply_mask(payload: &mut [u8], mask: [u8; 4]) {
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_every_size_class_is_read_back() {
        for len in [0, 125, 126, 65_535, 65_536] {
            let payload = vec![7; len];
            let (mut masked, mut plain) = (Vec::new(), Vec::new());
            put_masked(&mut masked, opcode::TEXT, &payload);
            put_plain(&mut plain, opcode::BINARY, &payload);
            let head = parse_head(&masked).unwrap();
            assert_eq!((head.opcode, head.end), (opcode::TEXT, masked.len()));
            apply_mask(&mut masked[head.payload_at..], head.mask.unwrap());
            assert_eq!(masked[head.payload_at..], payload);
            let head = parse_head(&plain).unwrap();
            assert_eq!((head.opcode, head.mask, head.end), (opcode::BINARY, None, plain.len()));
            assert_eq!(parse_head(&plain[..1]), None);
        }
    }
}
