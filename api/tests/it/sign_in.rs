//! Signing in without a password of ours: with Google, by a code on a phone, and with a hash brought along.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use deadpool_redis::redis::{Client, aio::MultiplexedConnection, cmd};
use futures_util::future::join_all;
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, JwkSet},
};
use parking_lot::Mutex;
use reqwest::{Method, Response};
use scripts::stack::test_env;
use serde_json::{Value, json};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use warp::{Filter as _, Reply as _, filters::BoxedFilter};

use crate::harness::{TestApi, new_key, read, refused, wrong_fields};

const ISSUER: &str = "https://issuer.example.org";
const CLIENT: &str = "timingle.example.org";
const PHONE: &str = "+821012345678";

/// A key that signs tokens.
struct Key {
    id: &'static str,
    pem: String,
}

impl Key {
    fn new(id: &'static str) -> Self {
        Self { id, pem: new_key() }
    }

    fn signing(&self) -> EncodingKey {
        EncodingKey::from_rsa_pem(self.pem.as_bytes()).unwrap()
    }

    fn published(&self) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.signing(), Algorithm::RS256).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        jwk
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_as(Some(self.id), claims)
    }

    fn sign_as(&self, kid: Option<&str>, claims: &Value) -> String {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, &self.signing()).unwrap()
    }
}

/// What the API finds outside: Google's keys, and somebody who sends texts.
#[derive(Clone, Default)]
struct Outside {
    keys: Arc<Mutex<JwkSet>>,
    keys_asked: Arc<AtomicUsize>,
    texts: Arc<Mutex<Vec<Value>>>,
}

impl Outside {
    async fn with_api(pool: PgPool, keys: &[&Key], extra: &[&str]) -> (Self, TestApi) {
        let outside = Self::default();
        outside.keys.lock().keys.extend(keys.iter().map(|key| key.published()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let settings = [
            format!("--google-client-ids=another,{CLIENT}"),
            format!("--google-issuers={ISSUER}"),
            format!("--google-jwks-url={base}/certs"),
            format!("--phone-webhook-url={base}/sms"),
            "--phone-webhook-token=sms-token".to_owned(),
            format!("--phone-code-key={}", "k".repeat(32)),
        ];
        let arguments: Vec<&str> = settings.iter().map(String::as_str).chain(extra.iter().copied()).collect();
        let api = TestApi::with(pool, &arguments).await;
        let routes = outside.routes();
        api.runs(async move { warp::serve(routes).incoming(listener).run().await });
        (outside, api)
    }

    fn routes(&self) -> BoxedFilter<(warp::reply::Response,)> {
        let (published, sent) = (self.clone(), self.clone());
        let certs = warp::path!("certs").map(move || {
            published.keys_asked.fetch_add(1, Ordering::Relaxed);
            let keys = published.keys.lock().clone();
            warp::reply::json(&keys).into_response()
        });
        let sms = warp::path!("sms")
            .and(warp::post())
            .and(warp::header::<String>("authorization"))
            .and(warp::body::json::<Value>())
            .map(move |authorization: String, text: Value| {
                assert_eq!(authorization, "Bearer sms-token");
                sent.texts.lock().push(text);
                warp::reply().into_response()
            });
        certs.or(sms).unify().boxed()
    }

    /// The code that was last sent to `phone`.
    fn code(&self, phone: &str) -> String {
        let texts = self.texts.lock();
        let text = texts.iter().rfind(|text| text["phone"] == phone).expect("a text to this number");
        text["code"].as_str().unwrap().to_owned()
    }
}

fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

fn claims(sub: &str) -> Value {
    json!({
        "iss": ISSUER, "aud": CLIENT, "sub": sub, "iat": now(), "exp": now() + 600, "name": "Ann Lee",
        "email": "Ann@example.org", "email_verified": true,
    })
}

/// The same claims but for one.
fn but(claim: &str, value: Value) -> Value {
    let mut claims = claims("1");
    claims[claim] = value;
    claims
}

async fn google(api: &TestApi, token: &str) -> Response {
    api.post("/auth/google", json!({"id_token": token})).await
}

async fn start(api: &TestApi, phone: &str) -> Response {
    api.post("/auth/phone/start", json!({"phone": phone})).await
}

async fn verify(api: &TestApi, phone: &str, code: &str) -> Response {
    api.post("/auth/phone/verify", json!({"phone": phone, "code": code})).await
}

/// Who is signed in by `answer`, as the API sees it.
async fn me(api: &TestApi, answer: &Value) -> Value {
    let request = api.request(Method::GET, "/users/me").bearer_auth(answer["access_token"].as_str().unwrap());
    read(request.send().await.unwrap(), 200).await
}

async fn count(api: &TestApi, what: &'static str) -> i64 {
    sqlx::query_scalar(what).fetch_one(&api.pg).await.unwrap()
}

const USERS: &str = "SELECT count(*) FROM users";

async fn redis() -> MultiplexedConnection {
    let client = Client::open(test_env("REDIS_URL")).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn google_leads_to_one_account_whatever_the_address(pool: PgPool) {
    let key = Key::new("k1");
    let (outside, api) = Outside::with_api(pool, &[&key], &[]).await;
    let first = read(google(&api, &key.sign(&claims("1"))).await, 200).await;
    assert_eq!(first["user"]["display_name"], "Ann Lee");
    assert_eq!(first["user"]["email"], "ann@example.org");
    assert_eq!((&first["token_type"], &first["expires_in"]), (&json!("Bearer"), &json!(900)));
    assert_eq!(me(&api, &first).await["id"], first["user"]["id"]);
    let body = json!({"refresh_token": first["refresh_token"]});
    read(api.post("/auth/refresh", body).await, 200).await;

    let moved = read(google(&api, &key.sign(&but("email", json!("lee@example.org")))).await, 200).await;
    assert_eq!(moved["user"], first["user"], "the same person, who has another address by now");
    let other = read(google(&api, &key.sign(&claims("2"))).await, 200).await;
    assert_ne!(other["user"]["id"], first["user"]["id"], "another person, who has the address by now");
    assert_eq!(other["user"]["email"], Value::Null);
    assert_eq!(outside.keys_asked.load(Ordering::Relaxed), 1, "the keys are kept");

    sqlx::query("UPDATE users SET deleted_at = now()").execute(&api.pg).await.unwrap();
    refused(google(&api, &key.sign(&claims("1"))).await, 401, "invalid_credentials").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn an_address_that_has_a_password_is_no_way_in_for_google(pool: PgPool) {
    let key = Key::new("k1");
    let (_outside, api) = Outside::with_api(pool, &[&key], &[]).await;
    let ann = api.user("ann").await;
    let answer = read(google(&api, &key.sign(&claims("1"))).await, 200).await;
    assert_ne!(answer["user"]["id"], json!(ann.id));
    assert_eq!(answer["user"]["email"], Value::Null);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_comes_for_the_first_time_eight_times_at_once_has_one_account(pool: PgPool) {
    let key = Key::new("k1");
    let (_outside, api) = Outside::with_api(pool, &[&key], &[]).await;
    let token = key.sign(&claims("1"));
    for answer in join_all((0..8).map(|_| google(&api, &token))).await {
        read(answer, 200).await;
    }
    assert_eq!(count(&api, USERS).await, 1);
    assert_eq!(count(&api, "SELECT count(*) FROM sessions").await, 8);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn only_what_google_says_of_us_and_now_counts(pool: PgPool) {
    let key = Key::new("k1");
    let (_outside, api) = Outside::with_api(pool, &[&key], &[]).await;
    let good = key.sign(&claims("1"));
    let mut nobody = claims("1");
    nobody.as_object_mut().unwrap().remove("sub");
    let unsigned = {
        let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"k1"}"#);
        format!("{header}.{}.", good.split('.').nth(1).unwrap())
    };
    let by_hmac = {
        let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &claims("1"), &EncodingKey::from_secret(b"public")).unwrap()
    };
    let refused_tokens = [
        ("for another service", key.sign(&but("aud", json!("others")))),
        ("for nobody", key.sign(&but("aud", Value::Null))),
        ("of another issuer", key.sign(&but("iss", json!("https://others.example.org")))),
        ("over", key.sign(&but("exp", json!(now() - 1)))),
        ("of an address nobody verified", key.sign(&but("email_verified", json!(false)))),
        ("that says nothing of it", key.sign(&but("email_verified", Value::Null))),
        ("about nobody", key.sign(&nobody)),
        ("signed with another key", Key::new("k1").sign(&claims("1"))),
        ("of an unknown key", key.sign_as(Some("k2"), &claims("1"))),
        ("of no key", key.sign_as(None, &claims("1"))),
        ("without a signature", unsigned),
        ("by another algorithm", by_hmac),
        ("too long", "x".repeat(5000)),
        ("empty", String::new()),
        ("nonsense", "a.b.c".into()),
    ];
    for (why, token) in refused_tokens {
        let answer = google(&api, &token).await;
        assert_eq!(answer.status(), 401, "a token {why}");
        refused(answer, 401, "invalid_token").await;
    }
    assert_eq!(count(&api, USERS).await, 0);
    let problem = refused(api.post("/auth/google", json!({})).await, 422, "invalid_fields").await;
    assert_eq!(wrong_fields(&problem), [("id_token".to_owned(), "required".to_owned())]);
    read(google(&api, &good).await, 200).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_token_made_for_another_request_does_not_count(pool: PgPool) {
    let key = Key::new("k1");
    let (_outside, api) = Outside::with_api(pool, &[&key], &[]).await;
    let with_nonce =
        async |nonce: Value, token: &str| api.post("/auth/google", json!({"id_token": token, "nonce": nonce})).await;
    let ours = key.sign(&but("nonce", json!("n1")));
    read(with_nonce(json!("n1"), &ours).await, 200).await;
    read(with_nonce(Value::Null, &ours).await, 200).await;
    refused(with_nonce(json!("n2"), &ours).await, 401, "invalid_token").await;
    refused(with_nonce(json!("n1"), &key.sign(&claims("1"))).await, 401, "invalid_token").await;
    refused(with_nonce(json!(1), &ours).await, 422, "invalid_fields").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn an_unknown_key_is_asked_for_once_a_minute(pool: PgPool) {
    let (old, new, invented) = (Key::new("k1"), Key::new("k2"), Key::new("k3"));
    let (outside, api) = Outside::with_api(pool, &[&old], &[]).await;
    read(google(&api, &old.sign(&claims("1"))).await, 200).await;
    outside.keys.lock().keys.push(new.published());
    read(google(&api, &new.sign(&claims("1"))).await, 200).await;
    for _ in 0..3 {
        refused(google(&api, &invented.sign(&claims("1"))).await, 401, "invalid_token").await;
    }
    read(google(&api, &old.sign(&claims("1"))).await, 200).await;
    assert_eq!(outside.keys_asked.load(Ordering::Relaxed), 2);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_is_away_is_unavailable(pool: PgPool) {
    let key = Key::new("k1");
    let nowhere = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let settings = [
        format!("--google-client-ids={CLIENT}"),
        format!("--google-jwks-url={nowhere}"),
        format!("--phone-webhook-url={nowhere}"),
    ];
    let api = TestApi::with(pool, &settings.each_ref().map(String::as_str)).await;
    refused(google(&api, &key.sign(&claims("1"))).await, 503, "unavailable").await;
    refused(start(&api, PHONE).await, 503, "unavailable").await;
    refused(start(&api, PHONE).await, 429, "rate_limited").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn without_settings_there_is_no_google_and_codes_are_logged(pool: PgPool) {
    let api = TestApi::start(pool).await;
    refused(google(&api, "any").await, 404, "not_found").await;
    read(start(&api, PHONE).await, 200).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_is_signed_in_may_add_ways_in_that_nobody_else_has(pool: PgPool) {
    let key = Key::new("k1");
    let (outside, api) = Outside::with_api(pool, &[&key], &["--limits=off"]).await;
    let (ann, bob) = (api.user("ann").await, api.user("bob").await);
    let token = json!({"id_token": key.sign(&claims("1"))});
    for _ in 0..2 {
        let linked = read(ann.post("/auth/google", token.clone()).await, 200).await;
        assert_eq!((&linked["user"]["id"], &linked["user"]["display_name"]), (&json!(ann.id), &json!("ann")));
        assert_eq!(me(&api, &linked).await["id"], json!(ann.id));
    }
    assert_eq!(read(api.post("/auth/google", token.clone()).await, 200).await["user"]["id"], json!(ann.id));
    refused(bob.post("/auth/google", token.clone()).await, 409, "conflict").await;
    let stale = api.request(Method::POST, "/auth/google").bearer_auth("stale").json(&token);
    refused(stale.send().await.unwrap(), 401, "invalid_token").await;

    let code = async || {
        read(start(&api, PHONE).await, 200).await;
        json!({"phone": PHONE, "code": outside.code(PHONE)})
    };
    let linked = read(ann.post("/auth/phone/verify", code().await).await, 200).await;
    assert_eq!(linked["user"]["id"], json!(ann.id));
    refused(bob.post("/auth/phone/verify", code().await).await, 409, "conflict").await;
    let waiting = code().await;
    let stale = api.request(Method::POST, "/auth/phone/verify").bearer_auth("stale").json(&waiting);
    refused(stale.send().await.unwrap(), 401, "invalid_token").await;
    let answer = read(api.post("/auth/phone/verify", waiting).await, 200).await;
    assert_eq!(answer["user"]["id"], json!(ann.id), "and the refusal did not use the code up");
    assert_eq!(count(&api, USERS).await, 2);
    assert_eq!(count(&api, "SELECT count(*) FROM user_identities").await, 2);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_code_signs_in_once_and_the_next_one_is_not_to_be_had_at_once(pool: PgPool) {
    let (outside, api) = Outside::with_api(pool, &[], &[]).await;
    let started = read(start(&api, PHONE).await, 200).await;
    assert_eq!(started, json!({"expires_in": 300, "retry_after": 90}));
    let code = outside.code(PHONE);
    assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
    assert!(outside.texts.lock()[0]["text"].as_str().unwrap().contains(&code));
    let answer = read(verify(&api, PHONE, &code).await, 200).await;
    assert_eq!((&answer["user"]["display_name"], &answer["user"]["email"]), (&json!("Guest"), &Value::Null));
    assert_eq!(me(&api, &answer).await["id"], answer["user"]["id"]);
    refused(verify(&api, PHONE, &code).await, 401, "invalid_credentials").await;
    let again = start(&api, PHONE).await;
    let retry_after: u64 = again.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((60..=90).contains(&retry_after), "{retry_after}");
    refused(again, 429, "rate_limited").await;
    assert_eq!(outside.texts.lock().len(), 1);
    read(start(&api, "+821012345679").await, 200).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_number_leads_to_one_account_and_its_newest_code_alone_works(pool: PgPool) {
    let (outside, api) = Outside::with_api(pool, &[], &["--limits=off"]).await;
    read(start(&api, PHONE).await, 200).await;
    let body = json!({"phone": PHONE, "code": outside.code(PHONE), "display_name": " Ann "});
    let first = read(api.post("/auth/phone/verify", body).await, 200).await;
    assert_eq!(first["user"]["display_name"], "Ann");
    read(start(&api, PHONE).await, 200).await;
    let old = outside.code(PHONE);
    while outside.code(PHONE) == old {
        read(start(&api, PHONE).await, 200).await;
    }
    refused(verify(&api, PHONE, &old).await, 401, "invalid_credentials").await;
    let second = read(verify(&api, PHONE, &outside.code(PHONE)).await, 200).await;
    assert_eq!(second["user"], first["user"]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn the_fifth_wrong_try_is_the_last(pool: PgPool) {
    let (outside, api) = Outside::with_api(pool, &[], &["--limits=off"]).await;
    let wrong = |code: &str| if code == "000000" { "000001" } else { "000000" };
    for (tries, status) in [(4, 200_u16), (5, 401)] {
        read(start(&api, PHONE).await, 200).await;
        let code = outside.code(PHONE);
        for _ in 0..tries {
            refused(verify(&api, PHONE, wrong(&code)).await, 401, "invalid_credentials").await;
        }
        assert_eq!(verify(&api, PHONE, &code).await.status(), status, "after {tries} wrong tries");
    }
    // All at once: together they have five tries, too.
    read(start(&api, PHONE).await, 200).await;
    let code = outside.code(PHONE);
    for answer in join_all((0..20).map(|_| verify(&api, PHONE, wrong(&code)))).await {
        refused(answer, 401, "invalid_credentials").await;
    }
    refused(verify(&api, PHONE, &code).await, 401, "invalid_credentials").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn redis_knows_neither_codes_nor_numbers_and_forgets_them_in_five_minutes(pool: PgPool) {
    let (outside, api) = Outside::with_api(pool, &[], &[]).await;
    read(start(&api, PHONE).await, 200).await;
    let code = outside.code(PHONE);
    let mut redis = redis().await;
    let keys: Vec<String> = cmd("KEYS").arg(format!("{}:*", api.redis_prefix)).query_async(&mut redis).await.unwrap();
    assert!(keys.iter().all(|key| !key.contains(&PHONE[1..])), "{keys:?}");
    let key = keys.iter().find(|key| key.contains(":phone-code:")).expect("the code");
    let kept: Vec<u8> = cmd("HGET").arg(key).arg("code").query_async(&mut redis).await.unwrap();
    assert!(kept.len() == 32 && !kept.windows(6).any(|part| part == code.as_bytes()));
    let left: i64 = cmd("PTTL").arg(key).query_async(&mut redis).await.unwrap();
    assert!((200_000..=300_000).contains(&left), "{left}");
    let gone: bool = cmd("DEL").arg(key).query_async(&mut redis).await.unwrap();
    assert!(gone);
    refused(verify(&api, PHONE, &code).await, 401, "invalid_credentials").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_is_no_number_gets_no_code_and_strange_values_break_nothing(pool: PgPool) {
    let (outside, api) = Outside::with_api(pool, &[], &["--limits=off"]).await;
    for phone in ["", "821012345678", "+82-10-1234-5678", "+1234567", "+1234567890123456", "+0212345678"] {
        let problem = refused(start(&api, phone).await, 422, "invalid_fields").await;
        assert_eq!(wrong_fields(&problem), [("phone".to_owned(), "not_a_phone_number".to_owned())]);
    }
    let long = "x".repeat(10_000);
    let strange = [json!(null), json!(true), json!(-1), json!(""), json!("\u{0}"), json!(long), json!([])];
    for value in &strange {
        let bodies = [
            ("/auth/google", json!({"id_token": value, "nonce": value})),
            ("/auth/phone/start", json!({"phone": value})),
            ("/auth/phone/verify", json!({"phone": value, "code": value, "display_name": value})),
            ("/auth/phone/verify", json!({"phone": PHONE, "code": value})),
        ];
        for (path, body) in bodies {
            let status = api.post(path, body).await.status().as_u16();
            assert!((400..500).contains(&status), "{path} {value}: {status}");
        }
    }
    assert!(outside.texts.lock().is_empty());
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_bcrypt_hash_counts_until_the_first_sign_in(pool: PgPool) {
    let api = TestApi::start(pool).await;
    let ann = api.user("ann").await;
    let imported = bcrypt::hash("from elsewhere", 4).unwrap();
    sqlx::query("UPDATE users SET password_hash = $1").bind(&imported).execute(&api.pg).await.unwrap();
    let stored =
        async || -> String { sqlx::query_scalar("SELECT password_hash FROM users").fetch_one(&api.pg).await.unwrap() };
    let login = async |password: &str| {
        let body = json!({"email": ann.email, "password": password});
        api.post("/auth/login", body).await
    };
    refused(login("password of ann").await, 401, "invalid_credentials").await;
    assert_eq!(stored().await, imported);
    assert_eq!(read(login("from elsewhere").await, 200).await["user"]["id"], json!(ann.id));
    let own = stored().await;
    assert!(own.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{own}");
    read(login("from elsewhere").await, 200).await;
    assert_eq!(stored().await, own, "once is enough");
    refused(login("password of ann").await, 401, "invalid_credentials").await;
}
