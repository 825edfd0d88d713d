//! What is measured: one file for each kind of question.

mod fan_out;

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;

use super::{Arguments, page::Page};

/// A question to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// One room of 1,000, 100 messages a second
    A,
    /// 200 rooms of 5, 10 messages a second each
    B,
    /// One room of 100, 50 senders, 2,000 messages a second
    C,
    /// In a, b and c, servers of other makes too
    Peers,
}

impl Scenario {
    pub(super) const fn is_in_default(self) -> bool {
        matches!(self, Self::A | Self::B | Self::C)
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::A => "A: one room of 1,000, 100 messages a second",
            Self::B => "B: 200 rooms of 5, 10 messages a second each",
            Self::C => "C: one room of 100, 50 senders, 2,000 messages a second",
            Self::Peers => "other servers",
        }
    }

    pub(super) fn measure(self, programs: &Path, arguments: &Arguments, page: &mut Page) -> Result<()> {
        match self {
            Self::A | Self::B | Self::C => fan_out::measure(self, programs, arguments, page),
            Self::Peers => Ok(()),
        }
    }
}
