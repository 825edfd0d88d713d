//! Ids in an address: a malformed one must not send the router on to another route.

use std::{convert::Infallible, str::FromStr};

use percent_encoding::percent_decode_str;
use schema::{problem::Code, text::Emoji};

use crate::error::ApiError;

/// What stands in the address where an id is expected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InPath<T>(Option<T>);

impl<T: FromStr> FromStr for InPath<T> {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.parse().ok()))
    }
}

impl<T> InPath<T> {
    /// The id of an event or a room: a malformed one is nobody's.
    pub(crate) fn of_mine(self) -> Result<T, ApiError> {
        self.0.ok_or_else(ApiError::not_a_member)
    }

    /// The id of something that is simply there or not.
    pub(crate) fn or_not_found(self) -> Result<T, ApiError> {
        self.0.ok_or_else(|| ApiError::refused(Code::NotFound, "nothing has this id"))
    }
}

/// An emoji in an address, which percent-encodes it.
#[derive(Clone, Debug)]
pub(crate) struct EmojiInPath(Option<Emoji>);

impl FromStr for EmojiInPath {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let text = percent_decode_str(text).decode_utf8().ok();
        Ok(Self(text.and_then(|text| Emoji::parse(&text).ok())))
    }
}

impl EmojiInPath {
    /// The emoji, if it is one.
    pub(crate) fn or_refused(self) -> Result<Emoji, ApiError> {
        self.0.ok_or_else(|| ApiError::field("emoji", "invalid"))
    }
}

/// An event's id in an address; the router's macro takes names only.
pub(crate) type EventInPath = InPath<schema::id::EventId>;
/// A room's.
pub(crate) type RoomInPath = InPath<schema::id::RoomId>;
/// A message's.
pub(crate) type MessageInPath = InPath<schema::id::MessageId>;
/// A slot's.
pub(crate) type SlotInPath = InPath<schema::id::SlotId>;
/// A payment's.
pub(crate) type PaymentInPath = InPath<schema::id::PaymentId>;
/// A person's.
pub(crate) type UserInPath = InPath<schema::id::UserId>;
