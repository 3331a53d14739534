//! Builds the record of a value, piece by piece and without recursion.

use rkyv::{Archive, Serialize, rancor};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    scalar::Scalar,
    varint,
    word::{PAYLOAD_LIMIT, Tag, Word, constant, fold_sign},
};
use crate::error::{Error, Result};

/// A dict or set of more members than this has an index of their hashes.
pub(crate) const INDEXED_FROM: u32 = 16;
/// Dict keys longer than this, in bytes, are never symbols.
const SYMBOL_LENGTH: usize = 64;
/// Dicts with more keys than this are data rather than documents; their keys are never symbols.
const SYMBOL_DICT: u32 = 64;
/// Immutable values from this size on, in bytes, are candidates for the shared table.
pub(crate) const LONG: usize = 128;
/// The archives of records of up to so many words, and of a heap of up to so many bytes, may have words of 16 bits.
const NARROW_WORDS: usize = 1 << 12;
/// How many recent texts a builder remembers to store repeated ones once; a power of two.
const RECENT: usize = 256;

/// What a record's archive holds; `docs/file-format.md` explains words, blocks, slots and the heap.
#[derive(Archive, Serialize)]
#[rkyv(archived = ArchivedRecord)]
pub(crate) struct Record {
    /// Names the record among all that were ever made; zero when it holds nothing mutable.
    pub(crate) id: u64,
    /// Whether slots and words have 32 bits, of which the lower half comes first, or 16.
    pub(crate) wide: bool,
    /// The block of each mutable container; the place in this list is its identity.
    pub(crate) slots: Vec<u16>,
    /// The root, then blocks.
    pub(crate) words: Vec<u16>,
    /// What does not fit in words.
    pub(crate) heap: Vec<u8>,
}

/// Where a leaf stands, which decides how it may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An element of a list or tuple, or the value of a dict item.
    Value,
    /// A dict key or a member of a set, or anything inside one: found by comparison, so always stored in place.
    Member,
}

/// The elements of a container that is being built.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    at: u32,
    len: u32,
    indexed: bool,
    dict: bool,
}

impl Block {
    /// Whether [`ValueBuilder::index`] has to be told every member.
    pub fn is_indexed(self) -> bool {
        self.indexed
    }

    /// How many elements, items or members it has.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    fn index_at(self) -> u32 {
        self.at + if self.dict { 2 * self.len } else { self.len }
    }
}

/// A text whose final place is known only inside the write transaction.
#[derive(Debug)]
pub(crate) struct Pending {
    start: usize,
    end: usize,
    pub(crate) kind: PendingKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PendingKind {
    /// A short dict key, which may become a symbol.
    Name,
    /// A long scalar, encoded, which may be stored once for all.
    Long,
}

/// Builds a value piece by piece.
///
/// Containers are announced with their length and filled afterwards, in any order, so neither depth nor cycles need
/// recursion: hold the pending containers in a list of your own.
///
/// # Examples
///
/// ```
/// use oocmap::{Role, ValueBuilder};
///
/// # fn main() -> Result<(), oocmap::Error> {
/// let mut builder = ValueBuilder::new();
/// let (root, items) = builder.list(2)?;
/// let one = builder.int(1)?;
/// let text = builder.str("two", Role::Value)?;
/// builder.set_item(items, 0, one);
/// builder.set_item(items, 1, text);
/// let draft = builder.finish(root);
/// # let _ = draft;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ValueBuilder {
    words: Vec<u32>,
    slots: Vec<u32>,
    heap: Vec<u8>,
    blocks: Vec<Block>,
    pending: Vec<Pending>,
    pending_places: Vec<(u32, u32)>,
    texts: Vec<u8>,
    recent: Vec<(u64, u32)>,
}

impl Default for ValueBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl ValueBuilder {
    /// A builder that holds nothing yet.
    pub fn new() -> Self {
        Self {
            words: vec![0],
            slots: Vec::new(),
            heap: Vec::new(),
            blocks: Vec::new(),
            pending: Vec::new(),
            pending_places: Vec::new(),
            texts: Vec::new(),
            recent: Vec::new(),
        }
    }

    /// None.
    pub fn none(&self) -> Word {
        Word::new(Tag::Constant, constant::NONE)
    }

    /// A truth value.
    pub fn bool(&self, value: bool) -> Word {
        Word::new(Tag::Constant, if value { constant::TRUE } else { constant::FALSE })
    }

    /// An integer.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn int(&mut self, value: i64) -> Result<Word> {
        match Word::small_int(value) {
            Some(word) => Ok(word),
            None => self.int_on_heap(fold_sign(value)),
        }
    }

    /// A double, kept bit for bit.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn float(&mut self, value: f64) -> Result<Word> {
        self.out_of_line(Tag::Float, &value.to_bits().to_le_bytes())
    }

    /// A text.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn str(&mut self, value: &str, role: Role) -> Result<Word> {
        if role == Role::Value && value.len() >= LONG {
            let mut encoded = Vec::with_capacity(value.len() + 1);
            Scalar::Str(value.into()).encode(&mut encoded);
            return self.defer(&encoded, PendingKind::Long);
        }
        self.sized(Tag::Str, value.as_bytes())
    }

    /// The key of an item of a dict of `len` items, when it is a text.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn name(&mut self, value: &str, dict: Block) -> Result<Word> {
        if dict.len <= SYMBOL_DICT && value.len() <= SYMBOL_LENGTH {
            return self.defer(value.as_bytes(), PendingKind::Name);
        }
        self.str(value, Role::Member)
    }

    /// Any leaf.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn scalar(&mut self, value: &Scalar<'_>, role: Role) -> Result<Word> {
        match value {
            Scalar::None => Ok(self.none()),
            Scalar::Bool(value) => Ok(self.bool(*value)),
            Scalar::Ellipsis => Ok(Word::new(Tag::Constant, constant::ELLIPSIS)),
            Scalar::Int(value) => self.int(*value),
            Scalar::Float(value) => self.float(*value),
            Scalar::Str(value) => self.str(value, role),
            other => {
                let mut encoded = Vec::new();
                other.encode(&mut encoded);
                if role == Role::Value && encoded.len() >= LONG {
                    return self.defer(&encoded, PendingKind::Long);
                }
                self.sized(Tag::Scalar, &encoded)
            }
        }
    }

    /// A list of `len` elements.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn list(&mut self, len: usize) -> Result<(Word, Block)> {
        self.mutable(Tag::List, len)
    }

    /// A dict of `len` items.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn dict(&mut self, len: usize) -> Result<(Word, Block)> {
        self.mutable(Tag::Dict, len)
    }

    /// A set of `len` members.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn set(&mut self, len: usize) -> Result<(Word, Block)> {
        self.mutable(Tag::Set, len)
    }

    /// A tuple of `len` elements.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn tuple(&mut self, len: usize) -> Result<(Word, Block)> {
        let (at, block) = self.block(Tag::Tuple, len)?;
        Ok((Word::new(Tag::Tuple, at), block))
    }

    /// A frozenset of `len` members.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn frozenset(&mut self, len: usize) -> Result<(Word, Block)> {
        let (at, block) = self.block(Tag::FrozenSet, len)?;
        Ok((Word::new(Tag::FrozenSet, at), block))
    }

    /// Puts an element of a list or tuple, a member of a set, or a dict's key in its place.
    ///
    /// # Panics
    ///
    /// When the index is not below the container's length.
    pub fn set_item(&mut self, block: Block, index: usize, word: Word) {
        self.place(block, block.at, index, word);
    }

    /// Puts the value of a dict's item in its place.
    ///
    /// # Panics
    ///
    /// When the index is not below the dict's length.
    pub fn set_value(&mut self, block: Block, index: usize, word: Word) {
        assert!(block.dict, "only dicts have values");
        self.place(block, block.at + block.len, index, word);
    }

    /// Tells the ordered bytes of a key or member, for the index of a large dict or set.
    ///
    /// # Panics
    ///
    /// When the index is not below the container's length.
    pub fn index(&mut self, block: Block, index: usize, ordered: &[u8]) {
        if block.indexed {
            assert!(index < block.len as usize, "element {index} of {}", block.len);
            let at = block.index_at() as usize + index;
            self.words[at] = member_hash(ordered);
        }
    }

    /// Ends the building.
    pub fn finish(mut self, root: Word) -> Draft {
        self.words[0] = root.0;
        self.recent = Vec::new();
        if let Some(pending) = root.pending() {
            self.pending_places.push((0, pending));
        }
        for block in self.blocks.iter().filter(|block| block.indexed) {
            let (from, len) = (block.index_at() as usize, block.len as usize);
            let mut entries: Vec<(u32, u32)> =
                self.words[from..from + len].iter().copied().zip(0..block.len).collect();
            entries.sort_unstable();
            for (rank, (hash, position)) in entries.into_iter().enumerate() {
                self.words[from + rank] = hash;
                self.words[from + len + rank] = position;
            }
        }
        Draft(DraftKind::Record(Box::new(self)))
    }

    fn mutable(&mut self, tag: Tag, len: usize) -> Result<(Word, Block)> {
        let (at, block) = self.block(tag, len)?;
        let slot = self.slots.len() as u32;
        self.slots.push(at);
        Ok((Word::new(tag, slot), block))
    }

    /// Sets words aside: the length, the elements, and the index where there is one.
    fn block(&mut self, tag: Tag, len: usize) -> Result<(u32, Block)> {
        let at = self.words.len();
        let dict = tag == Tag::Dict;
        let indexed = matches!(tag, Tag::Dict | Tag::Set | Tag::FrozenSet) && len > INDEXED_FROM as usize;
        let per_element = 1 + usize::from(dict) + 2 * usize::from(indexed);
        let end = len
            .checked_mul(per_element)
            .and_then(|words| words.checked_add(at + 1))
            .filter(|end| *end < PAYLOAD_LIMIT as usize)
            .ok_or_else(too_large)?;
        self.words.push(len as u32);
        self.words.resize(end, 0);
        let block = Block { at: at as u32 + 1, len: len as u32, indexed, dict };
        self.blocks.push(block);
        Ok((at as u32, block))
    }

    fn place(&mut self, block: Block, from: u32, index: usize, word: Word) {
        assert!(index < block.len as usize, "element {index} of {}", block.len);
        let place = from + index as u32;
        self.words[place as usize] = word.0;
        if let Some(pending) = word.pending() {
            self.pending_places.push((place, pending));
        }
    }

    fn defer(&mut self, text: &[u8], kind: PendingKind) -> Result<Word> {
        let number = u32::try_from(self.pending.len()).ok().filter(|number| *number < PAYLOAD_LIMIT);
        let word = Word::new(Tag::Pending, number.ok_or_else(too_large)?);
        let start = self.texts.len();
        self.texts.extend_from_slice(text);
        self.pending.push(Pending { start, end: self.texts.len(), kind });
        Ok(word)
    }

    fn int_on_heap(&mut self, folded: u64) -> Result<Word> {
        let word = Word::new(Tag::Int, self.heap_end(10)?);
        varint::put(&mut self.heap, folded);
        Ok(word)
    }

    fn out_of_line(&mut self, tag: Tag, bytes: &[u8]) -> Result<Word> {
        let word = Word::new(tag, self.heap_end(bytes.len())?);
        self.heap.extend_from_slice(bytes);
        Ok(word)
    }

    /// Text or an encoded scalar, with its length before it; what was stored a moment ago is used again.
    fn sized(&mut self, tag: Tag, bytes: &[u8]) -> Result<Word> {
        if self.recent.is_empty() {
            self.recent.resize(RECENT, (0, 0));
        }
        // Never zero, as the places are where nothing was stored yet.
        let hash = (xxh3_64(bytes) ^ tag as u64) | 1;
        let place = (hash >> 1) as usize % RECENT;
        let known = self.recent[place];
        if known.0 == hash && sized_at(&self.heap, known.1 as usize)? == bytes {
            return Ok(Word::new(tag, known.1));
        }
        let at = self.heap_end(bytes.len() + 5)?;
        varint::put(&mut self.heap, bytes.len() as u64);
        self.heap.extend_from_slice(bytes);
        self.recent[place] = (hash, at);
        Ok(Word::new(tag, at))
    }

    /// Where the heap goes on, when so many more bytes still have room.
    fn heap_end(&self, more: usize) -> Result<u32> {
        let at = self.heap.len();
        if at + more < PAYLOAD_LIMIT as usize { Ok(at as u32) } else { Err(too_large()) }
    }
}

fn halves(word: u32) -> [u16; 2] {
    [word as u16, (word >> 16) as u16]
}

/// The bytes at a heap offset that have their length before them.
#[inline]
pub(super) fn sized_at(heap: &[u8], at: usize) -> Result<&[u8]> {
    let outside = || Error::corrupted("a record points past its heap");
    let mut rest = heap.get(at..).ok_or_else(outside)?;
    let length = varint::take(&mut rest)?;
    usize::try_from(length).ok().and_then(|length| rest.get(..length)).ok_or_else(outside)
}

/// The hash that a large dict's or set's index holds for a member's ordered bytes.
pub(crate) fn member_hash(ordered: &[u8]) -> u32 {
    xxh3_64(ordered) as u32
}

fn too_large() -> Error {
    Error::TooLarge(
        "a single value may hold up to 268 million elements and 256 MiB of other data than long texts; store it in parts, under keys of their own".into(),
    )
}

/// A value that is ready to be stored.
#[derive(Debug)]
pub struct Draft(pub(crate) DraftKind);

#[derive(Debug)]
pub(crate) enum DraftKind {
    /// An encoded scalar.
    Scalar(Vec<u8>),
    Record(Box<ValueBuilder>),
    /// A Rust user's own archive.
    Archive(Vec<u8>),
}

impl Draft {
    /// A value that is one leaf.
    pub fn scalar(value: &Scalar<'_>) -> Self {
        let mut encoded = Vec::new();
        value.encode(&mut encoded);
        Self(DraftKind::Scalar(encoded))
    }
}

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
        let id = if self.slots.is_empty() { 0 } else { placement.record_id() };
        let record = match self.narrow() {
            Some((slots, words)) => Record { id, wide: false, slots, words, heap: self.heap },
            None => Record {
                id,
                wide: true,
                slots: self.slots.into_iter().flat_map(halves).collect(),
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
        let slots = self.slots.iter().map(|slot| *slot as u16).collect();
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
            None if word.tag().ok()? == Tag::SmallInt => {
                self.int_on_heap(fold_sign(word.signed())).ok()?.narrow()
            }
            narrow => narrow,
        }
    }
}

/// The part of a member's hash that a small record's index holds; it sorts as the whole one does.
pub(crate) fn narrow_hash(hash: u32) -> u16 {
    (hash >> 16) as u16
}
