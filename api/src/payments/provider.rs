//! Who moves the money.

use std::{fmt::Debug, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::future::BoxFuture;
use ops::settings::{BadSetting, CommonSettings, seconds};
use secrecy::SecretString;

use super::{model::Payment, stripe::Stripe};
use crate::{error::ApiError, random};

/// How slots with a price are paid.
#[derive(Clone, Debug, clap::Args)]
pub struct PaymentSettings {
    /// Who moves the money: `stripe`, or in development `fake`, which moves none. Without one slots with a price can not
    /// be booked; development takes `fake`.
    #[arg(long, env = "PAYMENT_PROVIDER")]
    pub payment_provider: Option<ProviderName>,
    /// Where the provider's API is.
    #[arg(long, env = "STRIPE_URL", default_value = "https://api.stripe.com")]
    pub stripe_url: String,
    /// The provider's secret key.
    #[arg(long, env = "STRIPE_SECRET_KEY", hide_env_values = true)]
    pub stripe_secret_key: Option<SecretString>,
    /// Signs what the provider sends to `/payments/webhook`.
    #[arg(long, env = "PAYMENT_WEBHOOK_SECRET", hide_env_values = true)]
    pub payment_webhook_secret: Option<SecretString>,
    /// Seconds for which a slot is held for who has to pay for it.
    #[arg(long = "slot-hold-secs", env = "SLOT_HOLD_SECS", default_value = "900", value_parser = seconds)]
    pub slot_held_for: Duration,
}

/// A provider's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ProviderName {
    /// Moves no money; what it would say is sent to the webhook by hand.
    Fake,
    /// Stripe's API, or one of its shape.
    Stripe,
}

impl PaymentSettings {
    /// Checks what clap can not.
    pub fn check(&self, common: &CommonSettings) -> Result<(), BadSetting> {
        match self.provider(common) {
            Some(ProviderName::Fake) => common.development_only("PAYMENT_PROVIDER", true),
            Some(ProviderName::Stripe) if self.stripe_secret_key.is_none() => {
                Err(BadSetting::new("STRIPE_SECRET_KEY", "must be set: PAYMENT_PROVIDER is stripe"))
            }
            Some(ProviderName::Stripe) if self.payment_webhook_secret.is_none() => {
                Err(BadSetting::new("PAYMENT_WEBHOOK_SECRET", "must be set: PAYMENT_PROVIDER is stripe"))
            }
            None | Some(ProviderName::Stripe) => Ok(()),
        }
    }

    /// What signs notices; development has a known one, for sending some by hand.
    pub(crate) fn webhook_secret(&self, common: &CommonSettings) -> Option<SecretString> {
        let known = || common.is_development().then(|| SecretString::from("development"));
        self.payment_webhook_secret.clone().or_else(known)
    }

    fn provider(&self, common: &CommonSettings) -> Option<ProviderName> {
        self.payment_provider.or_else(|| common.is_development().then_some(ProviderName::Fake))
    }

    /// The provider that is set.
    pub(crate) fn connect(&self, common: &CommonSettings) -> anyhow::Result<Option<Arc<dyn Provider>>> {
        Ok(match self.provider(common) {
            None => None,
            Some(ProviderName::Fake) => Some(Arc::new(Fake)),
            Some(ProviderName::Stripe) => {
                let key = self.stripe_secret_key.clone().unwrap_or_default();
                Some(Arc::new(Stripe::new(&self.stripe_url, key)?))
            }
        })
    }
}

/// What a provider calls a payment, and what the payer's phone pays with.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(super) reference: String,
    pub(super) client_secret: String,
}

/// Moves money. Each call may be made again: the same payment is asked for, cancelled or paid back once.
pub(crate) trait Provider: Debug + Send + Sync {
    /// Asks for the money.
    fn create<'a>(&'a self, payment: &'a Payment) -> BoxFuture<'a, Result<Intent, ApiError>>;
    /// Wants it no more.
    fn cancel<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<(), ApiError>>;
    /// Pays `amount` back; `total` is what has then been paid back in all.
    fn refund<'a>(&'a self, reference: &'a str, amount: i64, total: i64) -> BoxFuture<'a, Result<(), ApiError>>;
}

/// Agrees to everything.
#[derive(Debug)]
struct Fake;

impl Provider for Fake {
    fn create<'a>(&'a self, payment: &'a Payment) -> BoxFuture<'a, Result<Intent, ApiError>> {
        Box::pin(async move {
            let secret = BASE64_URL_SAFE_NO_PAD.encode(random::bytes::<16>()?);
            let reference = format!("pi_fake_{}", payment.id);
            Ok(Intent { client_secret: format!("{reference}_secret_{secret}"), reference })
        })
    }

    fn cancel<'a>(&'a self, _reference: &'a str) -> BoxFuture<'a, Result<(), ApiError>> {
        Box::pin(async { Ok(()) })
    }

    fn refund<'a>(&'a self, _reference: &'a str, _amount: i64, _total: i64) -> BoxFuture<'a, Result<(), ApiError>> {
        Box::pin(async { Ok(()) })
    }
}
