//! What was given up, and could be stored after all.

use chat_store::{Outcome, StoreError};
use schema::{envelope::ReactionAction, problem::Code};

use crate::{
    room::{Room, said, time, write, write_all},
    stores::Store,
};

pub(crate) async fn what_was_given_up_is_written_over_its_skip(store: &Store) {
    let room = Room::new();
    let (first, lost, newest) = (room.says(2, "first"), room.says(4, "lost"), room.says(6, "last"));
    write(store, &first).await;
    store.write_skip(room.id, lost.seq, lost.logged_at).await.unwrap();
    write(store, &newest).await;
    for _twice in 0..2 {
        assert_eq!(store.redrive(&lost).await.unwrap(), Outcome::Stored);
    }
    let names = [(first.body.id(), "first"), (lost.body.id(), "lost"), (newest.body.id(), "last")];
    let redriven = room.picture(store, &names).await;

    let never_lost = Room { id: Room::new().id, ..room.clone() };
    let again = [(2, "first"), (4, "lost"), (6, "last")].map(|(seq, content)| never_lost.says(seq, content));
    write_all(store, &again).await;
    assert_eq!(
        redriven.split("by ann").next(),
        never_lost
            .picture(store, &[0, 1, 2].map(|at: usize| (again[at].body.id(), names[at].1)))
            .await
            .split("by ann")
            .next(),
        "as if it had never been given up"
    );
}

pub(crate) async fn a_redriven_message_is_changed_like_any_other(store: &Store) {
    let room = Room::new();
    let lost = room.says(4, "secret");
    let id = lost.body.id();
    store.write_skip(room.id, lost.seq, lost.logged_at).await.unwrap();
    // These came while it was away.
    write(store, &room.edits(5, id, "edited secret")).await;
    write(store, &room.reacts(6, room.bob, id, "👍", ReactionAction::Added)).await;
    assert_eq!(store.redrive(&lost).await.unwrap(), Outcome::Stored);
    let items = room.items(store).await;
    assert_eq!(items.iter().map(said).collect::<Vec<_>>(), [Some("edited secret")]);
    // And this afterwards.
    write(store, &room.deletes(7, id)).await;
    assert_eq!(room.items(store).await.iter().map(said).collect::<Vec<_>>(), [None]);
    let log = store.log(room.id, 0, 10).await.unwrap();
    assert_eq!(log.iter().map(|row| row.seq).collect::<Vec<_>>(), [4, 5, 6, 7]);
    assert!(log.iter().all(|row| !row.body.as_deref().unwrap().contains("secret")), "{log:?}");
}

pub(crate) async fn what_may_not_be_stored_stays_a_skip_when_it_is_redriven(store: &Store) {
    let room = Room::new();
    let (said, nulled) = (room.says(2, "hi"), room.says(7, "a\0b"));
    write(store, &said).await;
    let not_bobs = room.edits_as(4, room.bob, room.says(0, "").body.id(), said.body.id(), "not yours");
    let second = crate::room::at(&said, 6);
    for (entry, outcome) in [
        (not_bobs, Outcome::Refused(Code::NotAMember)),
        (second, Outcome::Duplicate { first_seq: 2 }),
        (nulled, Outcome::Refused(Code::InvalidContent)),
    ] {
        assert_eq!(write(store, &entry).await, outcome);
        store.write_skip(room.id, entry.seq, entry.logged_at).await.unwrap();
        assert_eq!(store.redrive(&entry).await.unwrap(), outcome, "{entry:?}");
        let log = store.log(room.id, entry.seq - 1, 1).await.unwrap();
        assert_eq!((log[0].seq, log[0].kind, log[0].body.as_ref()), (entry.seq, None, None));
    }
    assert_eq!(room.items(store).await.len(), 1);
}

pub(crate) async fn nothing_is_redriven_over_another_message(store: &Store) {
    let room = Room::new();
    write(store, &room.says(2, "here")).await;
    let refused = store.redrive(&room.says(2, "there")).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(room.items(store).await.iter().map(said).collect::<Vec<_>>(), [Some("here")]);
    assert_eq!(store.log(room.id, 0, 10).await.unwrap()[0].created_at, time(2));
}
