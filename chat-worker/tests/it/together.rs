//! Rooms that write at the same time share a call of the store, and not each other's faults.

use std::sync::Arc;

use chat_store::{Entry, MessageStore, Outcome, StoreError, postgres::PostgresStore};
use chat_worker::{
    high_water::HighWater,
    together::{BYTES_MAX, ENTRIES_MAX, Together},
};
use futures_util::{FutureExt as _, future::join_all};
use ops::clock::Clock;
use schema::id::RoomId;
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::{
    harness::Message,
    unreliable::{Fault, Faults, UnreliableStore},
};

struct Desk {
    store: Arc<PostgresStore>,
    faults: Arc<Faults>,
    together: Arc<Together>,
}

impl Desk {
    fn new(pool: PgPool) -> Self {
        let (store, faults) = (Arc::new(PostgresStore::new(pool)), Arc::new(Faults::default()));
        let unreliable: Arc<dyn MessageStore> =
            Arc::new(UnreliableStore { inner: Arc::<PostgresStore>::clone(&store), faults: Arc::clone(&faults) });
        let high_water = HighWater::new(Arc::clone(&unreliable));
        Self { store, faults, together: Arc::new(Together::new(unreliable, high_water)) }
    }

    /// One message in each of so many rooms, all at once, the first of them at seq 1: what each room was answered.
    async fn write(&self, rooms: u64) -> Vec<Result<Vec<Outcome>, StoreError>> {
        self.write_all((1..=rooms).map(entry)).await
    }

    async fn write_all(&self, entries: impl Iterator<Item = Entry>) -> Vec<Result<Vec<Outcome>, StoreError>> {
        join_all(entries.map(async |entry| self.together.write(&[entry]).await)).await
    }

    /// The sizes of the calls that were made.
    fn calls(&self) -> Vec<usize> {
        self.faults.groups().iter().map(Vec::len).collect()
    }
}

fn entry(seq: u64) -> Entry {
    entry_of(seq, "hi")
}

fn entry_of(seq: u64, content: &str) -> Entry {
    let room_id = RoomId::random();
    let Message { body, sender, .. } = Message::new(room_id, content);
    Entry {
        room_id,
        seq,
        logged_at: Clock::default().now(),
        sender: Some(sender),
        is_moderator: false,
        raw: body.to_bytes(),
        body,
    }
}

fn is_stored(answer: &Result<Vec<Outcome>, StoreError>) -> bool {
    matches!(answer.as_deref(), Ok([Outcome::Stored]))
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_comes_while_the_mark_is_raised_is_one_call_under_one_mark(pool: PgPool) {
    let desk = Desk::new(pool);
    assert!(desk.write(50).await.iter().all(is_stored));
    assert_eq!(desk.calls(), [1, 49], "the first waits for nobody");
    assert_eq!(desk.store.high_water().await.unwrap(), 50);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_call_has_its_bounds(pool: PgPool) {
    let desk = Desk::new(pool);
    assert!(desk.write(600).await.iter().all(is_stored));
    assert_eq!(desk.calls(), [1, ENTRIES_MAX, ENTRIES_MAX, 599 - 2 * ENTRIES_MAX]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_call_has_its_bytes(pool: PgPool) {
    let desk = Desk::new(pool);
    let long = "x".repeat(BYTES_MAX / 4);
    assert!(desk.write_all((1..=8).map(|seq| entry_of(seq, &long))).await.iter().all(is_stored));
    // Four are a little too much, because there is more in a body than what was said.
    assert_eq!(desk.calls(), [1, 3, 3, 1]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn what_the_store_refuses_of_one_room_it_takes_of_the_others(pool: PgPool) {
    let desk = Desk::new(pool);
    desk.faults.on_write(|entries| entries.iter().any(|entry| entry.seq == 7).then_some(Fault::Refused));
    let answers = desk.write(50).await;
    assert!(matches!(answers[6], Err(StoreError::Refused(_))), "{:?}", answers[6]);
    assert_eq!(answers.iter().filter(|answer| is_stored(answer)).count(), 49);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_store_that_is_away_is_not_asked_again_for_each_room(pool: PgPool) {
    let desk = Desk::new(pool);
    desk.faults.on_write(|_| Some(Fault::Unavailable));
    let answers = desk.write(50).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(StoreError::Unavailable(_)))));
    assert_eq!(desk.calls(), [1, 49]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn a_call_that_takes_long_keeps_no_room_waiting(pool: PgPool) {
    let desk = Desk::new(pool);
    desk.faults.on_write(|entries| (entries.len() > 1).then_some(Fault::Held));
    assert!(desk.write(50).await.iter().all(is_stored));
    assert_eq!(desk.calls()[..2], [1, 49]);
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn after_a_write_that_failed_the_mark_is_raised_again(pool: PgPool) {
    let desk = Desk::new(pool.clone());
    assert!(desk.write(50).await.iter().all(is_stored));
    for fault in [Fault::Unavailable, Fault::Held] {
        // As after a crash that took the last raise, and with it the write that was to follow.
        sqlx::query("UPDATE log_high_water SET seq = 20").execute(&pool).await.unwrap();
        desk.faults.on_write(move |_| Some(fault));
        let failed = desk.together.write(&[entry(30)]).boxed().now_or_never();
        assert!(failed.is_none_or(|answer| answer.is_err()), "refused, or given up while it is held");
        desk.faults.release();
        assert!(is_stored(&desk.together.write(&[entry(40)]).await));
        assert_eq!(desk.store.high_water().await.unwrap(), 50);
    }
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn whoever_dies_of_a_call_dies_alone(pool: PgPool) {
    let desk = Desk::new(pool);
    // All that are called for together: whoever made the call is gone without an answer.
    desk.faults.on_write(|entries| (entries.len() > 1).then_some(Fault::Panic));
    let mut writers = JoinSet::new();
    for seq in 1..=50 {
        let together = Arc::clone(&desk.together);
        writers.spawn(async move { together.write(&[entry(seq)]).await });
    }
    let mut dead = 0;
    while let Some(writer) = writers.join_next().await {
        match writer {
            Ok(answer) => assert!(is_stored(&answer), "{answer:?}"),
            Err(_panicked) => dead += 1,
        }
    }
    assert_eq!(dead, 1, "there was a call for many, and who made it died");
}

#[sqlx::test(migrator = "schema::postgres::MIGRATOR")]
async fn whoever_gives_up_leaves_nobody_waiting(pool: PgPool) {
    let desk = Desk::new(pool);
    let entries: Vec<Entry> = (1..=3).map(entry).collect();
    let [mut first, mut second, mut third] =
        [0, 1, 2].map(|n| desk.together.write(std::slice::from_ref(&entries[n])).boxed());
    for write in [&mut first, &mut second, &mut third] {
        assert!(write.now_or_never().is_none());
    }
    assert!(is_stored(&first.await));
    // The second takes the third along, and is dropped before its mark is raised.
    assert!((&mut second).now_or_never().is_none());
    drop(second);
    assert!(is_stored(&third.await));
    assert_eq!(desk.calls(), [1, 1]);
}
