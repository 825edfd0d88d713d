//! Keys made at run time, and the tokens they sign.

use std::sync::OnceLock;

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use schema::token::{Claims, TYP};

/// An RSA key as the API holds it.
pub(crate) struct Key {
    signing: EncodingKey,
    pub(crate) public_pem: String,
}

/// The key that gateways under test know.
pub(crate) fn known() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(Key::generate)
}

impl Key {
    pub(crate) fn generate() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let private_pem = pem("PRIVATE KEY", private.as_ref());
        Self {
            signing: EncodingKey::from_rsa_pem(private_pem.as_bytes()).unwrap(),
            public_pem: pem("PUBLIC KEY", public.as_ref()),
        }
    }

    pub(crate) fn sign(&self, claims: &Claims) -> String {
        jsonwebtoken::encode(&header(Algorithm::RS256), claims, &self.signing).unwrap()
    }

    /// Something signed by the same key that is no access token.
    pub(crate) fn sign_as(&self, typ: Option<&str>, claims: &Claims) -> String {
        let header = Header { typ: typ.map(Into::into), ..header(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, &self.signing).unwrap()
    }

    /// A token signed by HMAC with the public key as the secret: what a careless verifier takes.
    pub(crate) fn sign_with_public_key_as_secret(&self, claims: &Claims) -> String {
        let secret = EncodingKey::from_secret(self.public_pem.as_bytes());
        jsonwebtoken::encode(&header(Algorithm::HS256), claims, &secret).unwrap()
    }
}

fn header(algorithm: Algorithm) -> Header {
    Header { typ: Some(TYP.into()), kid: Some("test".into()), ..Header::new(algorithm) }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
