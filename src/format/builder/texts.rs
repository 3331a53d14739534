//! The texts of a value that is being built: those in the heap, and those whose place is decided when it is stored.

use std::{cell::Cell, hash::Hasher as _};

use rustc_hash::FxHasher;

use super::{ValueBuilder, too_large};
use crate::{
    error::{Error, Result},
    format::{
        varint,
        word::{Tag, Word},
    },
};

/// A text whose final place is known only inside the write transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(crate) kind: PendingKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PendingKind {
    /// A short dict key or name, which may become a symbol.
    Name,
    /// A long scalar, encoded, which may be stored once for all.
    Long,
}

/// Where texts lie that were stored a moment ago, so that repeated ones are stored once.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Hashes, and places in all heaps since the table was new, one behind the other.
    table: Box<[(u64, u64)]>,
    /// Where the present heap begins; what lies before it is forgotten.
    from: u64,
}

/// What is forgotten is only stored twice.
impl Clone for Recent {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Recent {
    /// How many texts it remembers; a power of two.
    const SIZE: usize = 256;

    thread_local!(static SPARE: Cell<Option<Recent>> = const { Cell::new(None) });

    /// The place in the heap of a text of this hash, if it was stored a moment ago, and it should still be there.
    #[inline]
    fn place(&mut self, hash: u64) -> Option<u32> {
        if self.table.is_empty() {
            *self = Self::SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default();
            if self.table.is_empty() {
                self.table = vec![(0, 0); Self::SIZE].into();
            }
        }
        let (known, place) = self.table[hash as usize % Self::SIZE];
        (known == hash && place > self.from).then(|| (place - self.from - 1) as u32)
    }

    /// Remembers where the text of a hash was stored, after its place was asked for.
    #[inline]
    fn note(&mut self, hash: u64, place: u32) {
        self.table[hash as usize % Self::SIZE] = (hash, self.from + u64::from(place) + 1);
    }

    /// Forgets everything, all of which lies in a heap of so many bytes.
    pub(super) fn forget(&mut self, heap: usize) {
        self.from += heap as u64;
    }

    /// Leaves the table to the next builder of the thread, as a value that waits to be stored needs none.
    pub(super) fn let_go(&mut self, heap: usize) {
        if !self.table.is_empty() {
            self.forget(heap);
            let table = std::mem::take(self);
            // A thread that ends has no next builder.
            let _ = Self::SPARE.try_with(|spare| spare.set(Some(table)));
        }
    }
}

impl ValueBuilder {
    /// Sets a text aside until its place is decided.
    pub(super) fn defer(&mut self, text: &[u8], kind: PendingKind) -> Result<Word> {
        let word = Word::pending(self.pending.len()).ok_or_else(too_large)?;
        let start = self.texts.len();
        self.texts.extend_from_slice(text);
        self.pending.push(Pending { start, end: self.texts.len(), kind });
        Ok(word)
    }

    /// Text or an encoded scalar, with its length before it; what was stored a moment ago is used again.
    pub(in crate::format) fn sized(&mut self, tag: Tag, bytes: &[u8]) -> Result<Word> {
        let mut hasher = FxHasher::default();
        hasher.write(bytes);
        hasher.write_u8(tag as u8);
        let hash = hasher.finish();
        let short = u8::try_from(bytes.len()).ok().filter(|length| *length < 0x80);
        if let Some(at) = self.recent.place(hash)
            && is_at(&self.heap, at as usize, short, bytes)
        {
            return Ok(Word::new(tag, at));
        }
        let at = self.heap_end(bytes.len() + 5)?;
        match short {
            Some(length) => self.heap.push(length),
            None => varint::put(&mut self.heap, bytes.len() as u64),
        }
        self.heap.extend_from_slice(bytes);
        self.recent.note(hash, at);
        Ok(Word::new(tag, at))
    }
}

/// Whether bytes lie in a heap with their length before them, which is one byte when they are short.
#[inline]
fn is_at(heap: &[u8], at: usize, short: Option<u8>, bytes: &[u8]) -> bool {
    match short {
        Some(length) => {
            heap.get(at) == Some(&length) && heap.get(at + 1..at + 1 + bytes.len()) == Some(bytes)
        }
        None => sized_at(heap, at).is_ok_and(|found| found == bytes),
    }
}

/// The bytes at a heap offset that have their length before them.
#[inline]
pub(crate) fn sized_at(heap: &[u8], at: usize) -> Result<&[u8]> {
    // Most lengths are one byte.
    if let Some((&length, rest)) = heap.get(at..).and_then(<[u8]>::split_first)
        && length < 0x80
        && let Some(bytes) = rest.get(..usize::from(length))
    {
        return Ok(bytes);
    }
    sized_at_length(heap, at)
}

#[cold]
fn sized_at_length(heap: &[u8], at: usize) -> Result<&[u8]> {
    let outside = || Error::corrupted("a record points past its heap");
    let mut rest = heap.get(at..).ok_or_else(outside)?;
    let length = varint::take(&mut rest)?;
    usize::try_from(length).ok().and_then(|length| rest.get(..length)).ok_or_else(outside)
}
