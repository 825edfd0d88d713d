//! What a replay must not say: the text of a message that is deleted by the time it is replayed. The stream still holds
//! that text, so the deletions above a page are looked for before the page is shown; a room remembers them.

use chat_store::LogRow;
use foldhash::{HashSet, HashSetExt as _};
use schema::{
    envelope::{self, Head, Kind},
    frame::limit,
    id::MessageId,
};
use serde::Deserialize;

use crate::{
    hub::Room,
    log_reader::{LogAway, LogPage},
    render::LogMessage,
    upstream::Upstream,
};

/// The messages that the log deletes above `cursor`, as far as the room does not know them already. `page` is what
/// follows `cursor`.
pub(crate) async fn look_ahead(
    upstream: &impl Upstream,
    room: &Room,
    cursor: u64,
    page: &LogPage,
) -> Result<HashSet<MessageId>, LogAway> {
    let mut deleted = HashSet::new();
    let known_from = room.deleted_from();
    let frames = u64::try_from(page.messages.len()).unwrap_or(u64::MAX).saturating_add(page.pending);
    // The room may lag behind what was just read.
    note(room, &page.messages, &mut deleted);
    // A replay of more is not made.
    if cursor >= known_from || frames > limit::REPLAY_FRAMES_MAX {
        return Ok(deleted);
    }
    let mut pending = page.pending;
    let mut last = page.messages.last().map_or(cursor, |message| message.seq);
    while pending > 0 && last < known_from {
        let page = upstream.page(room.id, last, limit::REPLAY_PAGE).await?;
        note(room, &page.messages, &mut deleted);
        pending = page.pending;
        last = page.messages.last().map_or(known_from, |message| message.seq);
    }
    room.learn_deleted(cursor, &deleted);
    Ok(deleted)
}

fn note(room: &Room, messages: &[LogMessage], deleted: &mut HashSet<MessageId>) {
    for message in messages.iter().filter(|message| message.is_deletion()) {
        if let Ok(Head { target: Some(target), .. }) = envelope::check(room.id, message.headers.as_ref(), &message.body)
        {
            deleted.insert(target);
        }
    }
}

/// What a row of the store's log is; none for a `skip`.
pub(crate) fn head(row: &LogRow) -> Option<Head> {
    #[derive(Deserialize)]
    struct Fields {
        message_id: MessageId,
    }
    let (id, kind) = (row.id?, row.kind?);
    let target = match kind {
        Kind::MessageUpdated | Kind::MessageDeleted | Kind::Reaction => {
            row.body.as_deref().and_then(|body| serde_json::from_str(body).ok()).map(|fields: Fields| fields.message_id)
        }
        Kind::Message | Kind::System => None,
    };
    Some(Head { kind, id, target, sender: None, is_moderator: false })
}
