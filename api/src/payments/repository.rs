//! SQL of payments.

use ops::database::Pool;
use schema::{
    clock::Timestamp,
    id::{EventId, PaymentId},
};
use sqlx::PgConnection;

use super::model::Payment;

macro_rules! select_payment {
    ($rest:literal) => {
        concat!(
            "SELECT id, event_id, slot_id, payer_id, payee_id, amount, currency, status, provider_ref, client_secret,
                    refunded_amount, refund_due, is_cancel_due, failure, expires_at, created_at, updated_at
             FROM payments ",
            $rest
        )
    };
}

pub(super) async fn find(pg: &Pool, id: PaymentId) -> sqlx::Result<Option<Payment>> {
    sqlx::query_as(select_payment!("WHERE id = $1")).bind(id).fetch_optional(pg).await
}

pub(super) async fn find_for_update(tx: &mut PgConnection, id: PaymentId) -> sqlx::Result<Option<Payment>> {
    sqlx::query_as(select_payment!("WHERE id = $1 FOR UPDATE")).bind(id).fetch_optional(tx).await
}

pub(super) async fn find_of_event(tx: &mut PgConnection, event: EventId) -> sqlx::Result<Option<Payment>> {
    sqlx::query_as(select_payment!("WHERE event_id = $1 FOR UPDATE")).bind(event).fetch_optional(tx).await
}

/// Which event is paid by what the provider calls so. Locks nothing: the event is locked before its payment.
pub(super) async fn find_by_ref(pg: &Pool, provider_ref: &str) -> sqlx::Result<Option<Payment>> {
    sqlx::query_as(select_payment!("WHERE provider_ref = $1")).bind(provider_ref).fetch_optional(pg).await
}

/// Open payments whose time is over.
pub(super) async fn list_expired(pg: &Pool, now: Timestamp, limit: i64) -> sqlx::Result<Vec<Payment>> {
    sqlx::query_as(select_payment!(
        "WHERE status IN ('requested', 'authorised') AND expires_at <= $1 ORDER BY expires_at LIMIT $2"
    ))
    .bind(now.as_datetime())
    .bind(limit)
    .fetch_all(pg)
    .await
}

/// Payments of which the provider has still to be told something.
pub(super) async fn list_due(pg: &Pool, before: Timestamp, limit: i64) -> sqlx::Result<Vec<Payment>> {
    sqlx::query_as(select_payment!(
        "WHERE (is_cancel_due OR refund_due > refunded_amount OR (provider_ref IS NULL AND status = 'requested'))
           AND updated_at <= $1 ORDER BY updated_at LIMIT $2"
    ))
    .bind(before.as_datetime())
    .bind(limit)
    .fetch_all(pg)
    .await
}

pub(super) async fn insert(tx: &mut PgConnection, payment: &Payment) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO payments (id, event_id, slot_id, payer_id, payee_id, amount, currency, status, expires_at,
                               created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
    )
    .bind(payment.id)
    .bind(payment.event_id)
    .bind(payment.slot_id)
    .bind(payment.payer_id)
    .bind(payment.payee_id)
    .bind(payment.money.amount)
    .bind(&payment.money.currency)
    .bind(payment.status)
    .bind(payment.expires_at.as_datetime())
    .bind(payment.created_at.as_datetime())
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes where it stands, and what the provider has to be told.
pub(super) async fn update(tx: &mut PgConnection, payment: &Payment) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE payments SET status = $2, refunded_amount = $3, refund_due = $4, is_cancel_due = $5, failure = $6,
                             updated_at = $7 WHERE id = $1",
    )
    .bind(payment.id)
    .bind(payment.status)
    .bind(payment.refunded_amount)
    .bind(payment.refund_due)
    .bind(payment.is_cancel_due)
    .bind(&payment.failure)
    .bind(payment.updated_at.as_datetime())
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes what the provider calls it.
pub(super) async fn set_reference(
    pg: &Pool,
    id: PaymentId,
    provider_ref: &str,
    client_secret: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        // It may have been given up while the provider was asked.
        "UPDATE payments SET provider_ref = $2, client_secret = $3, is_cancel_due = (status = 'failed')
         WHERE id = $1 AND provider_ref IS NULL",
    )
    .bind(id)
    .bind(provider_ref)
    .bind(client_secret)
    .execute(pg)
    .await?;
    Ok(())
}

/// The step of paying back to ask for: one that was begun is finished first, so that a repeat is the same request.
pub(super) async fn next_refund(pg: &Pool, id: PaymentId) -> sqlx::Result<Option<(i64, i64)>> {
    sqlx::query_as(
        "UPDATE payments
         SET refund_from = CASE WHEN refund_to > refunded_amount THEN refund_from ELSE refunded_amount END,
             refund_to = CASE WHEN refund_to > refunded_amount THEN refund_to ELSE refund_due END
         WHERE id = $1 AND refund_due > refunded_amount RETURNING refund_from, refund_to",
    )
    .bind(id)
    .fetch_optional(pg)
    .await
}

/// Notes that the provider knows that no money is wanted.
pub(super) async fn set_cancelled(pg: &Pool, id: PaymentId) -> sqlx::Result<()> {
    sqlx::query("UPDATE payments SET is_cancel_due = false WHERE id = $1").bind(id).execute(pg).await?;
    Ok(())
}

/// Notes that a try to tell the provider failed: others have their turn first.
pub(super) async fn put_off(pg: &Pool, id: PaymentId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("UPDATE payments SET updated_at = $2 WHERE id = $1")
        .bind(id)
        .bind(now.as_datetime())
        .execute(pg)
        .await?;
    Ok(())
}

/// Notes a notice; says whether it is new.
pub(super) async fn note_notice(tx: &mut PgConnection, id: &str, now: Timestamp) -> sqlx::Result<bool> {
    let noted = sqlx::query("INSERT INTO payment_notices (id, received_at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(id)
        .bind(now.as_datetime())
        .execute(tx)
        .await?;
    Ok(noted.rows_affected() == 1)
}
