//! The rules of payments: what follows from what the provider says, and who may ask for what.
//!
//! An event is always locked before its payment.

use std::time::Duration;

use schema::{
    clock::Timestamp,
    id::{EventId, PaymentId, UserId},
    problem::Code,
};
use serde_json::Value;
use sqlx::PgConnection;

use super::{
    model::{Payment, Status, Word},
    notice::Notice,
    repository,
};
use crate::{
    error::ApiError,
    events,
    http::{Form, Identity},
    idempotency::IdempotencyKey,
    slots::Slot,
    state::AppState,
};

/// How long a request waits for the provider; what takes longer is done by [`super::run`].
const ASK_WITHIN: Duration = Duration::from_secs(3);

/// Notes what `payer` has to pay for the slot that `event` takes; none if it costs nothing.
pub(crate) async fn request(
    state: &AppState,
    tx: &mut PgConnection,
    slot: &Slot,
    event_id: EventId,
    payer_id: UserId,
    now: Timestamp,
) -> Result<Option<PaymentId>, ApiError> {
    let Some(money) = slot.price.clone().filter(|price| price.amount > 0) else { return Ok(None) };
    if state.payments.is_none() {
        return Err(ApiError::refused(Code::Unavailable, "slots with a price can not be booked here"));
    }
    let payment = Payment {
        id: PaymentId::random(),
        event_id,
        slot_id: slot.id,
        payer_id,
        payee_id: slot.owner_id,
        money,
        status: Status::Requested,
        client_secret: None,
        refunded_amount: 0,
        failure: None,
        expires_at: now.plus(state.slot_held_for).map_err(|error| ApiError::Internal(error.into()))?,
        created_at: now,
        updated_at: now,
        provider_ref: None,
        refund_due: 0,
        is_cancel_due: false,
    };
    repository::insert(tx, &payment).await?;
    Ok(Some(payment.id))
}

/// Tells the provider what it has to be told of a payment, if there is one; what fails now is tried again by
/// [`super::run`].
pub(crate) async fn start(state: &AppState, id: Option<PaymentId>) {
    let Some(id) = id else { return };
    let settled = async {
        match repository::find(&state.pg, id).await? {
            Some(payment) => settle(state, &payment).await,
            None => Ok(()),
        }
    };
    match tokio::time::timeout(ASK_WITHIN, settled).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(payment.id = %id, %error, "the provider was not told: trying again"),
        Err(_elapsed) => tracing::warn!(payment.id = %id, "the provider does not answer: trying again"),
    }
}

/// Whether the event waits for its payment.
pub(crate) async fn is_open(tx: &mut PgConnection, event: EventId) -> Result<bool, ApiError> {
    Ok(repository::find_of_event(tx, event).await?.is_some_and(|payment| payment.status.is_open()))
}

/// An event that does not take place is not paid for; what was paid goes back if `is_refunded` says so.
pub(crate) async fn call_off(
    tx: &mut PgConnection,
    event: EventId,
    is_refunded: bool,
    now: Timestamp,
) -> Result<Option<PaymentId>, ApiError> {
    let Some(mut payment) = repository::find_of_event(tx, event).await? else { return Ok(None) };
    if payment.status.is_open() {
        give_up(&mut payment, "called_off");
    } else if payment.status == Status::Captured && is_refunded {
        payment.refund_due = payment.money.amount;
    } else {
        return Ok(None);
    }
    payment.updated_at = now;
    repository::update(tx, &payment).await?;
    Ok(Some(payment.id))
}

pub(super) async fn show(state: &AppState, caller: Identity, id: PaymentId) -> Result<Payment, ApiError> {
    let payment = repository::find(&state.pg, id).await?;
    payment.and_then(|payment| payment.shown_to(caller)).ok_or_else(not_found)
}

/// Pays all or a part back; who was paid may, and admins.
pub(super) async fn refund(
    state: &AppState,
    caller: Identity,
    id: PaymentId,
    form: Result<Form, ApiError>,
    key: Result<Option<IdempotencyKey>, ApiError>,
) -> Result<Payment, ApiError> {
    let mut tx = state.pg.begin().await?;
    let payment = repository::find_for_update(&mut tx, id).await?;
    let mut payment = payment.and_then(|payment| payment.shown_to(caller)).ok_or_else(not_found)?;
    if payment.payee_id != caller.user_id && !caller.is_admin {
        return Err(ApiError::refused(Code::Forbidden, "only who was paid may pay back"));
    }
    let (mut form, now) = (form?, state.clock.now());
    if let Some(key) = key?
        && key.claim(&mut tx, caller.user_id, id.as_uuid(), now).await?.is_some()
    {
        return Ok(payment);
    }
    let rest = payment.money.amount - payment.refund_due.max(payment.refunded_amount);
    let amount = form.optional("amount", |value: &Value| match value.as_i64().ok_or("not_a_whole_amount")? {
        amount if (1..=rest.max(1)).contains(&amount) => Ok(amount),
        _ => Err("out_of_range"),
    });
    form.finish()?;
    if payment.status == Status::Refunded {
        // Asked twice is done once.
        return Ok(payment);
    }
    if payment.status != Status::Captured {
        return Err(ApiError::refused(Code::Conflict, "there is no money to pay back"));
    }
    if rest == 0 {
        // All of it was asked for, and is on its way.
        return Ok(payment);
    }
    payment.refund_due = payment.money.amount - rest + amount.unwrap_or(rest);
    payment.updated_at = now;
    repository::update(&mut tx, &payment).await?;
    tx.commit().await?;
    tracing::info!(payment.id = %id, user.id = %caller.user_id, "refund asked for");
    start(state, Some(id)).await;
    show(state, caller, id).await
}

/// Takes in what the provider says. A repeat changes nothing.
pub(super) async fn hear(state: &AppState, notice: Notice) -> Result<(), ApiError> {
    let Some((reference, word)) = notice.word else { return Ok(()) };
    // A notice may overtake our own note of its payment: refused, it is sent again.
    let payment = repository::find_by_ref(&state.pg, &reference).await?.ok_or_else(not_found)?;
    let (id, now) = (payment.id, state.clock.now());
    let mut tx = state.pg.begin().await?;
    if !repository::note_notice(&mut tx, &notice.id, now).await? {
        return Ok(());
    }
    let booking = events::Booking::lock(&mut tx, payment.event_id).await?;
    let Some(mut payment) = repository::find_for_update(&mut tx, id).await? else { return Err(not_found()) };
    payment.updated_at = now;
    if let Word::Refunded(total) = word {
        if payment.status.is_open() {
            // It overtook the word that the money came: refused, it is sent again.
            return Err(not_found());
        }
        note_refund(&mut payment, total);
    } else if let Some(status) = payment.status.after(word) {
        let was_given_up = payment.status == Status::Failed;
        payment.status = status;
        match status {
            Status::Captured => {
                payment.failure = None;
                payment.is_cancel_due = false;
                if was_given_up || !booking.confirm(&mut tx, now).await? {
                    payment.refund_due = payment.money.amount;
                }
            }
            Status::Failed => {
                payment.failure = Some("declined".to_owned());
                // A declined card may be tried again with the same secret: not any more.
                payment.is_cancel_due = word == Word::Declined;
                booking.call_off(&mut tx, now).await?;
            }
            Status::Requested | Status::Authorised | Status::Refunded => {}
        }
    } else if word == Word::Cancelled {
        payment.is_cancel_due = false;
    }
    repository::update(&mut tx, &payment).await?;
    tx.commit().await?;
    tracing::info!(payment.id = %id, status = ?payment.status, "the provider has spoken");
    if payment.refund_due > payment.refunded_amount {
        start(state, Some(id)).await;
    }
    Ok(())
}

/// Gives up a payment whose time is over, and with it the booking.
pub(super) async fn expire(state: &AppState, payment: &Payment) -> Result<(), ApiError> {
    let now = state.clock.now();
    let mut tx = state.pg.begin().await?;
    let booking = events::Booking::lock(&mut tx, payment.event_id).await?;
    let Some(mut payment) = repository::find_for_update(&mut tx, payment.id).await? else { return Ok(()) };
    if !payment.status.is_open() || payment.expires_at > now {
        return Ok(());
    }
    give_up(&mut payment, "expired");
    payment.updated_at = now;
    repository::update(&mut tx, &payment).await?;
    booking.call_off(&mut tx, now).await?;
    tx.commit().await?;
    tracing::info!(payment.id = %payment.id, event.id = %payment.event_id, "not paid in time");
    Ok(())
}

/// Tells the provider what it has still to be told.
pub(super) async fn settle(state: &AppState, payment: &Payment) -> Result<(), ApiError> {
    let Some(provider) = &state.payments else {
        return Err(ApiError::refused(Code::Unavailable, "there is no provider"));
    };
    let Some(reference) = &payment.provider_ref else {
        if payment.status == Status::Requested {
            let intent = provider.create(payment).await?;
            repository::set_reference(&state.pg, payment.id, &intent.reference, &intent.client_secret).await?;
        }
        return Ok(());
    };
    if payment.is_cancel_due {
        provider.cancel(reference).await?;
        repository::set_cancelled(&state.pg, payment.id).await?;
    }
    while let Some((from, to)) = repository::next_refund(&state.pg, payment.id).await? {
        provider.refund(reference, to - from, to).await?;
        let mut tx = state.pg.begin().await?;
        if let Some(mut payment) = repository::find_for_update(&mut tx, payment.id).await? {
            note_refund(&mut payment, to);
            payment.updated_at = state.clock.now();
            repository::update(&mut tx, &payment).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

fn note_refund(payment: &mut Payment, total: i64) {
    payment.refunded_amount = payment.refunded_amount.max(total).min(payment.money.amount);
    payment.refund_due = payment.refund_due.max(payment.refunded_amount);
    if payment.refunded_amount == payment.money.amount {
        payment.status = Status::Refunded;
    }
}

fn give_up(payment: &mut Payment, why: &str) {
    payment.status = Status::Failed;
    payment.failure = Some(why.to_owned());
    payment.is_cancel_due = payment.provider_ref.is_some();
}

fn not_found() -> ApiError {
    ApiError::refused(Code::NotFound, "no payment of yours has this id")
}
