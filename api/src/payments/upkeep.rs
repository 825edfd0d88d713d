//! What is due without anybody asking: bookings that were not paid in time, and words the provider did not take.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{repository, service};
use crate::{error::ApiError, state::AppState};

/// How often something is looked for.
const EVERY: Duration = Duration::from_secs(1);
/// Before a word is said again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Payments looked after in one round.
const ROUND_MAX: i64 = 50;

/// Runs until the process stops. Any number of processes may: each step is taken under the event's lock, or under a key
/// of the provider's.
pub(crate) async fn run(state: AppState, stopping: CancellationToken) {
    tokio::select! {
        () = stopping.cancelled() => {}
        // Side by side: a provider that is slow keeps no slot from being free again.
        _never = async { tokio::join!(expire(&state), tell(&state)) } => {}
    }
}

async fn expire(state: &AppState) {
    loop {
        tokio::time::sleep(EVERY).await;
        match repository::list_expired(&state.pg, state.clock.now(), ROUND_MAX).await {
            Ok(payments) => {
                for payment in payments {
                    if let Err(error) = service::expire(state, &payment).await {
                        tracing::warn!(payment.id = %payment.id, %error, "a hold was not ended: trying again");
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "holds are not looked after"),
        }
    }
}

async fn tell(state: &AppState) {
    if state.payments.is_none() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = tell_due(state).await {
            tracing::debug!(%error, "payments are not looked after");
        }
    }
}

async fn tell_due(state: &AppState) -> Result<(), ApiError> {
    let now = state.clock.now();
    let before = now.minus(AGAIN_AFTER).unwrap_or(now);
    for payment in repository::list_due(&state.pg, before, ROUND_MAX).await? {
        if let Err(error) = service::settle(state, &payment).await {
            tracing::warn!(payment.id = %payment.id, %error, "the provider was not told: trying again");
            repository::put_off(&state.pg, payment.id, state.clock.now()).await?;
        }
    }
    Ok(())
}
