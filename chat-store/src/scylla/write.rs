//! Writing entries: claim their ids, keep their changes, settle what follows, then write their rows. Each
//! step goes out as a whole, so a batch costs four round trips, and three without changes.
//!
//! A crash between two steps leaves entries that are claimed and not yet there; the redelivery
//! completes them, and until then nobody finds them.

use std::collections::{HashMap, HashSet};

use ::scylla::value::CqlTimestamp;
use schema::{
    clock::Timestamp,
    envelope::Kind,
    id::{MessageId, RoomId},
    problem::Code,
};
use uuid::Uuid;

use super::{
    ScyllaStore,
    bucket::{self, Bucket},
    claim::{self, Known},
    item_row::{self, State},
    log::{self, Place, Skip},
    mutation::{self, Mutation, Partition},
    reaction,
    settle::Effects,
    statement::higher_wins,
};
use crate::{Entry, Outcome, StoreError, column, entry::Before, error::OTHER_AT_SEQ, item::Item, storable};

/// Everything known of the ids that a batch touches.
type KnownIds = HashMap<MessageId, Known>;

/// Writes entries.
pub(super) async fn write(store: &ScyllaStore, entries: &[Entry]) -> Result<Vec<Outcome>, StoreError> {
    let texts: Vec<_> = entries.iter().map(storable::text_of).collect();
    let good: Vec<&Entry> =
        entries.iter().zip(&texts).filter(|(_, text)| text.is_ok()).map(|(entry, _)| entry).collect();

    let (known, effects) = settle(store, &good).await?;
    let mut rows = Rows::default();
    let mut outcomes = Vec::with_capacity(entries.len());
    for (entry, text) in entries.iter().zip(texts) {
        let outcome = match text {
            Ok(_) => judge(entry, &known, &effects),
            Err(refusal) => refusal,
        };
        match (outcome, text) {
            (Outcome::Stored, Ok(text)) => rows.add(store, entry, text, &effects, Before::Nothing),
            (_, Ok(_)) => rows.add_skip(store, &place(entry), Skip::Overruled),
            (_, Err(_)) => rows.add_skip(store, &place(entry), Skip::GivenUp),
        }
        outcomes.push(outcome);
    }
    mutation::run(&store.session, rows.finish(store)).await?;
    Ok(outcomes)
}

/// Writes an entry over the skip of what was given up.
pub(super) async fn redrive(store: &ScyllaStore, entry: &Entry) -> Result<Outcome, StoreError> {
    let text = match storable::text_of(entry) {
        Ok(text) => text,
        Err(refusal) => return Ok(refusal),
    };
    let (id, there) = (entry.body.id().as_uuid(), log::id(store, &place(entry)).await?);
    if there.is_some_and(|there| there != id) {
        return Err(StoreError::Refused(OTHER_AT_SEQ.into()));
    }
    let (known, effects) = settle(store, &[entry]).await?;
    let outcome = judge(entry, &known, &effects);
    if outcome == Outcome::Stored {
        let mut rows = Rows::default();
        rows.add(store, entry, text, &effects, Before::GivenUp);
        mutation::run(&store.session, rows.finish(store)).await?;
    }
    Ok(outcome)
}

/// Writes that a seq can not be shown.
pub(super) async fn write_skip(
    store: &ScyllaStore,
    room_id: RoomId,
    seq: u64,
    created_at: Timestamp,
) -> Result<(), StoreError> {
    let mut rows = Rows::default();
    rows.add_skip(store, &Place { room_id, seq, created_at }, Skip::GivenUp);
    mutation::run(&store.session, rows.finish(store)).await
}

fn place(entry: &Entry) -> Place {
    Place { room_id: entry.room_id, seq: entry.seq, created_at: entry.logged_at }
}

/// Claims the ids of `entries`, and writes what follows from all that is known of them; their own rows are left.
async fn settle(store: &ScyllaStore, entries: &[&Entry]) -> Result<(KnownIds, Effects), StoreError> {
    let known = claim_ids(store, entries).await?;
    let mut effects = Effects::default();
    for (id, known) in &known {
        effects.settle(store, *id, known, entries).await?;
    }
    mutation::run(&store.session, std::mem::take(&mut effects.mutations)).await?;
    Ok((known, effects))
}

/// Claims the ids of `entries` and keeps their changes; then answers all that is known of every id they touch.
async fn claim_ids(store: &ScyllaStore, entries: &[&Entry]) -> Result<KnownIds, StoreError> {
    let claims = entries.iter().map(|entry| claim::claim(store, entry)).collect();
    mutation::run(&store.session, claims).await?;
    let ids: HashSet<MessageId> = entries.iter().map(|entry| entry.body.id()).collect();
    let mut known = store.known(ids).await?;

    let mut changes = Vec::new();
    let mut targets = HashSet::new();
    for entry in entries {
        let Some(own) = known.get(&entry.body.id()) else { continue };
        keep_change(store, entry, own, &mut changes, &mut targets);
    }
    if !targets.is_empty() {
        mutation::run(&store.session, changes).await?;
        known.extend(store.known(targets).await?);
    }
    Ok(known)
}

/// Keeps the change that `entry` is with its target, and takes back those that were second seqs of its id.
fn keep_change(
    store: &ScyllaStore,
    entry: &Entry,
    own: &Known,
    changes: &mut Vec<Mutation>,
    targets: &mut HashSet<MessageId>,
) {
    if let Some(target) = entry.body.target() {
        targets.insert(target);
        match reaction::insert(store, entry) {
            Some(inserted) => changes.extend([inserted, claim::reacted(store, target)]),
            None => changes.push(claim::keep(store, target, entry)),
        }
    }
    for second in own.claims.iter().skip(1) {
        let Some(target) = second.target_id else { continue };
        targets.insert(target);
        changes.push(match second.at.kind {
            Kind::Reaction => reaction::delete(store, target, second.at.seq),
            Kind::Message | Kind::MessageUpdated | Kind::MessageDeleted | Kind::System => {
                claim::void(store, target, second.at.seq)
            }
        });
    }
}

/// What became of an entry whose id is claimed.
fn judge(entry: &Entry, known: &KnownIds, effects: &Effects) -> Outcome {
    let Some(first) = known.get(&entry.body.id()).and_then(Known::first) else { return Outcome::Stored };
    if first.at.seq == entry.seq {
        let is_refused = effects.refused.contains(&(entry.room_id, entry.seq));
        return if is_refused { Outcome::Refused(Code::NotAMember) } else { Outcome::Stored };
    }
    let target = first.target_id.and_then(|target| known.get(&target));
    let is_refused =
        |target: &Known| !target.admits(first.at.kind, first.at.room_id, first.at.sender, first.is_moderator);
    if target.is_some_and(is_refused) {
        return Outcome::Refused(Code::NotAMember);
    }
    // What was deleted can not be compared: then the id alone says that it is the same.
    match &first.said {
        Some(said) if *said != claim::hash(&entry.body) => Outcome::Refused(Code::TempIdReused),
        Some(_) | None => Outcome::Duplicate { first_seq: first.at.seq },
    }
}

/// The rows of a batch.
#[derive(Default)]
struct Rows {
    mutations: Vec<Mutation>,
    room_months: HashMap<(RoomId, i32), Bucket>,
    user_months: HashMap<(Uuid, i32), Bucket>,
    heads: HashMap<RoomId, (u64, Timestamp)>,
}

impl Rows {
    fn add(&mut self, store: &ScyllaStore, entry: &Entry, text: &str, effects: &Effects, before: Before) {
        let place = place(entry);
        let erased_seq = effects.erased.get(&(entry.room_id, entry.seq)).copied();
        self.mutations.push(log::insert(store, &place, entry, text, erased_seq, before));
        widen(&mut self.room_months, entry.room_id, &place);
        let Some(mut item) = Item::of(entry) else { return };
        let head = self.heads.entry(entry.room_id).or_insert((entry.seq, entry.logged_at));
        *head = (*head).max((entry.seq, entry.logged_at));
        if let (Kind::Message, Some(sender)) = (item.kind, item.sender) {
            let (room, month, seq) = place.key();
            let values = (sender, month, seq, room, item.id.as_uuid());
            let partition = Partition::Month(sender, month);
            self.mutations.push(Mutation::new(partition, &store.statements.by_user_insert, values));
            widen(&mut self.user_months, sender, &place);
        }
        item.has_reactions = effects.reacted.contains(&item.id);
        let as_said = || State { content: item.content.clone(), edited: None, deleted_seq: None, knowledge: 1 };
        let state = effects.states.get(&item.id).cloned().unwrap_or_else(as_said);
        self.mutations.push(item_row::insert(store, item, state));
    }

    fn add_skip(&mut self, store: &ScyllaStore, place: &Place, why: Skip) {
        self.mutations.push(log::skip(store, place, why));
        widen(&mut self.room_months, place.room_id, place);
    }

    fn finish(mut self, store: &ScyllaStore) -> Vec<Mutation> {
        for ((room, _), bucket) in self.room_months {
            self.mutations.extend(bucket::widen_room(store, room, bucket));
        }
        for ((user, _), bucket) in self.user_months {
            self.mutations.extend(bucket::widen_user(store, user, bucket));
        }
        for (room_id, (seq, created_at)) in self.heads {
            let room = room_id.as_uuid();
            let at = CqlTimestamp(created_at.unix_millis());
            let values = (room, bucket::month(created_at), column::of_seq(seq), at, higher_wins(seq));
            self.mutations.push(Mutation::new(Partition::One(room), &store.statements.head_raise, values));
        }
        self.mutations
    }
}

/// Makes the month of `place` hold its seq.
fn widen<K: std::hash::Hash + Eq>(months: &mut HashMap<(K, i32), Bucket>, key: K, place: &Place) {
    let Place { seq, created_at, .. } = *place;
    let month = bucket::month(created_at);
    let bucket = months.entry((key, month)).or_insert(Bucket { month, first_seq: seq, last_seq: seq });
    bucket.first_seq = bucket.first_seq.min(seq);
    bucket.last_seq = bucket.last_seq.max(seq);
}
