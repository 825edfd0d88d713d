//! What follows from everything that is known under an id: second seqs turn into skips, changes are applied
//! or refused, a deleted message's text is blanked.

use std::collections::{HashMap, HashSet};

use schema::{
    envelope::{Body, Kind},
    id::{MessageId, RoomId},
};

use super::{
    ScyllaStore,
    claim::{self, Claim, Kept, Known},
    item_row::{self, State},
    log::{self, Place, Skip},
    mutation::{Mutation, Partition},
    reaction,
    statement::FINAL,
};
use crate::{
    Entry, StoreError,
    standing::{Change, Standing},
};

/// What is to be written, and what the entries' own rows must say.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) mutations: Vec<Mutation>,
    /// Changes that may not touch their message.
    pub(super) refused: HashSet<(RoomId, u64)>,
    /// Seqs of this batch whose text was deleted, and by which seq.
    pub(super) erased: HashMap<(RoomId, u64), u64>,
    /// How the new messages of this batch stand.
    pub(super) states: HashMap<MessageId, State>,
    /// New messages that have reactions already.
    pub(super) reacted: HashSet<MessageId>,
}

impl Claim {
    pub(super) fn place(&self) -> Place {
        Place { room_id: self.at.room_id, seq: self.at.seq, created_at: self.created_at }
    }
}

fn place_of(change: &Change) -> Place {
    Place { room_id: change.room_id, seq: change.seq, created_at: change.created_at }
}

impl Effects {
    /// Adds what follows for `id`; `entries` are those of this batch.
    pub(super) async fn settle(
        &mut self,
        store: &ScyllaStore,
        id: MessageId,
        known: &Known,
        entries: &[&Entry],
    ) -> Result<(), StoreError> {
        let Some(first) = known.first() else { return Ok(()) };
        self.demote(store, known);
        let (valid, refused): (Vec<&Kept>, Vec<&Kept>) =
            known.changes.iter().partition(|kept| admits(known, &kept.change));
        for Kept { change, .. } in refused {
            self.refuse(store, &place_of(change));
        }
        for entry in entries.iter().filter(|entry| is_reaction_to(id, entry)) {
            if !known.admits(Kind::Reaction, entry.room_id, entry.sender, false) {
                self.mutations.push(reaction::delete(store, id, entry.seq));
                self.refused.insert((entry.room_id, entry.seq));
            }
        }
        let new = entries.iter().find(|entry| entry.body.id() == id && entry.seq == first.at.seq);
        if known.has_reactions {
            self.react(store, id, known, first, new.is_some()).await?;
        }
        if first.at.kind == Kind::Message {
            self.restate(store, id, known, first, &valid, new.copied()).await?;
            self.erase(store, id, known, &valid, entries).await?;
        }
        Ok(())
    }

    /// All claims but the first are skips.
    fn demote(&mut self, store: &ScyllaStore, known: &Known) {
        for second in known.claims.iter().skip(1) {
            let place = second.place();
            self.mutations.push(log::skip(store, &place, Skip::Overruled));
            if matches!(second.at.kind, Kind::Message | Kind::System) {
                self.mutations.push(item_row::delete(store, &place));
            }
            if let (Kind::Message, Some(sender)) = (second.at.kind, second.at.sender) {
                let (_, month, seq) = place.key();
                let sender = sender.as_uuid();
                let values = (FINAL, sender, month, seq);
                let partition = Partition::Month(sender, month);
                self.mutations.push(Mutation::new(partition, &store.statements.by_user_delete, values));
            }
        }
    }

    fn refuse(&mut self, store: &ScyllaStore, place: &Place) {
        self.mutations.push(log::skip(store, place, Skip::Overruled));
        self.refused.insert((place.room_id, place.seq));
    }

    /// Lets history know of reactions. Those that came before their message are judged when it comes.
    async fn react(
        &mut self,
        store: &ScyllaStore,
        id: MessageId,
        known: &Known,
        first: &Claim,
        is_new: bool,
    ) -> Result<(), StoreError> {
        if !is_new {
            if first.at.kind == Kind::Message {
                self.mutations.push(item_row::reacted(store, &first.place()));
            }
            return Ok(());
        }
        self.reacted.insert(id);
        for place in reaction::places(store, id).await? {
            if !known.admits(Kind::Reaction, place.room_id, None, false) {
                self.mutations.push(reaction::delete(store, id, place.seq));
                self.refuse(store, &place);
            }
        }
        Ok(())
    }

    /// Says what the message says now.
    async fn restate(
        &mut self,
        store: &ScyllaStore,
        id: MessageId,
        known: &Known,
        first: &Claim,
        valid: &[&Kept],
        new: Option<&Entry>,
    ) -> Result<(), StoreError> {
        let changes: Vec<Change> = valid.iter().map(|kept| kept.change.clone()).collect();
        let standing = Standing::of(&first.at, &changes);
        let is_changed = standing.edit.is_some() || standing.deleted_seq.is_some() || known.has_void;
        if new.is_none() && !is_changed {
            return Ok(());
        }
        let content = match (standing.deleted_seq, standing.edit, new) {
            (Some(_), _, _) => None,
            (None, Some(edit), _) => edit.content.clone(),
            (None, None, Some(entry)) => content(&entry.body),
            (None, None, None) => original(store, first).await?,
        };
        let state = State {
            content,
            edited: standing.edit.map(|edit| (edit.seq, edit.created_at)),
            deleted_seq: standing.deleted_seq,
            knowledge: known.knowledge,
        };
        if new.is_some() {
            self.states.insert(id, state);
        } else {
            self.mutations.push(item_row::restate(store, &first.place(), state));
        }
        Ok(())
    }

    /// Blanks what a deleted message and its edits said.
    async fn erase(
        &mut self,
        store: &ScyllaStore,
        id: MessageId,
        known: &Known,
        valid: &[&Kept],
        entries: &[&Entry],
    ) -> Result<(), StoreError> {
        let Some(first) = known.first() else { return Ok(()) };
        let changes: Vec<Change> = valid.iter().map(|kept| kept.change.clone()).collect();
        let Some(deleted_seq) = Standing::of(&first.at, &changes).deleted_seq else { return Ok(()) };
        let edits = valid.iter().filter(|kept| kept.change.kind == Kind::MessageUpdated);
        let said = edits.map(|edit| (edit.id, place_of(&edit.change))).chain([(id, first.place())]);
        for (said_id, place) in said {
            if entries.iter().any(|entry| (entry.room_id, entry.seq) == (place.room_id, place.seq)) {
                self.erased.insert((place.room_id, place.seq), deleted_seq);
            } else {
                self.mutations.push(log::erase(store, &place, deleted_seq).await?);
            }
            self.mutations.push(claim::blank(store, said_id, place.seq));
            if said_id != id {
                self.mutations.push(claim::blank(store, id, place.seq));
            }
        }
        Ok(())
    }
}

fn admits(known: &Known, change: &Change) -> bool {
    known.admits(change.kind, change.room_id, change.sender, change.is_moderator)
}

fn is_reaction_to(id: MessageId, entry: &Entry) -> bool {
    entry.body.kind() == Kind::Reaction && entry.body.target() == Some(id)
}

fn content(body: &Body) -> Option<String> {
    match body {
        Body::Message { content, .. } => Some(content.clone()),
        Body::MessageUpdated { .. } | Body::MessageDeleted { .. } | Body::Reaction { .. } | Body::System { .. } => None,
    }
}

/// What a message said at first, when the edit that had changed it turns out to be void.
async fn original(store: &ScyllaStore, first: &Claim) -> Result<Option<String>, StoreError> {
    let Some(body) = log::body(store, &first.place()).await? else {
        return Err(StoreError::Unavailable("the message is still being written by another worker".into()));
    };
    match serde_json::from_str(&body) {
        Ok(Body::Message { content, .. }) => Ok(Some(content)),
        // Blanked: it was deleted.
        Ok(_) | Err(_) => Ok(None),
    }
}
