//! Who runs a room: asked again before a deletion of what somebody else said is stored. Whoever published it has asked
//! before, but a role may have been lost meanwhile.

use std::{collections::HashSet, io::ErrorKind, time::Duration};

use chat_store::Entry;
use ops::database::Pool;
use schema::id::{RoomId, UserId};
use tokio::time::timeout;
use uuid::Uuid;

/// Far less than a write may take: whoever is asked here may be another server than the store.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Asks PostgreSQL.
#[derive(Clone, Debug)]
pub struct Moderators {
    pg: Pool,
}

impl Moderators {
    /// Asks over this pool.
    pub const fn new(pg: Pool) -> Self {
        Self { pg }
    }

    /// The entries, of which those keep the mark of a role whose sender has it.
    pub async fn check(&self, entries: &[Entry]) -> sqlx::Result<Vec<Entry>> {
        let by_role = entries.iter().filter(|entry| entry.is_moderator);
        let asked: Vec<(RoomId, UserId)> = by_role.filter_map(|entry| Some((entry.room_id, entry.sender?))).collect();
        let finding = timeout(ANSWER_WITHIN, self.find(&asked)).await;
        let found = finding.unwrap_or_else(|_elapsed| Err(sqlx::Error::Io(ErrorKind::TimedOut.into())))?;
        let has_role = |entry: &Entry| entry.sender.is_some_and(|sender| found.contains(&(entry.room_id, sender)));
        let check = |entry: &Entry| Entry { is_moderator: entry.is_moderator && has_role(entry), ..entry.clone() };
        Ok(entries.iter().map(check).collect())
    }

    async fn find(&self, asked: &[(RoomId, UserId)]) -> sqlx::Result<HashSet<(RoomId, UserId)>> {
        let found: Vec<(RoomId, UserId)> = sqlx::query_as(
            "SELECT asked.room_id, asked.user_id FROM unnest($1::uuid[], $2::uuid[]) AS asked (room_id, user_id)
             JOIN users u ON u.id = asked.user_id AND u.deleted_at IS NULL
             LEFT JOIN room_members m ON m.room_id = asked.room_id AND m.user_id = asked.user_id
             WHERE m.role IN ('owner', 'admin') OR u.role = 'admin'",
        )
        .bind(asked.iter().map(|(room, _)| room.as_uuid()).collect::<Vec<Uuid>>())
        .bind(asked.iter().map(|(_, user)| user.as_uuid()).collect::<Vec<Uuid>>())
        .fetch_all(&self.pg)
        .await?;
        Ok(found.into_iter().collect())
    }
}
