//! One id at two seqs: the lower counts, whoever comes first.

use chat_store::{Entry, Outcome, Window};
use futures_util::future::join_all;
use schema::{envelope::Body, id::MessageId, problem::Code};

use crate::{
    room::{Room, said, unread, write, write_all},
    stores::Store,
};

/// The same id at 10 and at 20, among others.
fn twice(room: &Room, first: &str, second: &str) -> (Entry, Entry) {
    let id = MessageId::random();
    (room.says_as(10, room.ann, id, first), room.says_as(20, room.ann, id, second))
}

pub(crate) async fn the_second_seq_of_an_id_is_a_skip_in_both_orders(store: &Store) {
    let mut pictures = Vec::new();
    for is_lower_first in [true, false] {
        let room = Room::new();
        let (lower, higher) = twice(&room, "hi", "hi");
        write_all(store, &[room.says(5, "before"), room.says(15, "between")]).await;
        let duplicate = Outcome::Duplicate { first_seq: 10 };
        if is_lower_first {
            assert_eq!(write(store, &lower).await, Outcome::Stored);
            assert_eq!(write(store, &higher).await, duplicate);
        } else {
            assert_eq!(write(store, &higher).await, Outcome::Stored);
            assert_eq!(room.seqs(store, Window::Newest, 10).await.0, [5, 15, 20]);
            assert_eq!(write(store, &lower).await, Outcome::Stored);
        }
        // Redelivered, they hear the same.
        assert_eq!(write(store, &higher).await, duplicate);
        assert_eq!(write(store, &lower).await, Outcome::Stored);
        assert_eq!(room.seqs(store, Window::Newest, 10).await, (vec![5, 10, 15], false, false));
        let log: Vec<_> =
            store.log(room.id, 0, 10).await.unwrap().iter().map(|row| (row.seq, row.kind.is_some())).collect();
        assert_eq!(log, [(5, true), (10, true), (15, true), (20, false)]);
        assert_eq!(store.find(&[lower.body.id()]).await.unwrap()[0].seq, 10);
        assert_eq!(store.by_user(room.ann, None, 10).await.unwrap().len(), 3);
        assert_eq!(unread(store, room.id, room.bob, 0).await, 3);
        assert_eq!(store.last_seq(room.id).await.unwrap(), 20);
        let item = store.item(room.id, room.bob, lower.body.id()).await.unwrap();
        assert_eq!(item.map(|item| item.seq()), Some(10));
        let names = [(lower.body.id(), "twice")];
        let picture = room.picture(store, &names).await;
        pictures.push(picture.len());
    }
    assert_eq!(pictures[0], pictures[1]);
}

pub(crate) async fn a_used_temp_id_with_other_content_is_refused_in_both_orders(store: &Store) {
    for is_lower_first in [true, false] {
        let room = Room::new();
        let (lower, higher) = twice(&room, "one", "other");
        let refused = Outcome::Refused(Code::TempIdReused);
        if is_lower_first {
            assert_eq!(write(store, &lower).await, Outcome::Stored);
            assert_eq!(write(store, &higher).await, refused);
        } else {
            assert_eq!(write(store, &higher).await, Outcome::Stored);
            assert_eq!(write(store, &lower).await, Outcome::Stored);
        }
        assert_eq!(write(store, &higher).await, refused);
        assert_eq!(room.items(store).await.iter().map(said).collect::<Vec<_>>(), [Some("one")]);
        let log = store.log(room.id, 10, 10).await.unwrap();
        assert_eq!(log.iter().map(|row| (row.seq, row.body.as_deref())).collect::<Vec<_>>(), [(20, None)]);
    }
}

pub(crate) async fn both_seqs_of_an_id_at_once_leave_one_message(store: &Store) {
    for round in 0..25 {
        let room = Room::new();
        let (lower, higher) = twice(&room, "hi", "hi");
        let lowest = Entry { seq: 4, logged_at: crate::room::time(4), ..lower.clone() };
        let edit = room.edits(30, lower.body.id(), "hi!");
        join_all([&higher, &lower, &edit, &lowest, &higher].map(|entry| write(store, entry))).await;
        let items = room.items(store).await;
        assert_eq!(
            items.iter().map(|item| (item.seq(), said(item))).collect::<Vec<_>>(),
            [(4, Some("hi!"))],
            "{round}"
        );
        let log: Vec<_> =
            store.log(room.id, 0, 10).await.unwrap().iter().map(|row| (row.seq, row.kind.is_some())).collect();
        assert_eq!(log, [(4, true), (10, false), (20, false), (30, true)], "round {round}");
        assert_eq!(store.by_user(room.ann, None, 10).await.unwrap().len(), 1);
        assert_eq!(store.heads(&[room.id]).await.unwrap()[0].seq, 4);
    }
}

pub(crate) async fn both_seqs_of_an_id_in_one_batch_leave_one_message(store: &Store) {
    for is_lower_first in [true, false] {
        let room = Room::new();
        let (lower, higher) = twice(&room, "hi", "hi");
        let batch = if is_lower_first { [lower, higher] } else { [higher, lower] };
        let outcomes = write_all(store, &batch).await;
        let lower_outcome = if is_lower_first { outcomes[0] } else { outcomes[1] };
        assert_eq!(lower_outcome, Outcome::Stored);
        assert_eq!(room.seqs(store, Window::Newest, 10).await.0, [10]);
        assert_eq!(store.log(room.id, 10, 10).await.unwrap()[0].kind, None);
    }
}

pub(crate) async fn a_second_copy_under_another_name_of_the_sender_is_the_same_message(store: &Store) {
    let room = Room::new();
    let (lower, mut higher) = twice(&room, "hi", "hi");
    if let Body::Message { sender_name, .. } = &mut higher.body {
        *sender_name = "Ann B.".into();
    }
    higher.raw = higher.body.to_bytes();
    write(store, &lower).await;
    assert_eq!(write(store, &higher).await, Outcome::Duplicate { first_seq: 10 });
}

pub(crate) async fn the_second_copy_of_a_deleted_message_is_a_duplicate(store: &Store) {
    let room = Room::new();
    let (lower, higher) = twice(&room, "secret", "secret");
    write_all(store, &[lower.clone(), room.deletes(15, lower.body.id())]).await;
    assert_eq!(write(store, &higher).await, Outcome::Duplicate { first_seq: 10 });
    let log = store.log(room.id, 0, 10).await.unwrap();
    assert!(log.iter().filter_map(|row| row.body.as_deref()).all(|body| !body.contains("secret")));
    assert_eq!(room.items(store).await.iter().map(said).collect::<Vec<_>>(), [None]);
}

pub(crate) async fn the_second_seq_of_an_edit_does_not_bring_its_text_back(store: &Store) {
    for order in crate::room::permutations(&[0, 1, 2, 3]) {
        let room = Room::new();
        let insert = room.says(1, "first");
        let id = insert.body.id();
        let edit_id = MessageId::random();
        let edit = room.edits_as(2, room.ann, edit_id, id, "second");
        let newer = room.edits(3, id, "third");
        let again = room.edits_as(4, room.ann, edit_id, id, "second");
        let steps = [insert, edit, newer, again.clone()];
        for step in &order {
            write(store, &steps[*step]).await;
        }
        assert_eq!(write(store, &again).await, Outcome::Duplicate { first_seq: 2 });
        assert_eq!(room.items(store).await.iter().map(said).collect::<Vec<_>>(), [Some("third")], "{order:?}");
        assert_eq!(store.log(room.id, 3, 10).await.unwrap()[0].kind, None);
    }
}

pub(crate) async fn the_head_of_a_room_steps_back_when_it_turns_out_to_be_a_second_seq(store: &Store) {
    let room = Room::new();
    let (lower, higher) = twice(&room, "hi", "hi");
    write_all(store, &[room.says(15, "between"), higher]).await;
    assert_eq!(store.heads(&[room.id]).await.unwrap()[0].seq, 20);
    write(store, &lower).await;
    let heads = store.heads(&[room.id]).await.unwrap();
    assert_eq!(heads[0].last_message.as_ref().map(|item| (item.seq(), said(item))), Some((15, Some("between"))));
}
