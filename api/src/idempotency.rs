//! A POST that creates, or that moves money, may be sent again under the same `Idempotency-Key`: it does one thing,
//! however often its answer was lost.

use std::fmt;

use schema::{clock::Timestamp, id::UserId, problem::Code};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;
use warp::http::HeaderMap;

use crate::error::ApiError;

/// A key, and a fingerprint of what it was sent for.
#[derive(Debug)]
pub(crate) struct IdempotencyKey {
    key: String,
    body_hash: [u8; 32],
}

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;
/// How long a key is kept, in hours.
const KEPT_HOURS: i64 = 24;

impl IdempotencyKey {
    /// The key of a request for `what`, if it has one.
    pub(crate) fn read(headers: &HeaderMap, what: impl fmt::Display, body: &[u8]) -> Result<Option<Self>, ApiError> {
        let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
        let key = value.to_str().ok().filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()));
        let key = key.ok_or_else(|| {
            ApiError::refused(Code::InvalidRequest, "Idempotency-Key must have 1 to 255 printable characters")
        })?;
        let hash = Sha256::new().chain_update(what.to_string()).chain_update([0]).chain_update(body);
        Ok(Some(Self { key: key.to_owned(), body_hash: hash.finalize().into() }))
    }

    /// Claims the key for what is about to be made; `Some` is what it has made already. A request with the same key that is
    /// still under way is waited for.
    pub(crate) async fn claim(
        &self,
        tx: &mut PgConnection,
        user: UserId,
        making: Uuid,
        now: Timestamp,
    ) -> Result<Option<Uuid>, ApiError> {
        let oldest = now.as_datetime() - time::Duration::hours(KEPT_HOURS);
        let claimed: Option<(Uuid,)> = sqlx::query_as(
            "INSERT INTO idempotency_keys AS k (user_id, key, body_hash, made_id, created_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (user_id, key) DO UPDATE
                 SET body_hash = $3, made_id = $4, created_at = $5 WHERE k.created_at < $6
             RETURNING made_id",
        )
        .bind(user)
        .bind(&self.key)
        .bind(&self.body_hash[..])
        .bind(making)
        .bind(now.as_datetime())
        .bind(oldest)
        .fetch_optional(&mut *tx)
        .await?;
        if claimed.is_some() {
            return Ok(None);
        }
        let (body_hash, made): (Vec<u8>, Uuid) =
            sqlx::query_as("SELECT body_hash, made_id FROM idempotency_keys WHERE user_id = $1 AND key = $2")
                .bind(user)
                .bind(&self.key)
                .fetch_one(tx)
                .await?;
        if body_hash == self.body_hash {
            Ok(Some(made))
        } else {
            Err(ApiError::refused(Code::IdempotencyKeyReused, "take a new key for another request"))
        }
    }
}
