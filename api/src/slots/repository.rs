//! SQL of slots.

use ops::database::Pool;
use schema::{
    clock::Timestamp,
    id::{EventId, SlotId, UserId},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::Slot;

/// What a slot's row holds.
macro_rules! columns {
    () => {
        "id, owner_id, series_id, service, starts_at, ends_at, local_starts_at, local_ends_at, time_zone, price_amount,
         price_currency, free_until_hours, is_available, event_id, version, created_at, updated_at"
    };
}

macro_rules! select_slot {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM open_slots ", $rest)
    };
}

/// Which slots a list shows.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) owner: Option<UserId>,
    /// Those that end after this.
    pub(super) from: Option<Timestamp>,
    /// Those that begin before this.
    pub(super) to: Option<Timestamp>,
    pub(super) service: Option<String>,
    pub(super) is_available: Option<bool>,
    pub(super) price_min: Option<i64>,
    pub(super) price_max: Option<i64>,
    pub(super) currency: Option<String>,
}

pub(super) async fn find(pg: &Pool, id: SlotId) -> sqlx::Result<Option<Slot>> {
    sqlx::query_as(select_slot!("WHERE id = $1 AND deleted_at IS NULL")).bind(id).fetch_optional(pg).await
}

/// As [`find`]; the row stays locked until the transaction ends.
pub(super) async fn find_for_update(tx: &mut PgConnection, id: SlotId) -> sqlx::Result<Option<Slot>> {
    sqlx::query_as(select_slot!("WHERE id = $1 AND deleted_at IS NULL FOR UPDATE")).bind(id).fetch_optional(tx).await
}

/// The slots of one rule, or the one slot of this id.
pub(super) async fn list_made(pg: &Pool, made: Uuid) -> sqlx::Result<Vec<Slot>> {
    sqlx::query_as(select_slot!("WHERE (id = $1 OR series_id = $1) AND deleted_at IS NULL ORDER BY starts_at, id"))
        .bind(made)
        .fetch_all(pg)
        .await
}

/// Slots by their beginning. A slot without a price costs 0.
pub(super) async fn list(
    pg: &Pool,
    filter: &Filter,
    after: Option<(Timestamp, SlotId)>,
    limit: i64,
) -> sqlx::Result<Vec<Slot>> {
    sqlx::query_as(select_slot!(
        "WHERE deleted_at IS NULL
           AND ($1::uuid IS NULL OR owner_id = $1)
           AND ($2::timestamptz IS NULL OR ends_at > $2)
           AND ($3::timestamptz IS NULL OR starts_at < $3)
           AND ($4::text IS NULL OR lower(service) = lower($4))
           AND ($5::boolean IS NULL OR is_available = $5)
           AND ($6::bigint IS NULL OR coalesce(price_amount, 0) >= $6)
           AND ($7::bigint IS NULL OR coalesce(price_amount, 0) <= $7)
           AND ($8::text IS NULL OR price_currency = $8)
           AND ($9::timestamptz IS NULL OR (starts_at, id) > ($9, $10))
         ORDER BY starts_at, id LIMIT $11"
    ))
    .bind(filter.owner)
    .bind(filter.from.map(Timestamp::as_datetime))
    .bind(filter.to.map(Timestamp::as_datetime))
    .bind(&filter.service)
    .bind(filter.is_available)
    .bind(filter.price_min)
    .bind(filter.price_max)
    .bind(&filter.currency)
    .bind(after.map(|(at, _)| at.as_datetime()))
    .bind(after.map(|(_, id)| id))
    .bind(limit)
    .fetch_all(pg)
    .await
}

/// Writes new slots, in one statement: those of one rule differ in their ids and times alone.
pub(super) async fn insert(tx: &mut PgConnection, slots: &[Slot]) -> sqlx::Result<()> {
    let Some(first) = slots.first() else { return Ok(()) };
    sqlx::query(
        "INSERT INTO open_slots (id, starts_at, ends_at, local_starts_at, local_ends_at, owner_id, series_id, service,
                                 time_zone, price_amount, price_currency, free_until_hours, is_available, version,
                                 created_at, updated_at)
         SELECT s.*, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15
         FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamp[], $5::timestamp[]) AS s",
    )
    .bind(slots.iter().map(|slot| slot.id).collect::<Vec<_>>())
    .bind(slots.iter().map(|slot| slot.starts_at.as_datetime()).collect::<Vec<_>>())
    .bind(slots.iter().map(|slot| slot.ends_at.as_datetime()).collect::<Vec<_>>())
    .bind(slots.iter().map(|slot| slot.local_starts_at).collect::<Vec<_>>())
    .bind(slots.iter().map(|slot| slot.local_ends_at).collect::<Vec<_>>())
    .bind(first.owner_id)
    .bind(first.series_id)
    .bind(&first.service)
    .bind(&first.time_zone)
    .bind(first.price.as_ref().map(|price| price.amount))
    .bind(first.price.as_ref().map(|price| &price.currency))
    .bind(first.free_until_hours)
    .bind(first.is_available)
    .bind(first.version)
    .bind(first.created_at.as_datetime())
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes everything that its owner can change.
pub(super) async fn update(tx: &mut PgConnection, slot: &Slot) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE open_slots SET service = $2, starts_at = $3, ends_at = $4, local_starts_at = $5, local_ends_at = $6,
             time_zone = $7, price_amount = $8, price_currency = $9, free_until_hours = $10, is_available = $11,
             version = $12, updated_at = $13
         WHERE id = $1",
    )
    .bind(slot.id)
    .bind(&slot.service)
    .bind(slot.starts_at.as_datetime())
    .bind(slot.ends_at.as_datetime())
    .bind(slot.local_starts_at)
    .bind(slot.local_ends_at)
    .bind(&slot.time_zone)
    .bind(slot.price.as_ref().map(|price| price.amount))
    .bind(slot.price.as_ref().map(|price| &price.currency))
    .bind(slot.free_until_hours)
    .bind(slot.is_available)
    .bind(slot.version)
    .bind(slot.updated_at.as_datetime())
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn delete(tx: &mut PgConnection, id: SlotId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE open_slots SET deleted_at = $2, updated_at = $2, is_available = false, version = version + 1
         WHERE id = $1",
    )
    .bind(id)
    .bind(now.as_datetime())
    .execute(tx)
    .await?;
    Ok(())
}

/// Lets those who book one owner's slots do so one after the other: else two that overlap would wait for each other.
pub(super) async fn lock_owner(tx: &mut PgConnection, owner: UserId) -> sqlx::Result<()> {
    sqlx::query("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE").bind(owner).execute(tx).await?;
    Ok(())
}

pub(super) async fn find_owner(tx: &mut PgConnection, id: SlotId) -> sqlx::Result<Option<UserId>> {
    sqlx::query_scalar("SELECT owner_id FROM open_slots WHERE id = $1").bind(id).fetch_optional(tx).await
}

/// Sells the slot to `event`, if it is to be had.
pub(super) async fn take(
    tx: &mut PgConnection,
    id: SlotId,
    event: EventId,
    now: Timestamp,
) -> sqlx::Result<Option<Slot>> {
    sqlx::query_as(concat!(
        "UPDATE open_slots SET is_available = false, event_id = $2, version = version + 1, updated_at = $3
         WHERE id = $1 AND is_available AND deleted_at IS NULL AND ends_at > $3
         RETURNING ",
        columns!()
    ))
    .bind(id)
    .bind(event)
    .bind(now.as_datetime())
    .fetch_optional(tx)
    .await
}

/// Takes the slot back from the event that has it.
pub(super) async fn release(
    tx: &mut PgConnection,
    id: SlotId,
    event: EventId,
    is_available: bool,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE open_slots SET is_available = $3, event_id = NULL, version = version + 1, updated_at = $4
         WHERE id = $1 AND event_id = $2",
    )
    .bind(id)
    .bind(event)
    .bind(is_available)
    .bind(now.as_datetime())
    .execute(tx)
    .await?;
    Ok(())
}
