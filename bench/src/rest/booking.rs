//! A booking by its queries alone: the same rows in the same transaction, through a pool of the same size, and nothing
//! around them. What it says to the outbox is relayed and stored like any other.

use anyhow::{Context, Result, ensure};
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

/// What a booking says to the outbox, as the api once said it.
pub(super) struct Template {
    event: String,
    change: String,
    subject: String,
    headers: String,
    body: String,
}

impl Template {
    /// Of an event that the api made.
    pub(super) async fn of(pg: &PgPool, event: Uuid) -> Result<Self> {
        let row = sqlx::query("SELECT id, subject, headers::text AS headers, body FROM outbox WHERE lane_id = $1")
            .bind(event)
            .fetch_one(pg)
            .await
            .context("a booking says one thing to the outbox")?;
        Ok(Self {
            event: event.to_string(),
            change: row.get::<Uuid, _>("id").to_string(),
            subject: row.get("subject"),
            headers: row.get("headers"),
            body: row.get("body"),
        })
    }

    /// The same of another event and change.
    fn filled(&self, text: &str, event: Uuid, change: Uuid) -> String {
        text.replace(&self.event, &event.to_string()).replace(&self.change, &change.to_string())
    }
}

/// Books `slot` of `seller` for `customer`.
pub(super) async fn book(pg: &PgPool, template: &Template, (slot, seller): (Uuid, Uuid), customer: Uuid) -> Result<()> {
    let (event, change) = (Uuid::now_v7(), Uuid::now_v7());
    let mut tx = pg.begin().await?;
    sqlx::query("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE").bind(seller).execute(&mut *tx).await?;
    let taken = sqlx::query(
        "UPDATE open_slots SET is_available = false, event_id = $2, version = version + 1, updated_at = now()
         WHERE id = $1 AND is_available RETURNING id",
    )
    .bind(slot)
    .bind(event)
    .fetch_all(&mut *tx)
    .await?;
    ensure!(taken.len() == 1, "a slot was taken already");
    sqlx::query(
        "WITH room AS (
             INSERT INTO rooms (id, room_type, name, created_by, created_at, updated_at)
             VALUES ($1, 'event', 'Bench', $2, now(), now())
         )
         INSERT INTO events (id, owner_id, title, starts_at, ends_at, local_starts_at, local_ends_at, time_zone, status,
                             slot_id, version, created_at, updated_at)
         SELECT $1, $2, 'Bench', starts_at, ends_at, local_starts_at, local_ends_at, time_zone, 'proposed', id, 1, now(),
                now() FROM open_slots WHERE id = $3",
    )
    .bind(event)
    .bind(customer)
    .bind(slot)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO room_members (room_id, user_id, role, answer, joined_at)
         VALUES ($1, $2, 'owner', 'accepted', now()), ($1, $3, 'member', 'pending', now())",
    )
    .bind(event)
    .bind(customer)
    .bind(seller)
    .execute(&mut *tx)
    .await?;
    sqlx::query("UPDATE events SET history_hash = $2 WHERE id = $1")
        .bind(event)
        .bind("0".repeat(64))
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "WITH lane AS (INSERT INTO outbox_lane (id, last_position, pending) VALUES ($1, 1, true) RETURNING id),
              appended AS (
                  INSERT INTO outbox (id, lane_id, position, subject, headers, body, created_at)
                  SELECT $2, id, 1, $3, $4::jsonb, $5, now() FROM lane RETURNING id
              )
         SELECT pg_notify('timingle_outbox', '') FROM appended",
    )
    .bind(event)
    .bind(change)
    .bind(&template.subject)
    .bind(template.filled(&template.headers, event, change))
    .bind(template.filled(&template.body, event, change))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}
