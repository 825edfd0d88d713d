//! Who a credential stands for: access tokens, socket tickets and development's bare user ids.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use deadpool_redis::redis;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use ops::{clock::Clock, settings::BadSetting};
use parking_lot::{Mutex, RwLock};
use schema::{
    id::UserId,
    problem::Code,
    ticket::Ticket,
    token::{BYTES_MAX, Claims, LEEWAY_SECONDS, TYP},
};

use crate::{config::TokenSettings, gate::Gate, socket::Identity};

/// How long published keys are used before they are asked for again.
const KEYS_FRESH: Duration = Duration::from_mins(5);
/// An unknown `kid` asks for the keys again, but not more often than this.
const KEYS_AGAIN: Duration = Duration::from_mins(1);
/// While there are no keys at all, they are asked for this often.
const KEYS_FIRST: Duration = Duration::from_secs(1);
/// How long the key server may take.
const KEYS_WITHIN: Duration = Duration::from_secs(3);
/// The longest answer of a key server, and ticket.
const KEYS_BYTES_MAX: u64 = 64 * 1024;
const TICKET_BYTES_MAX: usize = 128;

/// Checks credentials.
pub struct Tokens {
    keys: Keys,
    validation: Validation,
    clock: Clock,
    dev_no_auth: bool,
    redis: deadpool_redis::Pool,
    redis_prefix: String,
}

enum Keys {
    /// One key, whatever `kid` a token names.
    One(Box<DecodingKey>),
    Published {
        url: String,
        http: reqwest::Client,
        cache: RwLock<HashMap<String, DecodingKey>>,
        asked: Mutex<Asked>,
        /// While nothing is known yet, who comes waits for the one that asks.
        first: tokio::sync::Mutex<()>,
    },
    None,
}

#[derive(Default)]
struct Asked {
    at: Option<Instant>,
    answered_at: Option<Instant>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// Reads the key, or notes where keys are published.
    pub fn new(
        settings: &TokenSettings,
        clock: Clock,
        redis: deadpool_redis::Pool,
        redis_prefix: String,
    ) -> Result<Self, BadSetting> {
        let keys = match (&settings.jwt_public_key, &settings.jwks_url) {
            (Some(key), _) => Keys::One(Box::new(read_pem(key)?)),
            (None, Some(url)) => Keys::Published {
                url: url.clone(),
                http: http_client().map_err(|error| BadSetting::new("JWKS_URL", error.to_string()))?,
                cache: RwLock::default(),
                asked: Mutex::default(),
                first: tokio::sync::Mutex::default(),
            },
            (None, None) => Keys::None,
        };
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&settings.jwt_issuer]);
        validation.set_audience(&[&settings.jwt_audience]);
        validation.leeway = LEEWAY_SECONDS;
        // The crate asks the system for the time; ours is checked below.
        validation.validate_exp = false;
        Ok(Self { keys, validation, clock, dev_no_auth: settings.dev_no_auth, redis, redis_prefix })
    }

    /// Whose access token it is. A signature takes time: in a crowd each has its turn at the gate.
    pub async fn identify(&self, token: &str, gate: &Gate) -> Result<Identity, Code> {
        if token.is_empty() || token.len() > BYTES_MAX {
            return Err(Code::InvalidToken);
        }
        if self.dev_no_auth
            && let Ok(user_id) = token.parse::<UserId>()
        {
            return Ok(Identity { user_id, sid: None, expires_at: i64::MAX / 2 });
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_malformed| Code::InvalidToken)?;
        let is_ours =
            header.alg == Algorithm::RS256 && header.typ.as_deref().is_some_and(|typ| typ.eq_ignore_ascii_case(TYP));
        if !is_ours {
            return Err(Code::InvalidToken);
        }
        let key = self.key(header.kid.as_deref()).await?;
        let _turn = gate.turn().await;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &self.validation);
        let claims = claims.map_err(|_refused| Code::InvalidToken)?.claims;
        if is_over(self.clock, claims.exp) {
            return Err(Code::InvalidToken);
        }
        Ok(Identity { user_id: claims.sub, sid: Some(claims.sid), expires_at: claims.exp })
    }

    /// Whose ticket it is; a ticket works once.
    pub async fn redeem(&self, ticket: &str) -> Result<Identity, Code> {
        if ticket.is_empty() || ticket.len() > TICKET_BYTES_MAX {
            return Err(Code::InvalidToken);
        }
        let away = |error: &dyn std::fmt::Display| {
            tracing::warn!(%error, "redis does not answer: tickets can not be taken");
            Code::Unavailable
        };
        let mut redis = self.redis.get().await.map_err(|error| away(&error))?;
        let key = Ticket::redis_key(&self.redis_prefix, ticket);
        let taken: Option<String> =
            redis::cmd("GETDEL").arg(key).query_async(&mut redis).await.map_err(|error| away(&error))?;
        let taken = taken.ok_or(Code::InvalidToken)?;
        let ticket: Ticket = serde_json::from_str(&taken).map_err(|_not_ours| Code::InvalidToken)?;
        if is_over(self.clock, ticket.exp) {
            return Err(Code::InvalidToken);
        }
        Ok(Identity { user_id: ticket.user_id, sid: Some(ticket.sid), expires_at: ticket.exp })
    }

    /// Whether Redis answers.
    pub async fn ping_redis(&self) -> Result<(), String> {
        let mut redis = self.redis.get().await.map_err(|error| error.to_string())?;
        redis::cmd("PING").query_async(&mut redis).await.map_err(|error| error.to_string())
    }

    async fn key(&self, kid: Option<&str>) -> Result<DecodingKey, Code> {
        match &self.keys {
            Keys::One(key) => Ok(DecodingKey::clone(key)),
            Keys::None => Err(Code::InvalidToken),
            Keys::Published { url, http, cache, asked, first } => {
                let kid = kid.ok_or(Code::InvalidToken)?;
                let _turn = if cache.read().is_empty() { Some(first.lock().await) } else { None };
                let known = cache.read().get(kid).cloned();
                if asked.lock().is_due(known.is_some(), cache.read().is_empty()) {
                    match fetch(http, url).await {
                        Ok(keys) => {
                            *cache.write() = keys;
                            asked.lock().answered_at = Some(Instant::now());
                        }
                        // The last good set stays.
                        Err(error) => tracing::warn!(error, "the keys of access tokens can not be read"),
                    }
                }
                let found = cache.read().get(kid).cloned();
                let is_blind = cache.read().is_empty();
                found.ok_or(if is_blind { Code::Unavailable } else { Code::InvalidToken })
            }
        }
    }
}

impl Asked {
    /// Whether it is time to ask, and if so notes that somebody does.
    fn is_due(&mut self, is_known: bool, is_blind: bool) -> bool {
        let every = match (is_known, is_blind) {
            (_, true) => KEYS_FIRST,
            (true, _) => KEYS_FRESH,
            (false, _) => KEYS_AGAIN,
        };
        let is_due = self.at.is_none_or(|at| at.elapsed() >= every);
        if is_due {
            self.at = Some(Instant::now());
        }
        is_due
    }
}

/// Whether a credential that ends at `exp` has ended, clocks' differences granted.
pub(crate) fn is_over(clock: Clock, exp: i64) -> bool {
    let leeway = i64::try_from(LEEWAY_SECONDS).unwrap_or(0);
    clock.unix_seconds() >= exp.saturating_add(leeway)
}

fn http_client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().timeout(KEYS_WITHIN).redirect(reqwest::redirect::Policy::none()).build()
}

async fn fetch(http: &reqwest::Client, url: &str) -> Result<HashMap<String, DecodingKey>, String> {
    let answer = http.get(url).send().await.and_then(reqwest::Response::error_for_status);
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.content_length().is_some_and(|len| len > KEYS_BYTES_MAX) {
        return Err("the answer is too large".into());
    }
    let set: JwkSet = answer.json().await.map_err(|error| error.to_string())?;
    let keys = set.keys.iter().filter_map(|jwk| {
        let kid = jwk.common.key_id.clone()?;
        Some((kid, DecodingKey::from_jwk(jwk).ok()?))
    });
    Ok(keys.collect())
}

fn read_pem(setting: &str) -> Result<DecodingKey, BadSetting> {
    let refused = |reason: &str| BadSetting::new("JWT_PUBLIC_KEY", reason);
    let pem = if setting.contains("-----BEGIN") {
        setting.to_owned()
    } else {
        std::fs::read_to_string(setting)
            .map_err(|error| refused(&format!("names a file that can not be read: {error}")))?
    };
    DecodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_not_rsa| refused("is not an RSA key in PEM"))
}
