//! Every message of the log must be in the store: at its seq, with its time, its id and its bytes; or as a skip with a
//! reason.

use std::collections::HashSet;

use chat_store::LogRow;
use ops::{
    broker::Broker,
    stored::{self, ReadError, Stored},
};
use schema::{
    envelope::{self, Body, Kind},
    header,
    id::{RoomId, UserId},
    stream::{CHAT_DEAD, CHAT_MESSAGES},
    subject::{ChatSubject, DeadSubject},
};
use serde_json::Value;

use crate::{Check, PAGE, Parts, VerifyError, finding::Place};

/// How often a page is asked for; each time the broker has seconds for its answer.
const TRIES: u32 = 5;

/// What of the log was compared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    /// The first and the last seq that were read; none = nothing was.
    pub(crate) range: Option<(u64, u64)>,
    /// How many of the messages the store has.
    pub(crate) stored: u64,
}

/// Dead letters whose seqs are held; 16 MiB of them.
const DEAD_MAX: usize = 1_000_000;

/// A page of the log. A walk of hours does not end at one answer that is late.
pub(crate) async fn page_of_log(broker: &Broker, subject: &str, from: u64) -> Result<Vec<Stored>, ReadError> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        match stored::page(&broker.client, CHAT_MESSAGES, subject, from, PAGE).await {
            Err(_late) if tries > 0 => {}
            page => return page,
        }
    }
}

/// The seqs in the log of what lies in `CHAT_DEAD`.
pub(crate) async fn dead_seqs(broker: &Broker) -> Result<HashSet<u64>, VerifyError> {
    let mut seqs = HashSet::new();
    let mut from = 1;
    loop {
        let page = stored::page(&broker.client, CHAT_DEAD, DeadSubject::ALL, from, PAGE).await?;
        let Some(last) = page.last() else { return Ok(seqs) };
        from = last.seq + 1;
        let of_log = |letter: &&Stored| {
            let subject = letter.headers.get(header::DEAD_SUBJECT);
            subject.is_some_and(|subject| ChatSubject::parse(subject.as_str()).is_some())
        };
        let seq = |letter: &Stored| letter.headers.get(header::DEAD_SEQ)?.as_str().parse::<u64>().ok();
        seqs.extend(page.iter().filter(of_log).filter_map(seq));
        if seqs.len() >= DEAD_MAX {
            return Ok(seqs);
        }
    }
}

/// What is wrong with one message of the log.
pub(crate) type Wrong = (&'static str, String);

impl Check<'_> {
    /// Walks the log up to what is settled.
    pub(crate) async fn stream(&mut self) -> Result<Window, VerifyError> {
        let subject = self.scope.subject();
        let mut window = Window::default();
        let mut from = self.scope.above + 1;
        loop {
            let mut page = page_of_log(&self.parts.broker, &subject, from).await?;
            page.retain(|message| message.seq <= self.settled);
            let Some(last) = page.last() else { return Ok(window) };
            from = last.seq + 1;
            // From the first that was read: what has aged out meanwhile is not asked of the store.
            let first = page.first().map_or(from, |first| first.seq);
            window.range = Some((window.range.map_or(first, |(first, _)| first), self.settled));
            self.compare(&page, &mut window).await?;
            self.tell("stream");
        }
    }

    async fn compare(&mut self, page: &[Stored], window: &mut Window) -> Result<(), VerifyError> {
        self.checked.stream_messages += u64::try_from(page.len()).unwrap_or(u64::MAX);
        let messages: Vec<(RoomId, &Stored)> =
            page.iter().filter_map(|message| Some((ChatSubject::parse(&message.subject)?.0, message))).collect();
        let places: Vec<_> = messages.iter().map(|(room, message)| (*room, message.seq, message.stored_at)).collect();
        let rows = self.parts.store.log_at(&places).await?;
        for ((room_id, message), row) in messages.into_iter().zip(rows) {
            window.stored += u64::from(row.is_some());
            if let Some((kind, detail)) = judge(self.parts, &self.dead, room_id, message, row.as_ref()).await? {
                self.findings.add(kind, Place::Logged { room_id, seq: message.seq }, detail);
            }
        }
        Ok(())
    }
}

/// What is wrong with the row of a message, if anything.
pub(crate) async fn judge(
    parts: &Parts,
    dead: &HashSet<u64>,
    room: RoomId,
    message: &Stored,
    row: Option<&LogRow>,
) -> Result<Option<Wrong>, VerifyError> {
    let wrong = |kind, detail: &str| Ok(Some((kind, detail.to_owned())));
    let read = envelope::read(ChatSubject(room), Some(&message.headers), &message.payload);
    let Some(row) = row else { return wrong("missing", "it is in the log and not in the store") };
    if row.created_at != message.stored_at {
        let detail = format!("the log stored it at {}, the store says {}", message.stored_at, row.created_at);
        return Ok(Some(("time_differs", detail)));
    }
    match (read, row.kind) {
        (Err(_malformed), None) => Ok(None),
        (Err(malformed), Some(_)) => {
            let detail = format!("the store shows what is no envelope: {malformed}");
            Ok(Some(("content_differs", detail)))
        }
        (Ok((_, body)), Some(_)) if row.id != Some(body.id()) => {
            wrong("content_differs", "the store has another id there")
        }
        (Ok(_), Some(_)) if !is_same(&message.payload, row.body.as_deref()) => {
            wrong("content_differs", "the store says something else there")
        }
        (Ok(_), Some(_)) => Ok(None),
        (Ok((headers, body)), None) => {
            if dead.contains(&message.seq) || may_skip(parts, message, &body, headers.sender).await? {
                return Ok(None);
            }
            wrong("skipped", "the store skips it, and neither the log nor CHAT_DEAD says why")
        }
    }
}

/// Whether the stored body is the published one, but for a text that was erased.
fn is_same(published: &[u8], stored: Option<&str>) -> bool {
    let Some(stored) = stored else { return false };
    if stored.as_bytes() == published {
        return true;
    }
    let (Ok(mut published), Ok(stored)) =
        (serde_json::from_slice::<Value>(published), serde_json::from_str::<Value>(stored))
    else {
        return false;
    };
    let is_erased = stored.get("content").is_some_and(Value::is_null);
    if let Some(content) = published.get_mut("content").filter(|_| is_erased) {
        *content = Value::Null;
    }
    is_erased && published == stored
}

/// Whether a message that can be read is rightly a skip: the second of its id, or a change that its message refuses, or
/// what no store can hold.
async fn may_skip(parts: &Parts, message: &Stored, body: &Body, sender: Option<UserId>) -> Result<bool, VerifyError> {
    let own = parts.store.find(&[body.id()]).await?;
    if own.first().is_some_and(|found| found.seq < message.seq) || message.payload.contains(&0) || has_null(body) {
        return Ok(true);
    }
    let Some(target) = body.target() else { return Ok(false) };
    if target == body.id() {
        return Ok(true);
    }
    let Some(found) = parts.store.find(&[target]).await?.into_iter().next() else { return Ok(false) };
    let rows = parts.store.log_at(&[(found.room_id, found.seq, found.created_at)]).await?;
    let is_message = rows.into_iter().flatten().next().is_some_and(|row| row.kind == Some(Kind::Message));
    let is_own = sender.is_some() && sender == found.sender;
    // A role is none any more by the time of this check, or is one only since: so a deletion by role may be a skip.
    // That one was stored and is missed all the same is found with its message, which keeps it.
    let admits = is_message && found.room_id == body.room_id() && (body.kind() == Kind::Reaction || is_own);
    Ok(!admits)
}

/// U+0000 travels escaped.
fn has_null(body: &Body) -> bool {
    !matches!(body, Body::System { .. }) && body.to_bytes().windows(6).any(|bytes| bytes == b"\\u0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_body_is_the_published_one_but_for_an_erased_text() {
        let published = br#"{"type":"message","content":"hi","temp_id":"a"}"#;
        let check = |stored: &str, expected| assert_eq!(is_same(published, Some(stored)), expected, "{stored}");
        check(r#"{"type":"message","content":"hi","temp_id":"a"}"#, true);
        check(r#"{"type":"message","content":null,"temp_id":"a"}"#, true);
        check(r#"{"type":"message","content":null,"temp_id":"b"}"#, false);
        check(r#"{"type":"message","content":"ho","temp_id":"a"}"#, false);
        assert!(!is_same(published, None));
    }
}
