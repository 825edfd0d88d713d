//! Brings a message's row to what its changes make of it. Runs under the lock on the message's id, after
//! anything that may matter to it, and always computes from everything that is known.

use std::collections::HashSet;

use schema::{
    envelope::{Body, Kind},
    id::{MessageId, RoomId},
};
use sqlx::PgConnection;

use super::{change, log, reaction};
use crate::{
    StoreError, column,
    standing::{Change, Standing, Target},
};

/// Restates the message at `target`; answers the seqs of the changes that it refuses.
pub(super) async fn restate(tx: &mut PgConnection, id: MessageId, target: &Target) -> Result<HashSet<u64>, StoreError> {
    let mut refused = HashSet::new();
    let mut changes = Vec::new();
    for stored in change::list(tx, id).await? {
        let change = stored.change;
        if stored.is_refused {
            refused.insert(change.seq);
        } else if target.admits_change(&change) {
            changes.push(change);
        } else {
            change::refuse(tx, id, change.seq).await?;
            log::withdraw(&mut *tx, change.room_id, change.seq).await?;
            refused.insert(change.seq);
        }
    }
    let has_reactions = refuse_reactions(tx, id, target, &mut refused).await?;
    if target.kind == Kind::Message {
        write(tx, id, target, &changes, has_reactions).await?;
    }
    Ok(refused)
}

/// Takes back what can not stand under this message; answers whether anything can.
async fn refuse_reactions(
    tx: &mut PgConnection,
    id: MessageId,
    target: &Target,
    refused: &mut HashSet<u64>,
) -> Result<bool, StoreError> {
    let mut is_any_left = false;
    for (room, seq) in reaction::seqs(&mut *tx, id).await? {
        let room = RoomId::from_uuid(room);
        let seq = column::seq(seq, "message_reactions", id)?;
        if target.admits(Kind::Reaction, room, None, false) {
            is_any_left = true;
        } else {
            reaction::delete(&mut *tx, id, seq).await?;
            log::withdraw(&mut *tx, room, seq).await?;
            refused.insert(seq);
        }
    }
    Ok(is_any_left)
}

async fn write(
    tx: &mut PgConnection,
    id: MessageId,
    target: &Target,
    changes: &[Change],
    has_reactions: bool,
) -> Result<(), StoreError> {
    let standing = Standing::of(target, changes);
    let content = match (standing.deleted_seq, standing.edit) {
        (Some(_), _) => None,
        (None, Some(edit)) => edit.content.clone(),
        (None, None) => original(tx, target).await?,
    };
    sqlx::query(
        "UPDATE chat_messages_by_event SET content = $3, edited_seq = $4, edited_at = $5,
             deleted_seq = LEAST(deleted_seq, $6), has_reactions = has_reactions OR $7
         WHERE event_id = $1 AND seq = $2",
    )
    .bind(target.room_id)
    .bind(column::of_seq(target.seq))
    .bind(content)
    .bind(standing.edit.map(|edit| column::of_seq(edit.seq)))
    .bind(standing.edit.map(|edit| edit.created_at.as_datetime()))
    .bind(standing.deleted_seq.map(column::of_seq))
    .bind(has_reactions)
    .execute(&mut *tx)
    .await?;
    if let Some(deleted_seq) = standing.deleted_seq {
        let edits = changes.iter().filter(|change| change.kind == Kind::MessageUpdated).map(|change| change.seq);
        let seqs: Vec<u64> = edits.chain([target.seq]).collect();
        log::erase(tx, target.room_id, &seqs, deleted_seq).await?;
        change::blank(tx, id).await?;
    }
    Ok(())
}

/// What the message said at first; `None` when the log no longer knows.
async fn original(tx: &mut PgConnection, target: &Target) -> Result<Option<String>, StoreError> {
    let body = log::body(&mut *tx, target.room_id, target.seq).await?;
    match body.as_deref().map(serde_json::from_str) {
        Some(Ok(Body::Message { content, .. })) => Ok(Some(content)),
        Some(_) | None => Ok(None),
    }
}
