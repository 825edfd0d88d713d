//! Lists come in pages: `?limit=` (1 to 100) and `?cursor=`, whose text only the list that made it can read.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use schema::problem::Code;
use serde::{Serialize, de::DeserializeOwned};

use super::Query;
use crate::error::ApiError;

/// Which page is asked for. `K` is the key of the last item seen.
#[derive(Debug)]
pub(crate) struct Paging<K> {
    /// How many items.
    pub(crate) limit: usize,
    /// After which one.
    pub(crate) after: Option<K>,
}

/// A page.
#[derive(Debug, Serialize)]
pub(crate) struct List<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

/// Items in a page that names no limit.
const LIMIT_DEFAULT: usize = 50;
/// The most items in a page.
const LIMIT_MAX: usize = 100;

/// The limit a query names.
pub(crate) fn limit(query: &Query) -> Result<usize, ApiError> {
    match query.get("limit")?.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        _ => Err(ApiError::field("limit", "out_of_range")),
    }
}

impl<K: Serialize + DeserializeOwned> Paging<K> {
    /// Reads limit and cursor.
    pub(crate) fn read(query: &Query) -> Result<Self, ApiError> {
        let after = query.text("cursor").filter(|text| !text.is_empty()).map(open).transpose()?;
        Ok(Self { limit: limit(query)?, after })
    }

    /// How many to ask for: one more than the page holds says whether another follows.
    pub(crate) const fn fetch(&self) -> usize {
        self.limit + 1
    }

    /// As [`Self::fetch`], for SQL.
    pub(crate) fn fetch_sql(&self) -> i64 {
        i64::try_from(self.fetch()).expect("at most 101")
    }

    /// Cuts the items that were fetched to a page.
    pub(crate) fn page<T>(&self, mut items: Vec<T>, key: impl FnOnce(&T) -> K) -> List<T> {
        let has_more = items.len() > self.limit;
        items.truncate(self.limit);
        let next_cursor = items.last().filter(|_| has_more).map(|last| seal(&key(last)));
        List { items, next_cursor }
    }
}

impl<T> List<T> {
    /// A list that has bounds of its own, and so comes whole.
    pub(crate) const fn whole(items: Vec<T>) -> Self {
        List { items, next_cursor: None }
    }

    /// The same page of other items.
    pub(crate) fn map<U>(self, into: impl FnMut(T) -> U) -> List<U> {
        List { items: self.items.into_iter().map(into).collect(), next_cursor: self.next_cursor }
    }

    /// The same page of other items, without those that are gone meanwhile.
    pub(crate) fn filter_map<U>(self, into: impl FnMut(T) -> Option<U>) -> List<U> {
        List { items: self.items.into_iter().filter_map(into).collect(), next_cursor: self.next_cursor }
    }

    /// The items, to look something up for them.
    pub(crate) fn items(&self) -> &[T] {
        &self.items
    }
}

fn seal<K: Serialize>(key: &K) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).expect("keys are ids and numbers"))
}

fn open<K: DeserializeOwned>(cursor: &str) -> Result<K, ApiError> {
    let refused = || ApiError::refused(Code::InvalidCursor, "the cursor is not from this list");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_malformed| refused())?;
    serde_json::from_slice(&bytes).map_err(|_another_list| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_the_next_one_only_if_there_is_one() {
        let paging: Paging<u64> = Paging::read(&Query::of(&[("limit", "2")])).unwrap();
        assert_eq!(paging.page(vec![1, 2], |n| *n).next_cursor, None);
        let page = paging.page(vec![1, 2, 3], |n| *n);
        assert_eq!(page.items, [1, 2]);
        let cursor = page.next_cursor.unwrap();
        let next: Paging<u64> = Paging::read(&Query::of(&[("cursor", &cursor)])).unwrap();
        assert_eq!(next.after, Some(2));
    }

    #[test]
    fn what_no_list_made_is_refused() {
        let code = |pairs: &[(&str, &str)]| Paging::<u64>::read(&Query::of(pairs)).expect_err("refused").code();
        assert_eq!(code(&[("cursor", "!")]), Code::InvalidCursor);
        assert_eq!(code(&[("cursor", "IngiCg")]), Code::InvalidCursor);
        for limit in ["0", "101", "-1", "many", ""] {
            assert_eq!(code(&[("limit", limit)]), Code::InvalidFields, "{limit}");
        }
    }
}
