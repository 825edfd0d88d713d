//! The second look: once the workers are past what the streams held when the first was over, what is still wrong is
//! wrong.

use std::time::{Duration, Instant};

use ops::stored;
use schema::{
    id::{RoomId, UserId},
    stream::{CHAT_MESSAGES, EVENTS},
    subject::ChatSubject,
};
use uuid::Uuid;

use crate::{
    Check, VerifyError, events,
    finding::{Finding, Place},
    log_rows, outbox,
    standing::extent,
    stream,
};

/// How long the workers are waited for; then what they have not done is named.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);
/// How often they are asked.
const ASK_EVERY: Duration = Duration::from_millis(200);

impl Check<'_> {
    /// Takes back what was only on its way.
    pub(crate) async fn look_again(&mut self) -> Result<(), VerifyError> {
        if self.findings.kept.is_empty() {
            return Ok(());
        }
        self.tell("second look");
        // What is wrong with a whole stream is not mended by a worker.
        if self.findings.kept.iter().any(|finding| !matches!(finding.place, Place::Stream { .. })) {
            self.wait_for_workers().await?;
        }
        self.dead = stream::dead_seqs(&self.parts.broker).await?;
        for finding in self.findings.kept.clone() {
            if !self.is_still_so(&finding).await? {
                self.findings.clear(&finding);
            }
        }
        Ok(())
    }

    async fn wait_for_workers(&self) -> Result<(), VerifyError> {
        let broker = &self.parts.broker;
        let ends = [extent(broker, CHAT_MESSAGES).await?.last, extent(broker, EVENTS).await?.last];
        let deadline = Instant::now() + SETTLED_WITHIN;
        for (name, end) in [CHAT_MESSAGES, EVENTS].into_iter().zip(ends) {
            while extent(broker, name).await?.settled() < end && Instant::now() < deadline {
                tokio::time::sleep(ASK_EVERY).await;
            }
        }
        Ok(())
    }

    async fn is_still_so(&self, finding: &Finding) -> Result<bool, VerifyError> {
        let parts = self.parts;
        let has = |wrong: Vec<(&'static str, String)>| wrong.iter().any(|(kind, _)| *kind == finding.kind);
        match finding.place {
            Place::Logged { room_id, seq } if finding.kind == "unreachable" => {
                Ok(!log_rows::is_reached(parts, room_id, seq).await?)
            }
            Place::Stored { seq, .. } | Place::Id { seq, .. } if finding.kind == "beyond_log" => {
                Ok(seq > extent(&parts.broker, CHAT_MESSAGES).await?.last)
            }
            Place::Logged { room_id, seq } => {
                let found = stored::at(&parts.broker.client, CHAT_MESSAGES, seq).await?;
                // Aged out meanwhile: nothing can be said any more.
                let Some(message) = found else { return Ok(false) };
                let row = parts.store.log_at(&[(room_id, seq, message.stored_at)]).await?.pop().flatten();
                let wrong = stream::judge(parts, &self.dead, room_id, &message, row.as_ref()).await?;
                Ok(has(wrong.into_iter().collect()))
            }
            Place::Stored { room_id, seq } => {
                let page = parts.store.audit(Some((room_id, seq - 1)), 0, 1).await?;
                let row = page.rows.into_iter().find(|row| (row.room_id, row.seq) == (room_id, seq));
                match (row, finding.kind) {
                    (None, _) => Ok(false),
                    (Some(row), "not_in_log") => {
                        Ok(row.row.is_some() && !log_rows::is_in_stream(parts, room_id, seq).await?)
                    }
                    (Some(_), "out_of_order") => Ok(true),
                    (Some(row), kind) => Ok(row.faults().iter().any(|fault| fault.as_str() == kind)),
                }
            }
            Place::Id { message_id, room_id, seq, created_at } => {
                // A lower seq of the id may have come meanwhile.
                let found = parts.store.find(&[message_id]).await?.into_iter();
                let mut places: Vec<_> = found.map(|found| (found.room_id, found.seq, found.created_at)).collect();
                places.push((room_id, seq, created_at));
                let rows = parts.store.log_at(&places).await?;
                Ok(!rows.into_iter().flatten().any(|row| row.id == Some(message_id)))
            }
            Place::Mark { room_id, user_id } => self.is_mark_too_high(room_id, user_id).await,
            Place::Event { event_id } => Ok(has(events::look_at(parts, event_id).await?)),
            Place::Lane { lane_id } => Ok(has(outbox::look_at(parts, lane_id).await?)),
            // Gone is gone, though the workers' floor jumps over it when they go on.
            Place::Stream { .. } if finding.kind == "lost" => Ok(true),
            Place::Stream { stream } => Ok(parts.store.high_water().await? > extent(&parts.broker, stream).await?.last),
        }
    }

    /// Compared with the log too: a mark may be told before the message that was read is stored.
    async fn is_mark_too_high(&self, room: RoomId, user: UserId) -> Result<bool, VerifyError> {
        let before = UserId::from_uuid(Uuid::from_u128(user.as_uuid().as_u128().saturating_sub(1)));
        let marks = self.parts.store.audit_marks(Some((room, before)), 1).await?;
        let Some(mark) = marks.into_iter().find(|mark| (mark.room_id, mark.user_id) == (room, user)) else {
            return Ok(false);
        };
        let subject = ChatSubject(room).to_string();
        let above = stored::page(&self.parts.broker.client, CHAT_MESSAGES, &subject, mark.seq, 1);
        let is_in_log = !above.await?.is_empty();
        Ok(!is_in_log && mark.seq > self.parts.store.last_seq(room).await?)
    }
}
