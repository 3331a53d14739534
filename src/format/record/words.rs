//! Reads the words of a record: what the elements of its containers are.

use super::{ContainerKind, NO_SLOT, Node, ObjectId, RecordView, Reference, Text, eight, outside};
use crate::{
    error::{Error, Result},
    format::{
        builder::sized_at,
        varint,
        word::{Tag, Word, constant, unfold_sign},
    },
};

impl<'a> RecordView<'a> {
    #[inline]
    pub(super) fn node(&self, at: usize) -> Result<Node<'a>> {
        self.open(Word(self.words.get(at)?))
    }

    /// What a word of the record stands for. The most frequent kinds come first, and are compiled into the callers.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the record is damaged.
    #[inline]
    pub fn open(&self, word: Word) -> Result<Node<'a>> {
        match word.tag() {
            Tag::SmallInt => Ok(Node::Int(word.signed())),
            Tag::Symbol => Ok(Node::Symbol(word.payload())),
            Tag::Str => Ok(Node::Str(Text(sized_at(self.heap, word.payload() as usize)?))),
            Tag::Float => Ok(Node::Float(f64::from_le_bytes(eight(self.heap, word.payload())?))),
            Tag::List => self.mutable(ContainerKind::List, word.payload()),
            Tag::Dict => self.mutable(ContainerKind::Dict, word.payload()),
            _ => self.other_node(word),
        }
    }

    #[cold]
    #[inline(never)]
    fn other_node(&self, word: Word) -> Result<Node<'a>> {
        let payload = word.payload();
        Ok(match word.tag() {
            Tag::Constant => match payload {
                constant::NONE => Node::None,
                constant::FALSE => Node::Bool(false),
                constant::TRUE => Node::Bool(true),
                constant::ELLIPSIS => Node::Ellipsis,
                other => return Err(Error::corrupted(format!("a record has constant {other}"))),
            },
            Tag::Int => {
                let mut rest = self.heap.get(payload as usize..).ok_or_else(outside)?;
                Node::Int(unfold_sign(varint::take(&mut rest)?))
            }
            Tag::Scalar => Node::Scalar(sized_at(self.heap, payload as usize)?),
            Tag::Shared => Node::Shared(u64::from_le_bytes(eight(self.heap, payload)?)),
            Tag::Tuple => Node::Container(self.container(ContainerKind::Tuple, payload, NO_SLOT)?),
            Tag::FrozenSet => Node::Container(self.container(ContainerKind::FrozenSet, payload, NO_SLOT)?),
            Tag::Instance => Node::Container(self.container(ContainerKind::Instance, payload, NO_SLOT)?),
            Tag::Set => self.mutable(ContainerKind::Set, payload)?,
            Tag::ByteArray => self.mutable(ContainerKind::ByteArray, payload)?,
            Tag::Object => {
                let at = payload as usize;
                Node::Object(Reference::decode(
                    self.heap.get(at..at + Reference::LENGTH).ok_or_else(outside)?,
                )?)
            }
            Tag::SmallInt | Tag::Symbol | Tag::Str | Tag::Float | Tag::List | Tag::Dict => {
                return Err(Error::corrupted("a word is of no kind"));
            }
        })
    }

    #[inline]
    pub(super) fn mutable(&self, kind: ContainerKind, number: u32) -> Result<Node<'a>> {
        let slot = self.slot(number)?;
        if slot.kind != kind {
            return Err(Error::corrupted("a slot is of another kind than what refers to it"));
        }
        Ok(match slot.position {
            0 => Node::Object(Reference { kind, id: ObjectId { record: self.id, slot: number } }),
            position => Node::Container(self.container(kind, position, number)?),
        })
    }
}
