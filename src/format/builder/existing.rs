//! Building of records that exist already, or take other values over: what refers to what, and where.

use super::{Block, Pending, PendingKind, ValueBuilder, too_large};
use crate::{
    error::Result,
    format::{
        record::{ObjectId, Reference, SURELY_SHORT_BYTES, SURELY_SHORT_WORDS, Slot},
        word::{Later, PAYLOAD_LIMIT, Tag, Word},
    },
    sync::Arc,
};

impl ValueBuilder {
    /// A builder of a record that exists already, whose slots keep their numbers and flags; none has a block yet.
    pub(crate) fn of_record(id: u64, slots: Vec<Slot>) -> Self {
        Self { id: Some(id), slots, ..Self::new() }
    }

    /// Makes room for so many words, and for so many bytes besides.
    pub(crate) fn make_room(&mut self, (words, heap): (usize, usize)) {
        self.words.reserve(words);
        self.heap.reserve(heap);
    }

    /// Whether something in it lies elsewhere: an object, or a shared value; a text may come to be one.
    pub(crate) fn may_name(&self) -> bool {
        let lies_elsewhere = |word: &u32| match Word(*word).tag() {
            Tag::Shared | Tag::Object => true,
            Tag::List | Tag::Dict | Tag::Set | Tag::ByteArray => {
                self.slots.get(Word(*word).payload() as usize).is_none_or(|slot| slot.position == 0)
            }
            _ => false,
        };
        self.pending.iter().any(|text| text.kind == PendingKind::Long)
            || lies_elsewhere(&self.words[0])
            || self.slots.iter().any(|slot| slot.exported && slot.position == 0)
            || self.blocks.iter().any(|block| {
                self.words[block.at as usize..block.index_at() as usize].iter().any(lies_elsewhere)
            })
    }

    /// What the slots say so far.
    pub(crate) fn slots_mut(&mut self) -> &mut Vec<Slot> {
        &mut self.slots
    }

    /// The word of a reference, which in the record of the object itself is that of its slot.
    pub(crate) fn refer(&mut self, reference: Reference) -> Result<Word> {
        if self.id == Some(reference.id.record) {
            self.reached.push(reference.id.slot);
            return Ok(Word::new(Tag::of(reference.kind), reference.id.slot));
        }
        self.out_of_line(Tag::Object, &reference.encode())
    }

    /// Takes everything of another builder over; answers what is its root.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<Word> {
        // Without the root's own word.
        let words = self.words.len() as u32 - 1;
        let (slots, heap) = (self.slots.len() as u32, self.heap_end(other.heap.len())?);
        let pending = self.pending.len();
        let texts = self.texts.len();
        if self.words.len() + other.words.len() >= PAYLOAD_LIMIT as usize {
            return Err(too_large());
        }
        self.heap.extend_from_slice(&other.heap);
        self.texts.extend_from_slice(&other.texts);
        self.pending.extend(other.pending.iter().map(|text| Pending {
            start: text.start + texts,
            end: text.end + texts,
            kind: text.kind,
        }));
        let own = self.id;
        let moved = |word: Word| {
            let payload = word.payload();
            Ok(match word.tag() {
                Tag::Constant => match word.later() {
                    Some(Later::Text(text)) => {
                        Word::pending(text as usize + pending).ok_or_else(too_large)?
                    }
                    Some(Later::Name(_)) | None => word,
                },
                Tag::SmallInt | Tag::Symbol => word,
                tag @ (Tag::Int | Tag::Float | Tag::Str | Tag::Scalar | Tag::Shared) => {
                    Word::new(tag, payload + heap)
                }
                Tag::Object => {
                    let at = payload as usize;
                    let bytes = other.heap.get(at..at + Reference::LENGTH).unwrap_or_default();
                    let reference = Reference::decode(bytes)?;
                    if own == Some(reference.id.record) {
                        Word::new(Tag::of(reference.kind), reference.id.slot)
                    } else {
                        Word::new(Tag::Object, payload + heap)
                    }
                }
                tag @ (Tag::Tuple | Tag::FrozenSet | Tag::Instance) => Word::new(tag, payload + words),
                tag @ (Tag::List | Tag::Dict | Tag::Set | Tag::ByteArray) => Word::new(tag, payload + slots),
            })
        };
        self.words.extend_from_slice(&other.words[1..]);
        let root = moved(Word(other.words[0]))?;
        for block in &other.blocks {
            for at in block.at..block.index_at() {
                self.words[(at + words) as usize] = moved(Word(other.words[at as usize]))?.0;
            }
        }
        self.blocks.extend(other.blocks.iter().map(|block| Block { at: block.at + words, ..*block }));
        self.slots.extend(other.slots.iter().map(|slot| Slot { position: slot.position + words, ..*slot }));
        let places = other.pending_places.iter().filter(|place| **place != 0);
        self.pending_places.extend(places.map(|place| place + words));
        for (id, _) in &other.foreign {
            if own == Some(id.record) {
                self.reached.push(id.slot);
            }
        }
        self.foreign.extend(other.foreign.iter().filter(|(id, _)| own != Some(id.record)).cloned());
        Ok(root)
    }

    /// The objects of other records that are referred to, and where they were last seen.
    pub(crate) fn foreign(&self) -> &[(ObjectId, Option<Arc<[u8]>>)] {
        &self.foreign
    }

    /// Whether one of the containers may be too long to stay in a record that changes: `false` is for sure.
    pub(crate) fn may_be_long(&self) -> bool {
        self.heap.len() + self.texts.len() > SURELY_SHORT_BYTES
            || self.blocks.iter().any(|block| (block.index_at() - block.at) as usize > SURELY_SHORT_WORDS)
    }

    /// About how many bytes the record will have.
    pub(crate) fn weight(&self) -> usize {
        4 * (self.words.len() + self.slots.len()) + self.heap.len() + self.texts.len()
    }

    /// The object that a value is a reference to, when its building has ended.
    pub(crate) fn root_object(&self) -> Result<Option<Reference>> {
        let root = Word(self.words[0]);
        if root.tag() != Tag::Object {
            return Ok(None);
        }
        let at = root.payload() as usize;
        Reference::decode(self.heap.get(at..at + Reference::LENGTH).unwrap_or_default()).map(Some)
    }

    /// The id of the record, when it has one already.
    pub(crate) fn id(&self) -> Option<u64> {
        self.id
    }

    /// What the slots say so far.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The slots of the record that were referred to as lying outside of it, or somewhere in it.
    pub(crate) fn reached(&self) -> &[u32] {
        &self.reached
    }
}
