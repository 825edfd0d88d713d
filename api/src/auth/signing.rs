//! The key that signs access tokens, and the rules a token must keep to count.

use std::{fmt, fs, time::Duration};

use anyhow::Context as _;
use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash},
};
use ops::{clock::Clock, settings::BadSetting};
use schema::{
    id::{SessionId, UserId},
    token::{BYTES_MAX, Claims, TYP},
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::TokenSettings;

/// Signs access tokens, and checks those it signed.
pub(crate) struct SigningKey {
    id: String,
    private: EncodingKey,
    public: DecodingKey,
    key_set: JwkSet,
}

/// Who issues tokens, for whom and for how long.
#[derive(Clone, Debug)]
pub(crate) struct TokenRules {
    issuer: String,
    audience: String,
    /// How long an access token is valid.
    pub(super) access_for: Duration,
}

/// The token does not count; why is nobody's business but the log's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token does not count")]
pub(super) struct NotAToken;

const ALGORITHM: Algorithm = Algorithm::RS256;
const VARIABLE: &str = "JWT_PRIVATE_KEY";

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl TokenRules {
    pub(crate) fn new(settings: &TokenSettings) -> Self {
        Self {
            issuer: settings.jwt_issuer.clone(),
            audience: settings.jwt_audience.clone(),
            access_for: settings.access_token_for,
        }
    }
}

impl SigningKey {
    /// Reads the setting: PEM text, or the path of a PEM file.
    pub(crate) fn parse(setting: &SecretString) -> Result<Self, BadSetting> {
        let text = setting.expose_secret();
        let pem = if text.contains("-----BEGIN") {
            text.to_owned()
        } else {
            // The path is not repeated: it may be a key that lost its first line.
            fs::read_to_string(text).map_err(|error| {
                BadSetting::new(VARIABLE, format!("is neither PEM text nor a file: {}", error.kind()))
            })?
        };
        Self::from_pem(&pem).map_err(|_may_quote_the_key| BadSetting::new(VARIABLE, "is not an RSA key in PEM"))
    }

    /// Makes a key, for development.
    pub(crate) fn generate() -> anyhow::Result<Self> {
        tracing::warn!("JWT_PRIVATE_KEY is not set: tokens are signed with a key that lives as long as this process");
        let pair = KeyPair::generate(KeySize::Rsa2048)?;
        let der: Pkcs8V1Der<'_> = pair.as_der()?;
        let text = BASE64_STANDARD.encode(der.as_ref());
        Self::from_pem(&format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"))
    }

    fn from_pem(pem: &str) -> anyhow::Result<Self> {
        let private = EncodingKey::from_rsa_pem(pem.as_bytes())?;
        let mut jwk = Jwk::from_encoding_key(&private, ALGORITHM)?;
        let id = jwk.thumbprint(ThumbprintHash::SHA256)?;
        jwk.common.key_id = Some(id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let public = DecodingKey::from_jwk(&jwk).context("a key's own public half")?;
        Ok(Self { id, private, public, key_set: JwkSet { keys: vec![jwk] } })
    }

    /// What others check our tokens with.
    pub(super) const fn public_keys(&self) -> &JwkSet {
        &self.key_set
    }

    /// Signs an access token.
    pub(super) fn sign(
        &self,
        rules: &TokenRules,
        clock: Clock,
        user: UserId,
        sid: SessionId,
    ) -> anyhow::Result<String> {
        let iat = clock.unix_seconds();
        let exp = iat + i64::try_from(rules.access_for.as_secs())?;
        let claims = Claims { iss: rules.issuer.clone(), aud: rules.audience.clone(), sub: user, sid, iat, exp };
        let mut header = Header::new(ALGORITHM);
        header.typ = Some(TYP.into());
        header.kid = Some(self.id.clone());
        Ok(jsonwebtoken::encode(&header, &claims, &self.private)?)
    }

    /// Reads a token that counts now.
    pub(super) fn verify(&self, rules: &TokenRules, clock: Clock, token: &str) -> Result<Claims, NotAToken> {
        if token.len() > BYTES_MAX {
            return Err(NotAToken);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_malformed| NotAToken)?;
        let is_ours = header.alg == ALGORITHM && header.typ.as_deref() == Some(TYP);
        if !is_ours || header.kid.as_deref() != Some(self.id.as_str()) {
            return Err(NotAToken);
        }
        let mut checks = Validation::new(ALGORITHM);
        checks.set_issuer(&[&rules.issuer]);
        checks.set_audience(&[&rules.audience]);
        // iss and aud are checked only when they are there.
        checks.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // By our clock, below: the library asks the system's.
        checks.validate_exp = false;
        let claims: Claims = jsonwebtoken::decode(token, &self.public, &checks).map_err(|_refused| NotAToken)?.claims;
        if claims.exp <= clock.unix_seconds() { Err(NotAToken) } else { Ok(claims) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> TokenRules {
        TokenRules { issuer: "us".into(), audience: "you".into(), access_for: Duration::from_mins(15) }
    }

    #[test]
    fn a_token_counts_until_it_ends_and_for_its_own_audience_only() {
        let key = SigningKey::generate().unwrap();
        let (user, sid) = (UserId::random(), SessionId::random());
        let token = key.sign(&rules(), Clock::default(), user, sid).unwrap();
        let claims = key.verify(&rules(), Clock::default(), &token).unwrap();
        assert_eq!((claims.sub, claims.sid), (user, sid));
        let later = Clock::with_offset_millis(901_000);
        assert_eq!(key.verify(&rules(), later, &token), Err(NotAToken));
        let others = TokenRules { audience: "others".into(), ..rules() };
        assert_eq!(key.verify(&others, Clock::default(), &token), Err(NotAToken));
        let another = SigningKey::generate().unwrap();
        assert_eq!(another.verify(&rules(), Clock::default(), &token), Err(NotAToken));
        assert_eq!(key.verify(&rules(), Clock::default(), &format!("{token}{}", "x".repeat(4096))), Err(NotAToken));
    }

    #[test]
    fn a_claim_that_must_be_there_may_not_be_left_out() {
        let key = SigningKey::generate().unwrap();
        let mut header = Header::new(ALGORITHM);
        header.typ = Some(TYP.into());
        header.kid = Some(key.id.clone());
        let full = serde_json::json!({"iss": "us", "aud": "you", "sub": UserId::random(), "sid": SessionId::random(),
            "iat": 0, "exp": i64::from(u32::MAX)});
        let signed = |claims: &serde_json::Value| jsonwebtoken::encode(&header, claims, &key.private).unwrap();
        assert!(key.verify(&rules(), Clock::default(), &signed(&full)).is_ok());
        for claim in ["iss", "aud", "sub", "sid", "exp"] {
            let mut less = full.clone();
            less.as_object_mut().unwrap().remove(claim);
            assert_eq!(key.verify(&rules(), Clock::default(), &signed(&less)), Err(NotAToken), "without {claim}");
        }
    }
}
