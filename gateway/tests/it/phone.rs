//! A phone: says frames, and hears them with a deadline.

use std::collections::VecDeque;

use futures_util::{SinkExt as _, StreamExt as _};
use schema::id::RoomId;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use crate::{
    harness::{DEADLINE, User},
    raw::Raw,
};

/// A client's socket. What it hears and is not asked for is kept, in order.
pub(crate) struct Phone {
    pub(crate) hello: Value,
    /// The head of the answer that switched protocols.
    pub(crate) head: String,
    socket: WebSocketStream<TcpStream>,
    heard: VecDeque<Value>,
    /// Who came and went, kept apart: it comes at any time.
    presence: VecDeque<Value>,
    pub(crate) close_code: Option<u16>,
}

impl Drop for Phone {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let refusal = self.heard.iter().find(|frame| frame["type"] == "error" || frame["status"] == "failed");
            assert!(refusal.is_none(), "a refusal that the test did not ask for: {refusal:?}");
        }
    }
}

/// Whether a frame is part of the room's log.
fn is_of_log(frame: &Value, room: RoomId) -> bool {
    frame["prev"].is_u64() && frame["room_id"] == room.to_string()
}

/// Checks that `frames` follow `since` and each other without a hole or a repeat; answers the last seq.
pub(crate) fn check_chain(since: u64, frames: &[Value]) -> u64 {
    let mut last = since;
    for frame in frames {
        assert_eq!(frame["prev"], last, "a hole before {frame}");
        let seq = frame["seq"].as_u64().unwrap();
        assert!(seq > last, "a repeat: {frame}");
        last = seq;
    }
    last
}

/// What the frames say, skips as `None`.
pub(crate) fn contents(frames: &[Value]) -> Vec<Option<&str>> {
    frames.iter().map(|frame| frame["content"].as_str()).collect()
}

impl Phone {
    pub(crate) async fn over(raw: Raw) -> Self {
        let Raw { stream, rest, head } = raw;
        let socket = WebSocketStream::from_partially_read(stream, rest, Role::Client, None).await;
        let mut phone = Self {
            hello: Value::Null,
            head,
            socket,
            heard: VecDeque::new(),
            presence: VecDeque::new(),
            close_code: None,
        };
        phone.hello = phone.hears("hello").await;
        phone
    }

    /// Says a frame.
    pub(crate) async fn say(&mut self, frame: &Value) {
        self.say_text(&frame.to_string()).await;
    }

    pub(crate) async fn say_text(&mut self, text: &str) {
        let said = timeout(DEADLINE, self.socket.send(Message::text(text))).await;
        said.expect("the gateway reads").expect("the socket is open");
    }

    /// Says a message in a room.
    pub(crate) async fn send(&mut self, room: RoomId, temp_id: &str, content: &str) {
        self.say(&json!({"type": "message", "room_id": room, "temp_id": temp_id, "content": content})).await;
    }

    /// Says a message and waits until it is in the log; its seq.
    pub(crate) async fn sends(&mut self, room: RoomId, temp_id: &str, content: &str) -> u64 {
        self.send(room, temp_id, content).await;
        self.status(temp_id, "sent").await["seq"].as_u64().unwrap()
    }

    /// Says a message and hears what became of it; `None` if the socket was closed before that.
    pub(crate) async fn tries(&mut self, room: RoomId, temp_id: &str, is_resend: bool) -> Option<Value> {
        let frame = json!({
            "type": "message", "room_id": room, "temp_id": temp_id, "content": temp_id, "resend": is_resend,
        });
        let said = timeout(DEADLINE, self.socket.send(Message::text(frame.to_string()))).await;
        let is_closed = said.expect("the gateway reads").is_err();
        loop {
            let frame = self.read().await?;
            let is_answer = frame["type"] == "status" && frame["temp_id"] == temp_id;
            if is_answer && !is_closed {
                return Some(frame);
            }
            self.heard.push_back(frame);
        }
    }

    /// The next frame off the wire, but for presence; `None` once the socket is closed.
    async fn read(&mut self) -> Option<Value> {
        loop {
            let frame = self.read_any().await?;
            if frame["type"] != "presence" {
                return Some(frame);
            }
            self.presence.push_back(frame);
        }
    }

    async fn read_any(&mut self) -> Option<Value> {
        loop {
            let message = timeout(DEADLINE, self.socket.next()).await;
            let message = message.unwrap_or_else(|_elapsed| panic!("nothing more is heard; so far: {:?}", self.heard));
            match message {
                Some(Ok(Message::Text(text))) => {
                    assert!(text.starts_with(r#"{"type":""#), "type comes first: {text}");
                    return Some(serde_json::from_str(&text).unwrap());
                }
                Some(Ok(Message::Close(close))) => self.close_code = close.map(|close| close.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The first frame, heard already or next, for which `is_it` holds.
    pub(crate) async fn hears_where(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.heard.iter().position(&is_it) {
            return self.heard.remove(at).unwrap();
        }
        loop {
            let Some(frame) = self.read().await else {
                panic!("closed ({:?}) before {what} was heard; heard: {:?}", self.close_code, self.heard)
            };
            if is_it(&frame) {
                return frame;
            }
            self.heard.push_back(frame);
        }
    }

    /// The next that is told of anybody's presence, heard already or next.
    pub(crate) async fn any_presence(&mut self) -> Value {
        loop {
            if let Some(frame) = self.presence.pop_front() {
                return frame;
            }
            let frame = self.read_any().await.expect("the socket is open");
            if frame["type"] == "presence" { &mut self.presence } else { &mut self.heard }.push_back(frame);
        }
    }

    /// The first that is told of somebody's presence, heard already or next.
    pub(crate) async fn presence_of(&mut self, user: &User) -> Value {
        let is_it = |frame: &Value| frame["user_id"] == user.id.to_string();
        loop {
            if let Some(at) = self.presence.iter().position(is_it) {
                return self.presence.remove(at).unwrap();
            }
            let frame = self.read_any().await.expect("the socket is open");
            if frame["type"] == "presence" { &mut self.presence } else { &mut self.heard }.push_back(frame);
        }
    }

    /// What was told of presence so far and not asked for.
    pub(crate) fn take_presence(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.presence).into()
    }

    /// The first frame of this type.
    pub(crate) async fn hears(&mut self, kind: &str) -> Value {
        self.hears_where(kind, |frame| frame["type"] == kind).await
    }

    /// The first refusal without a `temp_id`; its code.
    pub(crate) async fn error(&mut self) -> String {
        let error = self.hears("error").await;
        assert_eq!(error["temp_id"], Value::Null);
        error["code"].as_str().unwrap().into()
    }

    /// The first status of this kind for `temp_id`.
    pub(crate) async fn status(&mut self, temp_id: &str, status: &str) -> Value {
        let what = format!("{status} of {temp_id}");
        self.hears_where(&what, |frame| {
            frame["type"] == "status" && frame["temp_id"] == temp_id && frame["status"] == status
        })
        .await
    }

    /// The first status for `temp_id`, whatever it says.
    pub(crate) async fn any_status(&mut self, temp_id: &str) -> Value {
        let what = format!("a status of {temp_id}");
        self.hears_where(&what, |frame| frame["type"] == "status" && frame["temp_id"] == temp_id).await
    }

    /// The code of the first `failed` for `temp_id`, and whether it may be tried again.
    pub(crate) async fn failed(&mut self, temp_id: &str) -> (String, bool) {
        let status = self.status(temp_id, "failed").await;
        (status["code"].as_str().unwrap().into(), status["retry"].as_bool().unwrap())
    }

    /// Joins a room at its top.
    pub(crate) async fn join(&mut self, room: RoomId) -> Value {
        self.say(&json!({"type": "join", "room_id": room})).await;
        let (frames, joined) = self.joined(room).await;
        assert!(frames.is_empty(), "nothing is replayed that was not asked for: {frames:?}");
        joined
    }

    /// Joins a room from `since`: what is replayed, and `joined`.
    pub(crate) async fn join_since(&mut self, room: RoomId, since: u64) -> (Vec<Value>, Value) {
        self.say(&json!({"type": "join", "room_id": room, "since": since})).await;
        self.joined(room).await
    }

    /// Hears `joined` of a room, and the room's log frames before it.
    pub(crate) async fn joined(&mut self, room: RoomId) -> (Vec<Value>, Value) {
        let is_it = |frame: &Value| frame["type"] == "joined" && frame["room_id"] == room.to_string();
        let joined = self.hears_where("joined", is_it).await;
        (self.take_log(room), joined)
    }

    /// The log frames of a room that were heard so far.
    pub(crate) fn take_log(&mut self, room: RoomId) -> Vec<Value> {
        let (log, rest) = self.heard.drain(..).partition(|frame| is_of_log(frame, room));
        self.heard = rest;
        Vec::from(log)
    }

    /// Hears the room's log up to `seq`.
    pub(crate) async fn log_to(&mut self, room: RoomId, seq: u64) -> Vec<Value> {
        let mut frames = self.take_log(room);
        while frames.last().is_none_or(|frame| frame["seq"].as_u64() < Some(seq)) {
            let frame = self.hears_where(&format!("seq {seq}"), |frame| is_of_log(frame, room)).await;
            frames.push(frame);
        }
        frames
    }

    /// Hears everything that the gateway has for this socket now.
    pub(crate) async fn settle(&mut self) {
        let nonce = schema::id::ConnectionId::random().to_string();
        self.say(&json!({"type": "ping", "nonce": nonce})).await;
        self.hears_where("pong", |frame| frame["type"] == "pong" && frame["nonce"] == nonce).await;
    }

    /// Forgets what was heard and not asked for.
    pub(crate) fn forget(&mut self) {
        self.heard.clear();
    }

    /// What was heard and not asked for.
    pub(crate) fn heard(&self) -> impl Iterator<Item = &Value> {
        self.heard.iter()
    }

    /// How many frames of this type wait to be asked for.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.heard.iter().filter(|frame| frame["type"] == kind).count()
    }

    /// Hears until the gateway has closed the socket; the close code.
    pub(crate) async fn closed(&mut self) -> u16 {
        let until_closed = async {
            while let Some(frame) = self.read().await {
                self.heard.push_back(frame);
            }
        };
        timeout(DEADLINE, until_closed).await.expect("the gateway closes the socket");
        self.close_code.expect("a close frame comes before the end")
    }

    /// Closes with this code and hears the answer's.
    pub(crate) async fn close(&mut self) -> u16 {
        timeout(DEADLINE, self.socket.close(None)).await.unwrap().unwrap();
        self.closed().await
    }

    /// Reads so that pings are answered, until `done` is ready.
    pub(crate) async fn stays_until<T>(&mut self, done: impl Future<Output = T>) -> T {
        let mut done = std::pin::pin!(done);
        loop {
            tokio::select! {
                value = &mut done => return value,
                message = self.socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        let frame: Value = serde_json::from_str(&text).unwrap();
                        if frame["type"] == "presence" { &mut self.presence } else { &mut self.heard }.push_back(frame);
                    }
                    Some(Ok(Message::Close(close))) => panic!("closed: {close:?}"),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => panic!("the socket ended"),
                }
            }
        }
    }
}
