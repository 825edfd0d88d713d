//! The values that all golden texts are made of.

use std::str::FromStr;

use schema::clock::Timestamp;

pub(super) const ROOM: &str = "11111111-1111-4111-8111-111111111111";
pub(super) const MESSAGE: &str = "22222222-2222-8222-8222-222222222222";
pub(super) const ANN: &str = "33333333-3333-4333-8333-333333333333";
pub(super) const TARGET: &str = "44444444-4444-8444-8444-444444444444";
pub(super) const SESSION: &str = "55555555-5555-4555-8555-555555555555";
pub(super) const BOB: &str = "66666666-6666-4666-8666-666666666666";

/// The id of whatever kind is wanted.
pub(super) fn id<T: FromStr>(text: &str) -> T {
    text.parse().ok().expect("the samples are ids")
}

pub(super) fn time() -> Timestamp {
    Timestamp::parse("2026-11-21T05:58:48.927Z").expect("the sample is a time")
}

/// Fills in the sample ids: `golden` texts name them by `{room}`, `{message}`, `{ann}`, `{target}`, `{sid}` and `{bob}`.
pub(super) fn golden(text: &str) -> String {
    let names = [
        ("{room}", ROOM),
        ("{message}", MESSAGE),
        ("{ann}", ANN),
        ("{target}", TARGET),
        ("{sid}", SESSION),
        ("{bob}", BOB),
        ("{time}", "2026-11-21T05:58:48.927Z"),
    ];
    names.iter().fold(text.into(), |text: String, (name, value)| text.replace(name, value))
}
