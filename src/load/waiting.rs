//! Entries that wait in memory, for as long as they are few.

use super::{
    batch::{Packed, compare, prefix},
    sorter::Sorter,
};
use crate::{
    error::Result,
    format::{
        builder::{Draft, DraftKind, Unpacked},
        key::KeyBytes,
    },
    object::write_transaction::WriteScope,
    txn::entry::EntryKey,
};

/// Entries in the order in which they came, until they are sorted.
///
/// Memory that is used for the first time costs more than all that is done with it here, so an entry takes little of it.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    keys: Vec<u8>,
    items: Vec<Item>,
    /// The records, packed one behind the other.
    records: Vec<u8>,
    /// What the other drafts take, about.
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
    value: ItemValue,
}

#[derive(Clone, Debug)]
enum ItemValue {
    Draft(Draft),
    /// Where the packed record is.
    Record {
        at: usize,
        len: usize,
    },
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
        let value = if let Draft(DraftKind::Record(_)) = draft {
            let at = self.records.len();
            draft.pack(&mut self.records);
            ItemValue::Record { at, len: self.records.len() - at }
        } else {
            self.drafts += draft.size();
            ItemValue::Draft(draft)
        };
        self.items.push(Item {
            prefix: prefix(ordered),
            at: self.keys.len(),
            len: ordered.len(),
            form: key.form().map(Into::into),
            value,
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
        self.keys.len() + size_of::<Item>() * self.items.len() + self.records.len() + self.drafts
    }

    /// Puts the entries into the order of their keys; what is equal stays in the order in which it came.
    pub fn sort(&mut self) {
        let Self { keys, items, .. } = self;
        items.sort_by(|left, right| compare(left.key(keys), right.key(keys)));
    }

    /// Hands the entries on; `spill` is told when so many were that [`Sorter::spill`] is due.
    ///
    /// # Errors
    ///
    /// What `spill` answers.
    pub fn give_to(self, sorter: &mut Sorter, spill: impl Fn(&mut Sorter) -> Result<()>) -> Result<()> {
        let Self { keys, items, records, .. } = self;
        let mut own = Vec::new();
        for item in items {
            own.clear();
            let draft = match item.value {
                ItemValue::Draft(draft) => {
                    draft.pack(&mut own);
                    own.as_slice()
                }
                ItemValue::Record { at, len } => &records[at..at + len],
            };
            let key = keys.get(item.at..item.at + item.len).unwrap_or_default();
            if sorter.push_packed(&Packed { key, form: item.form.as_deref(), draft }) {
                spill(sorter)?;
            }
        }
        Ok(())
    }

    /// Takes the entries out, one after the other.
    fn entries(&mut self) -> impl Iterator<Item = Result<(EntryKey, Unpacked<'_>)>> {
        let Self { keys, items, records, .. } = self;
        items.drain(..).map(|item| {
            let key = KeyBytes::from_slice(item.key(keys).1);
            let value = match item.value {
                ItemValue::Draft(draft) => Unpacked::Draft(draft),
                ItemValue::Record { at, len } => Unpacked::new(&records[at..at + len])?,
            };
            Ok((EntryKey::of_parts(key, item.form.map(Vec::from)), value))
        })
    }
}

impl WriteScope<'_> {
    /// Stores entries as [`WriteScope::put`] does, one after the other; sorted ones are the fastest.
    ///
    /// # Errors
    ///
    /// As [`WriteScope::put`].
    pub fn put_all(&mut self, mut entries: Waiting) -> Result<()> {
        self.settled()?.put_all(entries.entries())
    }
}
