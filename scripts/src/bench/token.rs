//! Access tokens for the load generator's users, signed with a key of this run's own.

use std::{collections::HashMap, time::UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};

use super::world;

/// Longer than any run.
const VALID_FOR_SECONDS: u64 = 12 * 3_600;

/// Signs and keeps tokens.
pub(super) struct Tokens {
    pair: KeyPair,
    signed: HashMap<usize, String>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    pub(super) fn new() -> Result<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|error| anyhow!("cannot make an RSA key: {error}"))?;
        Ok(Self { pair, signed: HashMap::new() })
    }

    /// The public half, for `JWT_PUBLIC_KEY`.
    pub(super) fn public_key(&self) -> Result<String> {
        let der: PublicKeyX509Der<'_> =
            self.pair.public_key().as_der().map_err(|error| anyhow!("cannot encode a key: {error}"))?;
        let text = BASE64_STANDARD.encode(der.as_ref());
        Ok(format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"))
    }

    /// The token of user `number`.
    pub(super) fn of(&mut self, number: usize) -> Result<String> {
        if let Some(token) = self.signed.get(&number) {
            return Ok(token.clone());
        }
        #[expect(clippy::disallowed_methods, reason = "no rule of the product depends on it: a token needs a date")]
        let now =
            std::time::SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
        let claims = serde_json::json!({
            "iss": "timingle", "aud": "timingle", "sub": world::user_id(number), "sid": world::session_id(number),
            "iat": now, "exp": now + VALID_FOR_SECONDS,
        });
        let part = |json: String| BASE64_URL_SAFE_NO_PAD.encode(json);
        let signed =
            format!("{}.{}", part(r#"{"alg":"RS256","typ":"at+jwt","kid":"bench"}"#.into()), part(claims.to_string()));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        self.pair
            .sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature)
            .map_err(|error| anyhow!("cannot sign: {error}"))?;
        let token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
        self.signed.insert(number, token.clone());
        Ok(token)
    }
}
