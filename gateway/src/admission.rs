//! Who may be in which room: a question to PostgreSQL, with a short cache.
//!
//! An answer is fresh for 5 s. While PostgreSQL is away one of up to 60 s serves; after that nobody new
//! is let in. Each invalidation raises a generation: an answer that was asked for in an older one is
//! used once and not kept.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use foldhash::HashMap;
use ops::{database::Pool, lifecycle::Lifecycle, together::Together};
use parking_lot::Mutex;
use schema::{
    id::{RoomId, SessionId, UserId},
    text::DisplayName,
};

/// How long an answer is used without asking again.
const FRESH: Duration = Duration::from_secs(5);
/// How long it is used when asking again fails.
pub(crate) const STALE_MAX: Duration = Duration::from_mins(1);
/// Answers kept at most.
const ANSWERS_MAX: usize = 100_000;

/// What a member is in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// How the room sees them.
    pub me: UserId,
    /// Their name.
    pub name: DisplayName,
    /// Whether they may delete there what others said.
    pub may_moderate: bool,
    /// Whether nobody says anything there: the room is archived, or blind, where a name would give away who is who.
    pub is_silent: bool,
}

/// PostgreSQL did not answer, and no answer of the last minute is known.
#[derive(Debug, thiserror::Error)]
#[error("membership can not be checked now")]
pub struct CannotCheck;

/// When it was asked, and what was answered.
type Answer = (Instant, Option<Membership>);

/// Answers who is a member.
#[derive(Debug)]
pub struct Admission {
    pg: Pool,
    generation: AtomicU64,
    answers: Mutex<HashMap<(UserId, RoomId), Answer>>,
    /// Who is being asked about, where, and what they are there.
    members: Arc<Together<(UserId, RoomId), Option<Membership>>>,
    /// Sessions that are being asked about, and whether they were signed out.
    sessions: Arc<Together<SessionId, bool>>,
}

/// A member, as the re-check finds them.
#[derive(Debug, sqlx::FromRow)]
pub struct Member {
    /// Who.
    pub user_id: UserId,
    /// Where.
    pub room_id: RoomId,
    /// Their name.
    pub display_name: DisplayName,
    /// Whether they run the room, or are an admin.
    pub may_moderate: bool,
    /// Whether nobody says anything there.
    pub is_silent: bool,
}

impl Admission {
    /// Asks this database.
    pub fn new(pg: Pool, lifecycle: &Lifecycle) -> Self {
        let (members, sessions) = (Together::new(lifecycle.clone()), Together::new(lifecycle.clone()));
        Self { pg, generation: AtomicU64::new(0), answers: Mutex::default(), members, sessions }
    }

    /// What `user` is in `room`; `None` if they are no member, or there is no such room.
    pub async fn check(&self, user: UserId, room: RoomId) -> Result<Option<Membership>, CannotCheck> {
        let known = self.answers.lock().get(&(user, room)).cloned();
        match known {
            Some((at, answer)) if at.elapsed() < FRESH => Ok(answer),
            _ => self.ask(user, room, known).await,
        }
    }

    async fn ask(&self, user: UserId, room: RoomId, known: Option<Answer>) -> Result<Option<Membership>, CannotCheck> {
        let generation = self.generation.load(Ordering::Acquire);
        let pg = self.pg.clone();
        let found = self.members.ask((user, room), move |asked| memberships(pg.clone(), asked)).await;
        let Some(found) = found else {
            let recent = known.filter(|(at, _)| at.elapsed() < STALE_MAX);
            return recent.map(|(_, answer)| answer).ok_or(CannotCheck);
        };
        let mut answers = self.answers.lock();
        if self.generation.load(Ordering::Acquire) == generation {
            if answers.len() >= ANSWERS_MAX {
                answers.retain(|_, (at, _)| at.elapsed() < FRESH);
            }
            answers.insert((user, room), (Instant::now(), found.clone()));
        }
        Ok(found)
    }

    /// Rises with each invalidation.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Forgets what was known of a room's members.
    pub fn forget(&self, room: RoomId) {
        let mut answers = self.answers.lock();
        self.generation.fetch_add(1, Ordering::AcqRel);
        answers.retain(|(_, of), _| *of != room);
    }

    /// Of these people in these rooms, those who are members.
    pub async fn members(&self, asked: &[(UserId, RoomId)]) -> Result<Vec<Member>, sqlx::Error> {
        members(&self.pg, asked).await
    }

    /// Everybody who is in these rooms.
    pub async fn all_of(&self, rooms: &[RoomId]) -> Result<Vec<(RoomId, UserId)>, sqlx::Error> {
        sqlx::query_as("SELECT room_id, user_id FROM room_members WHERE room_id = ANY($1)")
            .bind(rooms.iter().map(|room| room.as_uuid()).collect::<Vec<_>>())
            .fetch_all(&self.pg)
            .await
    }

    /// Of these sessions, those that were signed out.
    pub async fn revoked(&self, sids: &[SessionId]) -> Result<Vec<SessionId>, sqlx::Error> {
        revoked(&self.pg, sids).await
    }

    /// Whether this session was signed out.
    pub async fn is_revoked(&self, sid: SessionId) -> Result<bool, CannotCheck> {
        let pg = self.pg.clone();
        self.sessions.ask(sid, move |sids| are_revoked(pg.clone(), sids)).await.ok_or(CannotCheck)
    }

    /// Whether PostgreSQL answers.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT 1").execute(&self.pg).await.map(drop)
    }
}

async fn members(pg: &Pool, asked: &[(UserId, RoomId)]) -> Result<Vec<Member>, sqlx::Error> {
    let (users, rooms): (Vec<UserId>, Vec<RoomId>) = asked.iter().copied().unzip();
    sqlx::query_as(
        "SELECT m.user_id, m.room_id, u.display_name, m.role IN ('owner', 'admin') OR u.role = 'admin' AS may_moderate,
             r.is_archived OR r.display_mode = 'blind' AS is_silent
         FROM UNNEST($1::uuid[], $2::uuid[]) AS asked (user_id, room_id)
         JOIN room_members m ON m.user_id = asked.user_id AND m.room_id = asked.room_id
         JOIN rooms r ON r.id = m.room_id
         JOIN users u ON u.id = m.user_id AND u.deleted_at IS NULL",
    )
    .bind(users.iter().map(|user| user.as_uuid()).collect::<Vec<_>>())
    .bind(rooms.iter().map(|room| room.as_uuid()).collect::<Vec<_>>())
    .fetch_all(pg)
    .await
}

async fn revoked(pg: &Pool, sids: &[SessionId]) -> Result<Vec<SessionId>, sqlx::Error> {
    sqlx::query_scalar("SELECT id FROM sessions WHERE id = ANY($1) AND revoked_at IS NOT NULL")
        .bind(sids.iter().map(|sid| sid.as_uuid()).collect::<Vec<_>>())
        .fetch_all(pg)
        .await
}

/// What each of those asked about is in the room, if they are a member.
async fn memberships(pg: Pool, asked: Vec<(UserId, RoomId)>) -> Option<Vec<Option<Membership>>> {
    match members(&pg, &asked).await {
        Ok(found) => {
            let place = |member: Member| {
                let Member { user_id, room_id, display_name, may_moderate, is_silent } = member;
                ((user_id, room_id), Membership { me: user_id, name: display_name, may_moderate, is_silent })
            };
            let found: HashMap<_, _> = found.into_iter().map(place).collect();
            Some(asked.iter().map(|asked| found.get(asked).cloned()).collect())
        }
        Err(error) => {
            tracing::warn!(%error, count = asked.len(), "membership can not be checked");
            None
        }
    }
}

/// Whether each of these sessions was signed out.
async fn are_revoked(pg: Pool, sids: Vec<SessionId>) -> Option<Vec<bool>> {
    match revoked(&pg, &sids).await {
        Ok(revoked) => Some(sids.iter().map(|sid| revoked.contains(sid)).collect()),
        Err(error) => {
            tracing::warn!(%error, count = sids.len(), "sessions can not be checked");
            None
        }
    }
}
