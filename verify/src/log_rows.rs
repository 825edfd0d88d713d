//! Everything in the store must follow from its log, and its log must say nothing that the stream does not.

use chat_store::Audited;
use futures_util::{StreamExt as _, TryStreamExt as _};
use ops::stored;
use schema::{id::RoomId, stream::CHAT_MESSAGES, subject::ChatSubject};

use crate::{
    Check, PAGE, Parts, VerifyError,
    finding::Place,
    stream::{Window, page_of_log},
};

/// Questions to the stream at once.
const ASKED_AT_ONCE: usize = 32;

impl Check<'_> {
    /// Walks the store's log, with everything that hangs on it.
    pub(crate) async fn log_rows(&mut self, window: Window) -> Result<(), VerifyError> {
        let mut in_window = 0;
        let mut before: Option<(RoomId, u64)> = None;
        let mut next = self.first_place();
        loop {
            let page = self.parts.store.audit(next, self.scope.above, PAGE).await?;
            let scope = self.scope;
            for row in page.rows.iter().filter(|row| scope.has(row.room_id, row.seq)) {
                self.checked.log_rows += 1;
                in_window += u64::from(is_in(window, row));
                let is_behind = before.is_some_and(|(room, seq)| room == row.room_id && seq >= row.seq);
                before = Some((row.room_id, row.seq));
                self.judge_row(row, is_behind).await?;
            }
            self.tell("store");
            next = page.next;
            if next.is_none() || self.is_past_room(&page.rows) {
                break;
            }
        }
        // As many as the stream's messages that were found, each at its own place: then there are no others.
        match in_window.cmp(&window.stored) {
            std::cmp::Ordering::Greater => self.dig(window).await,
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less => self.unreached(window).await,
        }
    }

    /// Just before the one room's rows.
    pub(crate) fn first_place(&self) -> Option<(RoomId, u64)> {
        self.scope.room.map(|room| (room, self.scope.above))
    }

    /// Whether all of the one room was seen.
    fn is_past_room(&self, rows: &[Audited]) -> bool {
        self.scope.room.is_some_and(|room| rows.last().is_none_or(|row| row.room_id != room))
    }

    async fn judge_row(&mut self, row: &Audited, is_behind: bool) -> Result<(), VerifyError> {
        let place = Place::Stored { room_id: row.room_id, seq: row.seq };
        if is_behind {
            self.findings.add("out_of_order", place, "a greater seq of the room was read before it");
        }
        if self.is_beyond(row.seq).await? {
            self.findings.add("beyond_log", place, "the log has never given this seq");
        }
        if row.seq > self.settled {
            return Ok(());
        }
        for fault in row.faults() {
            self.findings.add(fault.as_str(), place, fault.to_string());
        }
        Ok(())
    }

    /// The store has more than the stream: names what the stream does not have.
    async fn dig(&mut self, window: Window) -> Result<(), VerifyError> {
        let mut next = self.first_place();
        loop {
            let page = self.parts.store.audit(next, self.scope.above, PAGE).await?;
            let suspects: Vec<_> = page
                .rows
                .iter()
                .filter(|row| self.scope.has(row.room_id, row.seq) && is_in(window, row) && !row.is_erased())
                .map(|row| (row.room_id, row.seq))
                .collect();
            let parts = self.parts;
            for (room_id, seq) in denied(suspects, |room, seq| is_in_stream(parts, room, seq)).await? {
                let detail = "the store has it, and the log has not";
                self.findings.add("not_in_log", Place::Stored { room_id, seq }, detail);
            }
            self.tell("rows the log lacks");
            next = page.next;
            if next.is_none() || self.is_past_room(&page.rows) {
                return Ok(());
            }
        }
    }

    /// Rows are where they must be, and readers do not come to them: names those.
    async fn unreached(&mut self, window: Window) -> Result<(), VerifyError> {
        let Some((mut from, last)) = window.range else { return Ok(()) };
        let (parts, subject) = (self.parts, self.scope.subject());
        loop {
            let page = page_of_log(&parts.broker, &subject, from).await?;
            let Some(end) = page.last() else { return Ok(()) };
            from = end.seq + 1;
            let places: Vec<_> = page
                .iter()
                .filter(|message| message.seq <= last)
                .filter_map(|message| Some((ChatSubject::parse(&message.subject)?.0, message.seq, message.stored_at)))
                .collect();
            let rows = parts.store.log_at(&places).await?;
            let places = places.into_iter().zip(rows).filter(|(_, row)| row.is_some());
            let places = places.map(|((room, seq, _), _)| (room, seq)).collect();
            for (room_id, seq) in denied(places, |room, seq| is_reached(parts, room, seq)).await? {
                let detail = "nobody who reads the room's log comes to it";
                self.findings.add("unreachable", Place::Logged { room_id, seq }, detail);
            }
        }
    }

    /// Walks the ids: what they say that stands somewhere must stand there.
    pub(crate) async fn ids(&mut self) -> Result<(), VerifyError> {
        let mut next = None;
        loop {
            let page = self.parts.store.audit_ids(next, PAGE).await?;
            let (scope, settled) = (self.scope, self.settled);
            for id in page.ids.iter().filter(|id| scope.has(id.room_id, id.seq)) {
                self.checked.ids += 1;
                let (message_id, room_id, seq, created_at) = (id.id, id.room_id, id.seq, id.created_at);
                let place = Place::Id { message_id, room_id, seq, created_at };
                if self.is_beyond(seq).await? {
                    self.findings.add("beyond_log", place, "its id says that it stands there, beyond the log's end");
                } else if let Some(fault) = id.fault().filter(|_| seq <= settled) {
                    self.findings.add(fault.as_str(), place, "its id says that it stands there, the log does not");
                }
            }
            self.tell("ids");
            next = page.next;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// Walks the read marks: nobody has read what was never said.
    pub(crate) async fn marks(&mut self) -> Result<(), VerifyError> {
        let mut next = None;
        let mut room_end: Option<(RoomId, u64)> = None;
        loop {
            let marks = self.parts.store.audit_marks(next, PAGE).await?;
            let Some(last) = marks.last() else { return Ok(()) };
            next = Some((last.room_id, last.user_id));
            let only = self.scope.room;
            for mark in marks.iter().filter(|mark| only.is_none_or(|room| room == mark.room_id)) {
                self.checked.read_marks += 1;
                let end = match room_end.filter(|(room, _)| *room == mark.room_id) {
                    Some((_, end)) => end,
                    None => self.parts.store.last_seq(mark.room_id).await?,
                };
                room_end = Some((mark.room_id, end));
                if mark.seq > end {
                    let place = Place::Mark { room_id: mark.room_id, user_id: mark.user_id };
                    let detail = format!("read up to {}, the room ends at {end}", mark.seq);
                    self.findings.add("mark_too_high", place, detail);
                }
            }
            self.tell("read marks");
        }
    }
}

fn is_in(window: Window, row: &Audited) -> bool {
    row.row.is_some() && window.range.is_some_and(|(first, last)| (first..=last).contains(&row.seq))
}

/// Of these places, those for which `ask` says no; many are asked for at once.
async fn denied<F>(
    places: Vec<(RoomId, u64)>,
    ask: impl Fn(RoomId, u64) -> F,
) -> Result<Vec<(RoomId, u64)>, VerifyError>
where
    F: Future<Output = Result<bool, VerifyError>>,
{
    let asked: Vec<_> = places
        .into_iter()
        .map(|(room, seq)| {
            let answer = ask(room, seq);
            async move { Ok::<_, VerifyError>((room, seq, answer.await?)) }
        })
        .collect();
    let answers: Vec<_> = futures_util::stream::iter(asked).buffered(ASKED_AT_ONCE).try_collect().await?;
    Ok(answers.into_iter().filter(|(_, _, is_so)| !is_so).map(|(room, seq, _)| (room, seq)).collect())
}

/// Whether the stream has a message of this room at this seq.
pub(crate) async fn is_in_stream(parts: &Parts, room: RoomId, seq: u64) -> Result<bool, VerifyError> {
    let found = stored::at(&parts.broker.client, CHAT_MESSAGES, seq).await?;
    Ok(found.is_some_and(|message| ChatSubject::parse(&message.subject) == Some(ChatSubject(room))))
}

/// Whether who reads the room's log comes to this seq.
pub(crate) async fn is_reached(parts: &Parts, room: RoomId, seq: u64) -> Result<bool, VerifyError> {
    let rows = parts.store.log(room, seq.saturating_sub(1), 1).await?;
    Ok(rows.first().is_some_and(|row| row.seq == seq))
}
