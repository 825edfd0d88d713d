//! Reactions: what stands under a message, whatever came first.

use chat_store::{Entry, Outcome};
use schema::{
    envelope::ReactionAction::{Added, Removed},
    frame::history::{HistoryItem, ReactionCount},
    id::MessageId,
    problem::Code,
};

use crate::{
    room::{Room, permutations, time, write, write_all},
    stores::Store,
};

fn count(emoji: &str, count: u64, me: bool) -> ReactionCount {
    ReactionCount { emoji: emoji.into(), count, me }
}

/// What stands under the room's only message, as Ann sees it.
async fn standing(store: &Store, room: &Room) -> Vec<ReactionCount> {
    let items = room.items(store).await;
    let [HistoryItem::Message { reactions, .. }] = items.as_slice() else { panic!("one message, not {items:?}") };
    reactions.clone()
}

pub(crate) async fn reactions_are_counted_by_their_last_seq(store: &Store) {
    let room = Room::new();
    let insert = room.says(1, "hi");
    let id = insert.body.id();
    write(store, &insert).await;
    assert_eq!(standing(store, &room).await, []);
    let entries = [
        room.reacts(2, room.ann, id, "👍", Added),
        room.reacts(3, room.bob, id, "👍", Added),
        room.reacts(4, room.bob, id, "🎉", Added),
        room.reacts(5, room.ann, id, "🎉", Removed),
        room.reacts(6, room.bob, id, "❤️", Added),
        room.reacts(7, room.bob, id, "❤️", Removed),
    ];
    assert!(write_all(store, &entries).await.iter().all(|outcome| *outcome == Outcome::Stored));
    assert_eq!(standing(store, &room).await, [count("🎉", 1, false), count("👍", 2, true)]);
    // A removal that was held up changes nothing any more.
    write(store, &room.reacts(8, room.ann, id, "👍", Removed)).await;
    write(store, &entries[0]).await;
    assert_eq!(standing(store, &room).await, [count("🎉", 1, false), count("👍", 1, false)]);
    let item = store.item(room.id, room.bob, id).await.unwrap();
    assert!(matches!(item, Some(HistoryItem::Message { reactions, .. }) if reactions.iter().all(|count| count.me)));
}

pub(crate) async fn every_order_of_message_and_reactions_ends_in_the_same_state(store: &Store) {
    let mut pictures = Vec::new();
    for order in permutations(&[0, 1, 2, 3]) {
        let room = Room::new();
        let insert = room.says(1, "hi");
        let id = insert.body.id();
        let steps = [
            insert,
            room.reacts(2, room.bob, id, "👍", Added),
            room.reacts(3, room.bob, id, "👍", Removed),
            room.reacts(4, room.ann, id, "👍", Added),
        ];
        for step in &order {
            assert_eq!(write(store, &steps[*step]).await, Outcome::Stored);
        }
        let labels = ["insert", "added", "removed", "again"];
        let names: Vec<_> = steps.iter().map(|step| step.body.id()).zip(labels).collect();
        assert_eq!(standing(store, &room).await, [count("👍", 1, true)], "{order:?}");
        pictures.push(room.picture(store, &names).await);
    }
    assert!(pictures.iter().all(|picture| *picture == pictures[0]));
}

pub(crate) async fn a_reaction_to_another_rooms_message_is_refused_whoever_comes_first(store: &Store) {
    for is_message_first in [true, false] {
        let (room, mut other) = (Room::new(), Room::new());
        other.ann = room.ann;
        let insert = room.says(1, "hi");
        let reaction = other.reacts(2, room.bob, insert.body.id(), "👍", Added);
        if is_message_first {
            write(store, &insert).await;
        } else {
            assert_eq!(write(store, &reaction).await, Outcome::Stored);
            write(store, &insert).await;
        }
        assert_eq!(write(store, &reaction).await, Outcome::Refused(Code::NotAMember));
        assert_eq!(standing(store, &room).await, []);
        assert_eq!(store.log(other.id, 0, 10).await.unwrap()[0].kind, None);
        assert_eq!(store.find(&[reaction.body.id()]).await.unwrap(), []);
    }
}

pub(crate) async fn the_second_seq_of_a_reaction_does_not_count(store: &Store) {
    for order in permutations(&[0, 1, 2, 3]) {
        let room = Room::new();
        let insert = room.says(1, "hi");
        let id: MessageId = insert.body.id();
        let added = room.reacts(2, room.bob, id, "👍", Added);
        let again = Entry { seq: 4, logged_at: time(4), ..added.clone() };
        let steps = [insert, added, room.reacts(3, room.bob, id, "👍", Removed), again.clone()];
        for step in &order {
            write(store, &steps[*step]).await;
        }
        assert_eq!(write(store, &again).await, Outcome::Duplicate { first_seq: 2 });
        assert_eq!(standing(store, &room).await, [], "{order:?}");
    }
}
