//! The log: every seq of a room, whatever became of it.

use chat_store::Outcome;
use schema::{envelope::Kind, problem::Code};

use crate::{
    room::{Room, time, write, write_all},
    stores::Store,
};

pub(crate) async fn the_log_has_every_seq_of_the_room(store: &Store) {
    let room = Room::new();
    let first = room.says(2, "hi");
    let id = first.body.id();
    let entries = [first, room.edits(4, id, "hi!"), room.confirms(6)];
    write_all(store, &entries).await;
    store.write_skip(room.id, 5, time(5)).await.unwrap();
    let log = store.log(room.id, 0, 10).await.unwrap();
    let kinds: Vec<_> = log.iter().map(|row| (row.seq, row.kind)).collect();
    assert_eq!(kinds, [(2, Some(Kind::Message)), (4, Some(Kind::MessageUpdated)), (5, None), (6, Some(Kind::System))]);
    for (row, entry) in log.iter().filter(|row| row.kind.is_some()).zip(&entries) {
        assert_eq!(row.body.as_deref().map(str::as_bytes), Some(entry.raw.as_ref()), "as it was published");
        assert_eq!((row.id, row.created_at), (Some(entry.body.id()), entry.logged_at));
    }
    assert_eq!((log[2].id, log[2].body.as_ref(), log[2].created_at), (None, None, time(5)));
    let seqs = |after, limit| async move {
        store.log(room.id, after, limit).await.unwrap().iter().map(|row| row.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs(4, 10).await, [5, 6]);
    assert_eq!(seqs(0, 2).await, [2, 4]);
    assert_eq!(seqs(2, 1).await, [4]);
    assert_eq!(seqs(6, 10).await, Vec::<u64>::new());
}

pub(crate) async fn a_skip_stays_a_skip(store: &Store) {
    let room = Room::new();
    for _twice in 0..2 {
        store.write_skip(room.id, 3, time(3)).await.unwrap();
    }
    let refused = room.edits_as(4, room.bob, room.says(0, "").body.id(), room.ann_said(store, 1).await, "not yours");
    for _twice in 0..2 {
        assert_eq!(write(store, &refused).await, Outcome::Refused(Code::NotAMember));
    }
    store.write_skip(room.id, 4, time(4)).await.unwrap();
    let log = store.log(room.id, 1, 10).await.unwrap();
    assert_eq!(log.iter().map(|row| (row.seq, row.kind)).collect::<Vec<_>>(), [(3, None), (4, None)]);
}

pub(crate) async fn the_last_seq_counts_skips(store: &Store) {
    let room = Room::new();
    write(store, &room.says(2, "hi")).await;
    assert_eq!(store.last_seq(room.id).await.unwrap(), 2);
    store.write_skip(room.id, 7, time(7)).await.unwrap();
    assert_eq!(store.last_seq(room.id).await.unwrap(), 7);
    write(store, &room.says(5, "late")).await;
    assert_eq!(store.last_seq(room.id).await.unwrap(), 7);
}

impl Room {
    /// Ann says something; answers its id.
    async fn ann_said(&self, store: &Store, seq: u64) -> schema::id::MessageId {
        let entry = self.says(seq, "hi");
        write(store, &entry).await;
        entry.body.id()
    }
}
