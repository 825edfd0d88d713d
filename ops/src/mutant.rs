//! Deliberate bugs, each of which breaks a promise that a chaos run checks: a check that no mutant fails proves
//! nothing.
//!
//! They are compiled in with the feature `mutants` alone, which no release can have, and then the environment
//! variable `TIMINGLE_MUTANT` names the one that is active. The promises:
//!
//! - A1: what was said to be `sent` is in history exactly once
//! - A2: what was said to be `failed` is not in it
//! - A3: what was neither is in it at most once
//! - A4: history is ascending in seq, the same for everybody, and in order per sender
//! - A5: what a client shows in the end is history since it joined
//! - A6: `CHAT_DEAD` holds the injected poison and nothing else
//! - A7: the unread count that is answered is the one that can be recomputed
//! - A8: an event's changes are its rows of `event_history` are its processed outbox rows
//! - A9: the log dropped nothing that was not stored
//! - A10: nobody hears a room later than a second after they were removed from it

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!("the feature `mutants` is for tests: a release has no deliberate bugs");

/// A bug; its name is the variant's in kebab case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "mutants", derive(clap::ValueEnum))]
pub enum Mutant {
    /// The worker acknowledges what it has not written. A1, A3: takes a store that is away, or a worker killed with
    /// deliveries in hand.
    AckBeforeWrite,
    /// The worker stores its own time in place of the log's. A5: the times of history are not those that were heard
    /// live; plainer with a worker whose clock is set off, or one that was down for a while.
    CreatedAtNow,
    /// The worker gives up what it could not write because the store was away. A6: takes a store that is away.
    DeadLetterOutage,
    /// The worker takes what is delivered again for stored. A1: takes a store that is away, or a worker killed with
    /// deliveries in hand.
    SkipOnRedelivery,
    /// The store in PostgreSQL applies the edit that arrives last in place of the one with the highest seq. A5: takes
    /// several edits of one message whose deliveries change places (a store that is away, a worker killed or stopped
    /// beside another).
    EditByArrival,
    /// What somebody wrote counts as unread to them. A7: takes no fault, but a member who writes and reads nothing.
    CounterUnread,
    /// The gateway neither looks for holes in what it hears live nor asks the log what it has missed. A5: takes a NATS
    /// that is cut off or killed while a gateway with sockets in the room lives on.
    NoGapCheck,
    /// The gateway shows a message before the log has it, at the seq that would be next. A5: takes no fault if several
    /// rooms are in use; plainer with a NATS that is cut off, when messages are shown that never are stored.
    ShowBeforeStore,
    /// The gateway gives a message another id each time it is sent: neither the log nor the store know it again. A1,
    /// A3: takes a `temp_id` that is sent again (after a gateway or NATS was killed, or on two gateways).
    NoMessageId,
    /// The gateway says `failed` when an answer of the log is late. A2: takes a NATS that is slow, stopped for a second
    /// or killed while messages are on their way.
    TimeoutIsFailed,
    /// The gateway takes nobody out of a room. A10: takes a member who is removed while others write.
    NoRemoval,
    /// The relay marks outbox rows whose publish had no answer, or was not even made, as processed. A8: takes a NATS
    /// that is killed while events change.
    OutboxMarkFirst,
    /// Who resumes a room with `since` is not shown the first of what was missed. A5: takes a socket that was away for
    /// more than one message (a killed gateway, a dropped connection).
    DuplicateReplay,
    /// The api turns round the first two messages of a page of history. A4: takes no fault.
    PageOutOfOrder,
    /// The api says that nothing was said when an answer of the log is a little late. A2: takes a NATS that is slow,
    /// stopped for a while or killed while messages are posted.
    LatePostIsRefused,
    /// The api's next try of a message that has no answer yet is another message, and then it asks no more. A3: takes a
    /// NATS that is slow or stopped for a while, and callers who do not post again what is `unknown`.
    LateTryIsAnother,
    /// The log keeps for two seconds what it should keep for days. A9: takes workers that are away for longer.
    ShortLog,
}

/// Whether this bug is to be there.
#[cfg(not(feature = "mutants"))]
#[inline]
pub const fn is(_mutant: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use active::is;
#[cfg(feature = "mutants")]
pub(crate) use active::{check, warn};

#[cfg(feature = "mutants")]
mod active {
    use std::sync::LazyLock;

    use clap::ValueEnum as _;

    use super::Mutant;
    use crate::settings::BadSetting;

    /// The variable that names the active one.
    const VARIABLE: &str = "TIMINGLE_MUTANT";

    /// The active one; or what was named in its place.
    static ACTIVE: LazyLock<Result<Option<Mutant>, String>> = LazyLock::new(|| match std::env::var(VARIABLE) {
        Ok(name) => parse(&name),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(name)) => Err(name.to_string_lossy().into_owned()),
    });

    /// Whether this bug is to be there.
    pub fn is(mutant: Mutant) -> bool {
        *ACTIVE == Ok(Some(mutant))
    }

    /// Refuses a name that no bug has.
    pub(crate) fn check() -> Result<(), BadSetting> {
        match &*ACTIVE {
            Ok(_) => Ok(()),
            Err(name) => Err(unknown(name)),
        }
    }

    /// Says in the log that this process is not to be trusted.
    pub(crate) fn warn() {
        if let Ok(Some(mutant)) = &*ACTIVE {
            tracing::warn!(?mutant, "this process has a deliberate bug");
        }
    }

    fn parse(name: &str) -> Result<Option<Mutant>, String> {
        Mutant::from_str(name, false).map(Some).map_err(|_unknown| name.to_owned())
    }

    fn unknown(name: &str) -> BadSetting {
        let known: Vec<_> = Mutant::value_variants().iter().filter_map(Mutant::to_possible_value).collect();
        let known: Vec<_> = known.iter().map(clap::builder::PossibleValue::get_name).collect();
        BadSetting::new(VARIABLE, format!("is {name:?}, which is none of {}", known.join(", ")))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_mutant_is_known_by_its_name_and_by_no_other() {
            assert_eq!(parse("ack-before-write"), Ok(Some(Mutant::AckBeforeWrite)));
            assert_eq!(parse("duplicate-replay"), Ok(Some(Mutant::DuplicateReplay)));
            assert_eq!(parse("no-such-mutant"), Err("no-such-mutant".into()));
            assert_eq!(parse(""), Err(String::new()));
            let refusal = unknown("no-such-mutant").to_string();
            assert!(refusal.starts_with("TIMINGLE_MUTANT "), "{refusal}");
            assert!(refusal.contains("created-at-now"), "{refusal}");
        }
    }
}
