//! Builds the record of a value, piece by piece and without recursion.

mod archive;
mod carry;
mod draft;
mod existing;
pub(crate) mod part;
mod texts;
mod unresolved;

pub use self::draft::Draft;
pub(crate) use self::{
    archive::{Placement, narrow_hash},
    carry::Unpacked,
    draft::{DraftKind, Numbers},
    texts::sized_at,
    unresolved::UnresolvedRecord,
};

use rkyv::{Archive, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use self::texts::{Pending, PendingKind, Recent};
use super::{
    key::{Key, KeyBytes},
    name::Name,
    record::{ContainerKind, ObjectId, Reference, Slot},
    scalar::Scalar,
    varint,
    word::{PAYLOAD_LIMIT, Tag, Word, constant, fold_sign},
};
use crate::{
    error::{Error, Result},
    sync::Arc,
};

/// A dict or set of more members than this has an index of their hashes.
pub(crate) const INDEXED_FROM: u32 = 16;
/// Dict keys longer than this, in bytes, are never symbols.
pub(crate) const SYMBOL_LENGTH: usize = 64;
/// Dicts with more keys than this are data rather than documents; their keys are never symbols.
pub(crate) const SYMBOL_DICT: u32 = 64;
/// Immutable values from this size on, in bytes, are candidates for the shared table.
pub(crate) const LONG: usize = 128;
/// The archives of records of up to so many words, and of a heap of up to so many bytes, may have words of 16 bits.
const NARROW_WORDS: usize = 1 << 12;
/// Containers of up to so many elements are small.
const FEW: usize = 8;

/// What a record's archive holds; `docs/file-format.md` explains words, blocks, slots and the heap.
#[derive(Debug, Archive, Serialize)]
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
    /// Whether the index is in order already.
    sorted: bool,
    dict: bool,
}

impl Block {
    /// Whether [`ValueBuilder::index`] has to be told every member.
    #[inline]
    pub fn is_indexed(self) -> bool {
        self.indexed
    }

    /// Whether keys that are known by names stay names: it is a dict with few enough of them to be no data.
    #[inline]
    pub fn takes_names(self) -> bool {
        self.dict && self.len <= SYMBOL_DICT
    }

    /// How many elements, items or members it has.
    #[inline]
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    #[inline]
    fn index_at(self) -> u32 {
        self.at + if self.dict { 2 * self.len } else { self.len }
    }

    /// Where what lies behind it begins.
    #[inline]
    fn end(self) -> u32 {
        self.index_at() + if self.indexed { 2 * self.len } else { 0 }
    }
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
#[derive(Clone, Debug)]
pub struct ValueBuilder {
    words: Vec<u32>,
    slots: Vec<Slot>,
    /// The id that the record has already.
    id: Option<u64>,
    foreign: Vec<(ObjectId, Option<Arc<[u8]>>)>,
    reached: Vec<u32>,
    heap: Vec<u8>,
    blocks: Vec<Block>,
    pending: Vec<Pending>,
    /// Where words stand that are to be decided.
    pending_places: Vec<u32>,
    texts: Vec<u8>,
    recent: Recent,
    /// Room for the slots and words of an archive.
    halves: (Vec<u16>, Vec<u16>),
}

impl Default for ValueBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl ValueBuilder {
    /// A builder that holds nothing yet.
    pub fn new() -> Self {
        Self::spare().unwrap_or_else(|| Self {
            words: vec![0],
            slots: Vec::new(),
            id: None,
            foreign: Vec::new(),
            reached: Vec::new(),
            heap: Vec::new(),
            blocks: Vec::new(),
            pending: Vec::new(),
            pending_places: Vec::new(),
            texts: Vec::new(),
            recent: Recent::default(),
            halves: Default::default(),
        })
    }

    /// None.
    #[inline]
    pub fn none(&self) -> Word {
        Word::new(Tag::Constant, constant::NONE)
    }

    /// A truth value.
    #[inline]
    pub fn bool(&self, value: bool) -> Word {
        Word::new(Tag::Constant, if value { constant::TRUE } else { constant::FALSE })
    }

    /// Ellipsis.
    pub fn ellipsis(&self) -> Word {
        Word::new(Tag::Constant, constant::ELLIPSIS)
    }

    /// An integer.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    #[inline]
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
    #[inline]
    pub fn float(&mut self, value: f64) -> Result<Word> {
        self.out_of_line(Tag::Float, &value.to_bits().to_le_bytes())
    }

    /// A text.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    #[inline]
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
        if dict.takes_names() && value.len() <= SYMBOL_LENGTH {
            return self.defer(value.as_bytes(), PendingKind::Name);
        }
        self.str(value, Role::Member)
    }

    /// The key of an item of a dict, as [`ValueBuilder::name`] makes it of the text, when the text is known.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    #[inline]
    pub fn known_name(&mut self, name: Name, dict: Block) -> Result<Word> {
        if dict.takes_names() { Ok(Word::named(name)) } else { self.str(name.text(), Role::Member) }
    }

    /// A text that repeats in many values, such as the name of a class; never inside a dict key or a member of a set.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn symbol(&mut self, value: &str) -> Result<Word> {
        if value.len() <= SYMBOL_LENGTH {
            return self.defer(value.as_bytes(), PendingKind::Name);
        }
        self.str(value, Role::Value)
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
            Scalar::Ellipsis => Ok(self.ellipsis()),
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

    /// Any container but a byte array, of `len` elements, items or members.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    #[inline]
    pub fn container(&mut self, kind: ContainerKind, len: usize) -> Result<(Word, Block)> {
        if kind.is_mutable() { self.mutable(kind, len) } else { self.immutable(kind, len) }
    }

    /// A list of `len` elements.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn list(&mut self, len: usize) -> Result<(Word, Block)> {
        self.mutable(ContainerKind::List, len)
    }

    /// A dict of `len` items.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn dict(&mut self, len: usize) -> Result<(Word, Block)> {
        self.mutable(ContainerKind::Dict, len)
    }

    /// A set of `len` members.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn set(&mut self, len: usize) -> Result<(Word, Block)> {
        self.mutable(ContainerKind::Set, len)
    }

    /// A tuple of `len` elements.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn tuple(&mut self, len: usize) -> Result<(Word, Block)> {
        self.immutable(ContainerKind::Tuple, len)
    }

    /// A frozenset of `len` members.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn frozenset(&mut self, len: usize) -> Result<(Word, Block)> {
        self.immutable(ContainerKind::FrozenSet, len)
    }

    /// An instance of a class: `len` elements, of which the first names the class.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn instance(&mut self, len: usize) -> Result<(Word, Block)> {
        self.immutable(ContainerKind::Instance, len)
    }

    /// A byte array.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn byte_array(&mut self, bytes: &[u8]) -> Result<Word> {
        let (word, block) = self.mutable(ContainerKind::ByteArray, 1)?;
        let content = self.bytes_in_place(bytes)?;
        self.set_item(block, 0, content);
        Ok(word)
    }

    /// A reference to an object that lies elsewhere in the map; `key` are the ordered bytes of the key that it was last
    /// seen under.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be.
    pub fn object(&mut self, reference: Reference, key: Option<Arc<[u8]>>) -> Result<Word> {
        self.foreign.push((reference.id, key));
        self.refer(reference)
    }

    /// The key of an item, or the member of a set, or anything inside one.
    ///
    /// # Errors
    ///
    /// `TooLarge` when the value is larger than a record can be, or the key nests too deeply.
    pub fn member(&mut self, key: &Key<'_>) -> Result<Word> {
        let (kind, parts) = match key {
            Key::Scalar(scalar) => return self.scalar(scalar, Role::Member),
            Key::Tuple(parts) => (ContainerKind::Tuple, parts),
            Key::FrozenSet(parts) => (ContainerKind::FrozenSet, parts),
        };
        // Limits how deep it may be.
        key.encode_allowing_nan(&mut KeyBytes::new())?;
        let (word, block) = self.immutable(kind, parts.len())?;
        for (index, part) in parts.iter().enumerate() {
            if block.is_indexed() {
                let mut ordered = KeyBytes::new();
                part.encode_allowing_nan(&mut ordered)?;
                self.index(block, index, &ordered);
            }
            let part = self.member(part)?;
            self.set_item(block, index, part);
        }
        Ok(word)
    }

    /// A leaf that is encoded already.
    pub(crate) fn encoded(&mut self, encoded: &[u8]) -> Result<Word> {
        self.scalar(&Scalar::decode(encoded)?, Role::Value)
    }

    /// Puts an element of a list or tuple, a member of a set, or a dict's key in its place.
    ///
    /// # Panics
    ///
    /// When the index is not below the container's length.
    #[inline]
    pub fn set_item(&mut self, block: Block, index: usize, word: Word) {
        self.place(block, block.at, index, word);
    }

    /// Puts the value of a dict's item in its place.
    ///
    /// # Panics
    ///
    /// When the index is not below the dict's length.
    #[inline]
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
    pub fn finish(self, root: Word) -> Draft {
        Draft(DraftKind::Record(Box::new(self.ended(root))))
    }

    /// Ends the building, for a record that is stored at once.
    pub(crate) fn ended(mut self, root: Word) -> Self {
        self.words[0] = root.0;
        self.recent.let_go(self.heap.len());
        if root.is_undecided() {
            self.pending_places.push(0);
        }
        for block in self.blocks.iter_mut().filter(|block| block.indexed && !block.sorted) {
            block.sorted = true;
            let (from, len) = (block.index_at() as usize, block.len as usize);
            let mut entries: Vec<(u32, u32)> =
                self.words[from..from + len].iter().copied().zip(0..block.len).collect();
            entries.sort_unstable();
            for (rank, (hash, position)) in entries.into_iter().enumerate() {
                self.words[from + rank] = hash;
                self.words[from + len + rank] = position;
            }
        }
        self
    }

    /// Bytes that stay in the record.
    pub(crate) fn bytes_in_place(&mut self, bytes: &[u8]) -> Result<Word> {
        self.scalar(&Scalar::Bytes(bytes.into()), Role::Member)
    }

    #[inline]
    fn mutable(&mut self, kind: ContainerKind, len: usize) -> Result<(Word, Block)> {
        let slot = self.slots.len() as u32;
        let (position, block) = self.block(kind, len)?;
        self.slots.push(Slot { kind, position, ..Slot::GONE });
        Ok((Word::new(Tag::of(kind), slot), block))
    }

    #[inline]
    pub(super) fn immutable(&mut self, kind: ContainerKind, len: usize) -> Result<(Word, Block)> {
        let (at, block) = self.block(kind, len)?;
        Ok((Word::new(Tag::of(kind), at), block))
    }

    /// Gives the container of a slot a place in the record.
    pub(crate) fn at_slot(&mut self, slot: u32, kind: ContainerKind, len: usize) -> Result<(Word, Block)> {
        let (position, block) = self.block(kind, len)?;
        let own = &mut self.slots[slot as usize];
        *own = Slot { kind, position, ..*own };
        Ok((Word::new(Tag::of(kind), slot), block))
    }

    /// Sets words aside: the length, the elements, and the index where there is one.
    #[inline]
    fn block(&mut self, kind: ContainerKind, len: usize) -> Result<(u32, Block)> {
        let at = self.words.len();
        let dict = kind == ContainerKind::Dict;
        let indexed = kind.has_index() && len > INDEXED_FROM as usize;
        let per_element = 1 + usize::from(dict) + 2 * usize::from(indexed);
        let end = len
            .checked_mul(per_element)
            .and_then(|words| words.checked_add(at + 1))
            .filter(|end| *end < PAYLOAD_LIMIT as usize)
            .ok_or_else(too_large)?;
        self.words.push(len as u32);
        if len <= FEW {
            // A call of what fills memory would take longer.
            while self.words.len() < end {
                self.words.extend_from_slice(&[0; 8]);
            }
            self.words.truncate(end);
        } else {
            self.words.resize(end, 0);
        }
        let block = Block { at: at as u32 + 1, len: len as u32, indexed, sorted: false, dict };
        self.blocks.push(block);
        Ok((at as u32, block))
    }

    #[inline]
    fn place(&mut self, block: Block, from: u32, index: usize, word: Word) {
        assert!(index < block.len as usize, "element {index} of {}", block.len);
        let place = from + index as u32;
        self.words[place as usize] = word.0;
        if word.is_undecided() {
            self.pending_places.push(place);
        }
    }

    fn int_on_heap(&mut self, folded: u64) -> Result<Word> {
        let word = Word::new(Tag::Int, self.heap_end(10)?);
        varint::put(&mut self.heap, folded);
        Ok(word)
    }

    pub(super) fn out_of_line(&mut self, tag: Tag, bytes: &[u8]) -> Result<Word> {
        let word = Word::new(tag, self.heap_end(bytes.len())?);
        self.heap.extend_from_slice(bytes);
        Ok(word)
    }

    /// Where the heap goes on, when so many more bytes still have room.
    #[inline]
    fn heap_end(&self, more: usize) -> Result<u32> {
        let at = self.heap.len();
        if at + more < PAYLOAD_LIMIT as usize { Ok(at as u32) } else { Err(too_large()) }
    }
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
