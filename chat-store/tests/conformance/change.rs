//! Edits and deletions: whatever the order of arrival, one state.

use chat_store::{Entry, Outcome};
use futures_util::future::join_all;
use schema::{envelope::Kind, frame::history::HistoryItem, id::MessageId, problem::Code};

use crate::{
    room::{Room, permutations, said, time, write, write_all},
    stores::Store,
};

/// A story about one message: its steps, and names for its ids.
type Story = fn(&Room) -> (Vec<Entry>, Vec<(MessageId, &'static str)>);

fn insert_edit_edit_delete(room: &Room) -> (Vec<Entry>, Vec<(MessageId, &'static str)>) {
    let (mut story, mut labels) = insert_edit_edit(room);
    let delete = room.deletes(40, labels[0].0);
    labels.push((delete.body.id(), "delete"));
    story.push(delete);
    (story, labels)
}

/// Of texts that sort against their order: where two writes tie, the greater text would win.
fn insert_edit_edit(room: &Room) -> (Vec<Entry>, Vec<(MessageId, &'static str)>) {
    let insert = room.says(10, "c first");
    let id = insert.body.id();
    let (edit, again) = (room.edits(20, id, "b second"), room.edits(30, id, "a third"));
    let names = vec![(id, "insert"), (edit.body.id(), "edit"), (again.body.id(), "again")];
    (vec![insert, edit, again], names)
}

/// The picture of a story told in its own order.
async fn told(store: &Store, tell: Story) -> String {
    let room = Room::new();
    let (steps, names) = tell(&room);
    for entry in &steps {
        assert_eq!(write(store, entry).await, Outcome::Stored);
    }
    room.picture(store, &names).await
}

async fn check_all_orders(store: &Store, tell: Story) {
    let expected = told(store, tell).await;
    let count = tell(&Room::new()).0.len();
    for order in permutations(&(0..count).collect::<Vec<_>>()) {
        for times in 1..=2 {
            let room = Room::new();
            let (steps, names) = tell(&room);
            for index in &order {
                for _repeated in 0..times {
                    assert_eq!(write(store, &steps[*index]).await, Outcome::Stored, "{order:?}");
                }
            }
            assert_eq!(room.picture(store, &names).await, expected, "{order:?}, each {times} times");
        }
    }
}

pub(crate) async fn every_order_of_insert_edit_edit_delete_ends_in_the_same_state(store: &Store) {
    check_all_orders(store, insert_edit_edit_delete).await;
}

pub(crate) async fn every_order_of_insert_edit_edit_ends_in_the_same_state(store: &Store) {
    check_all_orders(store, insert_edit_edit).await;
}

pub(crate) async fn insert_edit_edit_delete_at_once_end_in_the_same_state(store: &Store) {
    let stories: [Story; 2] = [insert_edit_edit_delete, insert_edit_edit];
    for story in stories {
        let expected = told(store, story).await;
        for round in 0..25 {
            let room = Room::new();
            let (steps, names) = story(&room);
            // Each index twice, as two workers would write a redelivered one.
            let writes = steps.iter().chain(&steps).map(|entry| write(store, entry));
            let outcomes = join_all(writes).await;
            assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Stored), "round {round}: {outcomes:?}");
            assert_eq!(room.picture(store, &names).await, expected, "round {round}");
        }
    }
}

pub(crate) async fn insert_edit_edit_delete_in_one_batch_end_in_the_same_state(store: &Store) {
    let expected = told(store, insert_edit_edit_delete).await;
    for order in permutations(&[0, 1, 2, 3]) {
        let room = Room::new();
        let (steps, names) = insert_edit_edit_delete(&room);
        let batch: Vec<Entry> = order.iter().map(|index: &usize| steps[*index].clone()).collect();
        assert_eq!(write_all(store, &batch).await, [Outcome::Stored; 4], "{order:?}");
        assert_eq!(room.picture(store, &names).await, expected, "{order:?}");
    }
}

pub(crate) async fn an_edit_shows_its_text_and_time(store: &Store) {
    let room = Room::new();
    let entry = room.says(1, "helo");
    let id = entry.body.id();
    write_all(store, &[entry, room.edits(2, id, "hello"), room.edits(3, id, "안녕")]).await;
    let items = room.items(store).await;
    let [HistoryItem::Message { content, edited_at, deleted, created_at, .. }] = items.as_slice() else {
        panic!("one message, not {items:?}")
    };
    assert_eq!((content.as_deref(), *edited_at, *deleted, *created_at), (Some("안녕"), Some(time(3)), false, time(1)));
}

pub(crate) async fn a_deleted_message_keeps_its_place_without_its_text(store: &Store) {
    let room = Room::new();
    let entry = room.says(1, "secret one");
    let id = entry.body.id();
    let entries = [entry, room.edits(2, id, "secret two"), room.says(3, "public"), room.deletes(4, id)];
    write_all(store, &entries).await;
    write(store, &room.edits(5, id, "secret three")).await;
    let items = room.items(store).await;
    let HistoryItem::Message { content, deleted, edited_at, sender_name, .. } = &items[0] else { panic!("a message") };
    assert_eq!((content, *deleted, *edited_at, sender_name.as_str()), (&None, true, Some(time(2)), "Ann"));
    assert_eq!(said(&items[1]), Some("public"));
    let log = store.log(room.id, 0, 10).await.unwrap();
    assert_eq!(log.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    for row in &log {
        let body = row.body.as_deref().unwrap();
        assert!(!body.contains("secret"), "{body}");
        assert!(body.starts_with(r#"{"type":""#), "{body}");
        let is_erased = [1, 2, 5].contains(&row.seq);
        assert_eq!(body.contains(r#""content":null"#), is_erased, "{body}");
    }
    let message = String::from_utf8(entries[0].raw.to_vec()).unwrap().replace(r#""secret one""#, "null");
    assert_eq!(log[0].body.as_deref(), Some(message.as_str()), "everything else stays");
}

pub(crate) async fn only_the_author_changes_a_message_whoever_comes_first(store: &Store) {
    let mut pictures = Vec::new();
    for order in permutations(&[0, 1, 2, 3]) {
        let room = Room::new();
        let insert = room.says(10, "mine");
        let id = insert.body.id();
        let edit = room.edits_as(20, room.bob, MessageId::random(), id, "not yours");
        let delete = room.deletes_as(30, room.bob, id);
        let own = room.edits(40, id, "mine!");
        let names = [(id, "insert"), (edit.body.id(), "edit"), (delete.body.id(), "delete"), (own.body.id(), "own")];
        let steps = [insert, edit.clone(), delete.clone(), own];
        for index in &order {
            write(store, &steps[*index]).await;
        }
        // Whatever was said before the message was there: once it is, they are refused.
        for refused in [&edit, &delete] {
            assert_eq!(write(store, refused).await, Outcome::Refused(Code::NotAMember), "{order:?}");
        }
        pictures.push(room.picture(store, &names).await);
        let log = store.log(room.id, 0, 10).await.unwrap();
        assert_eq!(log.iter().map(|row| row.kind.is_some()).collect::<Vec<_>>(), [true, false, false, true]);
        assert_eq!(said(&room.items(store).await[0]), Some("mine!"));
    }
    assert!(pictures.iter().all(|picture| *picture == pictures[0]));
}

fn insert_edit_moderate(room: &Room) -> (Vec<Entry>, Vec<(MessageId, &'static str)>) {
    let (mut story, mut labels) = insert_edit_edit(room);
    story.truncate(2);
    labels.truncate(2);
    let delete = room.deletes_by_role(40, labels[0].0);
    labels.push((delete.body.id(), "delete"));
    story.push(delete);
    (story, labels)
}

pub(crate) async fn every_order_of_insert_edit_and_a_moderators_deletion_ends_in_the_same_state(store: &Store) {
    check_all_orders(store, insert_edit_moderate).await;
}

pub(crate) async fn who_runs_the_room_deletes_and_does_not_edit(store: &Store) {
    let room = Room::new();
    let insert = room.says(1, "mine");
    let id = insert.body.id();
    let edit = Entry { is_moderator: true, ..room.edits_as(2, room.bob, MessageId::random(), id, "not yours") };
    write(store, &insert).await;
    assert_eq!(write(store, &edit).await, Outcome::Refused(Code::NotAMember));
    assert_eq!(said(&room.items(store).await[0]), Some("mine"));
    assert!(!store.find(&[id]).await.unwrap()[0].is_deleted);
    assert_eq!(write(store, &room.deletes_by_role(3, id)).await, Outcome::Stored);
    assert_eq!(said(&room.items(store).await[0]), None);
    let found = store.find(&[id]).await.unwrap();
    assert_eq!((found[0].is_deleted, found[0].kind, found[0].sender), (true, Kind::Message, Some(room.ann)));
}

pub(crate) async fn a_message_is_changed_from_its_own_room_only(store: &Store) {
    for is_message_first in [true, false] {
        let (room, mut other) = (Room::new(), Room::new());
        other.ann = room.ann;
        let insert = room.says(1, "here");
        let edit = other.edits(2, insert.body.id(), "from there");
        let delete = other.deletes(3, insert.body.id());
        let changes = [edit, delete];
        if is_message_first {
            write(store, &insert).await;
            write_all(store, &changes).await;
        } else {
            write_all(store, &changes).await;
            write(store, &insert).await;
        }
        assert_eq!(write_all(store, &changes).await, [Outcome::Refused(Code::NotAMember); 2]);
        assert_eq!(said(&room.items(store).await[0]), Some("here"));
        assert!(store.log(other.id, 0, 10).await.unwrap().iter().all(|row| row.kind.is_none()));
        assert_eq!(store.last_seq(other.id).await.unwrap(), 3);
    }
}

pub(crate) async fn a_change_of_a_change_is_refused(store: &Store) {
    let room = Room::new();
    let insert = room.says(1, "hi");
    let edit = room.edits(2, insert.body.id(), "hi!");
    let system = room.confirms(3);
    write_all(store, &[insert, edit.clone(), system.clone()]).await;
    for target in [edit.body.id(), system.body.id()] {
        assert_eq!(write(store, &room.edits(4, target, "?")).await, Outcome::Refused(Code::NotAMember));
        assert_eq!(write(store, &room.deletes(5, target)).await, Outcome::Refused(Code::NotAMember));
    }
    let itself = MessageId::random();
    let of_itself = room.edits_as(6, room.ann, itself, itself, "?");
    assert_eq!(write(store, &of_itself).await, Outcome::Refused(Code::NotAMember));
    assert_eq!(room.items(store).await.len(), 2);
}

pub(crate) async fn a_change_that_stands_below_its_message_changes_nothing(store: &Store) {
    for is_message_first in [true, false] {
        let room = Room::new();
        let insert = room.says(5, "hi");
        let changes = [room.edits(1, insert.body.id(), "early"), room.deletes(2, insert.body.id())];
        if is_message_first {
            write(store, &insert).await;
        }
        assert_eq!(write_all(store, &changes).await, [Outcome::Stored; 2]);
        write(store, &insert).await;
        // No phone knew the message yet, so none applied them.
        let items = room.items(store).await;
        assert_eq!(items.iter().map(said).collect::<Vec<_>>(), [Some("hi")]);
    }
}
