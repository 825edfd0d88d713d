//! Stripe's API, as far as payments need it: `PaymentIntents` and refunds, each call under an `Idempotency-Key`.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{
    model::Payment,
    provider::{Intent, Provider},
};
use crate::error::ApiError;

/// How long one call may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A client of the API.
#[derive(Debug)]
pub(super) struct Stripe {
    http: reqwest::Client,
    base: String,
    key: SecretString,
}

#[derive(Deserialize)]
struct Created {
    id: String,
    client_secret: String,
}

impl Stripe {
    pub(super) fn new(base: &str, key: SecretString) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(ANSWER_WITHIN).build().context("an HTTP client")?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), key })
    }

    /// Ids, numbers and lower-case letters need no escape in a form; names with brackets come escaped.
    async fn post(&self, path: &str, key: &str, form: String) -> Result<reqwest::Response, ApiError> {
        let away = |error: reqwest::Error| ApiError::unavailable("payments", error.without_url());
        let request = self.http.post(format!("{}/v1/{path}", self.base)).bearer_auth(self.key.expose_secret());
        let request = request.header("idempotency-key", key);
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        request.send().await.map_err(away)?.error_for_status().map_err(away)
    }
}

impl Provider for Stripe {
    fn create<'a>(&'a self, payment: &'a Payment) -> BoxFuture<'a, Result<Intent, ApiError>> {
        Box::pin(async move {
            let form = format!(
                "amount={}&currency={}&metadata%5Bpayment_id%5D={}&metadata%5Bevent_id%5D={}",
                payment.money.amount,
                payment.money.currency.to_ascii_lowercase(),
                payment.id,
                payment.event_id,
            );
            let answer = self.post("payment_intents", &payment.id.to_string(), form).await?;
            let created: Created =
                answer.json().await.map_err(|error| ApiError::unavailable("payments", error.without_url()))?;
            Ok(Intent { reference: created.id, client_secret: created.client_secret })
        })
    }

    fn cancel<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<(), ApiError>> {
        Box::pin(async move {
            let key = format!("{reference}:cancel");
            self.post(&format!("payment_intents/{reference}/cancel"), &key, String::new()).await.map(drop)
        })
    }

    fn refund<'a>(&'a self, reference: &'a str, amount: i64, total: i64) -> BoxFuture<'a, Result<(), ApiError>> {
        Box::pin(async move {
            let form = format!("payment_intent={reference}&amount={amount}");
            self.post("refunds", &format!("{reference}:refund:{total}"), form).await.map(drop)
        })
    }
}
