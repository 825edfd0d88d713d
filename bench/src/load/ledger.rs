//! Who must have got what: each receiver of a room gets each of its senders' messages once, in the order they were
//! sent, and all receivers of a room see one order.

use crate::report::Latency;

/// What marks a message wherever it turns up: its sender, its number among that sender's, and when it was meant to
/// be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// The sender's place among its room's senders.
    pub sender: u32,
    /// Counted from 0.
    pub number: u32,
    /// Microseconds since the run began.
    pub meant_at: u64,
}

impl Marker {
    /// What a marker begins with; no other text of a run contains it.
    pub(super) const BEGIN: &'static [u8] = b"~B~";
    const HEX: usize = 28;
    /// How long a marker is.
    pub(super) const BYTES: usize = Self::BEGIN.len() + Self::HEX + 1;

    /// The text of a message, `bytes` long.
    pub(super) fn text(self, bytes: usize) -> String {
        let mut text = format!("~B~{:08x}{:08x}{:012x}~", self.sender, self.number, self.meant_at);
        while text.len() < bytes {
            text.push_str("nothing but the time of day, ");
        }
        // Never shorter than the marker itself.
        text.truncate(bytes.max(Self::BYTES));
        text
    }

    /// Reads what follows [`Self::BEGIN`].
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let number = |from: usize, to: usize| {
            bytes.get(from..to)?.iter().try_fold(0_u64, |sum, digit| {
                let digit = match digit {
                    b'0'..=b'9' => digit - b'0',
                    b'a'..=b'f' => digit - b'a' + 10,
                    _ => return None,
                };
                Some(sum * 16 + u64::from(digit))
            })
        };
        let sender = u32::try_from(number(0, 8)?).ok()?;
        let of_sender = u32::try_from(number(8, 16)?).ok()?;
        Some(Self { sender, number: of_sender, meant_at: number(16, Self::HEX)? })
    }
}

/// One receiver's part.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    /// The next number of each of the room's senders.
    next: Vec<u32>,
    /// Tells one order of messages from another.
    pub order: u64,
}

impl Received {
    pub(super) fn new(senders: usize) -> Self {
        Self { next: vec![0; senders], order: 0xcbf2_9ce4_8422_2325 }
    }

    /// Notes a delivery; says what is wrong with it.
    pub(super) fn note(&mut self, marker: Marker) -> Result<(), String> {
        let sender = usize::try_from(marker.sender).unwrap_or(usize::MAX);
        let Some(next) = self.next.get_mut(sender) else {
            return Err(format!("a message of sender {}, who is in another room", marker.sender));
        };
        let expected = *next;
        *next = marker.number + 1;
        self.order =
            (self.order ^ (u64::from(marker.sender) << 32) ^ u64::from(marker.number)).wrapping_mul(0x0100_0000_01b3);
        match marker.number.cmp(&expected) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less => {
                *next = expected;
                Err(format!("message {} of sender {} a second time", marker.number, sender))
            }
            std::cmp::Ordering::Greater => {
                Err(format!("message {} of sender {} where {expected} was due", marker.number, sender))
            }
        }
    }

    /// Whether everything that was sent is here.
    pub(super) fn has_all(&self, sent: &[u32]) -> bool {
        self.next == sent
    }
}

/// The latency of many deliveries.
pub(super) fn latency(micros: &mut [u64]) -> Latency {
    micros.sort_unstable();
    Latency {
        p50: percentile(micros, 50),
        p99: percentile(micros, 99),
        max: micros.last().copied().unwrap_or_default(),
    }
}

/// Of sorted values, the one that so many percent do not exceed.
pub(super) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(sender: u32, number: u32) -> Marker {
        Marker { sender, number, meant_at: 77 }
    }

    #[test]
    fn a_marker_is_read_back_out_of_its_text() {
        let text = marker(3, 260).text(200);
        assert_eq!(text.len(), 200);
        assert_eq!(Marker::parse(&text.as_bytes()[Marker::BEGIN.len()..]), Some(marker(3, 260)));
        assert_eq!(Marker::parse(b"00000003000001zz"), None);
    }

    #[test]
    fn once_and_in_order_is_right_and_nothing_else_is() {
        let mut received = Received::new(2);
        assert!(received.note(marker(0, 0)).is_ok());
        assert!(received.note(marker(1, 0)).is_ok());
        assert!(received.note(marker(0, 0)).is_err(), "twice");
        assert!(received.note(marker(0, 2)).is_err(), "a hole");
        assert!(received.note(marker(2, 0)).is_err(), "another room's");
        assert!(received.has_all(&[3, 1]));
        assert!(!received.has_all(&[3, 2]));
    }

    #[test]
    fn two_orders_are_told_apart() {
        let (mut one, mut other) = (Received::new(2), Received::new(2));
        one.note(marker(0, 0)).unwrap();
        one.note(marker(1, 0)).unwrap();
        other.note(marker(1, 0)).unwrap();
        other.note(marker(0, 0)).unwrap();
        assert_ne!(one.order, other.order);
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut values: Vec<u64> = (1..=200).rev().collect();
        let latency = latency(&mut values);
        assert_eq!((latency.p50, latency.p99, latency.max), (100, 198, 200));
        assert_eq!(percentile(&[], 99), 0);
    }
}
