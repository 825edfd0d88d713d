//! Every statement of the store, prepared once when it connects. All are idempotent.
//!
//! Write timestamps decide which of two writes counts, so they never come from a clock of ours. Those that
//! are no log time are far below every clock's present: ScyllaDB refuses any of the future.

use ::scylla::{client::session::Session, statement::prepared::PreparedStatement};
use futures_util::future::try_join_all;

use super::error;
use crate::{StoreError, column};

/// A write timestamp that outlives every other of its cells, in any order. As a clock's reading it lies in 2005.
pub(super) const FINAL: i64 = 1 << 50;

/// The write timestamp by which the higher seq wins.
pub(super) fn higher_wins(seq: u64) -> i64 {
    column::of_seq(seq).min(FINAL - 1)
}

/// The write timestamp by which the lower seq wins.
pub(super) fn lower_wins(seq: u64) -> i64 {
    FINAL - higher_wins(seq)
}

macro_rules! statements {
    ($($name:ident = $text:literal;)*) => {
        /// The prepared statements.
        #[derive(Debug)]
        pub(super) struct Statements {
            $(pub(super) $name: PreparedStatement,)*
        }

        impl Statements {
            /// Prepares all of them.
            pub(super) async fn prepare(session: &Session) -> Result<Self, StoreError> {
                let prepared = try_join_all([$($text),*].map(|text| prepare(session, text))).await?;
                let mut prepared = prepared.into_iter();
                $(let $name = prepared.next().expect("as many statements as were prepared");)*
                Ok(Self { $($name),* })
            }
        }
    };
}

async fn prepare(session: &Session, text: &str) -> Result<PreparedStatement, StoreError> {
    let mut statement = session.prepare(text).await.map_err(error::preparation)?;
    statement.set_is_idempotent(true);
    Ok(statement)
}

statements! {
    log_insert = "INSERT INTO room_log_by_event (event_id, bucket, seq, kind, id, created_at, body, erased_seq)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    log_erase = "UPDATE room_log_by_event USING TIMESTAMP ? SET body = ?, erased_seq = ?
        WHERE event_id = ? AND bucket = ? AND seq = ?";
    log_mark_erased = "UPDATE room_log_by_event USING TIMESTAMP ? SET erased_seq = ?
        WHERE event_id = ? AND bucket = ? AND seq = ?";
    log_above = "SELECT seq, kind, id, created_at, body, erased_seq FROM room_log_by_event
        WHERE event_id = ? AND bucket = ? AND seq > ? ORDER BY seq ASC LIMIT ?";
    log_one = "SELECT seq, kind, id, created_at, body, erased_seq FROM room_log_by_event
        WHERE event_id = ? AND bucket = ? AND seq = ?";

    item_insert = "INSERT INTO chat_messages_by_event (
            event_id, bucket, seq, kind, id, created_at, sender, sender_id, sender_name, temp_id, content, message_type,
            reply_to_id, change, actor_id, data, edited_seq, edited_at, deleted_seq, has_reactions
        ) VALUES (
            :event_id, :bucket, :seq, :kind, :id, :created_at, :sender, :sender_id, :sender_name, :temp_id, :content,
            :message_type, :reply_to_id, :change, :actor_id, :data, :edited_seq, :edited_at, :deleted_seq,
            :has_reactions
        ) USING TIMESTAMP :written_at";
    item_restate = "UPDATE chat_messages_by_event USING TIMESTAMP ?
        SET content = ?, edited_seq = ?, edited_at = ?, deleted_seq = ? WHERE event_id = ? AND bucket = ? AND seq = ?";
    item_reacted = "UPDATE chat_messages_by_event USING TIMESTAMP 1 SET has_reactions = true
        WHERE event_id = ? AND bucket = ? AND seq = ?";
    item_delete = "DELETE FROM chat_messages_by_event USING TIMESTAMP ?
        WHERE event_id = ? AND bucket = ? AND seq = ?";
    items_below = "SELECT * FROM chat_messages_by_event
        WHERE event_id = ? AND bucket = ? AND seq < ? ORDER BY seq DESC LIMIT ?";
    items_above = "SELECT * FROM chat_messages_by_event
        WHERE event_id = ? AND bucket = ? AND seq >= ? ORDER BY seq ASC LIMIT ?";
    item_one = "SELECT * FROM chat_messages_by_event WHERE event_id = ? AND bucket = ? AND seq = ?";
    unread = "SELECT seq, kind, sender, deleted_seq FROM chat_messages_by_event
        WHERE event_id = ? AND bucket = ? AND seq > ? AND seq < ? ORDER BY seq DESC LIMIT ?";

    room_bucket_first = "UPDATE chat_buckets_by_event USING TIMESTAMP ? SET first_seq = ?
        WHERE event_id = ? AND bucket = ?";
    room_bucket_last = "UPDATE chat_buckets_by_event USING TIMESTAMP ? SET last_seq = ?
        WHERE event_id = ? AND bucket = ?";
    room_buckets = "SELECT bucket, first_seq, last_seq FROM chat_buckets_by_event WHERE event_id = ?";
    user_bucket_first = "UPDATE chat_buckets_by_user USING TIMESTAMP ? SET first_seq = ?
        WHERE user_id = ? AND bucket = ?";
    user_bucket_last = "UPDATE chat_buckets_by_user USING TIMESTAMP ? SET last_seq = ?
        WHERE user_id = ? AND bucket = ?";
    user_buckets = "SELECT bucket, first_seq, last_seq FROM chat_buckets_by_user WHERE user_id = ?";

    claim_insert = "INSERT INTO chat_message_ids
        (message_id, seq, change_id, event_id, kind, sender, created_at, target_id, said, content, is_moderator)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP 1";
    claim_void = "UPDATE chat_message_ids USING TIMESTAMP 1 SET is_void = true WHERE message_id = ? AND seq = ?";
    claim_blank = "UPDATE chat_message_ids USING TIMESTAMP 2 SET said = null, content = null
        WHERE message_id = ? AND seq = ?";
    claim_reacted = "UPDATE chat_message_ids USING TIMESTAMP 1 SET has_reactions = true WHERE message_id = ?";
    claims = "SELECT message_id, seq, change_id, event_id, kind, sender, created_at, target_id, said, content, is_void,
        has_reactions, is_moderator FROM chat_message_ids WHERE message_id IN ?";

    reaction_insert = "INSERT INTO message_reactions
        (message_id, seq, emoji, user_id, event_id, is_added, created_at) VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP 1";
    reaction_delete = "DELETE FROM message_reactions USING TIMESTAMP ? WHERE message_id = ? AND seq = ?";
    reactions = "SELECT seq, emoji, user_id, event_id, is_added, created_at FROM message_reactions
        WHERE message_id = ?";

    by_user_insert = "INSERT INTO chat_messages_by_user (user_id, bucket, seq, event_id, message_id)
        VALUES (?, ?, ?, ?, ?) USING TIMESTAMP 1";
    by_user_delete = "DELETE FROM chat_messages_by_user USING TIMESTAMP ? WHERE user_id = ? AND bucket = ? AND seq = ?";
    by_user_at = "SELECT event_id FROM chat_messages_by_user WHERE user_id = ? AND bucket = ? AND seq = ?";
    by_user_below = "SELECT seq, event_id FROM chat_messages_by_user
        WHERE user_id = ? AND bucket = ? AND seq < ? ORDER BY seq DESC LIMIT ?";

    head_raise = "INSERT INTO room_heads (event_id, bucket, seq, created_at) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    head = "SELECT bucket, seq FROM room_heads WHERE event_id = ?";

    mark_raise = "INSERT INTO read_marks_by_event (event_id, user_id, seq, read_at) VALUES (?, ?, ?, ?)
        USING TIMESTAMP ?";
    marks = "SELECT user_id, seq, read_at FROM read_marks_by_event WHERE event_id = ? AND user_id IN ?";

    event_insert = "INSERT INTO event_history
        (event_id, changed_at, change_id, change, version, actor_id, fields, added, removed, hash)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP 1";
    event_newest = "SELECT changed_at, change_id, change, version, actor_id, fields, added, removed, hash
        FROM event_history WHERE event_id = ? LIMIT ?";
    event_before = "SELECT changed_at, change_id, change, version, actor_id, fields, added, removed, hash
        FROM event_history WHERE event_id = ? AND (changed_at, change_id) < (?, ?) LIMIT ?";

    rooms_first = "SELECT DISTINCT event_id FROM chat_buckets_by_event LIMIT ?";
    rooms_after = "SELECT DISTINCT event_id FROM chat_buckets_by_event WHERE token(event_id) > token(?) LIMIT ?";
    ids_first = "SELECT DISTINCT message_id FROM chat_message_ids LIMIT ?";
    ids_after = "SELECT DISTINCT message_id FROM chat_message_ids WHERE token(message_id) > token(?) LIMIT ?";
    marks_first = "SELECT event_id, user_id, seq FROM read_marks_by_event LIMIT ?";
    marks_after = "SELECT event_id, user_id, seq FROM read_marks_by_event WHERE token(event_id) > token(?) LIMIT ?";
    marks_of_room = "SELECT event_id, user_id, seq FROM read_marks_by_event
        WHERE event_id = ? AND user_id > ? LIMIT ?";

    high_water_raise = "INSERT INTO log_high_water (name, seq) VALUES (?, ?) USING TIMESTAMP ?";
    high_water = "SELECT seq FROM log_high_water WHERE name = ?";
    ping = "SELECT key FROM system.local";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_timestamps_order_seqs_both_ways_and_none_is_of_the_future() {
        assert!(higher_wins(2) > higher_wins(1));
        assert!(lower_wins(1) > lower_wins(2));
        assert!(lower_wins(u64::MAX) > 0);
        let year_2006 = 1_136_073_600_000_000;
        assert!(FINAL < year_2006 && lower_wins(0) <= FINAL && higher_wins(u64::MAX) < FINAL);
    }
}
