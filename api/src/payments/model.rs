//! A payment, and which state follows which.

use schema::{
    clock::Timestamp,
    id::{EventId, PaymentId, SlotId, UserId},
};
use serde::Serialize;
use sqlx::{Row as _, postgres::PgRow};
use time::OffsetDateTime;

use crate::{http::Identity, money::Money};

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(super) enum Status {
    /// The payer has to pay.
    Requested,
    /// The money is set aside.
    Authorised,
    /// The money is ours to pass on.
    Captured,
    /// All of it was paid back.
    Refunded,
    /// There is no money, and there will be none.
    Failed,
}

/// What a provider says of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Authorised,
    Captured,
    /// The payer's card was not taken; another may be.
    Declined,
    /// Nobody can pay it any more.
    Cancelled,
    /// So much was paid back in all.
    Refunded(i64),
}

impl Status {
    /// The state after `word`; none if it says nothing new. Notices come in any order: what is behind the state is old.
    pub(super) const fn after(self, word: Word) -> Option<Self> {
        match (self, word) {
            (Self::Requested, Word::Authorised) => Some(Self::Authorised),
            // Money may come after we gave up waiting for it.
            (Self::Requested | Self::Authorised | Self::Failed, Word::Captured) => Some(Self::Captured),
            (Self::Requested | Self::Authorised, Word::Declined | Word::Cancelled) => Some(Self::Failed),
            _ => None,
        }
    }

    /// Whether the payer has still to pay.
    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::Requested | Self::Authorised)
    }
}

/// What somebody pays for a slot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Payment {
    pub(super) id: PaymentId,
    pub(super) event_id: EventId,
    pub(super) slot_id: SlotId,
    pub(super) payer_id: UserId,
    pub(super) payee_id: UserId,
    #[serde(flatten)]
    pub(super) money: Money,
    pub(super) status: Status,
    /// What the payer's phone pays with; only they are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_secret: Option<String>,
    pub(super) refunded_amount: i64,
    /// Why there is no money: `expired`, `declined`, `called_off`.
    pub(super) failure: Option<String>,
    pub(super) expires_at: Timestamp,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    #[serde(skip)]
    pub(super) provider_ref: Option<String>,
    #[serde(skip)]
    pub(super) refund_due: i64,
    #[serde(skip)]
    pub(super) is_cancel_due: bool,
}

impl Payment {
    /// The payment as `caller` may see it; none if it is not theirs.
    pub(super) fn shown_to(mut self, caller: Identity) -> Option<Self> {
        let is_payer = self.payer_id == caller.user_id;
        if !is_payer {
            self.client_secret = None;
        }
        (is_payer || self.payee_id == caller.user_id || caller.is_admin).then_some(self)
    }
}

impl sqlx::FromRow<'_, PgRow> for Payment {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let instant = |column| row.try_get::<OffsetDateTime, _>(column).map(Timestamp::new);
        Ok(Self {
            id: row.try_get("id")?,
            event_id: row.try_get("event_id")?,
            slot_id: row.try_get("slot_id")?,
            payer_id: row.try_get("payer_id")?,
            payee_id: row.try_get("payee_id")?,
            money: Money { amount: row.try_get("amount")?, currency: row.try_get("currency")? },
            status: row.try_get("status")?,
            client_secret: row.try_get("client_secret")?,
            refunded_amount: row.try_get("refunded_amount")?,
            failure: row.try_get("failure")?,
            expires_at: instant("expires_at")?,
            created_at: instant("created_at")?,
            updated_at: instant("updated_at")?,
            provider_ref: row.try_get("provider_ref")?,
            refund_due: row.try_get("refund_due")?,
            is_cancel_due: row.try_get("is_cancel_due")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_only_moves_on() {
        use Status::{Authorised, Captured, Failed, Refunded, Requested};
        let check = |word: Word, expected: &[(Status, Status)]| {
            for from in [Requested, Authorised, Captured, Refunded, Failed] {
                let to = expected.iter().find(|(state, _)| *state == from).map(|(_, to)| *to);
                assert_eq!(from.after(word), to, "{from:?} {word:?}");
            }
        };
        check(Word::Authorised, &[(Requested, Authorised)]);
        check(Word::Captured, &[(Requested, Captured), (Authorised, Captured), (Failed, Captured)]);
        for word in [Word::Declined, Word::Cancelled] {
            check(word, &[(Requested, Failed), (Authorised, Failed)]);
        }
        check(Word::Refunded(1), &[]);
    }
}
