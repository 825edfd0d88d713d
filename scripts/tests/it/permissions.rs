//! Who may say and hear what on NATS: the shipped nats.conf against the real server.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

use scripts::stack::NatsServer;

const MAY: bool = true;
const MAY_NOT: bool = false;

/// A connection of one user, spoken by hand: the server's refusal is the very next thing it says.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(nats: &NatsServer, user: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", nats.port())).expect("a server that is ready takes clients");
        stream.set_nodelay(true).expect("small writes can be sent at once");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out can be set");
        let mut connection = Self(BufReader::new(stream));
        let password = nats.password(user);
        assert!(
            connection.says(&format!(r#"CONNECT {{"verbose":false,"user":"{user}","pass":"{password}"}}"#)),
            "{user} is a user of nats.conf"
        );
        connection
    }

    fn may_publish(&mut self, subject: &str) -> bool {
        self.says(&format!("PUB {subject} 0\r\n"))
    }

    fn may_subscribe(&mut self, subject: &str) -> bool {
        self.says(&format!("SUB {subject} 1"))
    }

    /// Whether the server takes `line` without an error.
    fn says(&mut self, line: &str) -> bool {
        self.0.get_mut().write_all(format!("{line}\r\nPING\r\n").as_bytes()).expect("the server listens");
        let mut is_taken = true;
        loop {
            let mut answer = String::new();
            let read = self.0.read_line(&mut answer).expect("the server answers");
            if answer.starts_with("PONG") {
                return is_taken;
            }
            is_taken &= !answer.starts_with("-ERR") && read > 0;
            assert!(read > 0, "the server closed the connection at: {line}");
        }
    }
}

async fn check(user: &str, publishes: &[(bool, &str)], subscribes: &[(bool, &str)]) {
    let nats = NatsServer::start().await;
    let mut connection = Connection::open(&nats, user);
    for (expected, subject) in publishes {
        assert_eq!(connection.may_publish(subject), *expected, "{user} publishes {subject}");
    }
    for (expected, subject) in subscribes {
        assert_eq!(connection.may_subscribe(subject), *expected, "{user} subscribes to {subject}");
    }
}

#[tokio::test]
async fn a_gateway_says_what_its_users_say_and_never_what_the_log_says() {
    check(
        "gateway",
        &[
            (MAY, "chat.message.r"),
            (MAY, "chat.mark.r.u"),
            (MAY, "live.chat.signal.r"),
            (MAY, "$JS.API.DIRECT.GET.CHAT_MESSAGES"),
            (MAY, "$JS.API.STREAM.INFO.CHAT_MESSAGES"),
            (MAY, "$JS.API.CONSUMER.INFO.CHAT_MESSAGES.chat-worker"),
            (MAY_NOT, "live.chat.message.r"),
            (MAY_NOT, "live.chat.mark.r.u"),
            (MAY_NOT, "_INBOX.api.nobody.asked"),
            (MAY_NOT, "chat.dead.r"),
            (MAY_NOT, "chat.saved.gateway-2"),
            (MAY_NOT, "event.created"),
            (MAY_NOT, "user.sessions_revoked"),
            (MAY_NOT, "$JS.ACK.CHAT_MESSAGES.chat-worker.1.1.1.1.1"),
            (MAY_NOT, "$JS.API.STREAM.CREATE.CHAT_MESSAGES"),
            (MAY_NOT, "$JS.API.STREAM.UPDATE.CHAT_MESSAGES"),
            (MAY_NOT, "$JS.API.STREAM.PURGE.CHAT_MESSAGES"),
            (MAY_NOT, "$JS.API.CONSUMER.MSG.NEXT.CHAT_MESSAGES.chat-worker"),
        ],
        &[
            (MAY, "_INBOX.gateway.a.*"),
            (MAY, "live.chat.message.r"),
            (MAY, "live.chat.message.*"),
            (MAY, "chat.saved.gateway-1"),
            (MAY, "event.participants_changed"),
            (MAY, "room.members_changed"),
            (MAY, "user.sessions_revoked"),
            (MAY_NOT, "_INBOX.api.>"),
            (MAY_NOT, "_INBOX.>"),
            (MAY_NOT, ">"),
            (MAY_NOT, "chat.message.*"),
            (MAY_NOT, "event.created"),
            (MAY_NOT, "chat.dead.*"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_api_tells_of_changes_and_leaves_streams_as_they_are() {
    check(
        "api",
        &[
            (MAY, "chat.message.r"),
            (MAY, "live.chat.signal.r"),
            (MAY, "event.created"),
            (MAY, "room.members_changed"),
            (MAY, "user.sessions_revoked"),
            (MAY, "$JS.API.STREAM.INFO.EVENTS"),
            (MAY, "$JS.API.CONSUMER.INFO.CHAT_MESSAGES.chat-worker"),
            (MAY_NOT, "live.chat.message.r"),
            (MAY_NOT, "chat.dead.r"),
            (MAY_NOT, "$JS.API.STREAM.CREATE.EVENTS"),
            (MAY_NOT, "$JS.API.STREAM.DELETE.EVENTS"),
        ],
        &[(MAY, "_INBOX.api.a.*"), (MAY, "live.chat.>"), (MAY_NOT, "_INBOX.worker.>"), (MAY_NOT, ">")],
    )
    .await;
}

#[tokio::test]
async fn a_worker_makes_streams_and_loses_none() {
    check(
        "worker",
        &[
            (MAY, "$JS.API.STREAM.CREATE.CHAT_MESSAGES"),
            (MAY, "$JS.API.STREAM.UPDATE.CHAT_MESSAGES"),
            (MAY, "$JS.API.CONSUMER.MSG.NEXT.CHAT_MESSAGES.chat-worker"),
            (MAY, "$JS.ACK.CHAT_MESSAGES.chat-worker.1.1.1.1.1"),
            (MAY, "$KV.chat_worker.trying.1"),
            (MAY, "chat.dead.r"),
            (MAY, "chat.saved.gateway-1"),
            (MAY_NOT, "$JS.API.STREAM.DELETE.CHAT_MESSAGES"),
            (MAY_NOT, "$JS.API.STREAM.PURGE.CHAT_MESSAGES"),
            (MAY_NOT, "$JS.API.STREAM.MSG.DELETE.CHAT_MESSAGES"),
            (MAY_NOT, "live.chat.message.r"),
            (MAY_NOT, "chat.message.r"),
            (MAY_NOT, "event.created"),
        ],
        &[
            (MAY, "_INBOX.worker.a.*"),
            (MAY, "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.CHAT_MESSAGES.chat-worker"),
            (MAY_NOT, "$JS.EVENT.ADVISORY.>"),
            (MAY_NOT, "_INBOX.gateway.>"),
            (MAY_NOT, "chat.message.*"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_operator_may_do_what_nobody_else_may() {
    let subjects = [(MAY, "$JS.API.STREAM.PURGE.CHAT_MESSAGES"), (MAY, "$JS.API.STREAM.DELETE.CHAT_MESSAGES")];
    check("operator", &subjects, &[(MAY, ">"), (MAY, "_INBOX.>")]).await;
}

#[tokio::test]
async fn a_password_is_not_another_users() {
    let nats = NatsServer::start().await;
    let mut stream = TcpStream::connect(("127.0.0.1", nats.port())).unwrap();
    write!(stream, "CONNECT {{\"user\":\"operator\",\"pass\":\"{}\"}}\r\nPING\r\n", nats.password("gateway")).unwrap();
    let lines: Vec<_> = BufReader::new(stream).lines().map_while(Result::ok).collect();
    assert!(lines.iter().any(|line| line.starts_with("-ERR 'Authorization Violation'")), "{lines:?}");
}
