//! Sign-in with Google. An `id_token` counts if one of Google's keys signed it, for one of our client ids, about
//! somebody whose e-mail Google has verified. Who it is, `sub` says: an address may change hands.

use jsonwebtoken::{Algorithm, Validation};
use ops::clock::Clock;
use schema::{problem::Code, token::BYTES_MAX};
use serde::Deserialize;
use serde_json::Value;

use super::{
    identities::{self, Provider, Vouched},
    published_keys::PublishedKeys,
    service::{self, SignedIn},
};
use crate::{
    config::SignInSettings,
    error::ApiError,
    http::{Form, Visitor, any_text},
    state::AppState,
};

/// Checks what Google says of people.
pub(crate) struct Google {
    rules: Validation,
    keys: PublishedKeys,
}

/// What an `id_token` says, as far as it matters here.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    nonce: Option<String>,
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
    name: Option<String>,
}

const ALGORITHM: Algorithm = Algorithm::RS256;

impl Google {
    /// By the settings; `None` where no client id is set.
    pub(crate) fn new(settings: &SignInSettings) -> anyhow::Result<Option<Self>> {
        if settings.google_client_ids.is_empty() {
            return Ok(None);
        }
        let mut rules = Validation::new(ALGORITHM);
        rules.set_issuer(&settings.google_issuers);
        rules.set_audience(&settings.google_client_ids);
        // iss and aud are checked only when they are there.
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // By our clock, below: the library asks the system's.
        rules.validate_exp = false;
        Ok(Some(Self { rules, keys: PublishedKeys::new("google", &settings.google_jwks_url)? }))
    }

    async fn verify(&self, clock: Clock, token: &str, nonce: Option<&str>) -> Result<Claims, ApiError> {
        let refused = |why: &'static str| ApiError::refused(Code::InvalidToken, why);
        if token.len() > BYTES_MAX {
            return Err(refused("the id_token is too long"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_malformed| refused("this is no id_token"))?;
        if header.alg != ALGORITHM {
            return Err(refused("the id_token is not signed with RS256"));
        }
        let kid = header.kid.ok_or_else(|| refused("the id_token does not name its key"))?;
        let key = self.keys.find(&kid).await?.ok_or_else(|| refused("the id_token's key is not Google's"))?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &self.rules)
            .map_err(|_untrue| refused("the id_token is not Google's, or not for this service"))?
            .claims;
        if claims.exp <= clock.unix_seconds() {
            return Err(refused("the id_token is over"));
        }
        if !claims.email_verified {
            return Err(refused("Google has not verified the e-mail"));
        }
        if nonce.is_some_and(|nonce| claims.nonce.as_deref() != Some(nonce)) {
            return Err(refused("the id_token was made for another request"));
        }
        Ok(claims)
    }
}

/// Signs in whom Google vouches for, or gives the token's user this way in.
pub(super) async fn sign_in(
    state: &AppState,
    visitor: &Visitor,
    form: Result<Form, ApiError>,
) -> Result<SignedIn, ApiError> {
    let not_set_up = || ApiError::refused(Code::NotFound, "sign-in by Google is not set up here");
    let google = state.google.as_ref().ok_or_else(not_set_up)?;
    let owner = identities::owner(state, visitor).await?;
    let mut form = form?;
    let token = form.required("id_token", any_text);
    let nonce = form.optional("nonce", any_text);
    form.finish()?;
    let token = token.ok_or_else(ApiError::unread_form)?;
    let verified = google.verify(state.clock, &token, nonce.as_deref()).await;
    if let Err(why @ ApiError::Refused { .. }) = &verified {
        let subscriber = visitor.subscriber.as_str();
        tracing::info!(security = "sign_in_failed", provider = "google", subscriber, %why, "sign-in refused");
    }
    let claims = verified?;
    let vouched = Vouched {
        provider: Provider::Google,
        display_name: identities::shown_name(claims.name.as_deref()),
        email: claims.email.and_then(|email| service::email(&Value::String(email)).ok()),
        subject: claims.sub,
    };
    identities::sign_in(state, owner, &vouched).await
}
