//! Finds the lists of a record in its archive.
//!
//! rkyv's own validation finds the same, with ten times as many instructions, and a record is opened at each step of a
//! way through it. The tests hold one against the other.

use std::ops::Range;

use super::{Numbers, RecordView, Slot};
use crate::error::{Error, Result};

/// The root of the archive, which is its end.
const ROOT: usize = 33;
const ID: usize = 0;
const WIDE: usize = 8;
const SLOTS: usize = 9;
const WORDS: usize = 17;
const HEAP: usize = 25;

impl<'a> RecordView<'a> {
    /// Checks a record's archive, in time that does not depend on its size.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is none.
    #[inline]
    pub(crate) fn access(payload: &'a [u8]) -> Result<Self> {
        let (before, root) = payload.split_last_chunk::<ROOT>().ok_or_else(wrong)?;
        let wide = match root[WIDE] {
            0 => false,
            1 => true,
            _ => return Err(wrong()),
        };
        let slots = list(before, root, SLOTS, size_of::<u16>(), 0)?;
        let words = list(before, root, WORDS, size_of::<u16>(), slots.end)?;
        let heap = list(before, root, HEAP, 1, words.end)?;
        Ok(Self {
            id: u64::from_le_bytes(*part(root, ID)?),
            slots: Numbers { wide, bytes: slots.bytes },
            words: Numbers { wide, bytes: words.bytes },
            heap: heap.bytes,
        })
    }
}

impl RecordView<'_> {
    /// Gives a record its id, at the end of the bytes of its archive.
    pub(in crate::format) fn put_id(payload: &mut [u8], id: u64) {
        if let Some(root) = payload.last_chunk_mut::<ROOT>() {
            root[ID..WIDE].copy_from_slice(&id.to_le_bytes());
        }
    }

    /// The words of a record that has them in 16 bits.
    pub(in crate::format) fn narrow_words(&self) -> impl ExactSizeIterator<Item = u32> {
        self.words.bytes.as_chunks().0.iter().map(|word| u16::from_le_bytes(*word).into())
    }

    /// The slots of such a record.
    pub(in crate::format) fn narrow_slots(&self) -> impl ExactSizeIterator<Item = Slot> {
        let slots = self.slots.bytes.as_chunks().0.iter();
        slots.map(|slot| Slot::decode(u16::from_le_bytes(*slot).into(), Slot::NARROW))
    }

    /// What does not fit in words.
    pub(in crate::format) fn heap(&self) -> &[u8] {
        self.heap
    }

    /// Where in the payload the slots lie that the record has.
    pub(in crate::format) fn slots_in(&self, payload: &[u8]) -> Range<usize> {
        within(payload, self.slots.bytes)
    }

    /// Where in the payload the words lie.
    pub(in crate::format) fn words_in(&self, payload: &[u8]) -> Range<usize> {
        within(payload, self.words.bytes)
    }

    /// Where in the payload the heap lies.
    pub(super) fn heap_in(&self, payload: &[u8]) -> Range<usize> {
        within(payload, self.heap)
    }
}

/// Where in the payload some of it lies.
fn within(payload: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().wrapping_sub(payload.as_ptr().addr());
    if part.is_empty() { 0..0 } else { start..start + part.len() }
}

/// A list, and where it ends.
struct List<'a> {
    bytes: &'a [u8],
    end: usize,
}

/// The list that the root has at an offset, which begins at `from` or later.
#[inline]
fn list<'a>(before: &'a [u8], root: &[u8; ROOT], at: usize, size: usize, from: usize) -> Result<List<'a>> {
    let (distance, len) = (i32::from_le_bytes(*part(root, at)?), u32::from_le_bytes(*part(root, at + 4)?));
    if len == 0 {
        return Ok(List { bytes: &[], end: from });
    }
    // Lists lie before the root.
    let start = (before.len() + at).checked_sub(distance.unsigned_abs() as usize).filter(|_| distance < 0);
    let start = start.filter(|start| *start >= from).ok_or_else(wrong)?;
    let end = (len as usize).checked_mul(size).and_then(|len| start.checked_add(len)).ok_or_else(wrong)?;
    Ok(List { bytes: before.get(start..end).ok_or_else(wrong)?, end })
}

#[inline]
fn part<const N: usize>(root: &[u8; ROOT], at: usize) -> Result<&[u8; N]> {
    root[at..].first_chunk().ok_or_else(wrong)
}

#[cold]
fn wrong() -> Error {
    Error::corrupted("the archive of a record does not check out")
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use rkyv::rancor;

    use super::*;
    use crate::format::{
        builder::{ArchivedRecord, Record},
        record,
    };

    fn record() -> impl Strategy<Value = Record> {
        let numbers = || vec(any::<u16>(), 0..20);
        (any::<u64>(), any::<bool>(), numbers(), numbers(), vec(any::<u8>(), 0..40))
            .prop_map(|(id, wide, slots, words, heap)| Record { id, wide, slots, words, heap })
    }

    fn bytes_of(halves: &[u16]) -> Vec<u8> {
        halves.iter().flat_map(|half| half.to_le_bytes()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(5000) })]

        #[test]
        fn what_rkyv_writes_and_validates_is_found(
            record in record(),
            damage in vec((0..ROOT + 8, any::<u8>()), 0..3),
            cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
        ) {
            let mut bytes =
                rkyv::api::high::to_bytes_in::<_, rancor::BoxedError>(&record, Vec::new()).unwrap();
            let view = RecordView::access(&bytes).unwrap();
            prop_assert_eq!((view.id, view.words.wide), (record.id, record.wide));
            prop_assert_eq!(view.slots.bytes, bytes_of(&record.slots));
            prop_assert_eq!(view.words.bytes, bytes_of(&record.words));
            prop_assert_eq!(view.heap, record.heap);
            for (from_end, byte) in damage {
                if let Some(at) = bytes.len().checked_sub(from_end + 1) {
                    bytes[at] = byte;
                }
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            let (own, theirs) = (RecordView::access(&bytes), record::access::<ArchivedRecord>(&bytes));
            if let Ok(view) = &own
                && theirs.is_err()
            {
                // Only where an empty list is said to be makes no difference.
                prop_assert!([view.slots.bytes, view.words.bytes, view.heap].iter().any(|list| list.is_empty()));
            }
            if let Ok(theirs) = theirs {
                let view = own.unwrap();
                prop_assert_eq!((view.id, view.words.wide), (theirs.id.to_native(), theirs.wide));
                let native = |halves: &[rkyv::primitive::ArchivedU16]| {
                    bytes_of(&halves.iter().map(|half| half.to_native()).collect::<Vec<_>>())
                };
                prop_assert_eq!(view.slots.bytes, native(&theirs.slots));
                prop_assert_eq!(view.words.bytes, native(&theirs.words));
                prop_assert_eq!(view.heap, theirs.heap.as_slice());
            }
        }
    }
}
