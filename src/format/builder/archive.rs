//! The archive of a value that was built.

use rkyv::rancor;

use super::{NARROW_WORDS, PendingKind, Record, ValueBuilder};
use crate::{
    error::{Error, Result},
    format::{
        record::Slot,
        word::{Tag, Word, fold_sign},
    },
};

/// Decides where the texts go that may be symbols or shared.
pub(crate) trait Placement {
    /// The symbol of a name, when it is to have one.
    fn symbol(&mut self, name: &str) -> Result<Option<u32>>;
    /// The id of a long scalar in the shared table, when it is to stand there.
    fn share(&mut self, encoded: &[u8]) -> Result<Option<u64>>;
    /// The id of a new record.
    fn record_id(&mut self) -> u64;
}

impl ValueBuilder {
    /// The archive of the record, and whether it names shared values.
    pub(crate) fn archive(mut self, placement: &mut impl Placement) -> Result<(Vec<u8>, bool)> {
        let texts = std::mem::take(&mut self.texts);
        let mut words = Vec::with_capacity(self.pending.len());
        let mut has_shared = false;
        for pending in std::mem::take(&mut self.pending) {
            let text = &texts[pending.start..pending.end];
            words.push(match pending.kind {
                PendingKind::Name => {
                    let name = std::str::from_utf8(text)
                        .map_err(|_| Error::corrupted("a name that was text no longer is"))?;
                    match placement.symbol(name)? {
                        Some(symbol) => Word::new(Tag::Symbol, symbol),
                        None => self.sized(Tag::Str, text)?,
                    }
                }
                PendingKind::Long => match placement.share(text)? {
                    Some(id) => {
                        has_shared = true;
                        self.out_of_line(Tag::Shared, &id.to_le_bytes())?
                    }
                    None => self.sized(Tag::Scalar, text)?,
                },
            });
        }
        for (place, pending) in std::mem::take(&mut self.pending_places) {
            let word = &mut self.words[place as usize];
            // Something else may have been put there since.
            if Word(*word).pending() == Some(pending) {
                *word = words[pending as usize].0;
            }
        }
        let id = match self.id {
            Some(id) => id,
            None if self.slots.is_empty() => 0,
            None => placement.record_id(),
        };
        let record = match self.narrow() {
            Some((slots, words)) => Record { id, wide: false, slots, words, heap: self.heap },
            None => Record {
                id,
                wide: true,
                slots: self.slots.iter().flat_map(|slot| halves(slot.encode(Slot::WIDE))).collect(),
                words: self.words.into_iter().flat_map(halves).collect(),
                heap: self.heap,
            },
        };
        let size = 64 + 2 * (record.words.len() + record.slots.len()) + record.heap.len();
        let bytes = rkyv::api::high::to_bytes_in::<_, rancor::BoxedError>(&record, Vec::with_capacity(size))
            .map_err(|error| Error::TooLarge(format!("the value could not be archived: {error}")))?;
        Ok((bytes, has_shared))
    }

    /// Slots and words of 16 bits, when they are enough; integers that are too large for that move to the heap.
    fn narrow(&mut self) -> Option<(Vec<u16>, Vec<u16>)> {
        if self.words.len() > NARROW_WORDS || self.heap.len() > NARROW_WORDS {
            return None;
        }
        let heap_end = self.heap.len();
        let narrow = self.narrow_words();
        if narrow.is_none() {
            self.heap.truncate(heap_end);
        }
        let slots = self.slots.iter().map(|slot| slot.encode(Slot::NARROW) as u16).collect();
        narrow.map(|words| (slots, words))
    }

    fn narrow_words(&mut self) -> Option<Vec<u16>> {
        let mut words = Vec::with_capacity(self.words.len());
        words.push(self.narrow_word(Word(self.words[0]))?);
        for block in std::mem::take(&mut self.blocks) {
            let elements = block.at as usize..block.index_at() as usize;
            words.push(block.len as u16);
            for at in elements {
                words.push(self.narrow_word(Word(self.words[at]))?);
            }
            if block.indexed {
                let from = block.index_at() as usize;
                let (hashes, positions) =
                    self.words[from..from + 2 * block.len as usize].split_at(block.len as usize);
                words.extend(hashes.iter().map(|hash| narrow_hash(*hash)));
                words.extend(positions.iter().map(|position| *position as u16));
            }
        }
        Some(words)
    }

    fn narrow_word(&mut self, word: Word) -> Option<u16> {
        match word.narrow() {
            None if word.tag() == Tag::SmallInt => self.int_on_heap(fold_sign(word.signed())).ok()?.narrow(),
            narrow => narrow,
        }
    }
}

/// The part of a member's hash that a small record's index holds; it sorts as the whole one does.
pub(crate) fn narrow_hash(hash: u32) -> u16 {
    (hash >> 16) as u16
}

fn halves(word: u32) -> [u16; 2] {
    [word as u16, (word >> 16) as u16]
}
