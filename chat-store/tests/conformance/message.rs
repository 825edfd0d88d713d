//! Messages and system frames, from the log to everything that reads them.

use chat_store::{Outcome, Window};
use schema::{
    envelope::{Body, MessageType},
    frame::history::HistoryItem,
    id::{MessageId, RoomId, UserId},
    problem::Code,
};
use serde_json::json;

use crate::{
    room::{Room, said, time, unread, write, write_all},
    stores::Store,
};

pub(crate) async fn a_message_is_read_back_as_it_was_written(store: &Store) {
    let room = Room::new();
    let (id, reply_to_id) = (MessageId::random(), Some(MessageId::random()));
    let alias = UserId::random();
    let body = Body::Message {
        room_id: room.id,
        id,
        sender_id: alias,
        sender_name: "파란 여우".into(),
        temp_id: "t-1".into(),
        content: "hi".into(),
        message_type: MessageType::Image,
        reply_to_id,
    };
    let entry = room.entry(7, Some(room.ann), body.clone());
    assert_eq!(write(store, &entry).await, Outcome::Stored);
    let expected = HistoryItem::Message {
        room_id: room.id,
        id,
        sender_id: alias,
        sender_name: "파란 여우".into(),
        temp_id: "t-1".into(),
        content: Some("hi".into()),
        message_type: MessageType::Image,
        reply_to_id,
        seq: 7,
        created_at: time(7),
        edited_at: None,
        deleted: false,
        reactions: vec![],
    };
    assert_eq!(room.items(store).await, std::slice::from_ref(&expected));
    assert_eq!(store.item(room.id, room.bob, id).await.unwrap(), Some(expected.clone()));
    assert_eq!(store.by_user(room.ann, None, 10).await.unwrap(), [expected], "under the true sender");
    assert_eq!(store.by_user(alias, None, 10).await.unwrap(), []);
    let found = store.find(&[id]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].room_id, found[0].seq, found[0].sender), (room.id, 7, Some(room.ann)));
    assert_eq!(found[0].created_at, time(7));
    let log = store.log(room.id, 0, 10).await.unwrap();
    assert_eq!(log[0].body.as_deref().map(str::as_bytes), Some(body.to_bytes().as_ref()), "byte for byte");
    assert_eq!((log[0].kind, log[0].id, log[0].created_at), (Some(body.kind()), Some(id), time(7)));
}

pub(crate) async fn the_same_insert_again_changes_nothing(store: &Store) {
    let room = Room::new();
    let entries = [room.says(1, "one"), room.confirms(2), room.says(3, "three")];
    let names = [(entries[0].body.id(), "one"), (entries[2].body.id(), "three")];
    assert_eq!(write_all(store, &entries).await, [Outcome::Stored; 3]);
    let picture = room.picture(store, &names).await;
    assert_eq!(write_all(store, &entries).await, [Outcome::Stored; 3]);
    assert_eq!(write(store, &entries[2]).await, Outcome::Stored);
    let twice = [entries[0].clone(), entries[0].clone()];
    assert_eq!(write_all(store, &twice).await, [Outcome::Stored; 2]);
    assert_eq!(room.picture(store, &names).await, picture);
}

pub(crate) async fn messages_arriving_out_of_order_stand_in_order(store: &Store) {
    let room = Room::new();
    for seq in [5, 1, 4, 2, 3] {
        assert_eq!(write(store, &room.says(seq, &seq.to_string())).await, Outcome::Stored);
    }
    assert_eq!(room.seqs(store, Window::Newest, 10).await, (vec![1, 2, 3, 4, 5], false, false));
    let log: Vec<_> = store.log(room.id, 0, 10).await.unwrap().iter().map(|row| row.seq).collect();
    assert_eq!(log, [1, 2, 3, 4, 5]);
    assert_eq!(store.heads(&[room.id]).await.unwrap()[0].seq, 5);
}

pub(crate) async fn a_system_frame_is_an_item_of_history(store: &Store) {
    let room = Room::new();
    let entry = room.confirms(3);
    assert_eq!(write(store, &entry).await, Outcome::Stored);
    let items = room.items(store).await;
    let [HistoryItem::System { change, actor_id, data, seq, created_at, .. }] = items.as_slice() else {
        panic!("one system frame, not {items:?}")
    };
    assert_eq!((change.subject(), *actor_id, *seq, *created_at), ("event.confirmed", Some(room.ann), 3, time(3)));
    assert_eq!(*data, json!({"note": "확정", "list": [1, null]}));
    assert_eq!(unread(store, room.id, room.bob, 0).await, 0, "nobody's message");
    assert_eq!(store.find(&[entry.body.id()]).await.unwrap()[0].sender, None);
}

pub(crate) async fn any_script_survives(store: &Store) {
    let room = Room::new();
    let texts = [
        "안녕하세요, 내일 세 시에 봬요",
        "\u{1112}\u{1161}\u{11ab}", // 한 as three jamo: it must not be composed
        "👩‍👩‍👧‍👦 🇰🇷 👍🏽",
        "e\u{301}\u{327}\u{1f}", // combining marks, and a control character that JSON escapes
        "مرحبا \u{202e}abc",
        "'; DROP TABLE users; -- \"\\ $1 ? {}",
        "\u{10ffff}\u{fffd}\u{feff}",
    ];
    let entries: Vec<_> = (1..).zip(texts).map(|(seq, text)| room.says(seq, text)).collect();
    assert!(write_all(store, &entries).await.iter().all(|outcome| *outcome == Outcome::Stored));
    let items = room.items(store).await;
    assert_eq!(items.iter().map(said).collect::<Vec<_>>(), texts.map(Some));
    for (row, entry) in store.log(room.id, 0, 10).await.unwrap().iter().zip(&entries) {
        assert_eq!(row.body.as_deref().map(str::as_bytes), Some(entry.raw.as_ref()));
    }
}

pub(crate) async fn what_no_store_can_hold_is_refused_and_the_rest_of_its_batch_is_stored(store: &Store) {
    let room = Room::new();
    let entries = [room.says(1, "good"), room.says(2, "b\0d"), room.says(3, "good too")];
    let refused = Outcome::Refused(Code::InvalidContent);
    assert_eq!(write_all(store, &entries).await, [Outcome::Stored, refused, Outcome::Stored]);
    assert_eq!(room.seqs(store, Window::Newest, 10).await.0, [1, 3]);
    let log = store.log(room.id, 0, 10).await.unwrap();
    assert_eq!(
        log.iter().map(|row| (row.seq, row.kind.is_some())).collect::<Vec<_>>(),
        [(1, true), (2, false), (3, true)]
    );
}

pub(crate) async fn an_empty_room_has_nothing(store: &Store) {
    let room = Room::new();
    for window in [Window::Newest, Window::Before(5), Window::After(0), Window::Around(5)] {
        assert_eq!(room.seqs(store, window, 10).await, (vec![], false, false), "{window:?}");
    }
    assert_eq!(store.log(room.id, 0, 10).await.unwrap(), []);
    assert_eq!(store.heads(&[room.id]).await.unwrap(), []);
    assert_eq!(store.heads(&[]).await.unwrap(), []);
    assert_eq!(store.last_seq(room.id).await.unwrap(), 0);
    assert_eq!(unread(store, room.id, room.ann, 0).await, 0);
    assert_eq!(store.by_user(room.ann, None, 10).await.unwrap(), []);
    assert_eq!(store.find(&[MessageId::random()]).await.unwrap(), []);
    assert_eq!(store.find(&[]).await.unwrap(), []);
    assert_eq!(store.item(room.id, room.ann, MessageId::random()).await.unwrap(), None);
    assert_eq!(write_all(store, &[]).await, []);
    store.ping().await.unwrap();
}

pub(crate) async fn a_message_is_found_by_its_id_in_its_room_only(store: &Store) {
    let room = Room::new();
    let entries = [room.says(1, "one"), room.says(2, "two")];
    write_all(store, &entries).await;
    let id = entries[1].body.id();
    let item = store.item(room.id, room.bob, id).await.unwrap().unwrap();
    assert_eq!((item.id(), item.seq()), (id, 2));
    assert_eq!(store.item(RoomId::random(), room.bob, id).await.unwrap(), None);
    let mut found = store.find(&[id, MessageId::random(), entries[0].body.id()]).await.unwrap();
    found.sort_unstable_by_key(|found| found.seq);
    assert_eq!(
        found.iter().map(|found| (found.id, found.seq)).collect::<Vec<_>>(),
        [(entries[0].body.id(), 1), (id, 2)]
    );
}

pub(crate) async fn what_a_person_wrote_is_read_newest_first(store: &Store) {
    let (here, mut there) = (Room::new(), Room::new());
    there.ann = here.ann;
    write_all(store, &[here.says(1, "1"), here.says(4, "4"), here.says_as(5, here.bob, MessageId::random(), "5")])
        .await;
    let edited = there.says(2, "2");
    write_all(store, &[edited.clone(), there.says(6, "6"), there.edits(7, edited.body.id(), "2!")]).await;
    let by_ann = |before, limit| async move {
        let items = store.by_user(here.ann, before, limit).await.unwrap();
        items.iter().map(|item| (item.seq(), said(item).unwrap().to_owned())).collect::<Vec<_>>()
    };
    let owned = |items: &[(u64, &str)]| items.iter().map(|(seq, text)| (*seq, (*text).to_owned())).collect::<Vec<_>>();
    assert_eq!(by_ann(None, 10).await, owned(&[(6, "6"), (4, "4"), (2, "2!"), (1, "1")]));
    assert_eq!(by_ann(None, 2).await, owned(&[(6, "6"), (4, "4")]));
    assert_eq!(by_ann(Some(4), 2).await, owned(&[(2, "2!"), (1, "1")]));
    assert_eq!(by_ann(Some(1), 2).await, owned(&[]));
}

pub(crate) async fn unread_messages_are_those_of_others_above_the_mark(store: &Store) {
    let room = Room::new();
    let deleted = room.says(3, "3");
    write_all(
        store,
        &[
            room.says(1, "1"),
            room.says_as(2, room.bob, MessageId::random(), "2"),
            deleted.clone(),
            room.confirms(4),
            room.says(5, "5"),
            room.deletes(6, deleted.body.id()),
            room.says(7, "7"),
        ],
    )
    .await;
    let count = |reader, mark| unread(store, room.id, reader, mark);
    assert_eq!(count(room.bob, 0).await, 3);
    assert_eq!(count(room.bob, 1).await, 2);
    assert_eq!(count(room.bob, 5).await, 1);
    assert_eq!(count(room.bob, 7).await, 0);
    assert_eq!(count(room.ann, 0).await, 1);
    assert_eq!(count(UserId::random(), 0).await, 4);
}

pub(crate) async fn unread_messages_are_counted_to_a_hundred(store: &Store) {
    let room = Room::new();
    let all: Vec<_> = (1..=250).map(|seq| room.says(seq, "x")).collect();
    write_all(store, &all).await;
    assert_eq!(unread(store, room.id, room.bob, 0).await, 100);
    assert_eq!(unread(store, room.id, room.bob, 150).await, 100);
    assert_eq!(unread(store, room.id, room.bob, 151).await, 99);
    assert_eq!(unread(store, room.id, room.ann, 0).await, 0);
}

pub(crate) async fn heads_are_the_newest_items_of_their_rooms(store: &Store) {
    let (one, two, empty) = (Room::new(), Room::new(), Room::new());
    let said_last = one.says(4, "newest");
    write_all(store, &[one.says(1, "1"), said_last.clone()]).await;
    write_all(store, &[one.edits(6, said_last.body.id(), "newest!")]).await;
    write_all(store, &[two.says(2, "2"), two.confirms(3)]).await;
    store.write_skip(two.id, 9, time(9)).await.unwrap();
    let mut heads = store.heads(&[one.id, empty.id, two.id]).await.unwrap();
    heads.sort_unstable_by_key(|head| head.seq);
    let told: Vec<_> = heads
        .iter()
        .map(|head| (head.room_id, head.seq, head.created_at, head.last_message.as_ref().and_then(said)))
        .collect();
    assert_eq!(told, [(two.id, 3, time(3), Some("system")), (one.id, 4, time(4), Some("newest!"))]);
}

pub(crate) async fn rooms_do_not_see_each_other(store: &Store) {
    let (one, two) = (Room::new(), Room::new());
    write_all(store, &[one.says(1, "1"), one.says(3, "3")]).await;
    write_all(store, &[two.says(2, "2")]).await;
    assert_eq!(one.seqs(store, Window::Newest, 10).await.0, [1, 3]);
    assert_eq!(two.seqs(store, Window::Newest, 10).await.0, [2]);
    assert_eq!(store.log(two.id, 0, 10).await.unwrap().len(), 1);
    assert_eq!(store.last_seq(two.id).await.unwrap(), 2);
}

pub(crate) async fn one_batch_may_be_of_many_rooms(store: &Store) {
    let rooms = [Room::new(), Room::new(), Room::new()];
    let mut batch: Vec<_> = (1..=30).zip(rooms.iter().cycle()).map(|(seq, room)| room.says(seq, "x")).collect();
    batch.push(rooms[0].edits(31, batch[0].body.id(), "x!"));
    for _twice in 0..2 {
        assert_eq!(write_all(store, &batch).await, [Outcome::Stored; 31]);
    }
    for (first, room) in (1..).zip(&rooms) {
        assert_eq!(room.seqs(store, Window::Newest, 100).await.0, (first..=30).step_by(3).collect::<Vec<_>>());
        assert_eq!(store.by_user(room.ann, None, 100).await.unwrap().len(), 10);
    }
    assert_eq!(rooms[0].items(store).await.first().and_then(said), Some("x!"));
    assert_eq!(store.heads(&rooms.clone().map(|room| room.id)).await.unwrap().len(), 3);
}

pub(crate) async fn a_large_batch_of_large_messages_is_stored(store: &Store) {
    let room = Room::new();
    let text = "한".repeat(4000);
    let entries: Vec<_> = (1..=128).map(|seq| room.says(seq, &text)).collect();
    assert!(write_all(store, &entries).await.iter().all(|outcome| *outcome == Outcome::Stored));
    let items = room.items(store).await;
    assert_eq!(items.len(), 100);
    assert!(items.iter().all(|item| said(item) == Some(text.as_str())));
    assert_eq!(store.log(room.id, 0, 200).await.unwrap().len(), 128);
}
