//! Long sequences: lists and byte arrays that are counted B+ trees in the objects table.
//!
//! The header has the container's id for a key, each node of the tree the id and its number, `u32` big endian. All are
//! frames of at most 2,000 bytes, leaves of mixed elements 4,080, and a single element may have more. The header's payload:
//!
//! | offset | size | |
//! |---|---|---|
//! | 0 | 1 | what it is: 0 a list, 3 a byte array |
//! | 1 | 8 | number of elements |
//! | 9 | 8 | number of changes: one more with each |
//! | 17 | 4 | where the search for a free node number begins; after the last number comes 0 |
//! | 21 | 1 | height: 0 without elements, 1 when the root is a leaf, one more with each level of branches; at most 32 |
//! | 22 | 4 | number of the root; 0 without elements |
//!
//! A branch (frame kind 6) has 1 to 166 children, a root that is one at least 2; each child takes 12 bytes:
//!
//! | offset | size | |
//! |---|---|---|
//! | 0 | 4 | number of the child |
//! | 4 | 8 | how many elements it and the children before it have |
//!
//! Leaves are those of [`leaf`](super::leaf). No node is empty.
//!
//! How full nodes are is the writer's choice. Ours fills them one after another and lets a node end where new elements
//! do; it joins neighbours, children of one branch, of which one is less than half full, when both fit into three
//! quarters of a node. Two neighbours together have therefore more than that, but where elements were removed from
//! nodes that stayed half full.

mod check;
mod node;
mod splice;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use self::{
    check::check,
    node::{Header, node},
    splice::splice,
};
use self::{
    node::{Branch, Child, read_header, tree},
    write::TreeWriter,
};
use super::{
    elements::{Elements, Run, Source},
    leaf::Leaf,
    packing::Packer,
    place::Place,
};
use crate::{
    error::{Error, Result},
    format::{frame::Frame, record::ContainerKind},
    store::{ReadTables, Table},
    txn::changes::Changes,
};

/// So many numbers are packed at a time.
const TOGETHER: usize = 1 << 12;

/// Makes a sequence of elements: a list, or a byte array.
///
/// # Errors
///
/// Those of [`Changes::write`], `TooLarge`.
///
/// # Panics
///
/// When the container is of another kind.
pub(crate) fn create(
    tables: &mut impl Changes,
    place: Place,
    kind: ContainerKind,
    elements: &Elements,
) -> Result<()> {
    assert!(matches!(kind, ContainerKind::List | ContainerKind::ByteArray), "a {kind:?} is no long sequence");
    let (source, len) = (elements.source()?, elements.len());
    let header = Header::new(kind, len as u64);
    let mut packer = Packer::new(kind);
    let mut writer = TreeWriter::new(tables, place, header, Vec::new());
    let mut leaves = Vec::new();
    if let Elements::Mixed { .. } = elements {
        packer.add(0, &Run { source, range: 0..len })?;
    } else {
        // Nothing can be wrong with numbers and bytes, so leaves need not wait until all are made.
        for start in (0..len).step_by(TOGETHER) {
            packer.add(0, &Run { source, range: start..len.min(start + TOGETHER) })?;
            leaves.extend(writer.put_leaves(packer.take_full())?);
        }
    }
    leaves.extend(writer.put_leaves(packer.finish()?)?);
    writer.grow(leaves, 1)?;
    writer.finish()
}

/// What a sequence says of itself, when it is there.
///
/// # Errors
///
/// `Corrupted`.
pub(crate) fn header(tables: &impl ReadTables, place: Place) -> Result<Option<Header>> {
    tables.get(Table::Objects, place.header())?.map(Header::decode).transpose()
}

/// The leaf that has an element: the index of its first one, and its stored bytes.
///
/// # Errors
///
/// `Corrupted`, also when the sequence has no such element.
pub(crate) fn leaf<'t>(
    tables: &'t impl ReadTables,
    place: Place,
    header: &Header,
    index: u64,
) -> Result<(u64, &'t [u8])> {
    leaf_by(header, index, |number, _| node(tables, place, number))
}

/// As [`leaf`], where `node` gives the stored bytes of a node by its number, and is told whether it is a leaf.
///
/// # Errors
///
/// As [`leaf`]; those of `node`.
pub(crate) fn leaf_by<'t>(
    header: &Header,
    index: u64,
    mut node: impl FnMut(u32, bool) -> Result<&'t [u8]>,
) -> Result<(u64, &'t [u8])> {
    let mut at = header.top(index)?;
    let mut first = 0;
    for _ in 1..header.height {
        let branch = Branch::open(node(at, false)?)?;
        let (child, before) = branch.find(index - first)?;
        first += before;
        at = child;
    }
    Ok((first, node(at, true)?))
}

/// Puts the elements into another order: the one at each index becomes that which was at the index that `order` has
/// there.
///
/// # Errors
///
/// `Corrupted`, those of [`Changes::write`].
///
/// # Panics
///
/// When the order has another length than the sequence, or names an index that it doesn't have.
pub(crate) fn permute(tables: &mut impl Changes, place: Place, order: &[u64]) -> Result<()> {
    let mut header = read_header(tables, place)?;
    assert_eq!(order.len() as u64, header.len, "an order of another length than the sequence");
    if order.is_empty() {
        return Ok(());
    }
    let tree = tree(tables, place, &header)?;
    let mut leaves = Vec::with_capacity(tree.leaves.len());
    let mut firsts = Vec::with_capacity(tree.leaves.len());
    let mut first = 0;
    for child in &tree.leaves {
        leaves.push(open_leaf(tables, place, header.kind, *child)?.0);
        firsts.push(first);
        first += child.len;
    }
    let mut packer = Packer::new(header.kind);
    let mut number = 0;
    for from in order {
        assert!(*from < header.len, "element {from} of {}", header.len);
        // The firsts begin with 0, and in many orders the next element is of the same leaf.
        if from.checked_sub(firsts[number]).is_none_or(|within| within >= tree.leaves[number].len) {
            number = firsts.partition_point(|first| first <= from) - 1;
        }
        packer.push(number, &Source::Leaf(leaves[number]), (from - firsts[number]) as usize)?;
    }
    let pieces = packer.finish()?;
    let mut spare: Vec<u32> = tree.leaves.iter().map(|leaf| leaf.number).chain(tree.branches).collect();
    spare.sort_unstable();
    header.note_change();
    let mut writer = TreeWriter::new(tables, place, header, spare);
    let leaves = writer.put_leaves(pieces)?;
    writer.grow(leaves, 1)?;
    writer.finish()
}

/// Deletes a sequence with all its nodes.
///
/// # Errors
///
/// `Corrupted`, those of [`Changes::erase`].
pub(crate) fn free(tables: &mut impl Changes, place: Place) -> Result<()> {
    let header = read_header(tables, place)?;
    if let Some(root) = header.root() {
        let height = header.height;
        TreeWriter::new(tables, place, header, Vec::new()).free(vec![(root, height)])?;
    }
    tables.erase(Table::Objects, place.header())
}

/// A leaf of a sequence, which has to have as many elements as its parent says, and the size of its frame.
fn open_leaf(
    tables: &impl ReadTables,
    place: Place,
    kind: ContainerKind,
    child: Child,
) -> Result<(Leaf<'_>, usize)> {
    let stored = node(tables, place, child.number)?;
    let leaf = Leaf::open(&Frame::decode(stored)?)?;
    if matches!(leaf, Leaf::Bytes(_)) != (kind == ContainerKind::ByteArray) {
        return Err(Error::corrupted("a long sequence has a leaf of another kind"));
    }
    if leaf.len() as u64 != child.len {
        return Err(Error::corrupted("a leaf of a long sequence has another length than its tree says"));
    }
    Ok((leaf, stored.len()))
}
