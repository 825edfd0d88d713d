//! Bounded texts: parsed once at the edge, never measured again.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::frame::limit;

/// Why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing is left after trimming.
    #[error("must not be empty")]
    Empty,
    /// More characters than the type allows.
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// U+0000 or, in a name, another control character.
    #[error("must not contain control characters")]
    Control,
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident, $max:literal, $allowed:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
        #[serde(try_from = "String", into = "String")]
        #[sqlx(transparent)]
        pub struct $name(String);

        impl $name {
            /// The most Unicode scalar values it may have.
            pub const CHARS_MAX: usize = $max;

            /// Trims and checks `text`.
            pub fn parse(text: &str) -> Result<Self, TextError> {
                let text = text.trim();
                let allowed: fn(char) -> bool = $allowed;
                if text.is_empty() {
                    return Err(TextError::Empty);
                }
                if !text.chars().all(allowed) {
                    return Err(TextError::Control);
                }
                // Bytes are counted first: no text of n bytes has more than n characters.
                if text.len() > $max && text.chars().count() > $max {
                    return Err(TextError::TooLong($max));
                }
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = TextError;

            fn try_from(text: String) -> Result<Self, TextError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    )*};
}

fn is_prose(c: char) -> bool {
    c != '\0'
}

fn is_line(c: char) -> bool {
    !c.is_control()
}

texts! {
    /// What a user typed: trimmed, never empty, at most [`MessageText::CHARS_MAX`] characters.
    MessageText, 4000, is_prose;
    /// The sender's own name for what it is sending; best a UUID.
    TempId, 64, is_line;
    /// What others see of a person.
    DisplayName, 64, is_line;
    /// An event's headline.
    Title, 200, is_line;
    /// A room's name.
    RoomName, 200, is_line;
    /// An event's or a room's longer text.
    Description, 4000, is_prose;
    /// What is offered in a slot.
    ServiceName, 120, is_line;
    /// Where an event takes place: an address or a link.
    Location, 500, is_line;
}

/// What stands under a message: one emoji, of however many scalar values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Emoji(String);

/// The text is no emoji.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("emoji must be one emoji")]
pub struct NotAnEmoji;

impl Emoji {
    /// Takes 1 to [`limit::EMOJI_BYTES_MAX`] bytes without blanks and control characters. Which of them are emoji is
    /// Unicode's to say, and says more each year.
    pub fn parse(text: &str) -> Result<Self, NotAnEmoji> {
        let fits = (1..=limit::EMOJI_BYTES_MAX).contains(&text.len());
        if fits && !text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            Ok(Self(text.into()))
        } else {
            Err(NotAnEmoji)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Emoji {
    type Err = NotAnEmoji;

    fn from_str(text: &str) -> Result<Self, NotAnEmoji> {
        Self::parse(text)
    }
}

impl From<Emoji> for String {
    fn from(emoji: Emoji) -> Self {
        emoji.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_trimmed_and_bounded_in_characters_not_bytes() {
        assert_eq!(MessageText::parse("  안녕 👋 ").map(String::from), Ok("안녕 👋".into()));
        assert_eq!(MessageText::parse(" \n "), Err(TextError::Empty));
        assert_eq!(MessageText::parse("a\0b"), Err(TextError::Control));
        assert!(MessageText::parse(&"한".repeat(4000)).is_ok());
        assert_eq!(MessageText::parse(&"한".repeat(4001)), Err(TextError::TooLong(4000)));
        assert_eq!(TempId::parse(&"x".repeat(65)), Err(TextError::TooLong(64)));
        assert_eq!(DisplayName::parse("a\nb"), Err(TextError::Control));
    }
}
