//! The streams as a real nats-server makes them: what `ensure` promises, and what the server does with messages.

use std::time::Duration;

use async_nats::{
    Client, ConnectOptions, HeaderMap, Message, Subscriber,
    jetstream::{
        self,
        context::PublishAckFuture,
        stream::{Config, RetentionPolicy, StorageType},
    },
};
use futures_util::{StreamExt as _, future::join_all};
use schema::{
    change::ChangeKind,
    clock::Timestamp,
    envelope::Headers,
    header,
    id::{MessageId, RoomId, UserId},
    stream::{self, EnsureError, Sizes},
    subject::{ChatSubject, LiveChatSubject, LiveMarkSubject, MarkSubject},
};
use scripts::stack::NatsServer;
use serde_json::{Value, json};

const HEARD_WITHIN: Duration = Duration::from_secs(10);

async fn connect(nats: &NatsServer, user: &str) -> Client {
    ConnectOptions::with_user_and_password(user.into(), nats.password(user))
        .custom_inbox_prefix(format!("_INBOX.{user}"))
        .connect(nats.url(user))
        .await
        .expect("a user of nats.conf may connect")
}

async fn js(nats: &NatsServer, user: &str) -> jetstream::Context {
    jetstream::new(connect(nats, user).await)
}

/// What the server says of a stream or consumer, without what differs from run to run.
async fn info(operator: &Client, of: &str) -> Value {
    let answer = operator.request(format!("$JS.API.{of}"), "".into()).await.expect("JetStream answers");
    let mut info: Value = serde_json::from_slice(&answer.payload).expect("JetStream answers in JSON");
    if let Some(metadata) = info.pointer_mut("/config/metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !key.starts_with("_nats."));
    }
    info
}

async fn state(operator: &Client, name: &str) -> (u64, u64, u64) {
    let info = info(operator, &format!("STREAM.INFO.{name}")).await;
    let number = |path: &str| info.pointer(path).and_then(Value::as_u64).expect("a number");
    (number("/state/first_seq"), number("/state/last_seq"), number("/state/messages"))
}

async fn publish(js: &jetstream::Context, room: RoomId, id: MessageId, text: &str) -> PublishAckFuture {
    let headers = Headers { sender: None, gateway: None, is_resend: false, is_moderator: false }.to_map(id);
    js.publish_with_headers(ChatSubject(room).to_string(), headers, text.to_owned().into()).await.expect("connected")
}

async fn publish_many(js: &jetstream::Context, room: RoomId, count: usize) -> u64 {
    let mut last = 0;
    for n in 0..count {
        let ack = publish(js, room, MessageId::random(), &n.to_string()).await.await.expect("stored");
        last = ack.sequence;
    }
    last
}

async fn hear(subscriber: &mut Subscriber) -> Message {
    let next = tokio::time::timeout(HEARD_WITHIN, subscriber.next()).await;
    next.expect("nothing was heard in time").expect("the subscription stands")
}

async fn listen(client: &Client, subject: &str) -> Subscriber {
    let subscriber = client.subscribe(subject.to_owned()).await.expect("connected");
    // A flush ends in this process: the server has the subscription once it answers what it is asked after it.
    jetstream::new(client.clone()).query_account().await.expect("JetStream is on");
    subscriber
}

#[tokio::test]
async fn four_streams_and_their_consumers_are_made_as_the_protocol_defines_them() {
    let nats = NatsServer::start().await;
    stream::ensure_all(&js(&nats, "worker").await, Sizes::default(), 0).await.expect("made");
    let operator = connect(&nats, "operator").await;
    for name in [stream::CHAT_MESSAGES, stream::CHAT_MARKS, stream::EVENTS, stream::CHAT_DEAD] {
        let info = info(&operator, &format!("STREAM.INFO.{name}")).await;
        insta::assert_json_snapshot!(name, info["config"]);
    }
    for name in [stream::CHAT_MESSAGES, stream::CHAT_MARKS, stream::EVENTS] {
        let info = info(&operator, &format!("CONSUMER.INFO.{name}.{}", stream::WORKER)).await;
        insta::assert_json_snapshot!("worker", info["config"]);
    }
    let dead = info(&operator, &format!("CONSUMER.INFO.{}.{}", stream::CHAT_DEAD, stream::WORKER)).await;
    assert_eq!(dead["error"]["code"], 404, "nobody consumes what is for an operator to look at");
}

#[tokio::test]
async fn ensuring_twice_changes_nothing() {
    let nats = NatsServer::start().await;
    let (worker, operator) = (js(&nats, "worker").await, connect(&nats, "operator").await);
    let mut advisories = listen(&operator, "$JS.EVENT.ADVISORY.*.*.>").await;
    let mut happenings = async |until: &str| {
        let mut heard = Vec::new();
        loop {
            let advisory = hear(&mut advisories).await;
            let parts: Vec<_> = advisory.subject.split('.').skip(3).map(str::to_owned).collect();
            // The server also tells of each use of its API.
            if parts[0] == "API" {
                continue;
            }
            if parts.last().is_some_and(|last| last == until) {
                return heard;
            }
            heard.push(parts.join(" "));
        }
    };
    stream::ensure_all(&worker, Sizes::default(), 7).await.expect("made");
    stream::ensure(&worker, Config { name: "FIRST".into(), ..Config::default() }).await.expect("made");
    let mut made = happenings("FIRST").await;
    made.sort_unstable();
    insta::assert_snapshot!(made.join("\n"), @r"
    CONSUMER CREATED CHAT_MARKS chat-worker
    CONSUMER CREATED CHAT_MESSAGES chat-worker
    CONSUMER CREATED EVENTS chat-worker
    STREAM CREATED CHAT_DEAD
    STREAM CREATED CHAT_MARKS
    STREAM CREATED CHAT_MESSAGES
    STREAM CREATED EVENTS
    ");
    // The mark has risen meanwhile, as it does.
    stream::ensure_all(&worker, Sizes::default(), 9_000_000).await.expect("as it was");
    stream::ensure(&worker, Config { name: "SECOND".into(), ..Config::default() }).await.expect("made");
    assert_eq!(happenings("SECOND").await, Vec::<String>::new());
}

#[tokio::test]
async fn an_update_keeps_first_seq_and_every_message_even_when_the_server_is_killed() {
    let nats = NatsServer::start().await;
    let (worker, gateway) = (js(&nats, "worker").await, js(&nats, "gateway").await);
    let first = 5 + stream::SEQ_GAP;
    stream::ensure_all(&worker, Sizes::default(), 5).await.expect("made");
    assert_eq!(publish_many(&gateway, RoomId::random(), 50).await, first + 49);

    let longer = Sizes { chat_age_max: Duration::from_hours(96), chat_bytes_max: 4 << 30, ..Sizes::default() };
    // By now the mark is above the stream's first: the update must not ask for another beginning.
    stream::ensure_all(&worker, longer, first + 49).await.expect("updated");
    let operator = connect(&nats, "operator").await;
    let config = info(&operator, "STREAM.INFO.CHAT_MESSAGES").await["config"].clone();
    let expected = json!({"max_age": 96 * 3600 * 1_000_000_000_u64, "max_bytes": 4_u64 << 30, "first_seq": first});
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&config[field], value, "{field}");
    }
    assert_eq!(state(&operator, "CHAT_MESSAGES").await, (first, first + 49, 50));

    nats.kill();
    nats.restart().await;

    let operator = connect(&nats, "operator").await;
    assert_eq!(state(&operator, "CHAT_MESSAGES").await, (first, first + 49, 50));
    assert_eq!(publish_many(&js(&nats, "gateway").await, RoomId::random(), 1).await, first + 50);
}

#[tokio::test]
async fn what_may_change_is_brought_to_the_definition() {
    let nats = NatsServer::start().await;
    let worker = js(&nats, "worker").await;
    let old = Config {
        name: stream::CHAT_MESSAGES.into(),
        subjects: vec!["chat.message.*".into(), "chat.other.*".into()],
        max_age: Duration::from_hours(1),
        description: Some("an operator's own words".into()),
        ..Config::default()
    };
    worker.create_stream(old).await.expect("made");
    publish_many(&js(&nats, "gateway").await, RoomId::random(), 3).await;

    stream::ensure_all(&worker, Sizes::default(), 0).await.expect("updated");

    let operator = connect(&nats, "operator").await;
    let mut config = info(&operator, "STREAM.INFO.CHAT_MESSAGES").await["config"].clone();
    let words = config.as_object_mut().expect("an object").remove("description");
    assert_eq!(words, Some(json!("an operator's own words")), "what the definition says nothing of stays");
    insta::assert_json_snapshot!("CHAT_MESSAGES", config);
    assert_eq!(state(&operator, "CHAT_MESSAGES").await, (1, 3, 3));
}

#[tokio::test]
async fn what_cannot_change_is_told_and_left_alone() {
    let check = async |found: Config, expected: [&str; 3]| {
        let nats = NatsServer::start().await;
        let worker = js(&nats, "worker").await;
        worker.create_stream(found).await.expect("made");
        let before = info(&connect(&nats, "operator").await, "STREAM.INFO.EVENTS").await["config"].clone();
        match stream::ensure_all(&worker, Sizes::default(), 0).await {
            Err(EnsureError::Fixed { stream, field, found, wanted }) => {
                assert_eq!(stream, stream::EVENTS);
                assert_eq!([field, &found, &wanted], expected);
            }
            other => panic!("{other:?}"),
        }
        let after = info(&connect(&nats, "operator").await, "STREAM.INFO.EVENTS").await["config"].clone();
        assert_eq!(before, after);
    };
    let events = || stream::events(Sizes::default());
    check(Config { storage: StorageType::Memory, ..events() }, ["storage", "Memory", "File"]).await;
    let queue = RetentionPolicy::WorkQueue;
    check(Config { retention: queue, ..events() }, ["retention", "WorkQueue", "Limits"]).await;
}

#[tokio::test]
async fn processes_that_ensure_at_once_do_not_hinder_each_other() {
    let nats = NatsServer::start().await;
    // As in a rollout: each has a definition of its own, so whoever is second finds the name taken.
    let ensure = async |worker: jetstream::Context, hours| {
        let sizes = Sizes { chat_age_max: Duration::from_hours(hours), ..Sizes::default() };
        stream::ensure_all(&worker, sizes, 0).await
    };
    let mut workers = Vec::new();
    for _ in 0..8 {
        workers.push(js(&nats, "worker").await);
    }
    let all = join_all(workers.into_iter().zip(24..).map(|(worker, hours)| ensure(worker, hours))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
}

#[tokio::test]
async fn a_fresh_consumer_of_a_stream_that_starts_high_has_missed_nothing() {
    let nats = NatsServer::start().await;
    let worker = js(&nats, "worker").await;
    let definition = stream::chat_messages(Sizes::default());
    stream::ensure(&worker, Config { first_sequence: Some(1000), ..definition }).await.expect("made");
    stream::ensure_worker(&worker, stream::CHAT_MESSAGES).await.expect("made");
    let operator = connect(&nats, "operator").await;
    let floor = async || info(&operator, "CONSUMER.INFO.CHAT_MESSAGES.chat-worker").await["ack_floor"].clone();
    // Loss is max(0, first_seq - (ack_floor + 1)): none.
    assert_eq!(floor().await["stream_seq"], 999);
    assert_eq!(publish_many(&js(&nats, "gateway").await, RoomId::random(), 3).await, 1002);
    assert_eq!(floor().await["stream_seq"], 999);
    assert_eq!(state(&operator, "CHAT_MESSAGES").await.0, 1000);
}

fn header<'a>(message: &'a Message, name: &str) -> &'a str {
    message.headers.as_ref().and_then(|map| map.get(name)).map_or("", async_nats::HeaderValue::as_str)
}

#[tokio::test]
async fn a_stored_message_is_republished_with_its_place_and_time() {
    let nats = NatsServer::start().await;
    stream::ensure_all(&js(&nats, "worker").await, Sizes::default(), 0).await.expect("made");
    let gateway = connect(&nats, "gateway").await;
    let context = jetstream::new(gateway.clone());
    let mut live = listen(&gateway, LiveChatSubject::ALL).await;
    let (room, other, sender) = (RoomId::random(), RoomId::random(), UserId::random());
    let began = Timestamp::new(time::OffsetDateTime::now_utc());
    for (to, seq, prev) in [(room, "1", "0"), (other, "2", "0"), (room, "3", "1"), (room, "4", "3"), (other, "5", "2")]
    {
        let id = MessageId::random();
        let headers = Headers { sender: Some(sender), gateway: None, is_resend: false, is_moderator: false };
        // Neither UTF-8 nor JSON: the server changes no byte.
        let body: &[u8] = b"{\"type\":\xff\xfe}";
        let subject = ChatSubject(to).to_string();
        let ack = context.publish_with_headers(subject, headers.to_map(id), body.into()).await.expect("connected");
        let ack = ack.await.expect("stored");
        let copy = hear(&mut live).await;
        assert_eq!(LiveChatSubject::parse(&copy.subject), Some(LiveChatSubject(to)));
        assert_eq!(header(&copy, header::NATS_SEQUENCE), seq);
        assert_eq!(header(&copy, header::NATS_SEQUENCE), ack.sequence.to_string());
        assert_eq!(header(&copy, header::NATS_LAST_SEQUENCE), prev, "seq {seq}");
        let stored = Timestamp::parse(header(&copy, header::NATS_TIME_STAMP)).expect("a time");
        assert!(stored >= began && stored <= Timestamp::new(time::OffsetDateTime::now_utc()), "{stored}");
        assert_eq!(Headers::parse(copy.headers.as_ref()), Ok(headers));
        assert_eq!(header(&copy, header::NATS_MSG_ID), id.to_string());
        assert_eq!(copy.payload.as_ref(), body);
    }
}

#[tokio::test]
async fn a_second_publish_of_an_id_is_the_first_and_is_not_republished() {
    let nats = NatsServer::start().await;
    stream::ensure_all(&js(&nats, "worker").await, Sizes::default(), 0).await.expect("made");
    let (gateway, second) = (connect(&nats, "gateway").await, js(&nats, "gateway").await);
    let first = jetstream::new(gateway.clone());
    let mut live = listen(&gateway, LiveChatSubject::ALL).await;
    let (room, id) = (RoomId::random(), MessageId::random());
    let ack = publish(&first, room, id, "one").await.await.expect("stored");
    assert_eq!((ack.sequence, ack.duplicate), (1, false));
    for context in [&first, &second] {
        let again = publish(context, room, id, "one").await.await.expect("known");
        assert_eq!((again.sequence, again.duplicate), (1, true));
    }
    let next = publish(&second, room, MessageId::random(), "two").await.await.expect("stored");
    assert_eq!((next.sequence, next.duplicate), (2, false));
    assert_eq!(hear(&mut live).await.payload, "one");
    assert_eq!(hear(&mut live).await.payload, "two");
    assert_eq!(state(&connect(&nats, "operator").await, "CHAT_MESSAGES").await, (1, 2, 2));
}

#[tokio::test]
async fn only_the_newest_mark_is_kept_and_each_is_republished() {
    let nats = NatsServer::start().await;
    stream::ensure_all(&js(&nats, "worker").await, Sizes::default(), 0).await.expect("made");
    let gateway = connect(&nats, "gateway").await;
    let mut live = listen(&gateway, LiveMarkSubject::ALL).await;
    let context = jetstream::new(gateway);
    let (room, ann, bob) = (RoomId::random(), UserId::random(), UserId::random());
    for (user, seq) in [(ann, 1), (ann, 2), (bob, 1), (ann, 3)] {
        let body = json!({"seq": seq}).to_string();
        let subject = MarkSubject(room, user).to_string();
        context.publish(subject, body.clone().into()).await.expect("connected").await.expect("stored");
        let copy = hear(&mut live).await;
        assert_eq!(LiveMarkSubject::parse(&copy.subject), Some(LiveMarkSubject(room, user)));
        assert_eq!(copy.payload, body);
    }
    assert_eq!(state(&connect(&nats, "operator").await, "CHAT_MARKS").await, (3, 4, 2));
}

#[tokio::test]
async fn a_full_log_refuses_the_new_and_keeps_the_old() {
    let nats = NatsServer::start().await;
    let sizes = Sizes { chat_bytes_max: 64 * 1024, ..Sizes::default() };
    stream::ensure_all(&js(&nats, "worker").await, sizes, 0).await.expect("made");
    let gateway = js(&nats, "gateway").await;
    let mut stored = 0;
    let text = "x".repeat(10_000);
    let refused = loop {
        match publish(&gateway, RoomId::random(), MessageId::random(), &text).await.await {
            Ok(ack) => stored = ack.sequence,
            Err(error) => break error,
        }
        assert!(stored < 10, "ten of 10,000 bytes do not fit into 65,536");
    };
    assert!(refused.to_string().contains("maximum bytes exceeded"), "{refused}");
    assert!(stored > 0);
    assert_eq!(state(&connect(&nats, "operator").await, "CHAT_MESSAGES").await, (1, stored, stored));
    let large = publish(&gateway, RoomId::random(), MessageId::random(), &"x".repeat(129 * 1024)).await.await;
    assert!(large.is_err_and(|error| error.to_string().contains("message size exceeds maximum allowed")));
}

#[tokio::test]
async fn every_kind_of_change_has_a_stream_that_takes_it() {
    let nats = NatsServer::start().await;
    stream::ensure_all(&js(&nats, "worker").await, Sizes::default(), 0).await.expect("made");
    let api = js(&nats, "api").await;
    for kind in ChangeKind::ALL {
        let ack = api.publish(kind.subject(), "{}".into()).await.expect("connected").await.expect("stored");
        assert_eq!(ack.stream, stream::EVENTS, "{}", kind.subject());
    }
}

#[tokio::test]
async fn a_gateway_neither_says_what_the_log_says_nor_makes_streams() {
    let nats = NatsServer::start().await;
    let mut gateway = js(&nats, "gateway").await;
    // The server answers a forbidden request with silence.
    gateway.set_timeout(Duration::from_millis(500));
    let refused = stream::ensure_all(&gateway, Sizes::default(), 0).await;
    assert!(matches!(refused, Err(EnsureError::Server { .. })), "{refused:?}");
    let operator = connect(&nats, "operator").await;
    assert_eq!(info(&operator, "STREAM.NAMES").await["total"], 0);

    stream::ensure_all(&js(&nats, "worker").await, Sizes::default(), 0).await.expect("made");
    let mut live = listen(&operator, LiveChatSubject::ALL).await;
    let room = RoomId::random();
    let client = connect(&nats, "gateway").await;
    let mut forged = HeaderMap::new();
    forged.insert(header::NATS_SEQUENCE, "9");
    client.publish_with_headers(LiveChatSubject(room).to_string(), forged, "forged".into()).await.expect("queued");
    let stored = publish(&jetstream::new(client), room, MessageId::random(), "true").await.await;
    assert_eq!(stored.expect("stored").sequence, 1);
    // Sent on the same connection before the true one: it would have come first.
    assert_eq!(hear(&mut live).await.payload, "true");
}
