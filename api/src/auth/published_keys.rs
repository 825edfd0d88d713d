//! Keys that somebody else publishes, kept for as long as they say.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, Jwk, JwkSet},
};
use parking_lot::Mutex;
use reqwest::{
    header::{AGE, CACHE_CONTROL, HeaderMap},
    redirect::Policy,
};

use crate::error::ApiError;

/// The keys of one publisher.
pub(super) struct PublishedKeys {
    /// Whose, for the log.
    publisher: &'static str,
    url: String,
    http: reqwest::Client,
    kept: Mutex<Kept>,
    /// Held by who asks for the keys; who comes meanwhile waits for the same answer.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Kept {
    /// By their `kid`.
    keys: HashMap<String, DecodingKey>,
    fresh_until: Option<Instant>,
    asked_at: Option<Instant>,
    asked_for_unknown_at: Option<Instant>,
}

/// How long an answer is fresh that says nothing of it, and the least and the most it may say.
const FRESH_FOR: Duration = Duration::from_mins(5);
const FRESH_FOR_MIN: Duration = Duration::from_mins(1);
const FRESH_FOR_MAX: Duration = Duration::from_hours(24);
/// How long keys are used after that while the publisher does not answer.
const STALE_FOR: Duration = Duration::from_hours(24);
/// An unknown `kid` may be that of a new key, or anybody's invention: it is asked for, but not more often than this.
const UNKNOWN_AGAIN: Duration = Duration::from_mins(1);
/// How long the publisher may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How long nobody asks after it was asked in vain; above [`ANSWER_WITHIN`], so that who waited does not wait again.
const AGAIN: Duration = Duration::from_secs(5);
/// The longest answer.
const BYTES_MAX: usize = 64 * 1024;

impl PublishedKeys {
    /// The keys that `publisher` shows at `url`; they are asked for when first needed.
    pub(super) fn new(publisher: &'static str, url: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(ANSWER_WITHIN).redirect(Policy::none()).build();
        let http = http.context("an HTTP client")?;
        Ok(Self { publisher, url: url.to_owned(), http, kept: Mutex::default(), turn: tokio::sync::Mutex::default() })
    }

    /// The key called `kid`; none if it is not published.
    pub(super) async fn find(&self, kid: &str) -> Result<Option<DecodingKey>, ApiError> {
        let fresh = self.kept.lock().fresh(kid, Instant::now());
        if fresh.is_some() {
            return Ok(fresh);
        }
        let _turn = self.turn.lock().await;
        let is_due = self.kept.lock().is_due(kid, Instant::now());
        if is_due {
            self.ask().await;
        }
        let mut kept = self.kept.lock();
        kept.forget_stale(Instant::now());
        if kept.keys.is_empty() {
            return Err(ApiError::unavailable(self.publisher, "its keys can not be read"));
        }
        Ok(kept.keys.get(kid).cloned())
    }

    async fn ask(&self) {
        match self.fetch().await {
            Ok((keys, fresh_for)) => {
                let mut kept = self.kept.lock();
                kept.keys = keys;
                kept.fresh_until = Some(Instant::now() + fresh_for);
            }
            // The last good set stays, for a while.
            Err(error) => {
                tracing::warn!(publisher = self.publisher, error = format!("{error:#}"), "keys can not be read");
            }
        }
    }

    async fn fetch(&self) -> anyhow::Result<(HashMap<String, DecodingKey>, Duration)> {
        let mut answer = self.http.get(&self.url).send().await?.error_for_status()?;
        let fresh_for = fresh_for(answer.headers());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            ensure!(body.len() + chunk.len() <= BYTES_MAX, "the answer is too large");
            body.extend_from_slice(&chunk);
        }
        let set: JwkSet = serde_json::from_slice(&body)?;
        let keys: HashMap<String, DecodingKey> = set.keys.iter().filter_map(rsa_key).collect();
        ensure!(!keys.is_empty(), "there is no RSA key in the answer");
        Ok((keys, fresh_for))
    }
}

impl Kept {
    fn fresh(&self, kid: &str, now: Instant) -> Option<DecodingKey> {
        if self.is_fresh(now) { self.keys.get(kid).cloned() } else { None }
    }

    fn is_fresh(&self, now: Instant) -> bool {
        self.fresh_until.is_some_and(|until| now < until)
    }

    /// Whether it is time to ask, and if so notes that somebody does.
    fn is_due(&mut self, kid: &str, now: Instant) -> bool {
        let is_known = self.keys.contains_key(kid);
        let (asked_at, again) = match (self.is_fresh(now), is_known) {
            (true, true) => return false,
            (true, false) => (&mut self.asked_for_unknown_at, UNKNOWN_AGAIN),
            (false, _) => (&mut self.asked_at, AGAIN),
        };
        let is_due = asked_at.is_none_or(|at| now.duration_since(at) >= again);
        if is_due {
            *asked_at = Some(now);
        }
        is_due
    }

    fn forget_stale(&mut self, now: Instant) {
        if self.fresh_until.is_some_and(|until| now >= until + STALE_FOR) {
            self.keys.clear();
        }
    }
}

fn rsa_key(jwk: &Jwk) -> Option<(String, DecodingKey)> {
    // A secret among public keys would let anybody sign: keys of other kinds are none of ours.
    let AlgorithmParameters::RSA(_) = &jwk.algorithm else { return None };
    Some((jwk.common.key_id.clone()?, DecodingKey::from_jwk(jwk).ok()?))
}

/// How long an answer is fresh: its `max-age` less its `Age`, within our bounds.
fn fresh_for(headers: &HeaderMap) -> Duration {
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let max_age = lines.flat_map(|line| line.split(',')).find_map(|directive| {
        let (name, value) = directive.trim().split_once('=')?;
        if name.eq_ignore_ascii_case("max-age") { value.trim_matches('"').parse::<u64>().ok() } else { None }
    });
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
    let left = max_age.map(|max_age| Duration::from_secs(max_age.saturating_sub(age)));
    left.unwrap_or(FRESH_FOR).clamp(FRESH_FOR_MIN, FRESH_FOR_MAX)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn an_answer_is_fresh_for_as_long_as_it_says_within_bounds() {
        let check = |cache_control: Option<&'static str>, age: Option<&'static str>, expected: u64| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(CACHE_CONTROL, cache_control), (AGE, age)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(fresh_for(&headers), Duration::from_secs(expected), "{cache_control:?}, {age:?}");
        };
        check(Some("public, max-age=22847, must-revalidate, no-transform"), None, 22847);
        check(Some("Max-Age=\"600\""), Some("100"), 500);
        check(Some("max-age=600"), Some("700"), 60);
        check(Some("max-age=9999999"), None, 24 * 60 * 60);
        check(Some("no-store"), None, 300);
        check(Some("max-age=soon"), Some("x"), 300);
        check(None, None, 300);
    }

    #[test]
    fn an_unknown_key_is_asked_for_once_a_minute_and_a_known_one_when_it_is_old() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut kept = Kept::default();
        assert!(kept.is_due("a", now), "there is none yet");
        assert!(!kept.is_due("a", now + second), "and nobody answered");
        assert!(kept.is_due("a", now + AGAIN));
        kept.keys.insert("a".to_owned(), DecodingKey::from_secret(b"any"));
        kept.fresh_until = Some(now + FRESH_FOR);
        assert!(!kept.is_due("a", now + AGAIN));
        assert!(kept.is_due("b", now + AGAIN), "it may be new");
        assert!(!kept.is_due("c", now + AGAIN + second));
        assert!(kept.is_due("c", now + AGAIN + UNKNOWN_AGAIN));
        assert!(kept.is_due("a", now + FRESH_FOR));
        kept.forget_stale(now + STALE_FOR);
        assert!(kept.keys.contains_key("a"), "better an old key than none");
        kept.forget_stale(now + FRESH_FOR + STALE_FOR);
        assert!(kept.keys.is_empty());
    }
}
