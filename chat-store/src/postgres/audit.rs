//! Pages of everything, for the check that the tables agree. Each page is one snapshot: a worker that writes meanwhile
//! is seen before or after, never in the middle.

use std::collections::HashMap;

use ops::database::Pool;
use schema::{
    clock::Timestamp,
    envelope::Kind,
    id::{MessageId, RoomId, UserId},
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{history, log};
use crate::{
    LogRow, StoreError,
    audit::{self, AuditPage, Audited, AuditedChange, AuditedId, AuditedReaction, IdPage, IdPlace, Logged, MarkRow},
    column,
    standing::Change,
};

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// Every seq of the log and of history, by room and seq.
pub(super) async fn page(
    pool: &Pool,
    after: Option<(RoomId, u64)>,
    above: u64,
    limit: usize,
) -> Result<AuditPage, StoreError> {
    let mut tx = pool.begin_with(SNAPSHOT).await?;
    let after = after.map_or((Uuid::nil(), 0), |(room, seq)| (room.as_uuid(), column::of_seq(seq)));
    let rows = log::list_from(&mut tx, after, above, limit).await?;
    let items = history::list_from(&mut tx, after, above, limit).await?;
    let (mut rows, next) = audit::merge(rows, items, limit);
    fill(&mut tx, &mut rows).await?;
    tx.rollback().await?;
    Ok(AuditPage { rows, next })
}

/// Adds what stands under the ids of `rows`, and under those of the messages that they change.
async fn fill(tx: &mut PgConnection, rows: &mut [Audited]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = rows.iter().filter_map(Audited::id).map(MessageId::as_uuid).collect();
    let targets: HashMap<(RoomId, u64), MessageId> =
        rows.iter().filter_map(|row| Some(((row.room_id, row.seq), row.target()?))).collect();
    let messages = rows.iter().filter(|row| row.kind() == Some(Kind::Message)).filter_map(Audited::id);
    let touched: Vec<Uuid> = messages.chain(targets.values().copied()).map(MessageId::as_uuid).collect();
    let places = places(tx, &ids).await?;
    let changes = changes(tx, &touched).await?;
    let reactions = reactions(tx, &touched).await?;
    for row in rows {
        let Some(id) = row.id() else { continue };
        row.place = places.get(&id).copied();
        if let Some(target) = targets.get(&(row.room_id, row.seq)) {
            row.keep(changes.get(target), reactions.get(target));
        } else {
            row.changes = changes.get(&id).cloned().unwrap_or_default();
            row.reactions = reactions.get(&id).cloned().unwrap_or_default();
        }
    }
    Ok(())
}

async fn places(tx: &mut PgConnection, ids: &[Uuid]) -> Result<HashMap<MessageId, IdPlace>, StoreError> {
    let rows: Vec<(Uuid, Uuid, i64, Option<Uuid>)> = sqlx::query_as(
        "SELECT message_id, event_id, seq, sender FROM chat_message_ids
         WHERE message_id = ANY($1) AND seq IS NOT NULL AND event_id IS NOT NULL",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    let place = |(id, room, seq, sender): (Uuid, Uuid, i64, Option<Uuid>)| {
        let seq = column::seq(seq, "chat_message_ids", id)?;
        let place = IdPlace { room_id: RoomId::from_uuid(room), seq, sender: sender.map(UserId::from_uuid) };
        Ok((MessageId::from_uuid(id), place))
    };
    rows.into_iter().map(place).collect()
}

#[derive(sqlx::FromRow)]
struct ChangeRow {
    message_id: Uuid,
    seq: i64,
    event_id: Uuid,
    kind: String,
    sender: Option<Uuid>,
    created_at: OffsetDateTime,
    content: Option<String>,
    is_moderator: bool,
    is_refused: bool,
    is_logged: bool,
}

async fn changes(tx: &mut PgConnection, ids: &[Uuid]) -> Result<HashMap<MessageId, Vec<AuditedChange>>, StoreError> {
    const TABLE: &str = "chat_message_changes";
    let rows: Vec<ChangeRow> = sqlx::query_as(
        "SELECT changes.*, log.kind IS NOT DISTINCT FROM changes.kind AS is_logged
         FROM chat_message_changes changes
         LEFT JOIN room_log_by_event log ON log.event_id = changes.event_id AND log.seq = changes.seq
         WHERE changes.message_id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows {
        let change = Change {
            room_id: RoomId::from_uuid(row.event_id),
            seq: column::seq(row.seq, TABLE, row.message_id)?,
            kind: Kind::parse(&row.kind).ok_or_else(|| column::corrupt(TABLE, "kind", row.message_id))?,
            sender: row.sender.map(UserId::from_uuid),
            created_at: row.created_at.into(),
            content: row.content,
            is_moderator: row.is_moderator,
        };
        let change = AuditedChange { change, is_refused: row.is_refused, is_logged: row.is_logged };
        found.entry(MessageId::from_uuid(row.message_id)).or_default().push(change);
    }
    Ok(found)
}

async fn reactions(
    tx: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<MessageId, Vec<AuditedReaction>>, StoreError> {
    let rows: Vec<(Uuid, i64, String, bool, bool)> = sqlx::query_as(
        "SELECT reactions.message_id, reactions.seq, reactions.emoji, reactions.is_added,
             log.kind IS NOT DISTINCT FROM 'reaction' AS is_logged
         FROM message_reactions reactions
         LEFT JOIN room_log_by_event log ON log.event_id = reactions.event_id AND log.seq = reactions.seq
         WHERE reactions.message_id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for (id, seq, emoji, is_added, is_logged) in rows {
        let seq = column::seq(seq, "message_reactions", id)?;
        let reaction = AuditedReaction { seq, emoji, is_added, is_logged };
        found.entry(MessageId::from_uuid(id)).or_default().push(reaction);
    }
    Ok(found)
}

/// What the log has at these places, in their order.
pub(super) async fn log_at(
    pool: &Pool,
    places: &[(RoomId, u64, Timestamp)],
) -> Result<Vec<Option<LogRow>>, StoreError> {
    let rooms: Vec<Uuid> = places.iter().map(|(room, _, _)| room.as_uuid()).collect();
    let seqs: Vec<i64> = places.iter().map(|(_, seq, _)| column::of_seq(*seq)).collect();
    let mut found: HashMap<(RoomId, u64), LogRow> =
        log::list_at(pool, &rooms, &seqs).await?.into_iter().map(|(room, row)| ((room, row.seq), row)).collect();
    Ok(places.iter().map(|(room, seq, _)| found.remove(&(*room, *seq))).collect())
}

#[derive(sqlx::FromRow)]
struct IdRow {
    message_id: Uuid,
    event_id: Option<Uuid>,
    seq: Option<i64>,
    kind: Option<String>,
    created_at: Option<OffsetDateTime>,
    is_there: bool,
    logged_id: Option<Uuid>,
}

/// Ids above `after`, and what the log has where they stand.
pub(super) async fn ids(pool: &Pool, after: Option<MessageId>, limit: usize) -> Result<IdPage, StoreError> {
    const TABLE: &str = "chat_message_ids";
    let rows: Vec<IdRow> = sqlx::query_as(
        "SELECT ids.message_id, ids.event_id, ids.seq, ids.kind, ids.created_at,
             log.seq IS NOT NULL AS is_there, log.id AS logged_id
         FROM (SELECT * FROM chat_message_ids WHERE message_id > $1 ORDER BY message_id LIMIT $2) ids
         LEFT JOIN room_log_by_event log ON log.event_id = ids.event_id AND log.seq = ids.seq
         ORDER BY ids.message_id",
    )
    .bind(after.map_or(Uuid::nil(), MessageId::as_uuid))
    .bind(column::of_limit(limit))
    .fetch_all(pool)
    .await?;
    let next = rows.last().filter(|_| rows.len() >= limit).map(|row| MessageId::from_uuid(row.message_id));
    let mut ids = Vec::with_capacity(rows.len());
    for row in rows {
        // A stub stands nowhere yet.
        let (Some(room), Some(seq), Some(created_at)) = (row.event_id, row.seq, row.created_at) else { continue };
        let kind = column::kind(row.kind.as_deref(), TABLE, row.message_id)?;
        ids.push(AuditedId {
            id: MessageId::from_uuid(row.message_id),
            room_id: RoomId::from_uuid(room),
            seq: column::seq(seq, TABLE, row.message_id)?,
            created_at: created_at.into(),
            kind: kind.ok_or_else(|| column::corrupt(TABLE, "kind", row.message_id))?,
            logged: match (row.is_there, row.logged_id) {
                (false, _) => Logged::Nothing,
                (true, None) => Logged::Skip,
                (true, Some(id)) if id == row.message_id => Logged::Own,
                (true, Some(_)) => Logged::Other,
            },
        });
    }
    Ok(IdPage { ids, next })
}

/// Read marks above `after`, by room and user.
pub(super) async fn marks(
    pool: &Pool,
    after: Option<(RoomId, UserId)>,
    limit: usize,
) -> Result<Vec<MarkRow>, StoreError> {
    let (room, user) = after.map_or((Uuid::nil(), Uuid::nil()), |(room, user)| (room.as_uuid(), user.as_uuid()));
    let rows: Vec<(Uuid, Uuid, i64)> = sqlx::query_as(
        "SELECT event_id, user_id, seq FROM read_marks_by_event
         WHERE (event_id, user_id) > ($1, $2) ORDER BY event_id, user_id LIMIT $3",
    )
    .bind(room)
    .bind(user)
    .bind(column::of_limit(limit))
    .fetch_all(pool)
    .await?;
    let mark = |(room, user, seq)| {
        let seq = column::seq(seq, "read_marks_by_event", room)?;
        Ok(MarkRow { room_id: RoomId::from_uuid(room), user_id: UserId::from_uuid(user), seq })
    };
    rows.into_iter().map(mark).collect()
}
