//! Puts leaves of a record in the place of others, without building the record anew.

#[cfg(test)]
mod tests;

use std::ops::Range;

use rkyv::rancor;
use smallvec::SmallVec;

use super::{Numbers, RecordView, outside};
use crate::{
    error::{Error, Result},
    format::{
        builder::{LONG, Record},
        scalar::Scalar,
        varint,
        word::{PAYLOAD_LIMIT, TAG_BITS, Tag, Word, constant, fold_sign},
    },
};

/// When a heap would grow past a multiple of this, in bytes, the record is to be built anew, which leaves behind what
/// nothing in it refers to any more.
const GRAIN: usize = 256;

/// How many bytes of narrow words are compared with one count.
const PART: usize = 1 << 16;

/// A record in which leaves are put in the place of others.
///
/// Neither the old ones nor the new ones name anything outside the heap, so the record leads to the same containers,
/// objects and shared values as before, and all containers stay in their places.
pub(crate) struct Patch<'p> {
    payload: &'p mut [u8],
    wide: bool,
    /// Where in the payload the words and the heap lie.
    words: Range<usize>,
    heap: Range<usize>,
    /// What the heap has no room for.
    more: Vec<u8>,
}

impl<'p> Patch<'p> {
    /// Begins; the payload is that of a record.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is none.
    pub(crate) fn new(payload: &'p mut [u8]) -> Result<Self> {
        let view = RecordView::access(payload)?;
        let (words, heap) = (view.words_in(payload), view.heap_in(payload));
        let wide = view.words.wide;
        Ok(Self { payload, wide, words, heap, more: Vec::new() })
    }

    /// Puts an encoded leaf in the place of another; answers `false` when the record has to be built anew for that, after
    /// which it is not to be stored.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the record is damaged.
    pub(crate) fn replace(&mut self, at: usize, encoded: &[u8]) -> Result<bool> {
        let old = self.word(at)?;
        let is_plain = matches!(
            old.tag(),
            Tag::Constant | Tag::SmallInt | Tag::Int | Tag::Float | Tag::Str | Tag::Scalar | Tag::Symbol
        );
        // Longer ones may come to be shared.
        if !is_plain || encoded.len() >= LONG {
            return Ok(false);
        }
        let constant = |constant| Some(Word::new(Tag::Constant, constant));
        let mut bytes = SmallVec::<[u8; LONG + 8]>::new();
        let word = match Scalar::decode(encoded)? {
            Scalar::None => constant(constant::NONE),
            Scalar::Bool(false) => constant(constant::FALSE),
            Scalar::Bool(true) => constant(constant::TRUE),
            Scalar::Ellipsis => constant(constant::ELLIPSIS),
            Scalar::Int(value) => {
                if let Some(word) = Word::small_int(value).filter(|word| self.fits(*word)) {
                    Some(word)
                } else {
                    varint::put(&mut bytes, fold_sign(value));
                    self.place(old, Tag::Int, &bytes)?
                }
            }
            Scalar::Float(value) => self.place(old, Tag::Float, &value.to_bits().to_le_bytes())?,
            Scalar::Str(text) => {
                varint::put(&mut bytes, text.len() as u64);
                bytes.extend_from_slice(text.as_bytes());
                self.place(old, Tag::Str, &bytes)?
            }
            _ => {
                varint::put(&mut bytes, encoded.len() as u64);
                bytes.extend_from_slice(encoded);
                self.place(old, Tag::Scalar, &bytes)?
            }
        };
        let Some(word) = word else { return Ok(false) };
        let place = self.place_of(at)?;
        self.payload[place.clone()].copy_from_slice(&word.0.to_le_bytes()[..place.len()]);
        Ok(true)
    }

    /// Ends; answers the record's archive when it is larger than it was, and not where it was begun.
    ///
    /// # Errors
    ///
    /// `TooLarge` when it can't be archived.
    pub(crate) fn grown(self) -> Result<Option<Vec<u8>>> {
        if self.more.is_empty() {
            return Ok(None);
        }
        let view = RecordView::access(self.payload)?;
        let halves = |numbers: Numbers<'_>| numbers.bytes.chunks_exact(2).map(u16_of).collect();
        let record = Record {
            id: view.id,
            wide: self.wide,
            slots: halves(view.slots),
            words: halves(view.words),
            heap: [view.heap, &self.more].concat(),
        };
        let grown = Vec::with_capacity(self.payload.len() + self.more.len());
        rkyv::api::high::to_bytes_in::<_, rancor::BoxedError>(&record, grown)
            .map(Some)
            .map_err(|error| Error::TooLarge(format!("the value could not be archived: {error}")))
    }

    /// Where in the payload a word lies.
    fn place_of(&self, at: usize) -> Result<Range<usize>> {
        let width = if self.wide { 4 } else { 2 };
        let start = self.words.start + at * width;
        if start + width > self.words.end { Err(outside()) } else { Ok(start..start + width) }
    }

    fn word(&self, at: usize) -> Result<Word> {
        let mut bytes = [0; 4];
        let place = self.place_of(at)?;
        bytes[..place.len()].copy_from_slice(&self.payload[place]);
        Ok(Word(u32::from_le_bytes(bytes)))
    }

    /// Whether a word can stand in this record.
    fn fits(&self, word: Word) -> bool {
        self.wide || word.narrow().is_some()
    }

    /// Puts the bytes of a leaf into the heap: over those of the old one when they have room there, or else behind all
    /// others. `None` when it would grow too much.
    fn place(&mut self, old: Word, tag: Tag, bytes: &[u8]) -> Result<Option<Word>> {
        if let Some(room) = self.room(old)?
            && bytes.len() <= room.len()
            && self.is_alone(old)
        {
            let start = self.heap.start + room.start;
            self.payload[start..start + bytes.len()].copy_from_slice(bytes);
            return Ok(Some(Word::new(tag, room.start as u32)));
        }
        let at = self.heap.len() + self.more.len();
        let end = at + bytes.len();
        if end / GRAIN > self.heap.len() / GRAIN || end >= PAYLOAD_LIMIT as usize {
            return Ok(None);
        }
        let word = Word::new(tag, at as u32);
        if !self.fits(word) {
            return Ok(None);
        }
        self.more.extend_from_slice(bytes);
        Ok(Some(word))
    }

    /// The bytes of a leaf in the heap; `None` when it has none, or they were put there by this patch.
    fn room(&self, leaf: Word) -> Result<Option<Range<usize>>> {
        if !in_heap(leaf) {
            return Ok(None);
        }
        let at = leaf.payload() as usize;
        let Some(mut rest) = self.payload[self.heap.clone()].get(at..).filter(|rest| !rest.is_empty()) else {
            return Ok(None);
        };
        let left = rest.len();
        let len = match leaf.tag() {
            Tag::Float => size_of::<f64>(),
            Tag::Int => {
                varint::take(&mut rest)?;
                left - rest.len()
            }
            _ => {
                let len = usize::try_from(varint::take(&mut rest)?).map_err(|_| outside())?;
                (left - rest.len()).saturating_add(len)
            }
        };
        if len > left { Err(outside()) } else { Ok(Some(at..at + len)) }
    }

    /// Whether no other word refers to the bytes of a leaf in the heap: equal texts are stored once, and so are a text and
    /// another leaf of the same bytes.
    fn is_alone(&self, leaf: Word) -> bool {
        let payload = leaf.payload();
        let words = &self.payload[self.words.clone()];
        // Nearly always the first count is one, and it needs no look at the tags, one by one.
        if self.wide {
            let words = || words.chunks_exact(4).map(|word| Word(u32_of(word)));
            words().filter(|word| word.payload() == payload).count() <= 1
                || words().filter(|word| word.payload() == payload && in_heap(*word)).count() <= 1
        } else {
            // Counts as narrow as the words, of so few that they are wide enough, let many be compared at once.
            let count = |part: &[u8]| {
                part.chunks_exact(2).map(|word| u16::from(u16_of(word) >> TAG_BITS == payload as u16)).sum()
            };
            let counts = words.chunks(PART).map(|part| -> u16 { count(part) });
            let words = || words.chunks_exact(2).map(|word| Word(u32::from(u16_of(word))));
            counts.map(usize::from).sum::<usize>() <= 1
                || words().filter(|word| word.payload() == payload && in_heap(*word)).count() <= 1
        }
    }
}

/// Whether a word that is one refers to the heap; lengths and indexes look like words, too.
fn in_heap(word: Word) -> bool {
    matches!(word.tag(), Tag::Int | Tag::Float | Tag::Str | Tag::Scalar | Tag::Shared | Tag::Object)
}

fn u16_of(bytes: &[u8]) -> u16 {
    bytes.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

fn u32_of(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
