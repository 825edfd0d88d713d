//! Who gets a socket, and who is told why not, before the upgrade.

use schema::{id::RoomId, token::Claims};
use serde_json::json;
use sqlx::PgPool;

use crate::{
    harness::{Scene, User, ms, unix_now},
    keys::{self, Key},
    raw::Raw,
};

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn every_kind_of_credential_admits(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    scene.write_ticket(&gateway, "t-1", &ann, 900).await;
    let token = ann.token();
    let doors = [
        gateway.door().token(&token),
        gateway.door().header("authorization", &format!("bearer {token}")),
        gateway.door().query("ticket=t-1"),
        gateway.door().header("Sec-WebSocket-Protocol", &format!("timingle.v1, bearer.{token}")),
        gateway.door().query(&format!("token={token}")),
    ];
    for door in doors {
        let mut phone = door.open().await.unwrap();
        assert_eq!(phone.hello["user_id"], ann.id.to_string());
        assert_eq!((&phone.hello["protocol"], &phone.hello["ping_every_s"]), (&json!(1), &json!(54)));
        assert!(phone.hello["connection_id"].is_string() && phone.hello["server_time"].is_string());
        phone.join(room).await;
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_first_frame_auth_admits(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut hasty = gateway.door().query(&format!("event_id={room}")).open().await.unwrap();
    hasty.say(&json!({"type": "join", "room_id": room})).await;
    assert_eq!(hasty.error().await, "invalid_token", "nothing but auth comes first");
    assert_eq!(hasty.closed().await, 4500);
    let mut phone = gateway.door().query(&format!("event_id={room}")).open().await.unwrap();
    assert_eq!(phone.hello["user_id"], json!(null));
    phone.say(&json!({"type": "auth", "token": ann.token()})).await;
    assert_eq!(phone.hears("authenticated").await["user_id"], ann.id.to_string());
    phone.joined(room).await;
    phone.sends(room, "a-1", "hi").await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_ticket_works_once(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let (left, right) = (scene.gateway().await, scene.gateway().await);
    let ann = scene.user("Ann").await;
    scene.write_ticket(&left, "t-1", &ann, 900).await;
    scene.write_ticket(&left, "t-2", &ann, -31).await;
    left.door().query("ticket=t-1").open().await.unwrap();
    let ended = left.door().query("ticket=t-2").refused().await;
    assert_eq!(ended.what(), (401, "invalid_token".into()), "a ticket lives no longer than its token");
    for gateway in [&left, &right] {
        assert_eq!(gateway.door().query("ticket=t-1").refused().await.what(), (401, "invalid_token".into()));
    }
}

fn bad_tokens(ann: &User) -> Vec<(&'static str, String)> {
    let key = keys::known();
    let claims = ann.claims();
    let good = key.sign(&claims);
    let (head, rest) = good.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let encode = |text: &str| base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, text);
    let none = encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    let other_body =
        encode(&serde_json::to_string(&Claims { sub: schema::id::UserId::random(), ..claims.clone() }).unwrap());
    vec![
        ("expired", ann.token_for(-31)),
        ("signed by another key", Key::generate().sign(&claims)),
        ("alg none, without a signature", format!("{none}.{body}.")),
        ("alg none, with a signature", format!("{none}.{body}.{signature}")),
        ("HS256 with the public key", key.sign_with_public_key_as_secret(&claims)),
        ("of another audience", key.sign(&Claims { aud: "other".into(), ..claims.clone() })),
        ("of another issuer", key.sign(&Claims { iss: "other".into(), ..claims.clone() })),
        ("of another type", key.sign_as(Some("JWT"), &claims)),
        ("of no type", key.sign_as(None, &claims)),
        ("with another body", format!("{head}.{other_body}.{signature}")),
        ("not a token", "canary-token".into()),
        ("a bare user id", ann.id.to_string()),
        ("too long", "x".repeat(4_097)),
    ]
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_bad_token_is_refused_before_the_upgrade(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let ann = scene.user("Ann").await;
    for (which, token) in bad_tokens(&ann) {
        let doors = [
            gateway.door().token(&token),
            gateway.door().query(&format!("token={token}")),
            gateway.door().header("Sec-WebSocket-Protocol", &format!("timingle.v1, bearer.{token}")),
        ];
        for door in doors {
            let answer = door.refused().await;
            assert_eq!(answer.what(), (401, "invalid_token".into()), "{which}");
            assert!(answer.head.contains("WWW-Authenticate: Bearer"), "{}", answer.head);
            assert!(!answer.body.contains(&token) && !answer.head.contains(&token), "the answer repeats the token");
        }
    }
    let empty = [
        gateway.door().header("Authorization", ""),
        gateway.door().header("Authorization", "Bearer "),
        gateway.door().header("Authorization", &format!("Basic {}", ann.token())),
        gateway.door().query("ticket="),
        gateway.door().query("ticket=unknown"),
        gateway.door().query("token="),
        gateway.door().header("Sec-WebSocket-Protocol", "timingle.v1, bearer."),
    ];
    for door in empty {
        assert_eq!(door.refused().await.what(), (401, "invalid_token".into()));
    }
    gateway.is_left_alone().await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_token_that_ended_a_moment_ago_is_taken_for_clocks_differ(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let ann = scene.user("Ann").await;
    gateway.door().token(&ann.token_for(-10)).open().await.unwrap();
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_token_in_the_address_is_taken_only_where_that_is_allowed(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway_with(|config| config.tokens.allow_query_token = Some(false)).await;
    let ann = scene.user("Ann").await;
    let door = gateway.door().query(&format!("token={}", ann.token()));
    let answer = door.refused().await;
    assert_eq!(answer.what(), (401, "invalid_token".into()));
    assert!(!answer.body.contains(&ann.token()));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_socket_that_never_says_who_it_is_is_closed(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway_with(|config| config.auth_within = ms(300)).await;
    let mut silent = gateway.door().open().await.unwrap();
    let mut chatty = gateway.door().open().await.unwrap();
    chatty.say(&json!({"type": "ping"})).await;
    assert_eq!(chatty.error().await, "invalid_token");
    assert_eq!(silent.closed().await, 4500);
    assert_eq!(chatty.closed().await, 4500);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_bad_token_in_a_first_frame_ends_the_socket(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let ann = scene.user("Ann").await;
    for (which, token) in bad_tokens(&ann) {
        let mut phone = gateway.door().open().await.unwrap();
        phone.say(&json!({"type": "auth", "token": token})).await;
        assert_eq!(phone.closed().await, 4500, "{which}");
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn who_is_no_member_gets_403_whether_there_is_a_room_or_not(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (_ann, _ben, room) = scene.pair().await;
    let cem = scene.user("Cem").await;
    let mut bodies = Vec::new();
    for room in [room.to_string(), RoomId::random().to_string(), "lobby".into(), String::new(), "*".into()] {
        for name in ["event_id", "room_id"] {
            let answer = gateway.door().token(&cem.token()).query(&format!("{name}={room}")).refused().await;
            assert_eq!(answer.what(), (403, "not_a_member".into()), "{room}");
            let mut problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            problem["request_id"] = json!(null);
            bodies.push(problem);
        }
    }
    assert!(bodies[..4].iter().all(|body| *body == bodies[0]), "the answer tells which rooms there are: {bodies:?}");
    let mut phone = gateway.door().query(&format!("event_id={room}")).open().await.unwrap();
    phone.say(&json!({"type": "auth", "token": cem.token()})).await;
    assert_eq!(phone.closed().await, 4501, "by a first frame it comes as a close code");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_browser_connects_from_listed_origins_alone(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let ann = scene.user("Ann").await;
    let token = ann.token();
    let local = scene.gateway().await;
    let listed = scene.gateway_with(|config| config.allowed_origins = vec!["https://app.example".into()]).await;
    let production = scene.gateway_with(|config| config.common.environment = ops::settings::Environment::Production);
    let production = production.await;
    let from =
        |gateway: &crate::harness::TestGateway, origin: &str| gateway.door().token(&token).header("Origin", origin);
    for origin in ["http://localhost", "http://localhost:5173", "http://127.0.0.1:3000", "https://localhost:8443"] {
        from(&local, origin).open().await.unwrap();
        assert_eq!(from(&listed, origin).refused().await.what(), (403, "origin_not_allowed".into()));
        assert_eq!(from(&production, origin).refused().await.what(), (403, "origin_not_allowed".into()));
    }
    for origin in ["https://evil.example", "http://localhost.evil.example", "null", "", "http://localhost:x"] {
        for gateway in [&local, &listed, &production] {
            assert_eq!(from(gateway, origin).refused().await.what(), (403, "origin_not_allowed".into()), "{origin}");
        }
    }
    from(&listed, "https://app.example").open().await.unwrap();
    for gateway in [&local, &listed, &production] {
        gateway.door().token(&token).open().await.expect("no origin, no browser");
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_is_no_handshake_is_told_which_version_is_spoken(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let ann = scene.user("Ann").await;
    let door = || gateway.door().token(&ann.token());
    let doors = [
        door().without("Upgrade"),
        door().without("Connection"),
        door().without("Sec-WebSocket-Version"),
        door().without("Sec-WebSocket-Version").header("Sec-WebSocket-Version", "8"),
    ];
    for door in doors {
        let answer = door.refused().await;
        assert_eq!(answer.what(), (426, "upgrade_required".into()));
        assert!(answer.head.contains("Sec-WebSocket-Version: 13\r\n"), "{}", answer.head);
    }
    let answer = door().without("Sec-WebSocket-Key").refused().await;
    assert_eq!(answer.what(), (400, "invalid_request".into()));
    let answer = door().query("since=yesterday").refused().await;
    assert_eq!(answer.what(), (400, "invalid_request".into()));
    let mut raw = Raw::connect(gateway.address).await;
    raw.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n").await;
    assert_eq!(raw.answer().await.what(), (400, "invalid_request".into()));
    let mut raw = Raw::connect(gateway.address).await;
    raw.write(b"POST /api/v1/ws HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(raw.answer().await.what(), (405, "method_not_allowed".into()));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_user_has_ten_sockets_and_no_more(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, ben) = (scene.user("Ann").await, scene.user("Ben").await);
    let mut phones = Vec::new();
    for _ in 0..10 {
        phones.push(gateway.phone(&ann).await);
    }
    let door = || gateway.door().token(&ann.token());
    assert_eq!(door().refused().await.what(), (429, "too_many_connections".into()));
    let mut late = gateway.door().open().await.unwrap();
    late.say(&json!({"type": "auth", "token": ann.token()})).await;
    assert_eq!(late.closed().await, 4505);
    gateway.phone(&ben).await;
    phones.pop().unwrap().close().await;
    crate::harness::eventually("the place is free again", async || door().open().await.ok()).await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn one_address_and_one_gateway_have_so_many_places(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway_with(|config| config.connections_per_ip_max = 2).await;
    let (ann, ben) = (scene.user("Ann").await, scene.user("Ben").await);
    let _phones = (gateway.phone(&ann).await, gateway.phone(&ben).await);
    let answer = gateway.door().token(&ann.token()).refused().await;
    assert_eq!(answer.what(), (429, "too_many_connections".into()));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_signed_out_session_is_let_in_nowhere(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let ann = scene.user("Ann").await;
    scene.write_ticket(&gateway, "t-1", &ann, 900).await;
    scene.revoke_quietly(&ann).await;
    for door in [gateway.door().token(&ann.token()), gateway.door().query("ticket=t-1")] {
        assert_eq!(door.refused().await.what(), (401, "invalid_token".into()));
    }
    let mut phone = gateway.door().open().await.unwrap();
    phone.say(&json!({"type": "auth", "token": ann.token()})).await;
    assert_eq!(phone.closed().await, 4500);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_head_of_more_than_16_kib_is_refused(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let ann = scene.user("Ann").await;
    let door = || gateway.door().token(&ann.token());
    door().header("X-Long", &"x".repeat(14 * 1024)).open().await.unwrap();
    let answer = door().header("X-Long", &"x".repeat(17 * 1024)).refused().await;
    assert_eq!(answer.what(), (431, "headers_too_large".into()));
    let many = (0..100).fold(door(), |door, n| door.header(&format!("X-{n}"), "x"));
    assert_eq!(many.refused().await.what(), (431, "headers_too_large".into()));
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_head_that_does_not_come_to_its_end_is_not_waited_for(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let mut raw = Raw::connect(gateway.address).await;
    raw.write(b"GET /api/v1/ws HTTP/1.1\r\nX-Slow: ").await;
    raw.end().await;
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn the_port_answers_health_and_knows_no_other_path(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let answer = gateway.door().path("/health").refused().await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"ok"}"#));
    for path in ["/", "/api/v1/ws/", "/api/v2/ws", "/metrics", "/healthz?x=1"] {
        assert_eq!(gateway.door().path(path).refused().await.what(), (404, "not_found".into()), "{path}");
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn the_subprotocol_is_echoed_when_it_is_offered(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let ann = scene.user("Ann").await;
    let door = || gateway.door().token(&ann.token());
    let phone = door().header("Sec-WebSocket-Protocol", "soap, timingle.v1").open().await.unwrap();
    assert!(phone.head.contains("Sec-WebSocket-Protocol: timingle.v1\r\n"), "{}", phone.head);
    assert!(phone.head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{}", phone.head);
    let phone = door().header("Sec-WebSocket-Protocol", "soap").open().await.unwrap();
    assert!(!phone.head.contains("Sec-WebSocket-Protocol"), "{}", phone.head);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_bare_user_id_is_a_token_where_development_says_so(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway_with(|config| config.tokens.dev_no_auth = true).await;
    let (ann, _ben, room) = scene.pair().await;
    let id = ann.id.to_string();
    let mut phone = gateway.door().token(&id).open().await.unwrap();
    assert_eq!(phone.hello["user_id"], id);
    phone.join(room).await;
    phone.sends(room, "a-1", "hi").await;
    let mut phone = gateway.door().open().await.unwrap();
    phone.say(&json!({"type": "auth", "token": id})).await;
    phone.hears("authenticated").await;
    gateway.door().token(&ann.token()).open().await.expect("real tokens work too");
    assert_eq!(gateway.door().token("nobody").refused().await.status, 401);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_frame_that_comes_with_the_handshake_is_read(pool: PgPool) {
    let scene = Scene::new(pool).await;
    let gateway = scene.gateway().await;
    let (ann, _ben, room) = scene.pair().await;
    let mut raw = Raw::connect(gateway.address).await;
    let head = format!(
        "GET /api/v1/ws?event_id={room}&since=0 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {}\r\n\r\n",
        ann.token_for(900 - (unix_now() % 2))
    );
    let frame = crate::raw::client_frame(0x81, br#"{"type":"message","temp_id":"a-1","content":"early"}"#);
    raw.write(&[head.as_bytes(), &frame].concat()).await;
    assert_eq!(raw.answer().await.status, 101);
    assert_eq!(raw.hears("message").await["content"], "early");
}
