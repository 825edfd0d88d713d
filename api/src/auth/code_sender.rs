//! Who brings a code to a phone.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::phone::PhoneNumber;
use crate::{config::SignInSettings, error::ApiError};

/// Sends codes.
pub(super) enum CodeSender {
    /// The log, for whoever develops: they type the code in by hand.
    Log,
    /// Somebody who can send texts, over HTTP.
    Webhook { http: reqwest::Client, url: String, token: Option<SecretString> },
}

/// How long a webhook may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

impl CodeSender {
    /// By the settings; `None` where there is nobody to send codes.
    pub(super) fn new(settings: &SignInSettings, is_development: bool) -> anyhow::Result<Option<Self>> {
        let Some(url) = &settings.phone_webhook_url else {
            return Ok(is_development.then_some(Self::Log));
        };
        let http = reqwest::Client::builder().timeout(ANSWER_WITHIN).redirect(Policy::none()).build();
        let http = http.context("an HTTP client")?;
        Ok(Some(Self::Webhook { http, url: url.clone(), token: settings.phone_webhook_token.clone() }))
    }

    /// Sends `code` to `phone`.
    pub(super) async fn send(&self, phone: &PhoneNumber, code: &str) -> Result<(), ApiError> {
        match self {
            Self::Log => {
                tracing::info!(phone = phone.as_str(), code, "a code for a phone");
                Ok(())
            }
            Self::Webhook { http, url, token } => {
                let text = format!("{code} is your timingle code. It works for 5 minutes.");
                let mut request = http.post(url).json(&json!({"phone": phone.as_str(), "code": code, "text": text}));
                if let Some(token) = token {
                    request = request.bearer_auth(token.expose_secret());
                }
                // Without the address: it may hold a secret.
                let away = |error: reqwest::Error| ApiError::unavailable("sms", error.without_url());
                let status = request.send().await.map_err(away)?.status();
                if status.is_success() {
                    return Ok(());
                }
                Err(ApiError::unavailable("sms", format!("the webhook answered {status}")))
            }
        }
    }
}
