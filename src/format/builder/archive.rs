//! The archive of a value that was built.

use std::cell::Cell;

use rkyv::rancor;

use super::{NARROW_WORDS, PendingKind, Record, ValueBuilder};
use crate::{
    error::{Error, Result},
    format::{
        name::Name,
        record::Slot,
        varint,
        word::{Later, Tag, Word, fold_sign},
    },
};

/// The most room that is kept for the next value: words, and bytes of heap.
const SPARE_WORDS: usize = 1 << 13;
const SPARE_BYTES: usize = 1 << 15;

thread_local!(static SPARE: Cell<Option<ValueBuilder>> = const { Cell::new(None) });

/// Decides where the texts go that may be symbols or shared.
pub(crate) trait Placement {
    /// The symbol of a name, when it is to have one.
    fn symbol(&mut self, name: &str) -> Result<Option<u32>>;
    /// As [`Placement::symbol`], of a name that this process knows.
    fn named(&mut self, name: Name) -> Result<Option<u32>> {
        self.symbol(name.text())
    }
    /// The symbol of a name that this process knows, when it is known to have one already.
    fn existing_symbol(&mut self, _: Name) -> Option<u32> {
        None
    }
    /// The id of a long scalar in the shared table, when it is to stand there.
    fn share(&mut self, encoded: &[u8]) -> Result<Option<u64>>;
    /// The id of a new record.
    fn record_id(&mut self) -> u64;
}

impl ValueBuilder {
    /// The archive of the record, and whether it names shared values.
    pub(crate) fn archive(self, placement: &mut impl Placement) -> Result<(Vec<u8>, bool)> {
        self.archive_behind(&[], placement)
    }

    /// As [`ValueBuilder::archive`], with other bytes in front.
    pub(crate) fn archive_behind(
        mut self,
        front: &[u8],
        placement: &mut impl Placement,
    ) -> Result<(Vec<u8>, bool)> {
        let has_shared = self.decide(placement)?;
        let id = match self.id {
            Some(id) => id,
            None if self.slots.is_empty() => 0,
            None => placement.record_id(),
        };
        let (mut slots, mut words) = std::mem::take(&mut self.halves);
        let wide = !self.narrow(&mut slots, &mut words);
        if wide {
            slots.extend(self.slots.iter().flat_map(|slot| halves(slot.encode(Slot::WIDE))));
            words.extend(self.words.iter().copied().flat_map(halves));
        }
        let mut bytes = Vec::new();
        self.write(front, id, wide, (slots, words), &mut bytes)?;
        self.recycle();
        Ok((bytes, has_shared))
    }

    /// Appends other bytes and the archive, of slots and words as they are to be; nothing when that fails.
    pub(super) fn write(
        &mut self,
        front: &[u8],
        id: u64,
        wide: bool,
        (slots, words): (Vec<u16>, Vec<u16>),
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let record = Record { id, wide, slots, words, heap: std::mem::take(&mut self.heap) };
        let from = out.len();
        out.reserve(front.len() + 64 + 2 * (record.words.len() + record.slots.len()) + record.heap.len());
        out.extend_from_slice(front);
        let written = rkyv::api::high::to_bytes_in::<_, rancor::BoxedError>(&record, &mut *out).map(|_| ());
        let Record { mut slots, mut words, heap, .. } = record;
        slots.clear();
        words.clear();
        (self.halves, self.heap) = ((slots, words), heap);
        written.map_err(|error| {
            out.truncate(from);
            Error::TooLarge(format!("the value could not be archived: {error}"))
        })
    }

    /// Decides where the texts go whose place is open; answers whether shared values are named.
    fn decide(&mut self, placement: &mut impl Placement) -> Result<bool> {
        let (texts, pending) = (std::mem::take(&mut self.texts), std::mem::take(&mut self.pending));
        let places = std::mem::take(&mut self.pending_places);
        let mut words = Vec::with_capacity(pending.len());
        let mut has_shared = false;
        for pending in &pending {
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
        for place in &places {
            let decided = match Word(self.words[*place as usize]).later() {
                Some(Later::Text(text)) => words[text as usize],
                Some(Later::Name(name)) => match placement.named(name)? {
                    Some(symbol) => Word::new(Tag::Symbol, symbol),
                    None => self.sized(Tag::Str, name.text().as_bytes())?,
                },
                // Something else has been put there since.
                None => continue,
            };
            self.words[*place as usize] = decided.0;
        }
        (self.texts, self.pending, self.pending_places) = (texts, pending, places);
        Ok(has_shared)
    }

    /// Makes slots and words of 16 bits, when they are enough; integers that are too large for that move to the heap.
    pub(super) fn narrow(&mut self, slots: &mut Vec<u16>, words: &mut Vec<u16>) -> bool {
        if self.words.len() > NARROW_WORDS || self.heap.len() > NARROW_WORDS {
            return false;
        }
        let heap_end = self.heap.len();
        if self.narrow_words(words).is_none() {
            self.heap.truncate(heap_end);
            words.clear();
            return false;
        }
        slots.extend(self.slots.iter().map(|slot| slot.encode(Slot::NARROW) as u16));
        true
    }

    fn narrow_words(&mut self, narrow: &mut Vec<u16>) -> Option<()> {
        let words = std::mem::take(&mut self.words);
        narrow.reserve(words.len());
        // Blocks lie one behind the other, and before each its length, which always has room.
        let mut next = 0;
        let mut done = true;
        for block in self.blocks.iter().filter(|block| block.indexed) {
            let (from, len) = (block.index_at() as usize, block.len as usize);
            done = done && narrow_all(&words[next..from], narrow, &mut self.heap);
            let (hashes, positions) = words[from..from + 2 * len].split_at(len);
            narrow.extend(hashes.iter().map(|hash| narrow_hash(*hash)));
            narrow.extend(positions.iter().map(|position| *position as u16));
            next = from + 2 * len;
        }
        done = done && narrow_all(&words[next..], narrow, &mut self.heap);
        self.words = words;
        done.then_some(())
    }

    /// Leaves the room that was made for this value to the next one of the thread.
    pub(super) fn recycle(mut self) {
        let bytes = self.heap.capacity().max(self.texts.capacity());
        if self.words.capacity() > SPARE_WORDS || bytes > SPARE_BYTES {
            return;
        }
        self.recent.let_go(self.heap.len());
        self.words.clear();
        self.words.push(0);
        self.slots.clear();
        self.id = None;
        self.foreign.clear();
        self.reached.clear();
        self.heap.clear();
        self.blocks.clear();
        self.pending.clear();
        self.pending_places.clear();
        self.texts.clear();
        // A thread that ends has no next value.
        let _ = SPARE.try_with(|spare| spare.set(Some(self)));
    }

    /// The room that was made for an earlier value of the thread, holding nothing.
    pub(super) fn spare() -> Option<Self> {
        SPARE.try_with(Cell::take).ok().flatten()
    }
}

/// Appends words as words of 16 bits, and large integers to a heap of so many; `false` when one has no room.
fn narrow_all(words: &[u32], narrow: &mut Vec<u16>, heap: &mut Vec<u8>) -> bool {
    const RUN: usize = 16;
    let from = narrow.len();
    narrow.extend(words.iter().map(|word| *word as u16));
    for (run, narrow) in words.chunks(RUN).zip(narrow[from..].chunks_mut(RUN)) {
        // By far the most runs have no large word.
        if Word(run.iter().fold(0, |all, word| all | *word)).narrow().is_some() {
            continue;
        }
        for (word, narrow) in run.iter().zip(narrow) {
            if Word(*word).narrow().is_none() {
                let Some(moved) = moved_to_heap(Word(*word), heap) else { return false };
                *narrow = moved;
            }
        }
    }
    true
}

/// The word of an integer that moves to the heap, when 16 bits are enough for it there.
fn moved_to_heap(word: Word, heap: &mut Vec<u8>) -> Option<u16> {
    if word.tag() != Tag::SmallInt {
        return None;
    }
    let narrow = Word::new(Tag::Int, heap.len() as u32).narrow()?;
    varint::put(heap, fold_sign(word.signed()));
    Some(narrow)
}

/// The part of a member's hash that a small record's index holds; it sorts as the whole one does.
pub(crate) fn narrow_hash(hash: u32) -> u16 {
    (hash >> 16) as u16
}

fn halves(word: u32) -> [u16; 2] {
    [word as u16, (word >> 16) as u16]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{
        builder::{Role, part::Settled},
        name::known,
        record::RecordView,
    };

    /// Gives every third name a symbol, and shares nothing.
    struct Places;

    impl Placement for Places {
        fn symbol(&mut self, name: &str) -> Result<Option<u32>> {
            Ok(name.len().is_multiple_of(3).then_some(name.len() as u32))
        }

        fn share(&mut self, _: &[u8]) -> Result<Option<u64>> {
            Ok(None)
        }

        fn record_id(&mut self) -> u64 {
            7
        }
    }

    /// A value with some of everything; `is_known` says how the names of its keys are told.
    fn archive(seed: u8, is_known: bool) -> Vec<u8> {
        let mut builder = ValueBuilder::new();
        let (root, block) = builder.dict(9).unwrap();
        for index in 0..9 {
            let name = "n".repeat(index + usize::from(seed));
            let key =
                if is_known { builder.known_name(known(&name), block) } else { builder.name(&name, block) };
            builder.set_item(block, index, key.unwrap());
            let value = match index {
                0 => builder.int(i64::from(seed) << 20),
                1 => builder.str(&"long".repeat(50), Role::Value),
                2 => builder.float(0.5),
                3 => builder.byte_array(b"bytes"),
                _ => builder.str(&"nm".repeat(index / 2), Role::Value),
            };
            builder.set_value(block, index, value.unwrap());
        }
        builder.ended(root).archive(&mut Places).unwrap().0
    }

    #[test]
    fn what_the_thread_made_before_leaves_no_trace() {
        for seed in 0..5 {
            let fresh = std::thread::spawn(move || archive(seed, false)).join().unwrap();
            for before in 0..5 {
                archive(before, before % 2 == 0);
                assert_eq!(archive(seed, false), fresh, "{seed} after {before}");
            }
        }
    }

    #[test]
    fn a_known_name_becomes_what_its_text_would() {
        for seed in 0..5 {
            let (record, told) = (archive(seed, true), archive(seed, false));
            let (record, told) = (RecordView::access(&record).unwrap(), RecordView::access(&told).unwrap());
            let (dict, other) = (record.root_container().unwrap(), told.root_container().unwrap());
            for index in 0..9 {
                let show = |view: RecordView<'_>, dict| {
                    let pair = (view.item(dict, index).unwrap(), view.value(dict, index).unwrap());
                    // Where a container lies says nothing about it.
                    if index == 3 { format!("{:?}", pair.0) } else { format!("{pair:?}") }
                };
                assert_eq!(show(record, dict), show(told, other));
            }
        }
    }

    #[test]
    fn bytes_in_front_stay_there_and_change_nothing_else() {
        let build = || {
            let mut builder = ValueBuilder::new();
            let (root, block) = builder.tuple(1).unwrap();
            let text = builder.str("text", Role::Value).unwrap();
            builder.set_item(block, 0, text);
            builder.ended(root)
        };
        let plain = build().archive(&mut Settled).unwrap().0;
        let behind = build().archive_behind(b"front", &mut Settled).unwrap().0;
        assert_eq!(behind, [b"front", plain.as_slice()].concat());
    }
}
