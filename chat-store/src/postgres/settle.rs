//! The slow way, for an entry whose id is known or that changes a message: one transaction under the locks
//! of all ids it touches, so that any order of arrival ends in the same state.

use std::collections::{BTreeMap, BTreeSet};

use ops::database::Pool;
use schema::{
    envelope::{Body, ReactionAction},
    id::MessageId,
    problem::Code,
};
use sqlx::PgConnection;

use super::{
    change,
    claim::{self, Claim},
    error, item_row, log,
    reaction::{self, Reaction},
    restate,
};
use crate::{Entry, Outcome, StoreError, entry::Before, item::Item, standing::Target};

/// How often a transaction that lost a deadlock is done again before the caller hears of it. Ids are locked in
/// order, so this is for deadlocks over indexes that we did not think of.
const DEADLOCKS_MAX: u32 = 5;

/// Writes one entry, whose body is `text`.
pub(super) async fn settle(pool: &Pool, entry: &Entry, text: &str, before: Before) -> Result<Outcome, StoreError> {
    let mut deadlocks = 0;
    loop {
        match in_transaction(pool, entry, text, before).await {
            Err(error) if error::is_deadlock(&error) && deadlocks < DEADLOCKS_MAX => deadlocks += 1,
            outcome => return outcome,
        }
    }
}

async fn in_transaction(pool: &Pool, entry: &Entry, text: &str, before: Before) -> Result<Outcome, StoreError> {
    let id = entry.body.id();
    let mut ids: BTreeSet<MessageId> = [id].into_iter().chain(entry.body.target()).collect();
    loop {
        let mut tx = pool.begin().await?;
        let claims = claim::lock(&mut tx, &ids).await?;
        let own = claims.get(&id).copied().ok_or(sqlx::Error::RowNotFound)?;
        // What stands under this id may change yet another message: that is locked too, from the start and in order.
        if let Some(other) = own.target_id.filter(|other| !ids.contains(other)) {
            ids.insert(other);
            tx.rollback().await?;
            continue;
        }
        match before {
            Before::Nothing => {}
            Before::GivenUp => log::lift_skip(&mut *tx, entry.room_id, entry.seq).await?,
        }
        let outcome = under_locks(&mut tx, entry, text, own, &claims).await?;
        match (before, outcome) {
            (Before::Nothing, _) => {}
            (Before::GivenUp, Outcome::Stored) => log::expect_id(&mut *tx, entry).await?,
            // As it was: the skip stays.
            (Before::GivenUp, Outcome::Duplicate { .. } | Outcome::Refused(_)) => {
                tx.rollback().await?;
                return Ok(outcome);
            }
        }
        tx.commit().await?;
        return Ok(outcome);
    }
}

async fn under_locks(
    tx: &mut PgConnection,
    entry: &Entry,
    text: &str,
    own: Claim,
    claims: &BTreeMap<MessageId, Claim>,
) -> Result<Outcome, StoreError> {
    match own.at {
        Some(first) if first.seq < entry.seq => return second(tx, entry, &first).await,
        Some(former) if former.seq > entry.seq => {
            withdraw(tx, entry.body.id(), &former, own.target_id, claims).await?;
        }
        Some(_) | None => {}
    }
    claim::take(tx, entry).await?;
    log::insert(&mut *tx, entry, text).await?;
    match (entry.body.target(), Item::of(entry)) {
        (Some(target_id), _) => {
            let target = claims.get(&target_id).and_then(|claim| claim.at);
            apply(tx, entry, target_id, target).await
        }
        (None, Some(item)) => {
            item_row::insert(tx, &item).await?;
            restate::restate(tx, entry.body.id(), &claim::place(entry)).await?;
            Ok(Outcome::Stored)
        }
        (None, None) => Ok(Outcome::Stored),
    }
}

/// The id stands at a lower seq: this one is a skip.
async fn second(tx: &mut PgConnection, entry: &Entry, first: &Target) -> Result<Outcome, StoreError> {
    log::write_skip(&mut *tx, entry.room_id, entry.seq, entry.logged_at).await?;
    let Some(said) = log::body(&mut *tx, first.room_id, first.seq).await? else {
        return Ok(Outcome::Refused(Code::NotAMember));
    };
    // What was deleted can not be compared: then the id alone says that it is the same.
    match serde_json::from_str::<Body>(&said) {
        Ok(said) if !said.says_the_same(&entry.body) => Ok(Outcome::Refused(Code::TempIdReused)),
        Ok(_) | Err(_) => Ok(Outcome::Duplicate { first_seq: first.seq }),
    }
}

/// A lower seq of the id has come: what stands at the higher one turns into a skip, and what it did is undone.
async fn withdraw(
    tx: &mut PgConnection,
    id: MessageId,
    former: &Target,
    former_target: Option<MessageId>,
    claims: &BTreeMap<MessageId, Claim>,
) -> Result<(), StoreError> {
    log::withdraw(&mut *tx, former.room_id, former.seq).await?;
    let Some(target_id) = former_target else {
        tracing::info!(message.id = %id, room.id = %former.room_id, seq = former.seq, "a lower seq took its place");
        return item_row::delete(tx, former.room_id, former.seq).await;
    };
    change::delete(tx, target_id, former.seq).await?;
    reaction::delete(&mut *tx, target_id, former.seq).await?;
    match claims.get(&target_id).and_then(|claim| claim.at) {
        Some(target) => restate::restate(tx, target_id, &target).await.map(|_refused| ()),
        None => Ok(()),
    }
}

/// Does to its target what a change says, or keeps it until the target comes.
async fn apply(
    tx: &mut PgConnection,
    entry: &Entry,
    target_id: MessageId,
    target: Option<Target>,
) -> Result<Outcome, StoreError> {
    match &entry.body {
        Body::Reaction { emoji, action, sender_id, .. } => {
            let reaction = Reaction {
                message_id: target_id,
                room_id: entry.room_id,
                seq: entry.seq,
                emoji,
                user_id: entry.sender.unwrap_or(*sender_id),
                is_added: *action == ReactionAction::Added,
            };
            reaction::insert(&mut *tx, &reaction).await?;
        }
        Body::MessageUpdated { .. } | Body::MessageDeleted { .. } => change::insert(tx, target_id, entry).await?,
        Body::Message { .. } | Body::System { .. } => {}
    }
    let Some(target) = target else { return Ok(Outcome::Stored) };
    let refused = restate::restate(tx, target_id, &target).await?;
    if refused.contains(&entry.seq) { Ok(Outcome::Refused(Code::NotAMember)) } else { Ok(Outcome::Stored) }
}
