//! Verifies all of a record, where reading verifies only what is read.

use std::collections::HashSet;

use super::{Container, ContainerKind, Node, RecordView, Reference};
use crate::{
    error::{Error, Result},
    format::{
        builder::{INDEXED_FROM, member_hash, narrow_hash},
        key::{Key, KeyBytes},
        scalar::Scalar,
    },
};

/// What a record needs besides itself.
pub(crate) trait References {
    /// The name of a symbol.
    fn name(&mut self, symbol: u32) -> Result<String>;
    /// Notes that a place names a shared value.
    fn shared(&mut self, id: u64) -> Result<()>;
    /// Notes that a place refers to an object that doesn't lie in the record.
    fn object(&mut self, reference: Reference) -> Result<()>;
}

impl<'a> RecordView<'a> {
    /// Verifies every element, every index and every reference.
    ///
    /// # Errors
    ///
    /// `Corrupted` with the first thing that is wrong.
    pub(crate) fn check(&self, references: &mut impl References) -> Result<()> {
        let mut seen = HashSet::new();
        let mut pending = Vec::new();
        Self::visit(self.root()?, references, &mut seen, &mut pending)?;
        for number in 0..self.slots() as u32 {
            if self.slot(number)?.exported {
                Self::visit(self.slot_node(number)?, references, &mut seen, &mut pending)?;
            }
        }
        while let Some(container) = pending.pop() {
            for index in 0..container.len() {
                Self::visit(self.item(container, index)?, references, &mut seen, &mut pending)?;
                if container.kind == ContainerKind::Dict {
                    Self::visit(self.value(container, index)?, references, &mut seen, &mut pending)?;
                }
            }
            if matches!(container.kind, ContainerKind::Dict | ContainerKind::Set | ContainerKind::FrozenSet) {
                self.check_members(container, references)?;
            }
        }
        let numbers = 0..self.slots() as u32;
        let reached = seen.iter().filter_map(|container| container.slot()).collect::<HashSet<_>>();
        for number in numbers {
            let slot = self.slot(number)?;
            if slot.position != 0 && !reached.contains(&number) {
                return Err(Error::corrupted(format!("nothing leads to the container of slot {number}")));
            }
        }
        if self.id == 0 && self.slots() > 0 {
            return Err(Error::corrupted("a record with mutable containers has no id"));
        }
        Ok(())
    }

    fn visit(
        node: Node<'a>,
        references: &mut impl References,
        seen: &mut HashSet<Container>,
        pending: &mut Vec<Container>,
    ) -> Result<()> {
        match node {
            Node::Str(text) => text.to_str().map(|_| ()),
            Node::Scalar(encoded) => Scalar::decode(encoded).map(|_| ()),
            Node::Symbol(symbol) => references.name(symbol).map(|_| ()),
            Node::Shared(id) => references.shared(id),
            Node::Object(reference) => references.object(reference),
            Node::Container(container) => {
                if seen.insert(container) {
                    pending.push(container);
                }
                Ok(())
            }
            Node::None | Node::Ellipsis | Node::Bool(_) | Node::Int(_) | Node::Float(_) => Ok(()),
        }
    }

    /// Verifies that members differ, and that the index of a large container leads to each of them.
    fn check_members(&self, container: Container, references: &mut impl References) -> Result<()> {
        let len = container.len();
        let mut hashes = Vec::with_capacity(len);
        let mut distinct = HashSet::with_capacity(len);
        for index in 0..len {
            let key = match self.item(container, index)? {
                Node::Symbol(symbol) => Key::Scalar(Scalar::Str(references.name(symbol)?.into())),
                node => self.key(node, 0)?,
            };
            let mut ordered = KeyBytes::new();
            key.encode_allowing_nan(&mut ordered)?;
            let hash = member_hash(&ordered);
            hashes.push(if self.words.wide { hash } else { u32::from(narrow_hash(hash)) });
            // NaN equals nothing, so there may be several.
            let is_nan = key.encode(&mut KeyBytes::new()).is_err();
            if !distinct.insert(ordered) && !is_nan {
                return Err(Error::corrupted("a dict or set has a member twice"));
            }
        }
        if container.len <= INDEXED_FROM {
            return Ok(());
        }
        let from = container.at as usize + if container.kind == ContainerKind::Dict { 2 * len } else { len };
        let mut listed = vec![false; len];
        let mut last = 0;
        for rank in 0..len {
            let (hash, position) =
                (self.words.get(from + rank)?, self.words.get(from + len + rank)? as usize);
            let fresh = listed.get_mut(position).is_some_and(|listed| !std::mem::replace(listed, true));
            if !fresh || hashes[position] != hash || hash < last {
                return Err(Error::corrupted("the index of a dict or set doesn't lead to its members"));
            }
            last = hash;
        }
        Ok(())
    }
}
