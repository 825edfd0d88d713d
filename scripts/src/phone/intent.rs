//! One message a phone means to send, and what became of it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::frame::Word;

/// After so many tries a phone gives up and shows the message as not sent.
const TRIES_MAX: u32 = 60;
/// When the server does not say when to try again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What a phone knows of its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing final was said.
    None,
    /// It is in the log.
    Sent {
        /// Which message.
        id: Uuid,
        /// Where it stands.
        seq: u64,
    },
    /// It is in the message store.
    Saved {
        /// Which message.
        id: Uuid,
        /// Where it stands.
        seq: u64,
    },
    /// It is provably not stored.
    Failed {
        /// Why.
        code: String,
    },
    /// The phone gave up, and nobody knows.
    Unknown,
}

/// A message that a person meant to send.
#[derive(Clone, Debug)]
pub struct Intent {
    /// The phone's own name for it.
    pub temp_id: String,
    /// Where.
    pub room: Uuid,
    /// What.
    pub text: String,
    /// When it was meant.
    pub at: Instant,
    /// What became of it.
    pub outcome: Outcome,
    /// How often it was sent.
    pub tries: u32,
    /// How often the server said `sent`.
    pub sents: u32,
    /// Whether it was ever refused or unknown: then those behind it may have overtaken it.
    pub was_held_up: bool,
    /// When the first `sent` came.
    pub sent_at: Option<Instant>,
    /// When the first `saved` came.
    pub saved_at: Option<Instant>,
    /// Waits for an answer on the present socket.
    pub(super) is_unanswered: bool,
    /// When to send it again.
    pub(super) due: Option<Instant>,
    /// It may be in the log already.
    pub(super) is_resend: bool,
}

impl Intent {
    pub(super) fn new(temp_id: String, room: Uuid, text: String, now: Instant) -> Self {
        Self {
            temp_id,
            room,
            text,
            at: now,
            outcome: Outcome::None,
            tries: 0,
            sents: 0,
            was_held_up: false,
            sent_at: None,
            saved_at: None,
            is_unanswered: false,
            due: Some(now),
            is_resend: false,
        }
    }

    /// Whether nothing more is to be expected.
    pub fn is_over(&self) -> bool {
        match self.outcome {
            Outcome::Saved { .. } | Outcome::Failed { .. } | Outcome::Unknown => true,
            Outcome::None | Outcome::Sent { .. } => false,
        }
    }

    /// Whether the server ever said that it is in the log, and where.
    pub fn place(&self) -> Option<(Uuid, u64)> {
        match self.outcome {
            Outcome::Sent { id, seq } | Outcome::Saved { id, seq } => Some((id, seq)),
            Outcome::None | Outcome::Failed { .. } | Outcome::Unknown => None,
        }
    }

    /// The frame to send now.
    pub(super) fn frame(&mut self) -> Value {
        self.tries += 1;
        self.is_unanswered = true;
        self.due = None;
        let mut frame =
            json!({ "type": "message", "room_id": self.room, "temp_id": self.temp_id, "content": self.text });
        if self.is_resend
            && let Some(fields) = frame.as_object_mut()
        {
            fields.insert("resend".to_owned(), true.into());
        }
        frame
    }

    /// The socket it was sent on is gone: whatever was not saved is sent again, and said to be.
    pub(super) fn lose_socket(&mut self, now: Instant) {
        self.is_unanswered = false;
        if !self.is_over() && self.tries > 0 {
            self.is_resend = true;
            self.due = Some(now);
        }
    }

    /// Takes what the server says of it; `Err` says what it must not.
    pub(super) fn hear(&mut self, word: &Word, now: Instant) -> Result<(), String> {
        let temp_id = &self.temp_id;
        match *word {
            Word::Sent { id, seq } => {
                self.is_unanswered = false;
                self.due = None;
                self.sents += 1;
                self.sent_at.get_or_insert(now);
                match self.outcome {
                    Outcome::None | Outcome::Unknown => self.outcome = Outcome::Sent { id, seq },
                    Outcome::Sent { .. } | Outcome::Saved { .. } if self.place() == Some((id, seq)) => {}
                    Outcome::Sent { .. } | Outcome::Saved { .. } | Outcome::Failed { .. } => {
                        return Err(format!("{temp_id} is sent as {id} at {seq} after {:?}", self.outcome));
                    }
                }
                if self.sents > self.tries {
                    return Err(format!("{temp_id} is sent {} times after {} tries", self.sents, self.tries));
                }
                Ok(())
            }
            Word::Saved { id, seq } => {
                let before = std::mem::replace(&mut self.outcome, Outcome::Saved { id, seq });
                self.saved_at.get_or_insert(now);
                self.due = None;
                match before {
                    Outcome::Sent { id: known, seq: at } | Outcome::Saved { id: known, seq: at } => {
                        if (known, at) == (id, seq) {
                            return Ok(());
                        }
                        Err(format!("{temp_id} is saved as {id} at {seq} and sent as {known} at {at}"))
                    }
                    Outcome::None | Outcome::Unknown => Err(format!("{temp_id} is saved before it is sent")),
                    Outcome::Failed { code } => Err(format!("{temp_id} is saved after it failed with {code}")),
                }
            }
            Word::Unknown { .. } => {
                self.is_unanswered = false;
                self.was_held_up = true;
                self.is_resend = true;
                self.try_again(AGAIN_AFTER, now, None);
                Ok(())
            }
            Word::Failed { ref code, retry, retry_after_ms } => {
                self.is_unanswered = false;
                self.was_held_up = true;
                if self.place().is_some() && code != "not_settled" {
                    return Err(format!("{temp_id} failed with {code} after {:?}", self.outcome));
                }
                if retry {
                    self.try_again(retry_after_ms.map_or(AGAIN_AFTER, Duration::from_millis), now, Some(code));
                } else {
                    self.outcome = Outcome::Failed { code: code.clone() };
                }
                Ok(())
            }
        }
    }

    fn try_again(&mut self, after: Duration, now: Instant, code: Option<&str>) {
        if self.tries < TRIES_MAX {
            self.due = Some(now + after);
            return;
        }
        // A resend that is refused may be of something that is in the log: that is no failure to speak of.
        self.outcome = match code {
            Some(code) if !self.is_resend => Outcome::Failed { code: code.to_owned() },
            _ => Outcome::Unknown,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent() -> Intent {
        let mut intent = Intent::new("a-1".to_owned(), Uuid::nil(), "hi".to_owned(), Instant::now());
        intent.frame();
        intent
    }

    fn sent(seq: u64) -> Word {
        Word::Sent { id: Uuid::nil(), seq }
    }

    fn saved(seq: u64) -> Word {
        Word::Saved { id: Uuid::nil(), seq }
    }

    fn failed(retry: bool) -> Word {
        Word::Failed { code: "rate_limited".to_owned(), retry, retry_after_ms: Some(800) }
    }

    /// Says `words` one after the other; the last one's answer.
    fn check(words: &[Word], is_fine: bool, outcome: &Outcome) {
        let mut intent = intent();
        let answers: Vec<_> = words.iter().map(|word| intent.hear(word, Instant::now())).collect();
        assert_eq!(answers.last().unwrap().is_ok(), is_fine, "{words:?}: {answers:?}");
        assert_eq!(intent.outcome, *outcome, "{words:?}");
    }

    #[test]
    fn a_message_is_sent_and_then_saved_at_one_place() {
        let at = |seq| Outcome::Saved { id: Uuid::nil(), seq };
        check(&[sent(7), saved(7)], true, &at(7));
        check(&[sent(7), saved(7), saved(7)], true, &at(7));
        check(&[saved(7)], false, &at(7));
        check(&[sent(7), saved(8)], false, &at(8));
        check(&[sent(7), sent(7)], false, &Outcome::Sent { id: Uuid::nil(), seq: 7 });
    }

    #[test]
    fn a_refusal_is_the_end_only_when_it_says_so() {
        check(&[failed(true)], true, &Outcome::None);
        check(&[failed(false)], true, &Outcome::Failed { code: "rate_limited".to_owned() });
        check(&[failed(false), sent(7)], false, &Outcome::Failed { code: "rate_limited".to_owned() });
        check(&[sent(7), failed(false)], false, &Outcome::Sent { id: Uuid::nil(), seq: 7 });
    }

    #[test]
    fn what_was_not_saved_is_sent_again_with_resend_after_a_lost_socket() {
        let mut intent = intent();
        intent.hear(&sent(7), Instant::now()).unwrap();
        intent.lose_socket(Instant::now());
        assert!(intent.due.is_some());
        assert_eq!(intent.frame()["resend"], true);
        // The same place again is no news.
        intent.hear(&sent(7), Instant::now()).unwrap();
        intent.hear(&saved(7), Instant::now()).unwrap();
        intent.lose_socket(Instant::now());
        assert!(intent.due.is_none());
    }

    #[test]
    fn what_was_never_tried_is_no_resend() {
        let mut intent = Intent::new("a-1".to_owned(), Uuid::nil(), "hi".to_owned(), Instant::now());
        intent.lose_socket(Instant::now());
        assert!(intent.frame().get("resend").is_none());
    }

    #[test]
    fn a_phone_gives_up_and_does_not_call_a_resend_failed() {
        let mut intent = intent();
        intent.tries = TRIES_MAX;
        intent.hear(&failed(true), Instant::now()).unwrap();
        assert!(matches!(intent.outcome, Outcome::Failed { .. }));
        let mut intent = self::intent();
        intent.lose_socket(Instant::now());
        intent.tries = TRIES_MAX;
        intent.hear(&failed(true), Instant::now()).unwrap();
        assert_eq!(intent.outcome, Outcome::Unknown);
    }
}
