//! The chain that an event's changes make: each is hashed together with the hash of the one before it.
//!
//! A change's hash covers its fields by their digests alone. A digest covers a field's values with a salt; when a
//! person is erased values and salts go, the digests stay, and the chain is as whole as before.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    change::{ChangeKind, FieldChange},
    clock::Timestamp,
    id::{ChangeId, EventId, UserId},
};

/// What a change's hash covers.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// Which event.
    pub event_id: EventId,
    /// Which change.
    pub id: ChangeId,
    /// What happened.
    pub change: ChangeKind,
    /// The event's version after it.
    pub version: i64,
    /// Who did it.
    pub actor_id: Option<UserId>,
    /// When.
    pub changed_at: Timestamp,
    /// What changed; only names and digests count.
    pub fields: &'a [FieldChange],
    /// Who came in.
    pub added: &'a [UserId],
    /// Who left.
    pub removed: &'a [UserId],
}

impl Link<'_> {
    /// The hash of this change, in hex; `before` is that of the one before it, none for the first.
    pub fn hash(&self, before: Option<&str>) -> String {
        // As JSON: every part says by itself where it ends.
        let covered = json!([
            "timingle.history.1",
            before,
            self.event_id,
            self.id,
            self.change,
            self.version,
            self.actor_id,
            self.changed_at,
            self.fields.iter().map(|field| (&field.field, &field.digest)).collect::<Vec<_>>(),
            self.added,
            self.removed,
        ]);
        hex::encode(Sha256::digest(covered.to_string()))
    }
}

impl FieldChange {
    /// A change of `field` that is not sealed yet.
    pub fn new(field: impl Into<String>, old: serde_json::Value, new: serde_json::Value) -> Self {
        Self { field: field.into(), old, new, salt: None, digest: None }
    }

    /// Gives it a salt, and the digest over both.
    #[must_use]
    pub fn sealed(mut self, salt: [u8; 16]) -> Self {
        self.salt = Some(hex::encode(salt));
        self.digest = self.computed_digest();
        self
    }

    /// The digest over what it holds; none once its salt is erased.
    pub fn computed_digest(&self) -> Option<String> {
        let salt = self.salt.as_ref()?;
        let covered = json!(["timingle.field.1", salt, self.field, self.old, self.new]);
        Some(hex::encode(Sha256::digest(covered.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn link(fields: &[FieldChange]) -> Link<'_> {
        Link {
            event_id: "00000000-0000-7000-8000-000000000001".parse().expect("an id"),
            id: "00000000-0000-7000-8000-000000000002".parse().expect("an id"),
            change: ChangeKind::EventUpdated,
            version: 2,
            actor_id: None,
            changed_at: Timestamp::from_unix_millis(1_700_000_000_000).expect("a time"),
            fields,
            added: &[],
            removed: &[],
        }
    }

    #[test]
    fn an_erased_value_leaves_the_chain_whole_and_a_changed_one_breaks_it() {
        let sealed = FieldChange::new("title", Value::Null, json!("Lunch")).sealed([7; 16]);
        let hash = link(std::slice::from_ref(&sealed)).hash(None);
        let erased = FieldChange { old: Value::Null, new: Value::Null, salt: None, ..sealed.clone() };
        assert_eq!(link(&[erased]).hash(None), hash);
        let forged = FieldChange { new: json!("Dinner"), ..sealed.clone() };
        assert_ne!(forged.computed_digest(), forged.digest, "a value that was changed does not fit its digest");
        let resealed = FieldChange { digest: forged.computed_digest(), ..forged };
        assert_ne!(link(&[resealed]).hash(None), hash, "nor the digest its change");
        assert_ne!(link(&[sealed]).hash(Some("00")), hash, "nor the change its place");
    }
}
