//! Rooms that live for months, on clocks that do not only go forward.

use chat_store::{Entry, Window};
use schema::{clock::Timestamp, frame::history::HistoryItem};

use crate::{
    room::{Room, unread, write_all},
    stores::Store,
};

const MESSAGES: u64 = 10_000;

/// About 78 minutes a message: a year and a half. Around each of two ends of months the clock steps back and forth, so
/// that seqs interleave between the months.
fn time(seq: u64) -> Timestamp {
    let start = Timestamp::parse("2026-01-01T00:00:00.000Z").unwrap().unix_millis();
    let even = start + i64::try_from(seq).unwrap() * 78 * 60_000;
    let back = if seq % 7 < 3 && (500..700).contains(&seq) { 5 * 24 * 3_600_000 } else { 0 };
    let far_back = if seq.is_multiple_of(5) && (5000..5400).contains(&seq) { 70 * 24 * 3_600_000 } else { 0 };
    Timestamp::from_unix_millis(even - back - far_back).unwrap()
}

pub(crate) async fn ten_thousand_messages_over_months_and_a_clock_that_steps_back_are_read_in_order(store: &Store) {
    let room = Room::new();
    let entries: Vec<Entry> =
        (1..=MESSAGES).map(|seq| Entry { logged_at: time(seq), ..room.says(seq, &seq.to_string()) }).collect();
    // Later parts first: order of arrival is not order.
    for batch in entries.chunks(250).rev() {
        write_all(store, batch).await;
    }
    assert_eq!(store.last_seq(room.id).await.unwrap(), MESSAGES);

    // Forward through the log, back through history, through what Ann wrote: each seq once, in order.
    let mut after = 0;
    loop {
        let rows = store.log(room.id, after, 1000).await.unwrap();
        for row in &rows {
            after += 1;
            assert_eq!((row.seq, row.created_at), (after, time(after)));
        }
        if rows.is_empty() {
            break;
        }
    }
    assert_eq!(after, MESSAGES);
    let mut before = MESSAGES + 1;
    while before > 1 {
        let page = room.page(store, Window::Before(before), 100).await;
        let seqs: Vec<u64> = page.items.iter().map(HistoryItem::seq).collect();
        assert_eq!(seqs, (before - 100..before).collect::<Vec<_>>());
        assert_eq!((page.has_more_before, page.has_more_after), (before > 101, before <= MESSAGES));
        before -= 100;
    }
    let by_ann = store.by_user(room.ann, Some(5300), 100).await.unwrap();
    assert_eq!(by_ann.iter().map(HistoryItem::seq).collect::<Vec<_>>(), (5200..5300).rev().collect::<Vec<_>>());

    // Windows whose edges lie where months interleave.
    for seq in [498, 555, 600, 601, 698, 5003, 5199, 5398] {
        assert_eq!(room.seqs(store, Window::Around(seq), 9).await, ((seq - 4..=seq + 4).collect(), true, true));
        assert_eq!(room.seqs(store, Window::After(seq), 3).await, ((seq + 1..=seq + 3).collect(), true, true));
        let item = store.item(room.id, room.bob, entries[usize::try_from(seq).unwrap() - 1].body.id()).await.unwrap();
        assert_eq!(item.map(|item| item.seq()), Some(seq));
    }
    assert_eq!(unread(store, room.id, room.bob, MESSAGES - 42).await, 42);
    assert_eq!(unread(store, room.id, room.bob, 5000).await, 100);
    assert_eq!(store.heads(&[room.id]).await.unwrap()[0].seq, MESSAGES);
}
