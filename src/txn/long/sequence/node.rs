//! Headers and branches of long sequences, as they are stored.

use std::collections::HashSet;

use crate::{
    error::{Error, Result},
    format::{
        frame::{FRAME, Frame, Kind},
        record::ContainerKind,
        varint,
    },
    store::{ReadTables, Table},
    txn::long::{packing::LARGEST, place::Place},
};

/// The bytes of a child in its branch.
const CHILD: usize = 12;
/// How many children a branch may have.
pub(super) const FANOUT: usize = (LARGEST - FRAME) / CHILD;
/// No tree of 2^64 elements comes near it, even if all branches had but four children.
const MAX_HEIGHT: u8 = 32;

/// What a long sequence says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// A list or a byte array.
    pub(crate) kind: ContainerKind,
    /// The number of elements.
    pub(crate) len: u64,
    /// How often it was changed.
    pub(crate) changes: u64,
    /// Where the search for a free node number begins.
    pub(super) next: u32,
    /// The number of levels.
    pub(super) height: u8,
    /// The number of the root, when there are elements.
    pub(super) root: u32,
}

/// A node, as its parent has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) number: u32,
    /// How many elements are in it.
    pub(super) len: u64,
}

impl Header {
    /// The header of a sequence that has no nodes yet.
    pub(super) fn new(kind: ContainerKind, len: u64) -> Self {
        Self { kind, len, changes: 0, next: 0, height: 0, root: 0 }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut payload = vec![self.kind.number()];
        payload.extend_from_slice(&self.len.to_le_bytes());
        payload.extend_from_slice(&self.changes.to_le_bytes());
        payload.extend_from_slice(&self.next.to_le_bytes());
        payload.push(self.height);
        payload.extend_from_slice(&self.root.to_le_bytes());
        Frame::new(Kind::Long, &payload).encode()
    }

    pub(super) fn decode(stored: &[u8]) -> Result<Self> {
        let mut rest = payload(stored, Kind::Long)?;
        let kind = ContainerKind::from_number(varint::take_byte(&mut rest)?);
        let kind = kind.filter(|kind| matches!(kind, ContainerKind::List | ContainerKind::ByteArray));
        let header = Self {
            kind: kind.ok_or_else(|| Error::corrupted("a long sequence is of another kind"))?,
            len: u64::from_le_bytes(varint::take_array(&mut rest)?),
            changes: u64::from_le_bytes(varint::take_array(&mut rest)?),
            next: u32::from_le_bytes(varint::take_array(&mut rest)?),
            height: varint::take_byte(&mut rest)?,
            root: u32::from_le_bytes(varint::take_array(&mut rest)?),
        };
        varint::finish(rest)?;
        if header.height > MAX_HEIGHT || (header.height == 0) != (header.len == 0) {
            return Err(Error::corrupted("the height of a long sequence makes no sense"));
        }
        Ok(header)
    }

    pub(super) fn note_change(&mut self) {
        self.changes = self.changes.wrapping_add(1);
    }

    /// The root, when there are elements.
    pub(super) fn root(&self) -> Option<Child> {
        (self.height > 0).then_some(Child { number: self.root, len: self.len })
    }

    /// The number of the root, from which a way leads to the element.
    pub(super) fn top(&self, index: u64) -> Result<u32> {
        if index < self.len { Ok(self.root) } else { Err(outside()) }
    }
}

/// The children of a branch, where they are stored.
#[derive(Clone, Copy)]
pub(super) struct Branch<'a>(&'a [[u8; CHILD]]);

impl<'a> Branch<'a> {
    pub(super) fn open(stored: &'a [u8]) -> Result<Self> {
        let (children, rest) = payload(stored, Kind::Branch)?.as_chunks();
        if children.is_empty() || children.len() > FANOUT || !rest.is_empty() {
            return Err(Error::corrupted(format!(
                "a branch of a long sequence has {} children and {} bytes",
                children.len(),
                rest.len()
            )));
        }
        Ok(Self(children))
    }

    /// The child that has an element, and how many elements are before the child.
    pub(super) fn find(&self, index: u64) -> Result<(u32, u64)> {
        let at = self.0.partition_point(|child| end(child) <= index);
        let before = at.checked_sub(1).map_or(0, |last| end(&self.0[last]));
        match self.0.get(at) {
            Some(child) if before <= index => Ok((number(child), before)),
            _ => Err(outside()),
        }
    }

    /// All children, when together they have as many elements as the parent says, and none is empty.
    pub(super) fn children(&self, len: u64) -> Result<Vec<Child>> {
        let mut before = 0;
        let mut children = Vec::with_capacity(self.0.len() + 1);
        for child in self.0 {
            match end(child).checked_sub(before) {
                None | Some(0) => return Err(outside()),
                Some(len) => children.push(Child { number: number(child), len }),
            }
            before = end(child);
        }
        if before == len { Ok(children) } else { Err(outside()) }
    }
}

fn number(child: &[u8; CHILD]) -> u32 {
    u32::from_le_bytes([child[0], child[1], child[2], child[3]])
}

fn end(child: &[u8; CHILD]) -> u64 {
    let [_, _, _, _, end @ ..] = *child;
    u64::from_le_bytes(end)
}

/// The stored bytes of a branch.
pub(super) fn encode_branch(children: &[Child]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(CHILD * children.len());
    let mut end = 0;
    for child in children {
        end += child.len;
        payload.extend_from_slice(&child.number.to_le_bytes());
        payload.extend_from_slice(&end.to_le_bytes());
    }
    Frame::new(Kind::Branch, &payload).encode()
}

/// The header of a sequence that has to be there.
pub(super) fn read_header(tables: &impl ReadTables, place: Place) -> Result<Header> {
    super::header(tables, place)?.ok_or_else(|| Error::corrupted("a long sequence is missing"))
}

/// The stored bytes of a node.
pub(crate) fn node(tables: &impl ReadTables, place: Place, number: u32) -> Result<&[u8]> {
    let stored = tables.get(Table::Objects, &place.part(&number.to_be_bytes()))?;
    stored.ok_or_else(|| Error::corrupted(format!("node {number} of a long sequence is missing")))
}

/// The children of a branch.
pub(super) fn children(tables: &impl ReadTables, place: Place, branch: Child) -> Result<Vec<Child>> {
    Branch::open(node(tables, place, branch.number)?)?.children(branch.len)
}

/// The nodes of a whole tree.
pub(super) struct Tree {
    pub(super) branches: Vec<u32>,
    /// In the order of the elements.
    pub(super) leaves: Vec<Child>,
}

/// Finds all nodes, level by level. None may be met twice: a few damaged bytes could otherwise make a tree of any size.
pub(super) fn tree(tables: &impl ReadTables, place: Place, header: &Header) -> Result<Tree> {
    let mut seen = HashSet::new();
    let mut level: Vec<Child> = header.root().into_iter().collect();
    let mut branches = Vec::new();
    for depth in 1..=header.height {
        for node in &level {
            if !seen.insert(node.number) {
                return Err(Error::corrupted(format!("two ways lead to node {}", node.number)));
            }
        }
        if depth == header.height {
            break;
        }
        let mut below = Vec::new();
        for branch in level {
            branches.push(branch.number);
            below.extend(children(tables, place, branch)?);
        }
        level = below;
    }
    Ok(Tree { branches, leaves: level })
}

fn payload(stored: &[u8], kind: Kind) -> Result<&[u8]> {
    let frame = Frame::decode(stored)?;
    if frame.kind != kind || frame.form.is_some() || frame.has_shared || frame.has_links {
        return Err(Error::corrupted("a part of a long sequence is of another kind than expected"));
    }
    Ok(frame.payload)
}

fn outside() -> Error {
    Error::corrupted("the lengths in a long sequence don't fit each other")
}
