//! Reads containers of a record whose words all have one width, which is asked for once: for who reads the whole record.

use super::{ContainerKind, Numbers, RecordView, Slot, eight};
use crate::format::{builder::sized_at, word::Word};

/// A record whose words have `N` bytes, 2 or 4.
///
/// What its methods answer nothing for is rare or damaged; those of [`RecordView`] tell which.
#[derive(Clone, Copy)]
pub struct Uniform<'a, const N: usize> {
    slots: &'a [[u8; N]],
    words: &'a [[u8; N]],
    heap: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// The record as one whose words have `N` bytes, if they do.
    #[inline]
    pub fn uniform<const N: usize>(&self) -> Option<Uniform<'a, N>> {
        let numbers = |numbers: Numbers<'a>| (numbers.width() == N).then_some(numbers.bytes.as_chunks().0);
        Some(Uniform { slots: numbers(self.slots)?, words: numbers(self.words)?, heap: self.heap })
    }
}

impl<'a, const N: usize> Uniform<'a, N> {
    /// The elements of the list, or members of the set, that has a slot.
    #[inline]
    pub fn elements(
        &self,
        kind: ContainerKind,
        slot: u32,
    ) -> Option<impl ExactSizeIterator<Item = Word> + use<'a, N>> {
        let (len, rest) = self.block(kind, slot)?;
        rest.get(..len).map(words)
    }

    /// The keys and the values of the dict that has a slot.
    #[inline]
    pub fn items(&self, slot: u32) -> Option<impl ExactSizeIterator<Item = (Word, Word)> + use<'a, N>> {
        let (len, rest) = self.block(ContainerKind::Dict, slot)?;
        let (keys, rest) = rest.split_at_checked(len)?;
        rest.get(..len).map(|values| words(keys).zip(words(values)))
    }

    /// How long the container of a slot is, and what begins with its elements.
    #[inline]
    fn block(&self, kind: ContainerKind, slot: u32) -> Option<(usize, &'a [[u8; N]])> {
        let bits = if N == 2 { Slot::NARROW } else { Slot::WIDE };
        let position = Slot::position_of(number(self.slots.get(slot as usize)?), bits, kind)?;
        let (len, rest) = self.words.get(position as usize..)?.split_first()?;
        Some((number(len) as usize, rest))
    }

    /// The UTF-8 of a text, unchecked.
    #[inline]
    pub fn text(&self, word: Word) -> Option<&'a [u8]> {
        sized_at(self.heap, word.payload() as usize).ok()
    }

    /// The double that a word stands for.
    #[inline]
    pub fn float(&self, word: Word) -> Option<f64> {
        eight(self.heap, word.payload()).ok().map(f64::from_le_bytes)
    }
}

#[inline]
fn words<const N: usize>(block: &[[u8; N]]) -> impl ExactSizeIterator<Item = Word> + use<'_, N> {
    block.iter().map(|word| Word(number(word)))
}

#[inline]
fn number<const N: usize>(bytes: &[u8; N]) -> u32 {
    let mut number = [0; 4];
    number[..N].copy_from_slice(bytes);
    u32::from_le_bytes(number)
}
