//! Verifies all of a long sequence but the elements themselves.

use std::{collections::HashSet, ops::Bound};

use super::{
    node::{node, read_header, tree},
    open_leaf,
};
use crate::{
    error::{Error, Result},
    format::{
        frame::{Frame, Kind, is_intact},
        record::RecordView,
    },
    store::{Direction, ReadTables, Table},
    txn::long::{
        packing::{LARGEST, LARGEST_MIXED},
        place::Place,
    },
};

/// Verifies the tree and shows the stored bytes of each leaf, in order. Answers how many entries of the table it has.
///
/// # Errors
///
/// `Corrupted` with the first thing that is wrong, and whatever the visitor answers.
pub(crate) fn check(
    tables: &impl ReadTables,
    place: Place,
    visit_leaf: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<u64> {
    let header = read_header(tables, place)?;
    if tables.get(Table::Objects, place.header())?.is_none_or(|stored| !is_intact(stored)) {
        return Err(Error::corrupted("the checksum of a long sequence's header is wrong"));
    }
    let tree = tree(tables, place, &header)?;
    if header.height > 1 && tree.leaves.len() < 2 {
        return Err(Error::corrupted("a long sequence of one leaf has branches"));
    }
    let mut numbers: HashSet<u32> = tree.branches.iter().copied().collect();
    for number in &tree.branches {
        intact(tables, place, *number)?;
    }
    for child in &tree.leaves {
        numbers.insert(child.number);
        let stored = intact(tables, place, child.number)?;
        open_leaf(tables, place, header.kind, *child)?;
        let largest = match Frame::decode(stored)?.kind {
            Kind::Record => LARGEST_MIXED,
            _ => LARGEST,
        };
        if stored.len() > largest && child.len > 1 {
            return Err(Error::corrupted(format!(
                "a leaf of {} elements has {} bytes",
                child.len,
                stored.len()
            )));
        }
        check_flags(&Frame::decode(stored)?)?;
        visit_leaf(stored)?;
    }
    if parts(tables, place, &numbers)? != numbers.len() {
        return Err(Error::corrupted("nothing leads to a node of a long sequence"));
    }
    Ok(1 + numbers.len() as u64)
}

fn intact(tables: &impl ReadTables, place: Place, number: u32) -> Result<&[u8]> {
    let stored = node(tables, place, number)?;
    if is_intact(stored) {
        Ok(stored)
    } else {
        Err(Error::corrupted(format!("the checksum of node {number} of a long sequence is wrong")))
    }
}

fn check_flags(leaf: &Frame<'_>) -> Result<()> {
    let (shared, links) = if leaf.kind == Kind::Record {
        let named = RecordView::access(leaf.payload)?.named()?;
        (!named.shared.is_empty(), named.has_links())
    } else {
        (false, false)
    };
    if (leaf.has_shared, leaf.has_links) == (shared, links) {
        Ok(())
    } else {
        Err(Error::corrupted("a leaf of a long sequence doesn't say what it refers to"))
    }
}

/// Counts the entries behind the header that belong to it; all have to be among the nodes.
fn parts(tables: &impl ReadTables, place: Place, numbers: &HashSet<u32>) -> Result<usize> {
    let prefix = place.header();
    let mut last = prefix.to_vec();
    let mut count = 0;
    while let Some((key, _)) = tables.seek(Table::Objects, Bound::Excluded(&last), Direction::Forward)? {
        let Some(rest) = key.strip_prefix(prefix) else { break };
        if !<[u8; 4]>::try_from(rest).is_ok_and(|number| numbers.contains(&u32::from_be_bytes(number))) {
            return Err(Error::corrupted("a long sequence has an entry that belongs to nothing"));
        }
        count += 1;
        last = key.to_vec();
    }
    Ok(count)
}
