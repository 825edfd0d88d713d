//! Which sessions live, as last seen in the database: a sign-out anywhere counts here within half a second.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use schema::id::SessionId;

use crate::users::Role;

/// What a session is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It counts.
    Alive {
        /// What its user is.
        role: Role,
    },
    /// It was signed out.
    Revoked,
    /// There is none, or its user is gone.
    Unknown,
}

/// Remembers standings for a moment.
#[derive(Debug, Default)]
pub(crate) struct SessionCache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Raised by each revocation: a look-up that began before one is not kept.
    generation: u64,
    standings: HashMap<SessionId, (Instant, Standing)>,
}

/// A look-up that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct LookUp(u64, Instant);

/// Half of the second within which a sign-out must count.
const KEPT_FOR: Duration = Duration::from_millis(500);
/// Above this many sessions those not seen lately are forgotten.
const SESSIONS_MAX: usize = 50_000;

impl SessionCache {
    /// The standing, if it was looked up a moment ago.
    pub(super) fn get(&self, sid: SessionId) -> Option<Standing> {
        let kept = self.0.lock();
        let (at, standing) = kept.standings.get(&sid)?;
        (at.elapsed() < KEPT_FOR).then_some(*standing)
    }

    /// Begins a look-up.
    pub(super) fn begin(&self) -> LookUp {
        LookUp(self.0.lock().generation, Instant::now())
    }

    /// Keeps what a look-up found, as of its beginning.
    pub(super) fn put(&self, look_up: LookUp, sid: SessionId, standing: Standing) {
        let mut kept = self.0.lock();
        if kept.generation != look_up.0 {
            return;
        }
        if kept.standings.len() >= SESSIONS_MAX {
            kept.standings.retain(|_, (at, _)| at.elapsed() < KEPT_FOR);
        }
        if kept.standings.len() < SESSIONS_MAX {
            kept.standings.insert(sid, (look_up.1, standing));
        }
    }

    /// Forgets all: something was revoked.
    pub(super) fn invalidate(&self) {
        let mut kept = self.0.lock();
        kept.generation += 1;
        kept.standings.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_up_that_began_before_a_revocation_is_not_kept() {
        let (cache, sid) = (SessionCache::default(), SessionId::random());
        let early = cache.begin();
        cache.invalidate();
        cache.put(early, sid, Standing::Alive { role: Role::User });
        assert_eq!(cache.get(sid), None);
        let look_up = cache.begin();
        cache.put(look_up, sid, Standing::Revoked);
        assert_eq!(cache.get(sid), Some(Standing::Revoked));
    }
}
