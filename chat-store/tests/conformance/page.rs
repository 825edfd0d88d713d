//! Pages of history, with their edges.

use chat_store::Window;
use schema::frame::history::HistoryItem;

use crate::{
    room::{Room, time, write_all},
    stores::Store,
};

pub(crate) async fn pages_before_after_and_around_a_seq_say_what_is_left(store: &Store) {
    let room = Room::new();
    // Seqs of a room have holes: other rooms are in the same log.
    let seqs: Vec<u64> = (1..=10).map(|n| n * 10).collect();
    write_all(store, &seqs.iter().map(|seq| room.says(*seq, "x")).collect::<Vec<_>>()).await;
    let page = |window, limit| room.seqs(store, window, limit);
    assert_eq!(page(Window::Newest, 3).await, (vec![80, 90, 100], true, false));
    assert_eq!(page(Window::Newest, 10).await, (seqs.clone(), false, false));
    assert_eq!(page(Window::Before(40), 2).await, (vec![20, 30], true, true));
    assert_eq!(page(Window::Before(40), 3).await, (vec![10, 20, 30], false, true));
    assert_eq!(page(Window::Before(41), 1).await, (vec![40], true, true));
    assert_eq!(page(Window::Before(101), 2).await, (vec![90, 100], true, false));
    assert_eq!(page(Window::Before(10), 2).await, (vec![], false, true));
    assert_eq!(page(Window::Before(0), 2).await, (vec![], false, true));
    assert_eq!(page(Window::After(0), 2).await, (vec![10, 20], false, true));
    assert_eq!(page(Window::After(20), 2).await, (vec![30, 40], true, true));
    assert_eq!(page(Window::After(80), 2).await, (vec![90, 100], true, false));
    assert_eq!(page(Window::After(100), 2).await, (vec![], true, false));
    assert_eq!(page(Window::After(u64::MAX), 2).await, (vec![], true, false));
    assert_eq!(page(Window::Around(50), 3).await, (vec![40, 50, 60], true, true));
    assert_eq!(page(Window::Around(55), 4).await, (vec![40, 50, 60, 70], true, true));
    assert_eq!(page(Window::Around(50), 1).await, (vec![50], true, true));
    assert_eq!(page(Window::Around(10), 3).await, (vec![10, 20, 30], false, true));
    assert_eq!(page(Window::Around(100), 3).await, (vec![80, 90, 100], true, false));
    assert_eq!(page(Window::Around(500), 2).await, (vec![90, 100], true, false));
    assert_eq!(page(Window::Around(50), 100).await, (seqs, false, false));
}

pub(crate) async fn pages_hold_from_one_to_a_hundred_items(store: &Store) {
    let room = Room::new();
    write_all(store, &(1..=101).map(|seq| room.says(seq, "x")).collect::<Vec<_>>()).await;
    for limit in [1_u64, 2, 99, 100] {
        let size = usize::try_from(limit).unwrap();
        assert_eq!(room.seqs(store, Window::Newest, size).await, ((102 - limit..=101).collect(), true, false));
        assert_eq!(room.seqs(store, Window::After(0), size).await, ((1..=limit).collect(), false, true));
    }
    assert_eq!(room.seqs(store, Window::Before(101), 100).await, ((1..=100).collect(), false, true));
    assert_eq!(room.seqs(store, Window::After(1), 100).await, ((2..=101).collect(), true, false));
}

pub(crate) async fn pages_skip_what_is_no_item(store: &Store) {
    let room = Room::new();
    let first = room.says(1, "1");
    let id = first.body.id();
    let entries = [first, room.edits(2, id, "a"), room.edits(3, id, "b"), room.confirms(4), room.deletes(6, id)];
    write_all(store, &entries).await;
    store.write_skip(room.id, 5, time(5)).await.unwrap();
    assert_eq!(room.seqs(store, Window::Newest, 1).await, (vec![4], true, false));
    assert_eq!(room.seqs(store, Window::Newest, 2).await, (vec![1, 4], false, false));
    assert_eq!(room.seqs(store, Window::After(1), 1).await, (vec![4], true, false));
    assert_eq!(room.seqs(store, Window::Around(3), 2).await, (vec![1, 4], false, false));
}

pub(crate) async fn walking_back_page_by_page_meets_every_message_once(store: &Store) {
    let room = Room::new();
    write_all(store, &(1..=57).map(|seq| room.says(seq * 3, "x")).collect::<Vec<_>>()).await;
    let mut met = Vec::new();
    let mut window = Window::Newest;
    loop {
        let page = room.page(store, window, 10).await;
        let Some(oldest) = page.items.first().map(HistoryItem::seq) else { break };
        met.splice(0..0, page.items.iter().map(HistoryItem::seq));
        window = Window::Before(oldest);
        if !page.has_more_before {
            break;
        }
    }
    assert_eq!(met, (1..=57).map(|seq| seq * 3).collect::<Vec<_>>());
}
