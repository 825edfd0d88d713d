//! Who may be in which room: a question to PostgreSQL, with a short cache.
//!
//! An answer is fresh for 5 s. While PostgreSQL is away one of up to 60 s serves; after that nobody new
//! is let in. Each invalidation raises a generation: an answer that was asked for in an older one is
//! used once and not kept.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use foldhash::HashMap;
use parking_lot::Mutex;
use schema::{
    id::{RoomId, SessionId, UserId},
    text::DisplayName,
};
use sqlx::PgPool;

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
    pg: PgPool,
    generation: AtomicU64,
    answers: Mutex<HashMap<(UserId, RoomId), Answer>>,
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
}

impl Admission {
    /// Asks this database.
    pub fn new(pg: PgPool) -> Self {
        Self { pg, generation: AtomicU64::new(0), answers: Mutex::default() }
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
        let found = sqlx::query_scalar::<_, DisplayName>(
            "SELECT u.display_name FROM room_members m JOIN users u ON u.id = m.user_id
             WHERE m.room_id = $1 AND m.user_id = $2 AND u.deleted_at IS NULL",
        )
        .bind(room)
        .bind(user)
        .fetch_optional(&self.pg)
        .await;
        let found = match found {
            Ok(name) => name.map(|name| Membership { me: user, name }),
            Err(error) => {
                tracing::warn!(%error, "membership can not be checked");
                let recent = known.filter(|(at, _)| at.elapsed() < STALE_MAX);
                return recent.map(|(_, answer)| answer).ok_or(CannotCheck);
            }
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
        let (users, rooms): (Vec<UserId>, Vec<RoomId>) = asked.iter().copied().unzip();
        sqlx::query_as(
            "SELECT m.user_id, m.room_id, u.display_name
             FROM UNNEST($1::uuid[], $2::uuid[]) AS asked (user_id, room_id)
             JOIN room_members m ON m.user_id = asked.user_id AND m.room_id = asked.room_id
             JOIN users u ON u.id = m.user_id AND u.deleted_at IS NULL",
        )
        .bind(users.iter().map(|user| user.as_uuid()).collect::<Vec<_>>())
        .bind(rooms.iter().map(|room| room.as_uuid()).collect::<Vec<_>>())
        .fetch_all(&self.pg)
        .await
    }

    /// Of these sessions, those that were signed out.
    pub async fn revoked(&self, sids: &[SessionId]) -> Result<Vec<SessionId>, sqlx::Error> {
        sqlx::query_scalar("SELECT id FROM sessions WHERE id = ANY($1) AND revoked_at IS NOT NULL")
            .bind(sids.iter().map(|sid| sid.as_uuid()).collect::<Vec<_>>())
            .fetch_all(&self.pg)
            .await
    }

    /// Whether PostgreSQL answers.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT 1").execute(&self.pg).await.map(drop)
    }
}
