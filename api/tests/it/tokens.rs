//! Which access tokens count.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use schema::token::{Claims, TYP};
use sqlx::PgPool;

use crate::harness::{TestApi, new_key, read, refused};

fn claims_of(token: &str) -> Claims {
    jsonwebtoken::dangerous::insecure_decode::<Claims>(token).unwrap().claims
}

fn sign(pem: &str, header: &Header, claims: &Claims) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()).unwrap()
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn only_a_token_of_ours_that_has_not_ended_counts(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let claims = claims_of(&ann.access_token);
    let header = jsonwebtoken::decode_header(&ann.access_token).unwrap();
    assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::RS256, Some(TYP)));
    let good = sign(&api.signing_key, &header, &claims);
    let attempt = async |authorization: Option<&str>| {
        let mut request = api.request(Method::GET, "/users/me");
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        request.send().await.unwrap()
    };
    assert_eq!(attempt(Some(&format!("Bearer {good}"))).await.status(), 200);
    assert_eq!(attempt(Some(&format!("bearer {good}"))).await.status(), 200, "a scheme has no case");

    let ended = Claims { exp: claims.iat - 1, ..claims.clone() };
    let other_audience = Claims { aud: "others".into(), ..claims.clone() };
    let other_issuer = Claims { iss: "others".into(), ..claims.clone() };
    let unsigned = {
        let payload = ann.access_token.split('.').nth(1).unwrap();
        // {"alg":"none","typ":"at+jwt"}
        format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{payload}.")
    };
    let by_hmac = {
        // The public key's id as the secret: the classic confusion of algorithms.
        let mut header = header.clone();
        header.alg = Algorithm::HS256;
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(b"public")).unwrap()
    };
    let unknown_key = Header { kid: Some("another".into()), ..header.clone() };
    let no_key = Header { kid: None, ..header.clone() };
    let wrong_type = Header { typ: Some("JWT".into()), ..header.clone() };
    let refused_tokens = [
        ("ended", sign(&api.signing_key, &header, &ended)),
        ("of another audience", sign(&api.signing_key, &header, &other_audience)),
        ("of another issuer", sign(&api.signing_key, &header, &other_issuer)),
        ("signed with another key", sign(&new_key(), &header, &claims)),
        ("of an unknown key", sign(&api.signing_key, &unknown_key, &claims)),
        ("of no key", sign(&api.signing_key, &no_key, &claims)),
        ("of another type", sign(&api.signing_key, &wrong_type, &claims)),
        ("without a signature", unsigned),
        ("by another algorithm", by_hmac),
        ("too long", "x".repeat(5000)),
        ("empty", String::new()),
        ("nonsense", "a.b.c".into()),
    ];
    for (why, token) in refused_tokens {
        let answer = attempt(Some(&format!("Bearer {token}"))).await;
        assert_eq!(answer.status(), 401, "{why}");
        refused(answer, 401, "invalid_token").await;
    }
    for value in [None, Some(""), Some("Bearer"), Some("Basic YTpi"), Some(good.as_str())] {
        refused(attempt(value).await, 401, "invalid_token").await;
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn others_can_check_tokens_with_the_public_keys(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let keys: jsonwebtoken::jwk::JwkSet =
        serde_json::from_value(read(api.root("/.well-known/jwks.json").send().await.unwrap(), 200).await).unwrap();
    let header = jsonwebtoken::decode_header(&ann.access_token).unwrap();
    let key = keys.find(header.kid.as_deref().unwrap()).expect("the token's key");
    let mut rules = jsonwebtoken::Validation::new(Algorithm::RS256);
    rules.set_audience(&["timingle"]);
    rules.set_issuer(&["timingle"]);
    let key = jsonwebtoken::DecodingKey::from_jwk(key).unwrap();
    let claims = jsonwebtoken::decode::<Claims>(&ann.access_token, &key, &rules).unwrap().claims;
    assert_eq!(claims.sub, ann.id);
    assert_eq!(claims.exp - claims.iat, 900);
}
