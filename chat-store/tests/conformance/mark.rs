//! How far people have read: marks only rise, in any order.

use chat_store::ReadMark;
use schema::id::UserId;

use crate::{
    room::{Room, permutations, time, write_all},
    stores::Store,
};

impl Room {
    fn mark(&self, user_id: UserId, seq: u64, read_at: u64) -> ReadMark {
        ReadMark { room_id: self.id, user_id, seq, read_at: time(read_at) }
    }
}

pub(crate) async fn a_mark_never_moves_back_whatever_the_order(store: &Store) {
    for order in permutations(&[0, 1, 2, 3]) {
        for is_one_batch in [true, false] {
            let room = Room::new();
            // The same seq may be read twice: then the later time counts, in both stores.
            let marks = [
                room.mark(room.ann, 3, 9),
                room.mark(room.ann, 7, 1),
                room.mark(room.ann, 7, 2),
                room.mark(room.bob, 4, 1),
            ];
            let marks: Vec<ReadMark> = order.iter().map(|at: &usize| marks[*at]).collect();
            let size = if is_one_batch { marks.len() } else { 1 };
            for _redelivered in 0..2 {
                for marks in marks.chunks(size) {
                    store.write_marks(marks).await.unwrap();
                }
            }
            let mut found =
                store.read_marks(&[room.ann, room.bob, UserId::random()].map(|user| (room.id, user))).await.unwrap();
            found.sort_unstable_by_key(|mark| std::cmp::Reverse(mark.seq));
            assert_eq!(found, [room.mark(room.ann, 7, 2), room.mark(room.bob, 4, 1)], "{order:?}");
        }
    }
}

pub(crate) async fn marks_are_of_one_room_and_of_who_is_asked_for(store: &Store) {
    let (room, other) = (Room::new(), Room::new());
    store
        .write_marks(&[room.mark(room.ann, 1, 1), room.mark(room.bob, 2, 1), other.mark(room.ann, 3, 1)])
        .await
        .unwrap();
    store.write_marks(&[]).await.unwrap();
    assert_eq!(store.read_marks(&[(room.id, room.ann)]).await.unwrap(), [room.mark(room.ann, 1, 1)]);
    assert!(store.read_marks(&[]).await.unwrap().is_empty());
    let crowd: Vec<_> = (0..250).map(|_| (room.id, UserId::random())).chain([(room.id, room.bob)]).collect();
    assert_eq!(store.read_marks(&crowd).await.unwrap(), [room.mark(room.bob, 2, 1)]);
    let mut both = store.read_marks(&[(room.id, room.ann), (other.id, room.ann), (other.id, room.bob)]).await.unwrap();
    both.sort_unstable_by_key(|mark| mark.seq);
    assert_eq!(both, [room.mark(room.ann, 1, 1), other.mark(room.ann, 3, 1)]);
}

pub(crate) async fn many_readers_are_counted_as_one_by_one(store: &Store) {
    let room = Room::new();
    let mut entries: Vec<_> =
        (1..=320).map(|seq| if seq % 2 == 0 { room.says(seq, "hi") } else { room.confirms(seq) }).collect();
    entries.push(room.deletes(321, entries[199].body.id()));
    write_all(store, &entries).await;
    let stranger = UserId::random();
    let quiet = Room::new();
    write_all(store, &[quiet.says(1, "hi"), quiet.says(2, "hi")]).await;
    let readers = [
        (room.id, room.bob, 0),
        (quiet.id, quiet.bob, 1),
        (room.id, room.ann, 0),
        (room.id, stranger, 300),
        (room.id, room.bob, 199),
        (quiet.id, room.bob, 0),
        (room.id, stranger, 320),
        (room.id, stranger, 200),
        (quiet.id, quiet.ann, 0),
    ];
    // Of 160 messages of Ann's one, at 200, is deleted.
    assert_eq!(store.unread(&readers).await.unwrap(), [100, 1, 0, 10, 60, 2, 0, 60, 0]);
    assert!(store.unread(&[]).await.unwrap().is_empty());
}
