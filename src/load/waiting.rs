//! Entries that wait in memory as they are, for as long as they are few.

use super::batch::{compare, prefix};
use crate::{
    format::{builder::Draft, key::KeyBytes},
    txn::entry::EntryKey,
};

/// Entries in the order in which they came, until they are sorted.
///
/// Memory that is used for the first time costs more than all that is done with it here, so an entry takes little of it.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    keys: Vec<u8>,
    items: Vec<Item>,
    drafts: usize,
}

#[derive(Clone, Debug)]
struct Item {
    /// The first bytes of the key, by which most are told apart.
    prefix: u64,
    /// Where the key is.
    at: usize,
    len: usize,
    form: Option<Box<[u8]>>,
    draft: Draft,
}

impl Item {
    fn key<'k>(&self, keys: &'k [u8]) -> (u64, &'k [u8]) {
        (self.prefix, keys.get(self.at..self.at + self.len).unwrap_or_default())
    }
}

impl Waiting {
    /// Takes an entry.
    pub fn push(&mut self, key: &EntryKey, draft: Draft) {
        let ordered = key.ordered();
        self.drafts += draft.size();
        self.items.push(Item {
            prefix: prefix(ordered),
            at: self.keys.len(),
            len: ordered.len(),
            form: key.form().map(Into::into),
            draft,
        });
        self.keys.extend_from_slice(ordered);
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many bytes of memory they take, about.
    pub fn size(&self) -> usize {
        self.keys.len() + size_of::<Item>() * self.items.len() + self.drafts
    }

    /// Puts the entries into the order of their keys; what is equal stays in the order in which it came.
    pub fn sort(&mut self) {
        let Self { keys, items, .. } = self;
        items.sort_by(|left, right| compare(left.key(keys), right.key(keys)));
    }

    /// The entries, one after the other.
    pub fn entries(self) -> impl Iterator<Item = (EntryKey, Draft)> {
        let Self { keys, items, .. } = self;
        items.into_iter().map(move |item| {
            let key = KeyBytes::from_slice(item.key(&keys).1);
            (EntryKey::of_parts(key, item.form.map(Vec::from)), item.draft)
        })
    }
}
