//! Refresh tokens: 256 random bits that work once. What works is decided by Redis alone, in one atomic script; the
//! database mirrors every hash so that a token Redis no longer knows can still be recognised, and its family revoked.
//!
//! A reply can be lost on its way to the phone, which then presents the used token again; that must not look like
//! theft. So for ten seconds a used token is answered with the same successor, which is kept sealed under a key
//! derived from the token that was presented: who reads Redis learns nothing.

use std::{fmt, time::Duration};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hkdf,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use deadpool_redis::redis::{Script, cmd};
use schema::id::SessionId;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::{
    error::ApiError,
    random,
    redis::{Redis, RedisAway},
};

/// Keeps which token of each family works.
pub(crate) struct RefreshTokens {
    redis: Redis,
    rotate: Script,
    /// How long a token is valid.
    pub(super) valid_for: Duration,
}

/// A token as its holder has it: the session's id (it says where to look) and the secret.
pub(super) struct RefreshToken {
    /// Its family.
    pub(super) sid: SessionId,
    text: SecretString,
}

/// What became of a token that was presented.
pub(super) enum Rotation {
    /// It worked: from now on its successor does.
    Rotated,
    /// It worked a moment ago: this is the successor it got.
    Repeated(SecretString),
    /// It does not work, or not any more.
    Refused,
}

/// The hash of a token.
pub(super) type Hash = [u8; 32];

/// How long a used token is answered with its successor.
const GRACE: Duration = Duration::from_secs(10);
const SECRET_BYTES: usize = 32;

/// KEYS: the family, the grace of the presented token. ARGV: presented, successor, the successor sealed, grace and
/// validity in ms.
const ROTATE: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[5])
  redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
  return {'rotated', ''}
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'refused', ''}
end
local sealed = redis.call('GET', KEYS[2])
if sealed then
  return {'repeated', sealed}
end
return {'refused', ''}
";

impl fmt::Debug for RefreshTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshTokens")
    }
}

impl RefreshToken {
    /// A new one for the family `sid`.
    pub(super) fn random(sid: SessionId) -> Result<Self, ApiError> {
        let secret = BASE64_URL_SAFE_NO_PAD.encode(random::bytes::<SECRET_BYTES>()?);
        Ok(Self { sid, text: SecretString::from(format!("{sid}.{secret}")) })
    }

    /// Reads what was presented.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (sid, secret) = text.split_once('.')?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(secret).ok()?;
        let sid = (bytes.len() == SECRET_BYTES).then(|| sid.parse().ok())??;
        Some(Self { sid, text: SecretString::from(text) })
    }

    /// What is stored of it.
    pub(super) fn hash(&self) -> Hash {
        Sha256::digest(self.text.expose_secret()).into()
    }

    /// The token itself, for the answer.
    pub(super) fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    fn sealing_key(&self) -> Result<RandomizedNonceKey, ApiError> {
        let mut key = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"timingle.refresh.1")
            .extract(self.text.expose_secret().as_bytes())
            .expand(&[b"successor"], &AES_256_GCM)
            .and_then(|okm| okm.fill(&mut key))
            .and_then(|()| RandomizedNonceKey::new(&AES_256_GCM, &key))
            .map_err(|error| ApiError::Internal(error.into()))
    }

    /// `successor`, readable with this token alone.
    fn seal(&self, successor: &Self) -> Result<Vec<u8>, ApiError> {
        let mut sealed = successor.expose().as_bytes().to_vec();
        let nonce = self
            .sealing_key()?
            .seal_in_place_append_tag(Aad::from(self.sid.as_uuid().into_bytes()), &mut sealed)
            .map_err(|error| ApiError::Internal(error.into()))?;
        Ok([nonce.as_ref().as_slice(), &sealed].concat())
    }

    fn unseal(&self, sealed: &[u8]) -> Result<SecretString, ApiError> {
        let damaged = || ApiError::Internal("a sealed refresh token is damaged".into());
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_length| damaged())?;
        let mut text = text.to_vec();
        let text = self
            .sealing_key()?
            .open_in_place(nonce, Aad::from(self.sid.as_uuid().into_bytes()), &mut text)
            .map_err(|_another_key| damaged())?;
        Ok(SecretString::from(String::from_utf8(text.to_vec()).map_err(|_not_text| damaged())?))
    }
}

impl RefreshTokens {
    pub(crate) fn new(redis: Redis, valid_for: Duration) -> Self {
        Self { redis, rotate: Script::new(ROTATE), valid_for }
    }

    /// Lets `token` work, the first of its family.
    pub(super) async fn begin(&self, token: &RefreshToken) -> Result<(), ApiError> {
        let set = cmd("SET")
            .arg(self.family_key(token.sid))
            .arg(&token.hash()[..])
            .arg("PX")
            .arg(millis(self.valid_for))
            .to_owned();
        self.redis.command::<()>(&set).await.map_err(away)
    }

    /// Uses `presented` up for `successor`.
    pub(super) async fn rotate(
        &self,
        presented: &RefreshToken,
        successor: &RefreshToken,
    ) -> Result<Rotation, ApiError> {
        let (hash, next, sealed) = (presented.hash(), successor.hash(), presented.seal(successor)?);
        let (grace, valid_for) = (millis(GRACE).to_string(), millis(self.valid_for).to_string());
        let family = self.family_key(presented.sid);
        let keys = [family.clone(), format!("{family}:grace:{}", BASE64_URL_SAFE_NO_PAD.encode(hash))];
        let arguments: [&[u8]; 5] = [&hash, &next, &sealed, grace.as_bytes(), valid_for.as_bytes()];
        let (word, sealed): (String, Vec<u8>) = self.redis.run(&self.rotate, &keys, &arguments).await.map_err(away)?;
        match word.as_str() {
            "rotated" => Ok(Rotation::Rotated),
            "repeated" => presented.unseal(&sealed).map(Rotation::Repeated),
            _ => Ok(Rotation::Refused),
        }
    }

    /// Lets no token of these families work. The database has already said so; this only says it sooner.
    pub(super) async fn end(&self, families: &[SessionId]) {
        for sid in families {
            let forgotten = self.redis.command::<u32>(cmd("DEL").arg(self.family_key(*sid))).await;
            if let Err(error) = forgotten {
                tracing::warn!(session.id = %sid, %error, "a revoked family stays in redis until it lapses");
            }
        }
    }

    /// The braces keep all keys of one family on one node of a cluster.
    fn family_key(&self, sid: SessionId) -> String {
        format!("{}:refresh:{{{sid}}}", self.redis.prefix())
    }
}

fn away(error: RedisAway) -> ApiError {
    ApiError::unavailable("redis", error)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_successor_opens_with_the_presented_token_alone() {
        let sid = SessionId::random();
        let (presented, successor) = (RefreshToken::random(sid).unwrap(), RefreshToken::random(sid).unwrap());
        let sealed = presented.seal(&successor).unwrap();
        assert_eq!(presented.unseal(&sealed).unwrap().expose_secret(), successor.expose());
        assert!(RefreshToken::random(sid).unwrap().unseal(&sealed).is_err());
        assert!(!sealed.windows(8).any(|part| part == &successor.expose().as_bytes()[40..48]));
    }

    #[test]
    fn a_token_is_read_back_and_nonsense_is_not() {
        let token = RefreshToken::random(SessionId::random()).unwrap();
        let read = RefreshToken::parse(token.expose()).unwrap();
        assert_eq!((read.sid, read.hash()), (token.sid, token.hash()));
        for text in ["", ".", "a.b", &token.expose()[..50], &format!("{}x", token.expose())] {
            assert!(RefreshToken::parse(text).is_none(), "{text}");
        }
    }
}
