//! Walking everything, for the check that the tables agree.

use std::collections::BTreeSet;

use chat_store::{Audited, Outcome};
use schema::{envelope::ReactionAction, id::RoomId};

use crate::{
    room::{Room, at, time, write, write_all},
    stores::Store,
};

/// All rows of the store above `above`, read in pages of `limit`.
async fn walk(store: &Store, mut next: Option<(RoomId, u64)>, above: u64, limit: usize) -> Vec<Audited> {
    let mut rows = Vec::new();
    loop {
        let page = store.audit(next, above, limit).await.unwrap();
        rows.extend(page.rows);
        next = page.next;
        if next.is_none() {
            return rows;
        }
    }
}

pub(crate) async fn a_whole_store_is_walked_page_by_page(store: &Store) {
    let rooms: Vec<Room> = (0..5).map(|_| Room::new()).collect();
    let mut entries = Vec::new();
    for (place, room) in rooms.iter().enumerate() {
        // None, 3, 6 … of each; seqs are those of one stream.
        let seqs = (0..place * 3).map(|n| u64::try_from(n * 5 + place + 1).unwrap());
        entries.extend(seqs.map(|seq| room.says(seq, "hi")));
    }
    write_all(store, &entries).await;
    let all: BTreeSet<(RoomId, u64)> = entries.iter().map(|entry| (entry.room_id, entry.seq)).collect();
    for limit in [1, 2, 3, 100] {
        for above in [0, 11, 1_000] {
            let rows = walk(store, None, above, limit).await;
            let places: Vec<_> = rows.iter().map(|row| (row.room_id, row.seq)).collect();
            let found: BTreeSet<_> = places.iter().copied().collect();
            let wanted: BTreeSet<_> = all.iter().copied().filter(|(_, seq)| *seq > above).collect();
            assert_eq!(found, wanted, "in pages of {limit} above {above}");
            assert_eq!(places.len(), found.len(), "each once");
            for pair in places.windows(2) {
                assert!(pair[0].0 != pair[1].0 || pair[0].1 < pair[1].1, "ascending in a room: {pair:?}");
            }
        }
        let (mut ids, mut next) = (BTreeSet::new(), None);
        loop {
            let page = store.audit_ids(next, limit).await.unwrap();
            assert!(page.ids.iter().all(|id| id.fault().is_none() && ids.insert((id.room_id, id.seq))));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(ids, all, "ids in pages of {limit}");
    }
    assert!(store.audit_marks(None, 10).await.unwrap().is_empty());
}

pub(crate) async fn tables_agree_after_everything_that_can_happen(store: &Store) {
    let room = Room::new();
    let (first, edited, deleted) = (room.says(2, "first"), room.says(3, "typo"), room.says(4, "secret"));
    let ids = [first.body.id(), edited.body.id(), deleted.body.id()];
    let entries = [
        first.clone(),
        edited,
        deleted,
        room.confirms(5),
        room.edits(6, ids[1], "no typo"),
        room.edits(7, ids[2], "still secret"),
        room.deletes(8, ids[2]),
        room.reacts(9, room.bob, ids[0], "👍", ReactionAction::Added),
        room.reacts(10, room.bob, ids[0], "👍", ReactionAction::Removed),
        // What is refused, doubled, too early, or of no message.
        room.edits_as(11, room.bob, room.says(0, "").body.id(), ids[0], "not mine"),
        at(&first, 12),
        room.edits(1, ids[0], "too early"),
        room.deletes(13, room.says(0, "").body.id()),
        room.says(14, "a\0b"),
    ];
    write_all(store, &entries[..8]).await;
    for entry in &entries[8..] {
        write(store, entry).await;
    }
    let lost = room.says(20, "lost");
    store.write_skip(room.id, lost.seq, lost.logged_at).await.unwrap();
    write(store, &room.edits(21, lost.body.id(), "found")).await;
    assert_eq!(store.redrive(&lost).await.unwrap(), Outcome::Stored);
    write(store, &room.deletes(22, lost.body.id())).await;
    let page = store.audit(Some((room.id, 0)), 0, 100).await.unwrap();
    let rows: Vec<&Audited> = page.rows.iter().filter(|row| row.room_id == room.id).collect();
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), (1..=14).chain(20..=22).collect::<Vec<_>>());
    for row in rows {
        assert_eq!(row.faults(), [], "{row:#?}");
    }
}

pub(crate) async fn the_log_is_asked_for_at_places(store: &Store) {
    let room = Room::new();
    write_all(store, &[room.says(2, "two"), room.says(4, "four")]).await;
    store.write_skip(room.id, 3, time(3)).await.unwrap();
    let places = [4, 5, 3, 2].map(|seq| (room.id, seq, time(seq)));
    let rows = store.log_at(&places).await.unwrap();
    let seqs: Vec<_> = rows.iter().map(|row| row.as_ref().map(|row| (row.seq, row.kind.is_some()))).collect();
    assert_eq!(seqs, [Some((4, true)), None, Some((3, false)), Some((2, true))]);
    let elsewhere = store.log_at(&[(Room::new().id, 2, time(2))]).await.unwrap();
    assert_eq!(elsewhere, [None]);
}
