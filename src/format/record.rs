//! Reads records where they lie: every offset checked, nothing copied, no recursion.

#[cfg(test)]
mod tests;

mod access;
pub(crate) mod check;
mod find;
mod object;
mod patch;
mod reach;
mod uniform;
mod words;

use std::num::NonZeroUsize;

use rkyv::{
    rancor,
    validation::{Validator, archive::ArchiveValidator, shared::SharedValidator},
};

pub(crate) use self::{object::Slot, patch::Patch, reach::Reach};
pub use self::{
    object::{ObjectId, Reference},
    uniform::Uniform,
};
use super::{
    builder::INDEXED_FROM,
    word::{Tag, Word},
};
use crate::error::{Error, Result};

/// How deep the archives may nest that are read: records are flat, and users' own types rarely go further.
const ARCHIVE_DEPTH: usize = 256;

/// A container whose elements take more than this, in bytes, is too long to stay in a record that changes.
const LONG_CONTAINER: usize = 8 * 1024;
/// How much of an element counts for that, at least and at most.
const LEAST_COUNTED: usize = 4;
const MOST_COUNTED: usize = 64;
/// A container of no more elements is not too long, nor is a byte array of no more bytes.
pub(super) const SURELY_SHORT_WORDS: usize = LONG_CONTAINER / MOST_COUNTED;
pub(super) const SURELY_SHORT_BYTES: usize = LONG_CONTAINER;
/// A container of so many words is long, whatever they are.
pub(super) const SURELY_LONG_WORDS: usize = LONG_CONTAINER / LEAST_COUNTED + 1;

/// What a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContainerKind {
    /// Ordered and mutable.
    List,
    /// Ordered and immutable.
    Tuple,
    /// Keys and values, in the order of insertion.
    Dict,
    /// Distinct members.
    Set,
    /// Distinct members, immutable.
    FrozenSet,
    /// Bytes that change: one element, which holds them.
    ByteArray,
    /// An instance of a class: what names the class, then its state.
    Instance,
}

impl ContainerKind {
    /// Whether containers of the kind can change, and so have an identity.
    #[inline]
    pub fn is_mutable(self) -> bool {
        matches!(self, Self::List | Self::Dict | Self::Set | Self::ByteArray)
    }

    /// The number that stands for a mutable kind in slots and references.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Dict => 1,
            Self::Set => 2,
            Self::ByteArray => 3,
            Self::List | Self::Tuple | Self::FrozenSet | Self::Instance => 0,
        }
    }

    /// The mutable kind that a number stands for.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::List,
            1 => Self::Dict,
            2 => Self::Set,
            3 => Self::ByteArray,
            _ => return None,
        })
    }

    #[inline]
    pub(crate) fn has_index(self) -> bool {
        matches!(self, Self::Dict | Self::Set | Self::FrozenSet)
    }
}

/// A container's place in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// What it is.
    pub kind: ContainerKind,
    at: u32,
    len: u32,
    slot: u32,
}

/// The slot of what has none.
const NO_SLOT: u32 = u32::MAX;

impl Container {
    /// How many elements, items or members it has.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The block's position, which tells the containers of one record apart.
    pub fn position(self) -> u32 {
        self.at
    }

    /// How many elements there are when keys and values count alike.
    pub(crate) fn words(self) -> usize {
        self.len() * if self.kind == ContainerKind::Dict { 2 } else { 1 }
    }

    /// The word of an element, counting as [`RecordView::element`] does.
    pub(crate) fn word_at(self, at: usize) -> usize {
        self.at as usize + at
    }

    /// The slot of a mutable container.
    pub fn slot(self) -> Option<u32> {
        (self.slot != NO_SLOT).then_some(self.slot)
    }
}

/// UTF-8 that has not been looked at yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// The bytes, unchecked.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the bytes are not UTF-8.
    pub fn to_str(self) -> Result<&'a str> {
        std::str::from_utf8(self.0).map_err(|_| Error::corrupted("a text is not UTF-8"))
    }
}

/// One element of a record, as it lies there.
#[derive(Clone, Copy, Debug)]
pub enum Node<'a> {
    /// None.
    None,
    /// Ellipsis.
    Ellipsis,
    /// A truth value.
    Bool(bool),
    /// An integer of up to 64 bits.
    Int(i64),
    /// A double.
    Float(f64),
    /// A text.
    Str(Text<'a>),
    /// Any other leaf, encoded; [`Scalar::decode`](super::scalar::Scalar::decode) reads it.
    Scalar(&'a [u8]),
    /// A short text that many dicts have as a key.
    Symbol(u32),
    /// A long leaf that is stored once for all who have it.
    Shared(u64),
    /// A container that lies here.
    Container(Container),
    /// A mutable container that lies elsewhere.
    Object(Reference),
}

/// What a record names that lies elsewhere, once for each place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// The ids of values in the shared table.
    pub(crate) shared: Vec<u64>,
    /// The objects of other records.
    pub(crate) objects: Vec<ObjectId>,
    /// The slots of this record whose containers lie outside it; they may stand here more often than they are met.
    pub(crate) outside: Vec<u32>,
}

impl Named {
    /// Whether there is anything that has to be let go with the record.
    pub(crate) fn has_links(&self) -> bool {
        !self.objects.is_empty() || !self.outside.is_empty()
    }
}

/// What to look for among the members of a dict or set.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// The ordered bytes of the member.
    pub ordered: &'a [u8],
    /// Its symbol, when it is a text that has one.
    pub symbol: Option<u32>,
}

/// A record that is borrowed from where it is stored.
#[derive(Clone, Copy)]
pub struct RecordView<'a> {
    id: u64,
    slots: Numbers<'a>,
    words: Numbers<'a>,
    heap: &'a [u8],
}

/// Slots or words, of 16 or 32 bits.
#[derive(Clone, Copy)]
struct Numbers<'a> {
    wide: bool,
    bytes: &'a [u8],
}

impl Numbers<'_> {
    /// How many bytes a number has.
    #[inline]
    fn width(self) -> usize {
        if self.wide { 4 } else { 2 }
    }

    #[inline]
    fn len(self) -> usize {
        self.bytes.len() / self.width()
    }

    #[inline]
    fn get(self, at: usize) -> Result<u32> {
        if self.wide {
            let number = self.bytes.get(4 * at..).and_then(<[u8]>::first_chunk).ok_or_else(outside)?;
            Ok(u32::from_le_bytes(*number))
        } else {
            let number = self.bytes.get(2 * at..).and_then(<[u8]>::first_chunk).ok_or_else(outside)?;
            Ok(u32::from(u16::from_le_bytes(*number)))
        }
    }
}

/// Archives that can be validated.
pub trait Checked:
    rkyv::Portable
    + for<'a> rkyv::bytecheck::CheckBytes<
        rancor::Strategy<Validator<ArchiveValidator<'a>, SharedValidator>, rancor::BoxedError>,
    >
{
}

impl<T> Checked for T where
    T: rkyv::Portable
        + for<'a> rkyv::bytecheck::CheckBytes<
            rancor::Strategy<Validator<ArchiveValidator<'a>, SharedValidator>, rancor::BoxedError>,
        >
{
}

/// Checked access to an archive, limited in depth.
///
/// # Errors
///
/// `Corrupted` when the bytes are no valid archive of a `T`.
pub(crate) fn access<T: Checked>(bytes: &[u8]) -> Result<&T> {
    let depth = NonZeroUsize::new(ARCHIVE_DEPTH);
    let mut validator =
        Validator::new(ArchiveValidator::with_max_depth(bytes, depth), SharedValidator::new());
    rkyv::api::access_with_context::<T, _, rancor::BoxedError>(bytes, &mut validator)
        .map_err(|error| Error::corrupted(format!("an archive does not check out ({error})")))
}

impl<'a> RecordView<'a> {
    /// The record's id; zero when nothing in it can change.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How many mutable containers the record holds.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// How many words there are, and how many bytes besides.
    pub(crate) fn extent(&self) -> (usize, usize) {
        (self.words.len(), self.heap.len())
    }

    /// The whole value.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the record is damaged.
    pub fn root(&self) -> Result<Node<'a>> {
        self.node(0)
    }

    /// An element of a list or tuple, a member of a set, or a dict's key.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the record is damaged.
    #[inline]
    pub fn item(&self, container: Container, index: usize) -> Result<Node<'a>> {
        debug_assert!(index < container.len());
        self.node(container.at as usize + index)
    }

    /// Any element of a container: those of lists and tuples, members, keys, and behind the keys the values.
    pub(crate) fn element(&self, container: Container, at: usize) -> Result<Node<'a>> {
        debug_assert!(at < container.words());
        self.node(container.at as usize + at)
    }

    /// The first element from a position on that is a container of this record, with its position.
    pub(crate) fn next_container(
        &self,
        container: Container,
        from: usize,
    ) -> Result<Option<(usize, Container)>> {
        for at in from..container.words() {
            if Word(self.words.get(container.at as usize + at)?).tag().is_container()
                && let Node::Container(child) = self.element(container, at)?
            {
                return Ok(Some((at, child)));
            }
        }
        Ok(None)
    }

    /// The elements of a list or tuple, when all of them are integers.
    pub(crate) fn ints(&self, container: Container) -> Result<Option<Vec<i64>>> {
        let mut ints = Vec::with_capacity(container.len());
        for index in 0..container.len() {
            let at = container.at as usize + index;
            let word = Word(self.words.get(at)?);
            ints.push(match word.tag() {
                Tag::SmallInt => word.signed(),
                Tag::Int => match self.node(at)? {
                    Node::Int(value) => value,
                    _ => return Ok(None),
                },
                _ => return Ok(None),
            });
        }
        Ok(Some(ints))
    }

    /// The value of a dict's item.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the record is damaged.
    #[inline]
    pub fn value(&self, dict: Container, index: usize) -> Result<Node<'a>> {
        debug_assert!(dict.kind == ContainerKind::Dict && index < dict.len());
        self.node((dict.at + dict.len) as usize + index)
    }

    /// Whether a container is too long to stay in a record that changes.
    ///
    /// Long texts and bytes count as short ones, since they go to the shared table when they get in the way.
    pub(crate) fn is_long(&self, container: Container) -> Result<bool> {
        match container.kind {
            ContainerKind::Tuple | ContainerKind::FrozenSet | ContainerKind::Instance => return Ok(false),
            ContainerKind::ByteArray => {
                return Ok(match self.item(container, 0)? {
                    Node::Scalar(bytes) => bytes.len() > LONG_CONTAINER,
                    _ => false,
                });
            }
            ContainerKind::List | ContainerKind::Dict | ContainerKind::Set => {}
        }
        let words = container.len() * if container.kind == ContainerKind::Dict { 2 } else { 1 };
        if words <= SURELY_SHORT_WORDS {
            return Ok(false);
        }
        let mut weight = 0;
        for at in 0..words {
            weight += LEAST_COUNTED
                + match self.node(container.at as usize + at)? {
                    Node::Str(text) => text.as_bytes().len(),
                    Node::Scalar(encoded) => encoded.len(),
                    Node::Float(_) | Node::Shared(_) => 8,
                    Node::Object(_) => Reference::LENGTH,
                    Node::Container(inner) => 4 * inner.len(),
                    _ => 0,
                }
                .min(MOST_COUNTED - LEAST_COUNTED);
            if weight > LONG_CONTAINER {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The whole value, which has to be a container that lies here.
    pub(crate) fn root_container(&self) -> Result<Container> {
        match self.root()? {
            Node::Container(root) => Ok(root),
            _ => Err(Error::corrupted("the root of a record is no container")),
        }
    }

    /// The slot of the whole value, when that can change.
    pub(crate) fn root_slot(&self) -> Result<Option<u32>> {
        let word = Word(self.words.get(0)?);
        let is_mutable = matches!(word.tag(), Tag::List | Tag::Dict | Tag::Set | Tag::ByteArray);
        Ok(is_mutable.then(|| word.payload()))
    }

    /// The container of a slot, wherever it lies.
    pub(crate) fn slot_node(&self, number: u32) -> Result<Node<'a>> {
        self.mutable(self.slot(number)?.kind, number)
    }

    /// What a slot says.
    #[inline]
    pub(crate) fn slot(&self, number: u32) -> Result<Slot> {
        let bits = if self.slots.wide { Slot::WIDE } else { Slot::NARROW };
        self.slots.get(number as usize).map(|slot| Slot::decode(slot, bits))
    }

    /// The container of a slot, when it lies in the record.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the record is damaged, or has no such slot.
    #[inline]
    pub fn at_slot(&self, number: u32) -> Result<Option<Container>> {
        let Slot { kind, position, .. } = self.slot(number)?;
        if position == 0 { Ok(None) } else { self.container(kind, position, number).map(Some) }
    }

    /// As [`RecordView::at_slot`]; nothing when there is no such slot.
    #[inline]
    pub(crate) fn known_slot(&self, number: u32) -> Result<Option<Container>> {
        if (number as usize) < self.slots() { self.at_slot(number) } else { Ok(None) }
    }

    #[inline]
    fn container(&self, kind: ContainerKind, block: u32, slot: u32) -> Result<Container> {
        let len = self.words.get(block as usize)?;
        let indexed = len > INDEXED_FROM && kind.has_index();
        let per_element = 1 + usize::from(kind == ContainerKind::Dict) + 2 * usize::from(indexed);
        let at = block + 1;
        if (len as usize).saturating_mul(per_element) > self.words.len() - at as usize {
            return Err(outside());
        }
        Ok(Container { kind, at, len, slot })
    }
}

/// The eight bytes at an offset of a heap.
#[inline]
fn eight(heap: &[u8], at: u32) -> Result<[u8; 8]> {
    let at = at as usize;
    heap.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).ok_or_else(outside)
}

#[cold]
fn outside() -> Error {
    Error::corrupted("a record points outside itself")
}
