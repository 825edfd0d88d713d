//! A message in the making: bounded, and known to be text as far as it has come.

use schema::frame::close::CloseReason;

use super::reader::Incoming;

/// The pieces so far of a message.
#[derive(Debug)]
pub(super) struct Message {
    bytes: Vec<u8>,
    /// How many of them are whole characters; none in a message of bytes.
    text_bytes: Option<usize>,
}

impl Message {
    pub(super) const fn text() -> Self {
        Self { bytes: Vec::new(), text_bytes: Some(0) }
    }

    pub(super) const fn binary() -> Self {
        Self { bytes: Vec::new(), text_bytes: None }
    }

    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What it holds of the process's memory.
    pub(super) const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds a piece, of a message of at most `bytes_max`. What can never become text is refused at once,
    /// before the rest of it has come.
    pub(super) fn push(&mut self, piece: &[u8], bytes_max: usize) -> Result<(), CloseReason> {
        let wanted = self.bytes.len() + piece.len();
        if wanted > self.bytes.capacity() {
            // Doubles, as a vector does, but never beyond what a message may have.
            let capacity = wanted.max(self.bytes.capacity() * 2).min(bytes_max.max(wanted));
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        let Some(text_bytes) = &mut self.text_bytes else { return Ok(()) };
        match std::str::from_utf8(self.bytes.get(*text_bytes..).unwrap_or_default()) {
            Ok(text) => *text_bytes += text.len(),
            // A character that is cut: its rest may come.
            Err(error) if error.error_len().is_none() => *text_bytes += error.valid_up_to(),
            Err(_never_text) => return Err(CloseReason::NotUtf8),
        }
        Ok(())
    }

    /// The whole message.
    pub(super) fn finish(self) -> Result<Incoming, CloseReason> {
        if self.text_bytes.is_none() {
            return Ok(Incoming::Binary(self.bytes));
        }
        String::from_utf8(self.bytes).map(Incoming::Text).map_err(|_cut| CloseReason::NotUtf8)
    }
}
