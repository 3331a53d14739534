//! Finds keys and members in the dicts and sets of a record.

use super::{ARCHIVE_DEPTH, Container, ContainerKind, Node, Probe, RecordView, outside};
use crate::{
    error::{Error, Result},
    format::{
        builder::{INDEXED_FROM, SYMBOL_DICT, member_hash, narrow_hash},
        key::{self, Key, KeyBytes},
        scalar::Scalar,
        word::{Tag, Word},
    },
};

impl<'a> RecordView<'a> {
    /// The place of a dict's key that is this symbol; nothing when it has none, nor in dicts that are larger than those in
    /// which names become symbols: there [`RecordView::find`] finds those that were left.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the record is damaged.
    #[inline]
    pub fn find_symbol(&self, container: Container, symbol: u32) -> Result<Option<usize>> {
        if container.len > SYMBOL_DICT {
            return Ok(None);
        }
        let word = Word::new(Tag::Symbol, symbol);
        for index in 0..container.len() {
            if self.words.get(container.at as usize + index)? == word.0 {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// The place of a dict's key or a set's member, with what tells the symbol of a name.
    ///
    /// # Errors
    ///
    /// `InvalidKey` or `TooLarge` for a key that can't be a member of anything; `Corrupted` when the record is damaged.
    pub(crate) fn find_member(
        &self,
        container: Container,
        member: &Key<'_>,
        symbol_of: impl FnOnce(&str) -> Option<u32>,
    ) -> Result<Option<usize>> {
        let symbol = match member {
            Key::Scalar(Scalar::Str(name)) => symbol_of(name),
            _ => None,
        };
        if let Some(symbol) = symbol
            && let Some(at) = self.find_symbol(container, symbol)?
        {
            return Ok(Some(at));
        }
        let mut ordered = KeyBytes::new();
        if member.encode(&mut ordered).is_err() {
            // NaN may be a member, but it equals nothing, not even itself.
            return member.encode_allowing_nan(&mut ordered).map(|()| None);
        }
        self.find(container, Probe { ordered: &ordered, symbol })
    }

    /// The place of a dict's key or a set's member.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the record is damaged.
    pub fn find(&self, container: Container, probe: Probe<'_>) -> Result<Option<usize>> {
        let len = container.len();
        if container.len <= INDEXED_FROM {
            for index in 0..len {
                if self.matches(container, index, probe)? {
                    return Ok(Some(index));
                }
            }
            return Ok(None);
        }
        let hash = member_hash(probe.ordered);
        let hash = if self.words.wide { hash } else { u32::from(narrow_hash(hash)) };
        let hashes_at =
            container.at as usize + if container.kind == ContainerKind::Dict { 2 * len } else { len };
        let (mut low, mut high) = (0, len);
        while low < high {
            let middle = low.midpoint(high);
            if self.words.get(hashes_at + middle)? < hash {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        while low < len && self.words.get(hashes_at + low)? == hash {
            let position = self.words.get(hashes_at + len + low)? as usize;
            if position >= len {
                return Err(outside());
            }
            if self.matches(container, position, probe)? {
                return Ok(Some(position));
            }
            low += 1;
        }
        Ok(None)
    }

    fn matches(&self, container: Container, index: usize, probe: Probe<'_>) -> Result<bool> {
        let text = key::is_str(probe.ordered);
        Ok(match self.item(container, index)? {
            Node::Symbol(symbol) => probe.symbol == Some(symbol),
            Node::Str(found) => text && probe.ordered.get(1..) == Some(found.as_bytes()),
            node => {
                let mut ordered = KeyBytes::new();
                self.key(node, 0)?.encode_allowing_nan(&mut ordered)?;
                ordered.as_slice() == probe.ordered
            }
        })
    }

    /// The key that an element stands for; elements inside keys are never symbols or shared.
    pub(crate) fn key(&self, node: Node<'a>, depth: usize) -> Result<Key<'a>> {
        Ok(Key::Scalar(match node {
            Node::None => Scalar::None,
            Node::Ellipsis => Scalar::Ellipsis,
            Node::Bool(value) => Scalar::Bool(value),
            Node::Int(value) => Scalar::Int(value),
            Node::Float(value) => Scalar::Float(value),
            Node::Str(text) => Scalar::Str(text.to_str()?.into()),
            Node::Scalar(encoded) => Scalar::decode(encoded)?,
            Node::Container(container)
                if depth < ARCHIVE_DEPTH
                    && matches!(container.kind, ContainerKind::Tuple | ContainerKind::FrozenSet) =>
            {
                let parts = (0..container.len())
                    .map(|index| self.key(self.item(container, index)?, depth + 1))
                    .collect::<Result<_>>()?;
                return Ok(match container.kind {
                    ContainerKind::Tuple => Key::Tuple(parts),
                    _ => Key::FrozenSet(parts),
                });
            }
            Node::Symbol(_) | Node::Shared(_) | Node::Container(_) | Node::Object(_) => {
                return Err(Error::corrupted("a dict or set has a member that can't be one"));
            }
        }))
    }
}
