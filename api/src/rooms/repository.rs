//! SQL of rooms.

use std::collections::HashMap;

use ops::database::Pool;
use schema::{
    clock::Timestamp,
    id::{RoomId, UserId},
};

use super::model::{Listed, Member, Room};
use crate::http::Identity;

/// What the rooms say of their members: an answer for each, in the order in which they are asked for.
pub(super) async fn find_members(pg: &Pool, asked: &[(RoomId, UserId)]) -> sqlx::Result<Vec<Option<Member>>> {
    let found: Vec<Numbered> = sqlx::query_as(
        "SELECT asked.number, u.display_name, r.is_archived, r.display_mode = 'blind' AS is_blind,
             m.role IN ('owner', 'admin') OR u.role = 'admin' AS may_moderate, false AS is_guest
         FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS asked (room_id, user_id, number)
         JOIN room_members m ON m.room_id = asked.room_id AND m.user_id = asked.user_id
         JOIN rooms r ON r.id = m.room_id JOIN users u ON u.id = m.user_id",
    )
    .bind(asked.iter().map(|(room, _)| room.as_uuid()).collect::<Vec<_>>())
    .bind(asked.iter().map(|(_, user)| user.as_uuid()).collect::<Vec<_>>())
    .fetch_all(pg)
    .await?;
    let mut found: HashMap<i64, Member> = found.into_iter().map(|found| (found.number, found.member)).collect();
    Ok((1..).zip(asked).map(|(number, _)| found.remove(&number)).collect())
}

#[derive(sqlx::FromRow)]
struct Numbered {
    /// The place in the question, from 1.
    number: i64,
    #[sqlx(flatten)]
    member: Member,
}

/// As [`find_members`], of somebody who need not be in the room to look at it.
pub(super) async fn find_as_admin(pg: &Pool, room: RoomId, user: UserId) -> sqlx::Result<Option<Member>> {
    sqlx::query_as(
        "SELECT u.display_name, r.is_archived, r.display_mode = 'blind' AS is_blind,
             u.role = 'admin' AS may_moderate, true AS is_guest
         FROM rooms r CROSS JOIN users u WHERE r.id = $1 AND u.id = $2",
    )
    .bind(room)
    .bind(user)
    .fetch_optional(pg)
    .await
}

pub(super) async fn find(pg: &Pool, room: RoomId, caller: Identity) -> sqlx::Result<Option<Room>> {
    sqlx::query_as(
        "SELECT id, room_type, name, description, display_mode, is_archived, notice, created_by, created_at, updated_at
         FROM rooms r
         WHERE id = $1 AND ($3 OR EXISTS (SELECT FROM room_members m WHERE m.room_id = r.id AND m.user_id = $2))",
    )
    .bind(room)
    .bind(caller.user_id)
    .bind(caller.is_admin)
    .fetch_optional(pg)
    .await
}

/// Every room of `user` that is not archived, and when it was made.
pub(super) async fn list_mine(pg: &Pool, user: UserId) -> sqlx::Result<Vec<(RoomId, time::OffsetDateTime)>> {
    sqlx::query_as(
        "SELECT r.id, r.created_at FROM room_members m JOIN rooms r ON r.id = m.room_id
         WHERE m.user_id = $1 AND NOT r.is_archived",
    )
    .bind(user)
    .fetch_all(pg)
    .await
}

/// Every room of `user`, archived ones too.
pub(super) async fn list_all_ids(pg: &Pool, user: UserId) -> sqlx::Result<Vec<RoomId>> {
    sqlx::query_scalar("SELECT room_id FROM room_members WHERE user_id = $1").bind(user).fetch_all(pg).await
}

pub(super) async fn list_by_ids(pg: &Pool, rooms: &[RoomId]) -> sqlx::Result<Vec<Room>> {
    sqlx::query_as(
        "SELECT id, room_type, name, description, display_mode, is_archived, notice, created_by, created_at, updated_at
         FROM rooms WHERE id = ANY($1)",
    )
    .bind(rooms)
    .fetch_all(pg)
    .await
}

/// The room's members in the order they came.
pub(super) async fn list_members(
    pg: &Pool,
    room: RoomId,
    after: Option<(Timestamp, UserId)>,
    limit: i64,
) -> sqlx::Result<Vec<Listed>> {
    sqlx::query_as(
        "SELECT m.user_id, u.display_name, m.role, m.anonymous_name, m.group_label, m.is_muted, m.joined_at
         FROM room_members m JOIN users u ON u.id = m.user_id
         WHERE m.room_id = $1 AND ($2::timestamptz IS NULL OR (m.joined_at, m.user_id) > ($2, $3))
         ORDER BY m.joined_at, m.user_id LIMIT $4",
    )
    .bind(room)
    .bind(after.map(|(at, _)| at.as_datetime()))
    .bind(after.map(|(_, user)| user))
    .bind(limit)
    .fetch_all(pg)
    .await
}

/// The room's members, by id alone, in the order they came.
pub(super) async fn list_member_ids(pg: &Pool, room: RoomId, limit: i64) -> sqlx::Result<Vec<UserId>> {
    sqlx::query_scalar("SELECT user_id FROM room_members WHERE room_id = $1 ORDER BY joined_at, user_id LIMIT $2")
        .bind(room)
        .bind(limit)
        .fetch_all(pg)
        .await
}
