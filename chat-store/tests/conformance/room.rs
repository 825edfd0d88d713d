//! A room with two people in it, and what they do there.

use chat_store::{Entry, MessageStore, Outcome, Page, Window};
use schema::{
    change::ChangeKind,
    clock::Timestamp,
    envelope::{Body, MessageType, ReactionAction},
    frame::history::HistoryItem,
    id::{MessageId, RoomId, UserId},
};
use serde_json::json;

use crate::stores::Store;

/// A room of one case.
#[derive(Clone)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) ann: UserId,
    pub(crate) bob: UserId,
}

/// When the log stored a seq, unless a case says otherwise: a second apart.
pub(crate) fn time(seq: u64) -> Timestamp {
    let base = Timestamp::parse("2026-11-21T05:58:48.927Z").unwrap().unix_millis();
    Timestamp::from_unix_millis(base + i64::try_from(seq).unwrap() * 1000).unwrap()
}

impl Room {
    pub(crate) fn new() -> Self {
        Self { id: RoomId::random(), ann: UserId::random(), bob: UserId::random() }
    }

    /// Any entry by `sender`.
    pub(crate) fn entry(&self, seq: u64, sender: Option<UserId>, body: Body) -> Entry {
        let (logged_at, raw) = (time(seq), body.to_bytes());
        Entry { room_id: self.id, seq, logged_at, sender, is_moderator: false, raw, body }
    }

    /// Ann says something.
    pub(crate) fn says(&self, seq: u64, content: &str) -> Entry {
        self.says_as(seq, self.ann, MessageId::random(), content)
    }

    /// Somebody says something under an id.
    pub(crate) fn says_as(&self, seq: u64, sender: UserId, id: MessageId, content: &str) -> Entry {
        let body = Body::Message {
            room_id: self.id,
            id,
            sender_id: sender,
            sender_name: "Ann".into(),
            temp_id: "a-1".into(),
            content: content.into(),
            message_type: MessageType::Text,
            reply_to_id: None,
        };
        self.entry(seq, Some(sender), body)
    }

    /// Ann edits a message.
    pub(crate) fn edits(&self, seq: u64, message_id: MessageId, content: &str) -> Entry {
        self.edits_as(seq, self.ann, MessageId::random(), message_id, content)
    }

    pub(crate) fn edits_as(
        &self,
        seq: u64,
        sender_id: UserId,
        id: MessageId,
        message_id: MessageId,
        content: &str,
    ) -> Entry {
        let (room_id, temp_id) = (self.id, "a-2".into());
        let body = Body::MessageUpdated { room_id, id, message_id, content: content.into(), sender_id, temp_id };
        self.entry(seq, Some(sender_id), body)
    }

    /// Ann deletes a message.
    pub(crate) fn deletes(&self, seq: u64, message_id: MessageId) -> Entry {
        self.deletes_as(seq, self.ann, message_id)
    }

    pub(crate) fn deletes_as(&self, seq: u64, sender_id: UserId, message_id: MessageId) -> Entry {
        let (room_id, id, temp_id) = (self.id, MessageId::random(), "a-3".into());
        self.entry(seq, Some(sender_id), Body::MessageDeleted { room_id, id, message_id, sender_id, temp_id })
    }

    /// Bob, who runs the room, deletes a message of Ann's.
    pub(crate) fn deletes_by_role(&self, seq: u64, message_id: MessageId) -> Entry {
        Entry { is_moderator: true, ..self.deletes_as(seq, self.bob, message_id) }
    }

    /// Somebody reacts, or no longer.
    pub(crate) fn reacts(
        &self,
        seq: u64,
        sender_id: UserId,
        message_id: MessageId,
        emoji: &str,
        action: ReactionAction,
    ) -> Entry {
        let (room_id, id, emoji, temp_id) = (self.id, MessageId::random(), emoji.into(), "a-4".into());
        let body = Body::Reaction { room_id, id, message_id, emoji, action, sender_id, temp_id };
        self.entry(seq, Some(sender_id), body)
    }

    /// The event was confirmed.
    pub(crate) fn confirms(&self, seq: u64) -> Entry {
        let body = Body::System {
            room_id: self.id,
            id: MessageId::random(),
            change: ChangeKind::EventConfirmed,
            actor_id: Some(self.ann),
            data: json!({"note": "확정", "list": [1, null]}),
        };
        self.entry(seq, None, body)
    }

    /// Ann's page.
    pub(crate) async fn page(&self, store: &Store, window: Window, limit: usize) -> Page {
        store.history(self.id, self.ann, window, limit).await.unwrap()
    }

    /// The seqs of a page, and whether there is more before and after.
    pub(crate) async fn seqs(&self, store: &Store, window: Window, limit: usize) -> (Vec<u64>, bool, bool) {
        let page = self.page(store, window, limit).await;
        (page.items.iter().map(HistoryItem::seq).collect(), page.has_more_before, page.has_more_after)
    }

    /// The newest hundred items.
    pub(crate) async fn items(&self, store: &Store) -> Vec<HistoryItem> {
        self.page(store, Window::Newest, 100).await.items
    }

    /// Everything the store says of the room, with names for ids: equal pictures are equal states.
    pub(crate) async fn picture(&self, store: &Store, names: &[(MessageId, &str)]) -> String {
        let mut found = store.find(&names.iter().map(|(id, _)| *id).collect::<Vec<_>>()).await.unwrap();
        found.sort_unstable_by_key(|found| found.seq);
        let mut items = Vec::new();
        for (id, _) in names {
            items.push(store.item(self.id, self.bob, *id).await.unwrap());
        }
        let picture = format!(
            "history {:#?}\nlog {:#?}\nfound {found:#?}\nitems {items:#?}\nby ann {:#?}\nby bob {:#?}\nheads {:#?}\nlast {}\nunread {}",
            self.page(store, Window::Newest, 100).await,
            store.log(self.id, 0, 100).await.unwrap(),
            store.by_user(self.ann, None, 100).await.unwrap(),
            store.by_user(self.bob, None, 100).await.unwrap(),
            store.heads(&[self.id]).await.unwrap(),
            store.last_seq(self.id).await.unwrap(),
            unread(store, self.id, self.bob, 0).await,
        );
        let people = [(self.id.to_string(), "room"), (self.ann.to_string(), "ann"), (self.bob.to_string(), "bob")];
        let messages = names.iter().map(|(id, name)| (id.to_string(), *name));
        people.into_iter().chain(messages).fold(picture, |picture, (id, name)| picture.replace(&id, name))
    }
}

/// The same entry at another seq.
pub(crate) fn at(entry: &Entry, seq: u64) -> Entry {
    Entry { seq, logged_at: time(seq), ..entry.clone() }
}

/// Writes one entry.
pub(crate) async fn write(store: &Store, entry: &Entry) -> Outcome {
    write_all(store, std::slice::from_ref(entry)).await.pop().unwrap()
}

/// Writes entries as one batch.
pub(crate) async fn write_all(store: &Store, entries: &[Entry]) -> Vec<Outcome> {
    let outcomes = MessageStore::write(store.as_ref(), entries).await.unwrap();
    assert_eq!(outcomes.len(), entries.len(), "one outcome each");
    outcomes
}

/// What is unread for one reader.
pub(crate) async fn unread(store: &Store, room: RoomId, reader: UserId, mark: u64) -> u32 {
    let counts = store.unread(&[(room, reader, mark)]).await.unwrap();
    assert_eq!(counts.len(), 1, "one count each");
    counts[0]
}

/// What an item says; none = deleted.
pub(crate) fn said(item: &HistoryItem) -> Option<&str> {
    match item {
        HistoryItem::Message { content, .. } => content.as_deref(),
        HistoryItem::System { .. } => Some("system"),
    }
}

/// All orders of `items`.
pub(crate) fn permutations<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for index in 0..items.len() {
        let mut rest = items.to_vec();
        let first = rest.remove(index);
        all.extend(permutations(&rest).into_iter().map(|mut tail| {
            tail.insert(0, first.clone());
            tail
        }));
    }
    all
}
