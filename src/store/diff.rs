//! What differs between two versions of a table, found by a walk through both trees at once.
//!
//! LMDB copies a page before it changes it, with all pages above it, and never uses a page again that a pinned version
//! reaches. So a page that both versions reach is the same in both, with all below it, and is passed over: the cost is
//! that of what has changed, whatever the size of the table. The older version must stay pinned for as long as that.
//!
//! Each side shows what comes next in it: a subtree that it has not gone into yet, or an entry. Nothing below a subtree
//! sorts before the key that its branch has for it; that of a first child is its parent's, since LMDB leaves it empty.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::{
    page::{Held, NO_PAGE, Page, PageKind, Tree},
    table::Entry,
    tree::Pages,
};
use crate::error::{Error, Result};

/// What has to be done to an older version of a table, as one of the steps that make it the newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change<'s> {
    /// Store this value under this key.
    Put(&'s [u8], &'s [u8]),
    /// Delete the entry with this key.
    Delete(&'s [u8]),
}

/// A walk through the differences, in the order of the keys.
#[derive(Debug)]
pub(super) struct Diff<'s> {
    older: Side<'s>,
    newer: Side<'s>,
}

impl<'s> Diff<'s> {
    /// Compares two versions of a tree in one file, of which the older one stays pinned.
    pub(super) fn new(older: (Pages<'s>, &Tree), newer: (Pages<'s>, &Tree)) -> Self {
        Self { older: Side::new(older.0, older.1), newer: Side::new(newer.0, newer.1) }
    }

    /// The next difference. After an error there is none that could be relied on.
    pub(super) fn next(&mut self) -> Result<Option<Change<'s>>> {
        loop {
            match (self.older.at, self.newer.at) {
                (At::End, At::End) => return Ok(None),
                (At::Subtree(older), At::Subtree(newer)) => self.approach(older, newer)?,
                (At::Subtree(_), At::End) => self.older.descend()?,
                (At::End, At::Subtree(_)) => self.newer.descend()?,
                (At::Subtree(below), At::Entry(key, _)) if key >= below.lower => self.older.descend()?,
                (At::Entry(key, _), At::Subtree(below)) if key >= below.lower => self.newer.descend()?,
                (At::Entry(key, _), At::End | At::Subtree(_)) => return self.delete(key).map(Some),
                (At::End | At::Subtree(_), At::Entry(key, held)) => return self.put(key, held).map(Some),
                (At::Entry(old_key, old), At::Entry(key, new)) => match old_key.cmp(key) {
                    Ordering::Less => return self.delete(old_key).map(Some),
                    Ordering::Greater => return self.put(key, new).map(Some),
                    Ordering::Equal => {
                        let is_same = self.is_same(old, new)?;
                        self.older.advance()?;
                        if is_same {
                            self.newer.advance()?;
                        } else {
                            return self.put(key, new).map(Some);
                        }
                    }
                },
            }
        }
    }

    /// How many pages were looked at.
    #[cfg(test)]
    pub(super) fn visited(&self) -> u64 {
        self.older.visited + self.newer.visited
    }

    /// Passes over a subtree that both sides have, or goes into what may hold it.
    fn approach(&mut self, older: Subtree<'s>, newer: Subtree<'s>) -> Result<()> {
        if (older.page, older.height) == (newer.page, newer.height) {
            self.older.advance()?;
            return self.newer.advance();
        }
        // A page never changes its height, so the higher one may hold the other.
        let first = newer.height.cmp(&older.height).then_with(|| older.lower.cmp(newer.lower));
        if first.is_le() {
            self.older.descend()?;
        }
        if first.is_ge() {
            self.newer.descend()?;
        }
        Ok(())
    }

    /// Whether two values are equal, of which one in the same place needs no look.
    fn is_same(&self, old: Held<'s>, new: Held<'s>) -> Result<bool> {
        if matches!(old, Held::Overflow { .. }) && old == new {
            return Ok(true);
        }
        Ok(self.older.value(old)? == self.newer.value(new)?)
    }

    fn put(&mut self, key: &'s [u8], held: Held<'s>) -> Result<Change<'s>> {
        let value = self.newer.value(held)?;
        self.newer.advance()?;
        Ok(Change::Put(key, value))
    }

    fn delete(&mut self, key: &'s [u8]) -> Result<Change<'s>> {
        self.older.advance()?;
        Ok(Change::Delete(key))
    }
}

/// What a side shows.
#[derive(Debug, Clone, Copy)]
enum At<'s> {
    Subtree(Subtree<'s>),
    Entry(&'s [u8], Held<'s>),
    End,
}

#[derive(Debug, Clone, Copy)]
struct Subtree<'s> {
    page: u64,
    /// The levels of pages in it, 1 for a leaf.
    height: usize,
    /// No key in it is less.
    lower: &'s [u8],
}

/// A page that was gone into, and the node in it that is shown.
#[derive(Debug)]
struct Step<'s> {
    page: Page<'s>,
    index: usize,
    lower: &'s [u8],
}

/// One of the two versions.
#[derive(Debug)]
struct Side<'s> {
    pages: Pages<'s>,
    depth: usize,
    holds_tables: bool,
    path: SmallVec<[Step<'s>; 6]>,
    at: At<'s>,
    /// How many pages were gone into. A tree that was damaged into a knot would otherwise have no end.
    visited: u64,
}

impl<'s> Side<'s> {
    fn new(pages: Pages<'s>, tree: &Tree) -> Self {
        let depth = usize::from(tree.depth);
        let at = if tree.root == NO_PAGE {
            At::End
        } else {
            At::Subtree(Subtree { page: tree.root, height: depth, lower: &[] })
        };
        Self { pages, depth, holds_tables: tree.holds_tables, path: SmallVec::new(), at, visited: 0 }
    }

    /// Goes into the subtree that is shown.
    fn descend(&mut self) -> Result<()> {
        let At::Subtree(Subtree { page, height, lower }) = self.at else { return Ok(()) };
        self.visited += 1;
        if self.visited > self.pages.count() {
            return Err(Error::corrupted("a table reaches a page twice"));
        }
        let kind = if height == 1 { PageKind::Leaf } else { PageKind::Branch };
        let page = self.pages.page(page, kind)?;
        self.path.push(Step { page, index: 0, lower });
        self.show()
    }

    /// Goes past what is shown.
    fn advance(&mut self) -> Result<()> {
        if let Some(step) = self.path.last_mut() {
            step.index += 1;
        }
        self.show()
    }

    /// Shows the node that the path leads to, or the next one that there is.
    fn show(&mut self) -> Result<()> {
        let depth = self.depth;
        loop {
            let height = depth - self.path.len() + 1;
            let Some(step) = self.path.last_mut() else {
                self.at = At::End;
                return Ok(());
            };
            if step.index == step.page.count() {
                self.path.pop();
                if let Some(step) = self.path.last_mut() {
                    step.index += 1;
                }
                continue;
            }
            if height > 1 {
                let lower = if step.index == 0 { step.lower } else { step.page.key(step.index)? };
                let page = step.page.child(step.index)?;
                self.at = At::Subtree(Subtree { page, height: height - 1, lower });
                return Ok(());
            }
            match step.page.held(step.index)? {
                (_, Held::Table(_)) if self.holds_tables => step.index += 1,
                (key, held) => {
                    self.at = At::Entry(key, held);
                    return Ok(());
                }
            }
        }
    }

    fn value(&self, held: Held<'s>) -> Result<&'s [u8]> {
        match held {
            Held::Value(value) => Ok(value),
            Held::Overflow { page, len } => self.pages.overflow(page, len as usize),
            Held::Table(_) => Err(Error::corrupted("a named table holds the record of another one")),
        }
    }
}

impl Change<'_> {
    /// How many bytes it takes, about.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Put(key, value) => entry_size((key, value)),
            Self::Delete(key) => entry_size((key, &[])),
        }
    }
}

/// How many bytes an entry takes, about.
pub(super) fn entry_size((key, value): Entry<'_>) -> usize {
    /// The header of a node and its place in the list of offsets.
    const NODE: usize = 10;
    NODE + key.len() + value.len()
}
