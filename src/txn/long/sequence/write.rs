//! Writes the nodes of a long sequence: which number each gets, and what becomes of old ones.

use super::node::{Child, FANOUT, Header, children, encode_branch};
use crate::{
    error::Result,
    store::Table,
    txn::{
        changes::Changes,
        long::{packing::Piece, place::Place},
    },
};

/// The nodes of one sequence, while it changes.
pub(super) struct TreeWriter<'t, T> {
    pub(super) tables: &'t mut T,
    pub(super) place: Place,
    pub(super) header: Header,
    /// The numbers of nodes that are given up, of which new nodes take those in front.
    spare: std::vec::IntoIter<u32>,
}

impl<'t, T: Changes> TreeWriter<'t, T> {
    pub(super) fn new(tables: &'t mut T, place: Place, header: Header, spare: Vec<u32>) -> Self {
        Self { tables, place, header, spare: spare.into_iter() }
    }

    /// Writes leaves.
    pub(super) fn put_leaves(&mut self, pieces: Vec<Piece>) -> Result<Vec<Child>> {
        pieces
            .into_iter()
            .map(|piece| Ok(Child { number: self.put(&piece.frame)?, len: piece.len }))
            .collect()
    }

    /// Writes one branch for each group of children.
    pub(super) fn put_branches<'c>(
        &mut self,
        groups: impl IntoIterator<Item = &'c [Child]>,
    ) -> Result<Vec<Child>> {
        groups
            .into_iter()
            .map(|group| {
                let len = group.iter().map(|child| child.len).sum();
                Ok(Child { number: self.put(&encode_branch(group))?, len })
            })
            .collect()
    }

    /// Erases what was given up and not taken, and gives up other nodes.
    pub(super) fn give_up(&mut self, numbers: Vec<u32>) -> Result<()> {
        for number in std::mem::replace(&mut self.spare, numbers.into_iter()) {
            self.erase(number)?;
        }
        Ok(())
    }

    /// Makes the nodes of the highest level, of which there may be any number, a tree that is so high with them.
    pub(super) fn grow(&mut self, mut nodes: Vec<Child>, mut height: u8) -> Result<()> {
        while nodes.len() > 1 {
            nodes = self.put_branches(nodes.chunks(FANOUT))?;
            height += 1;
        }
        (self.header.height, self.header.root) = nodes.first().map_or((0, 0), |root| (height, root.number));
        Ok(())
    }

    /// Gives the tree the root that it needs: not a branch of a single child.
    pub(super) fn shrink(&mut self) -> Result<()> {
        while self.header.height > 1
            && let Some(root) = self.header.root()
            && let [only] = *children(self.tables, self.place, root)?
        {
            self.erase(root.number)?;
            self.header.root = only.number;
            self.header.height -= 1;
        }
        Ok(())
    }

    /// Erases subtrees, each told with its height.
    pub(super) fn free(&mut self, mut subtrees: Vec<(Child, u8)>) -> Result<()> {
        // A node that two ways lead to is missing the second time, so this ends in a damaged tree too.
        while let Some((node, height)) = subtrees.pop() {
            if height > 1 {
                let below = children(self.tables, self.place, node)?;
                subtrees.extend(below.into_iter().rev().map(|child| (child, height - 1)));
            } else {
                super::node::node(self.tables, self.place, node.number)?;
            }
            self.erase(node.number)?;
        }
        Ok(())
    }

    /// Writes the header, after all else.
    pub(super) fn finish(mut self) -> Result<()> {
        self.give_up(Vec::new())?;
        self.tables.write(Table::Objects, self.place.header(), &self.header.encode())
    }

    fn put(&mut self, frame: &[u8]) -> Result<u32> {
        if let Some(number) = self.spare.next() {
            let key = self.place.part(&number.to_be_bytes());
            if self.tables.get(Table::Objects, &key)? != Some(frame) {
                self.tables.write(Table::Objects, &key, frame)?;
            }
            return Ok(number);
        }
        // After 2^32 new nodes the numbers begin again, and most of them are free.
        loop {
            let number = self.header.next;
            self.header.next = number.wrapping_add(1);
            let key = self.place.part(&number.to_be_bytes());
            if self.tables.get(Table::Objects, &key)?.is_none() {
                self.tables.write(Table::Objects, &key, frame)?;
                return Ok(number);
            }
        }
    }

    fn erase(&mut self, number: u32) -> Result<()> {
        self.tables.erase(Table::Objects, &self.place.part(&number.to_be_bytes()))
    }
}
