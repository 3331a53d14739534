//! A batch of entries in memory: encoded one behind the other, and sorted when it is full.

use std::cmp::Ordering;

use crate::{
    error::{Error, Result},
    format::{builder::Draft, varint},
    txn::entry::EntryKey,
};

/// An entry that waits to be stored, as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packed<'a> {
    /// The ordered bytes of the key.
    pub(super) key: &'a [u8],
    /// The key as it was given, when the ordered bytes don't say it all.
    pub(super) form: Option<&'a [u8]>,
    /// The value, as [`Unpacked::new`](crate::format::builder::Unpacked::new) takes it.
    pub(super) draft: &'a [u8],
}

impl<'a> Packed<'a> {
    /// Appends the entry with its length before it.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let form = self.form.map_or(0, |form| form.len() as u64 + 1);
        let length = length_of(self.key.len() as u64) + length_of(form) + self.body();
        varint::put(out, length as u64);
        varint::put(out, self.key.len() as u64);
        varint::put(out, form);
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.form.unwrap_or_default());
        out.extend_from_slice(self.draft);
    }

    /// Takes apart what came behind a length.
    pub(super) fn take(packed: &'a [u8]) -> Result<Self> {
        let mut rest = packed;
        let key = varint::take(&mut rest)?;
        let form = varint::take(&mut rest)?;
        let (key, rest) = split(rest, key)?;
        let (given, draft) = split(rest, form.saturating_sub(1))?;
        Ok(Self { key, form: (form > 0).then_some(given), draft })
    }

    fn body(&self) -> usize {
        self.key.len() + self.form.map_or(0, <[u8]>::len) + self.draft.len()
    }
}

fn split(bytes: &[u8], at: u64) -> Result<(&[u8], &[u8])> {
    usize::try_from(at)
        .ok()
        .and_then(|at| bytes.split_at_checked(at))
        .ok_or_else(|| Error::corrupted("an entry that waits to be stored was cut short"))
}

fn length_of(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// Where an entry begins, with the first bytes of its key, by which most entries are told apart.
#[derive(Clone, Copy, Debug)]
struct Item {
    prefix: u64,
    at: usize,
}

/// The first bytes of a key, as a number that sorts as they do.
pub(super) fn prefix(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    let taken = key.len().min(first.len());
    first[..taken].copy_from_slice(&key[..taken]);
    u64::from_be_bytes(first)
}

/// Compares two keys of which the prefixes are known.
pub(super) fn compare(left: (u64, &[u8]), right: (u64, &[u8])) -> Ordering {
    left.0.cmp(&right.0).then_with(|| left.1.cmp(right.1))
}

/// Entries in the order in which they came, until they are sorted.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    items: Vec<Item>,
    draft: Vec<u8>,
}

impl Batch {
    pub(super) fn push(&mut self, key: &EntryKey, draft: Draft) {
        self.draft.clear();
        draft.pack(&mut self.draft);
        let packed = std::mem::take(&mut self.draft);
        self.push_packed(&Packed { key: key.ordered(), form: key.form(), draft: &packed });
        self.draft = packed;
    }

    pub(super) fn push_packed(&mut self, entry: &Packed<'_>) {
        self.items.push(Item { prefix: prefix(entry.key), at: self.bytes.len() });
        entry.put(&mut self.bytes);
    }

    /// How many bytes of memory it takes, about.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() + size_of::<Item>() * self.items.len()
    }

    /// How many bytes its entries are at most.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How many entries were pushed.
    pub(super) fn entries(&self) -> usize {
        self.items.len()
    }

    /// An empty batch that has the room of this one already.
    pub(super) fn successor(&self) -> Self {
        Self {
            bytes: Vec::with_capacity(self.bytes.capacity()),
            items: Vec::with_capacity(self.items.capacity()),
            draft: Vec::new(),
        }
    }

    /// Puts the entries into the order of their keys; what is equal stays in the order in which it came.
    pub(super) fn sort(&mut self) {
        let bytes = &self.bytes;
        let key = |item: &Item| entry_at(bytes, item.at).map_or(&[][..], |entry| entry.key);
        self.items.sort_unstable_by(|left, right| {
            left.prefix
                .cmp(&right.prefix)
                .then_with(|| key(left).cmp(key(right)))
                .then_with(|| left.at.cmp(&right.at))
        });
    }

    /// The entry that was pushed, or after sorting is, at a place in the order.
    pub(super) fn entry(&self, number: usize) -> Result<Packed<'_>> {
        entry_at(&self.bytes, self.items[number].at)
    }

    /// The entry from a place of a sorted batch on, with the last value of its key and its first form, and the place behind
    /// it.
    pub(super) fn merged(&self, number: usize) -> Result<(Packed<'_>, usize)> {
        let mut entry = self.entry(number)?;
        let mut next = number + 1;
        while next < self.items.len() && self.items[next].prefix == self.items[number].prefix {
            let other = self.entry(next)?;
            if other.key != entry.key {
                break;
            }
            entry.draft = other.draft;
            next += 1;
        }
        Ok((entry, next))
    }
}

fn entry_at(bytes: &[u8], at: usize) -> Result<Packed<'_>> {
    let mut rest = bytes.get(at..).unwrap_or_default();
    varint::take_part(&mut rest).and_then(Packed::take)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_as_long_as_its_length_says() {
        for length in [0, 1, 127, 128, 300, 16_383, 16_384, 70_000] {
            let long = vec![7; length];
            for entry in [
                Packed { key: &long, form: None, draft: b"d" },
                Packed { key: b"k", form: Some(&long), draft: b"" },
                Packed { key: b"k", form: Some(b""), draft: &long },
            ] {
                let mut out = Vec::new();
                entry.put(&mut out);
                let mut rest = &out[..];
                let packed = varint::take_part(&mut rest).unwrap();
                assert!(rest.is_empty());
                assert_eq!(Packed::take(packed).unwrap(), entry);
            }
        }
    }

    #[test]
    fn prefixes_sort_as_keys_do() {
        let keys: [&[u8]; 7] = [b"", b"\0", b"a", b"a\0", b"abcdefgh", b"abcdefgh\0", b"b"];
        for left in keys {
            for right in keys {
                let ordering = compare((prefix(left), left), (prefix(right), right));
                assert_eq!(ordering, left.cmp(right), "{left:?} {right:?}");
            }
        }
    }
}
