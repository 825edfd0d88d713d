//! A test's own nats-server: quick to start, the shipped users, and the same after it was killed.

use std::time::{Duration, Instant};

use async_nats::{ConnectOptions, jetstream};
use scripts::stack::NatsServer;

async fn connect(nats: &NatsServer, user: &str) -> async_nats::Client {
    ConnectOptions::with_user_and_password(user.to_owned(), nats.password(user))
        .custom_inbox_prefix(format!("_INBOX.{user}"))
        .connect(nats.url(user))
        .await
        .expect("a user of nats.conf may connect")
}

#[tokio::test]
async fn a_message_survives_the_server_being_killed() {
    let nats = NatsServer::start().await;
    let worker = jetstream::new(connect(&nats, "worker").await);
    worker
        .create_stream(jetstream::stream::Config {
            name: "CHAT_MESSAGES".to_owned(),
            subjects: vec!["chat.message.*".to_owned()],
            ..Default::default()
        })
        .await
        .unwrap();
    let gateway = jetstream::new(connect(&nats, "gateway").await);
    let sent = gateway.publish("chat.message.a", "hi".into()).await.unwrap().await.unwrap();
    assert_eq!(sent.sequence, 1);

    nats.kill();
    nats.restart().await;

    let operator = jetstream::new(connect(&nats, "operator").await);
    let stream = operator.get_stream("CHAT_MESSAGES").await.unwrap();
    assert_eq!(stream.cached_info().state.messages, 1);
    nats.stop().await;
    assert!(!nats.log().is_empty());
}

#[tokio::test]
async fn a_start_takes_less_than_a_blink() {
    let began = Instant::now();
    let servers = [NatsServer::start().await, NatsServer::start().await];
    assert_ne!(servers[0].port(), servers[1].port());
    assert!(began.elapsed() < Duration::from_secs(5), "two starts took {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_does_not_hurry_the_start() {
    let nats = NatsServer::start().await;
    assert!(nats.store_dir().exists());
}
