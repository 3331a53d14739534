//! Walks through the trees of one version, every step of them checked.

use std::{marker::PhantomData, ops::Bound, slice};

use smallvec::SmallVec;

use super::{
    page::{Held, NO_PAGE, PAGE_HEADER, Page, PageKind, Tree, damaged, held_in, overflow_pages},
    table::{Direction, Entry},
};
use crate::error::{Error, Result};

/// The pages of a file that one version may reach.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pages<'m> {
    base: *const u8,
    count: u64,
    page_size: usize,
    bytes: PhantomData<&'m [u8]>,
}

impl<'m> Pages<'m> {
    /// The first `count` pages from an address on.
    ///
    /// # Safety
    ///
    /// For the whole of `'m`, `count * page_size` bytes from `base` on must be readable and less than
    /// `isize::MAX`, and the pages that the trees given to the methods reach must not change.
    pub(super) unsafe fn new(base: *const u8, count: u64, page_size: usize) -> Self {
        Self { base, count, page_size, bytes: PhantomData }
    }

    /// Pages that are simply in memory.
    #[cfg(test)]
    pub(super) fn in_memory(bytes: &'m [u8], page_size: usize) -> Self {
        Self { base: bytes.as_ptr(), count: (bytes.len() / page_size) as u64, page_size, bytes: PhantomData }
    }

    /// How many pages there are.
    pub(super) fn count(self) -> u64 {
        self.count
    }

    /// The size of a page.
    pub(super) fn page_size(self) -> usize {
        self.page_size
    }

    /// So many bytes from the beginning of a page on, if that many exist.
    #[inline]
    pub(super) fn bytes(self, number: u64, len: usize) -> Option<&'m [u8]> {
        if number >= self.count { None } else { self.bytes_at(number * self.page_size as u64, len) }
    }

    /// So many bytes from a place on, if that many exist.
    #[inline]
    pub(super) fn bytes_at(self, offset: u64, len: usize) -> Option<&'m [u8]> {
        if len as u64 > self.end().checked_sub(offset)? {
            return None;
        }
        let start = self.base.wrapping_add(offset as usize);
        // SAFETY: the range lies within the pages whose readability and constancy the caller of `new` vouches
        // for.
        Some(unsafe { slice::from_raw_parts(start, len) })
    }

    /// How many bytes all the pages have.
    #[inline]
    fn end(self) -> u64 {
        self.count * self.page_size as u64
    }

    /// A page of a tree.
    #[inline]
    pub(super) fn page(self, number: u64, kind: PageKind) -> Result<Page<'m>> {
        match self.bytes(number, self.page_size) {
            Some(bytes) => Page::parse(bytes, number, kind),
            None => Err(self.beyond(number)),
        }
    }

    #[cold]
    #[inline(never)]
    fn beyond(self, number: u64) -> Error {
        damaged(number, &format!("it lies beyond the {} pages of the file", self.count))
    }

    /// The number of the leaf where a key belongs.
    #[inline]
    fn leaf_number_for(self, tree: &Tree, key: &[u8]) -> Result<u64> {
        let mut number = tree.root;
        for _ in 1..tree.depth {
            let branch = self.page(number, PageKind::Branch)?;
            number = branch.child(branch.child_for(key)?)?;
        }
        Ok(number)
    }

    /// The leaf where a key belongs.
    #[inline]
    fn leaf_for(self, tree: &Tree, key: &[u8]) -> Result<Page<'m>> {
        self.page(self.leaf_number_for(tree, key)?, PageKind::Leaf)
    }

    /// The value of a key, if it has one and is not the record of a named table.
    #[inline]
    pub(super) fn get(self, tree: &Tree, key: &[u8]) -> Result<Option<&'m [u8]>> {
        if tree.root == NO_PAGE {
            return Ok(None);
        }
        self.value_in(tree, self.leaf_for(tree, key)?, key)
    }

    /// As [`Pages::get`], and where that was found.
    #[inline]
    pub(super) fn find(self, tree: &Tree, key: &[u8]) -> Result<(Option<&'m [u8]>, Option<Place>)> {
        if tree.root == NO_PAGE {
            return Ok((None, None));
        }
        let leaf = self.leaf_for(tree, key)?;
        let start = leaf.number() * self.page_size as u64;
        let (index, exact) = leaf.lower_bound(key)?;
        if !exact {
            // Before the first and behind the last one it is the branches that tell what is not there.
            let is_within = index > 0 && index < leaf.count();
            return Ok((None, is_within.then(|| Place::Gap(start + Page::place_of(index)))));
        }
        let place = Place::Node(start + leaf.offset(index)?);
        Ok(self.entry(tree, leaf, index)?.map_or((None, None), |(_, value)| (Some(value), Some(place))))
    }

    /// Whether a key is not there because it would be in a gap that [`Pages::find`] found in the same version.
    #[inline]
    pub(super) fn is_in_gap(self, gap: u64, key: &[u8]) -> bool {
        let within = gap & (self.page_size as u64 - 1);
        let number = (gap - within) >> self.page_size.trailing_zeros();
        let leaf = self.page(number, PageKind::Leaf);
        leaf.is_ok_and(|leaf| leaf.is_between(Page::index_of(within), key))
    }

    /// The value of a key whose node [`Pages::find`] found there in the same version; nothing if it is another's.
    #[inline]
    pub(super) fn get_at(self, tree: &Tree, offset: u64, key: &[u8]) -> Result<Option<&'m [u8]>> {
        // A node lies in one page, and was seen to.
        let rest = self.end().saturating_sub(offset).min(self.page_size as u64) as usize;
        match self.bytes_at(offset, rest).and_then(held_in) {
            Some((found, held)) if found == key => self.value(tree, held),
            _ => Ok(None),
        }
    }

    /// The value of a key that can be in no other leaf.
    #[inline]
    fn value_in(self, tree: &Tree, leaf: Page<'m>, key: &[u8]) -> Result<Option<&'m [u8]>> {
        match leaf.lower_bound(key)? {
            (index, true) => Ok(self.entry(tree, leaf, index)?.map(|(_, value)| value)),
            (_, false) => Ok(None),
        }
    }

    /// As [`Pages::get`], in the leaf of an earlier key if this one belongs there too; `near` is the number of that leaf,
    /// or [`NO_PAGE`].
    pub(super) fn get_near(self, tree: &Tree, near: &mut u64, key: &[u8]) -> Result<Option<&'m [u8]>> {
        if tree.root == NO_PAGE {
            return Ok(None);
        }
        if *near != NO_PAGE {
            let leaf = self.page(*near, PageKind::Leaf)?;
            if leaf.count() > 0 && leaf.held(leaf.count() - 1)?.0 >= key {
                match leaf.lower_bound(key)? {
                    (index, true) => return Ok(self.entry(tree, leaf, index)?.map(|(_, value)| value)),
                    // What is less than all in the leaf belongs to an earlier one, or nowhere.
                    (0, false) => {}
                    (_, false) => return Ok(None),
                }
            }
        }
        *near = self.leaf_number_for(tree, key)?;
        self.value_in(tree, self.page(*near, PageKind::Leaf)?, key)
    }

    /// The tree of a named table, unchecked.
    pub(super) fn table(self, main: &Tree, name: &str) -> Result<Option<Tree>> {
        if main.root == NO_PAGE {
            return Ok(None);
        }
        let leaf = self.leaf_for(main, name.as_bytes())?;
        let (index, true) = leaf.lower_bound(name.as_bytes())? else {
            return Ok(None);
        };
        match leaf.held(index)?.1 {
            Held::Table(record) => Ok(Tree::parse(record)),
            Held::Value(_) | Held::Overflow { .. } => Ok(None),
        }
    }

    /// The key and value at a place, unless it holds the record of a named table.
    #[inline]
    fn entry(self, tree: &Tree, leaf: Page<'m>, index: usize) -> Result<Option<Entry<'m>>> {
        let (key, held) = leaf.held(index)?;
        Ok(self.value(tree, held)?.map(|value| (key, value)))
    }

    /// The value that a leaf holds, unless that is the record of a named table.
    #[inline]
    fn value(self, tree: &Tree, held: Held<'m>) -> Result<Option<&'m [u8]>> {
        match held {
            Held::Value(value) => Ok(Some(value)),
            Held::Overflow { page, len } => self.overflow(page, len as usize).map(Some),
            Held::Table(_) if tree.holds_tables => Ok(None),
            Held::Table(_) => Err(Error::corrupted("a named table holds the record of another one")),
        }
    }

    /// The value on overflow pages.
    pub(super) fn overflow(self, number: u64, len: usize) -> Result<&'m [u8]> {
        let Some(header) = self.bytes(number, PAGE_HEADER) else {
            return Err(self.beyond(number));
        };
        let extent = overflow_pages(header, number)?;
        let needed = (PAGE_HEADER + len).div_ceil(self.page_size) as u64;
        if extent < needed {
            return Err(damaged(
                number,
                &format!("a value of {len} bytes does not fit on its {extent} pages"),
            ));
        }
        self.bytes(number, PAGE_HEADER + len)
            .and_then(|bytes| bytes.get(PAGE_HEADER..))
            .ok_or_else(|| self.beyond(number + needed - 1))
    }

    /// Where the first entry at or past `from` in the direction is.
    fn position(self, tree: &Tree, from: Bound<&[u8]>, direction: Direction) -> Result<Option<Position>> {
        if tree.root == NO_PAGE {
            return Ok(None);
        }
        let mut position = Position { path: SmallVec::new() };
        let (Bound::Included(key) | Bound::Excluded(key)) = from else {
            position.descend(self, tree, tree.root, direction)?;
            return Ok(Some(position));
        };
        let mut number = tree.root;
        for _ in 1..tree.depth {
            let branch = self.page(number, PageKind::Branch)?;
            let index = branch.child_for(key)?;
            position.push(number, index);
            number = branch.child(index)?;
        }
        let leaf = self.page(number, PageKind::Leaf)?;
        let (index, exact) = leaf.lower_bound(key)?;
        let skips = exact && matches!(from, Bound::Excluded(_));
        let wanted = match direction {
            Direction::Forward => Some(index + usize::from(skips)).filter(|&index| index < leaf.count()),
            Direction::Backward if exact && !skips => Some(index),
            Direction::Backward => index.checked_sub(1),
        };
        if let Some(index) = wanted {
            position.push(number, index);
            return Ok(Some(position));
        }
        let edge = match direction {
            Direction::Forward => leaf.count() - 1,
            Direction::Backward => 0,
        };
        position.push(number, edge);
        Ok(position.step(self, tree, direction)?.then_some(position))
    }

    /// The first entry at or past `from` in the direction.
    pub(super) fn seek(
        self,
        tree: &Tree,
        from: Bound<&[u8]>,
        direction: Direction,
    ) -> Result<Option<Entry<'m>>> {
        let mut walk = Walk::from(tree, self.position(tree, from, direction)?, direction);
        walk.next(self)
    }
}

/// Where in a version something was found, in bytes from its beginning on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The node of an entry.
    Node(u64),
    /// Between two nodes of a leaf: where it is said where the second one begins.
    Gap(u64),
}

/// One level of a path: a page and a node in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    page: u64,
    index: u16,
}

/// A path from the root of a tree to an entry.
#[derive(Debug, Clone)]
struct Position {
    path: SmallVec<[Step; 6]>,
}

impl Position {
    fn push(&mut self, page: u64, index: usize) {
        self.path.push(Step { page, index: index as u16 });
    }

    /// The end of the path, which alone tells two entries of a tree apart.
    fn entry(&self) -> Option<Step> {
        self.path.last().copied()
    }

    /// Completes the path from a page down to the outermost entry that the direction meets first.
    fn descend(
        &mut self,
        pages: Pages<'_>,
        tree: &Tree,
        mut number: u64,
        direction: Direction,
    ) -> Result<()> {
        let first = |page: Page<'_>| match direction {
            Direction::Forward => 0,
            Direction::Backward => page.count() - 1,
        };
        while self.path.len() + 1 < usize::from(tree.depth) {
            let branch = pages.page(number, PageKind::Branch)?;
            let index = first(branch);
            self.push(number, index);
            number = branch.child(index)?;
        }
        let leaf = pages.page(number, PageKind::Leaf)?;
        self.push(number, first(leaf));
        Ok(())
    }

    /// Moves to the next entry in the direction and says whether there is one.
    #[inline(never)]
    fn step(&mut self, pages: Pages<'_>, tree: &Tree, direction: Direction) -> Result<bool> {
        while let Some(Step { page: number, index }) = self.path.pop() {
            let is_leaf = self.path.len() + 1 == usize::from(tree.depth);
            let kind = if is_leaf { PageKind::Leaf } else { PageKind::Branch };
            let page = pages.page(number, kind)?;
            let moved = match direction {
                Direction::Forward => Some(usize::from(index) + 1).filter(|&index| index < page.count()),
                Direction::Backward => usize::from(index).checked_sub(1),
            };
            let Some(index) = moved else { continue };
            self.push(number, index);
            if !is_leaf {
                self.descend(pages, tree, page.child(index)?, direction)?;
            }
            return Ok(true);
        }
        Ok(false)
    }
}

/// A walk through the entries between two bounds, which holds no borrow of the pages.
///
/// Both ends are looked up when it begins, so that a step compares places and no keys.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    tree: Tree,
    /// The entry that was met last, or the first one if `fresh`.
    at: Position,
    fresh: bool,
    done: bool,
    /// The first entry that is not to be met any more.
    end: Option<Step>,
    direction: Direction,
    /// How many entries there can still be; a tree that was damaged into a knot would otherwise have no end.
    left: u64,
}

impl Walk {
    /// A walk from a place to the end of the tree.
    fn from(tree: &Tree, at: Option<Position>, direction: Direction) -> Self {
        let done = at.is_none();
        let at = at.unwrap_or(Position { path: SmallVec::new() });
        Self { tree: *tree, at, fresh: true, done, end: None, direction, left: tree.entries }
    }

    /// Finds both ends of a walk.
    pub(super) fn new(
        pages: Pages<'_>,
        tree: &Tree,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        direction: Direction,
    ) -> Result<Self> {
        if is_inverted(lower, upper) {
            return Ok(Self::from(tree, None, direction));
        }
        let (from, to) = match direction {
            Direction::Forward => (lower, upper),
            Direction::Backward => (upper, lower),
        };
        let past = match to {
            Bound::Included(key) => pages.position(tree, Bound::Excluded(key), direction)?,
            Bound::Excluded(key) => pages.position(tree, Bound::Included(key), direction)?,
            Bound::Unbounded => None,
        };
        let end = past.and_then(|position| position.entry());
        Ok(Self { end, ..Self::from(tree, pages.position(tree, from, direction)?, direction) })
    }

    /// The next entry. After the last one, and after an error, there is none.
    #[inline]
    pub(super) fn next<'m>(&mut self, pages: Pages<'m>) -> Result<Option<Entry<'m>>> {
        if self.done {
            return Ok(None);
        }
        self.done = true;
        loop {
            let Some((leaf, step)) = self.advance(pages)? else {
                return Ok(None);
            };
            if self.end == Some(step) {
                return Ok(None);
            }
            let Some(left) = self.left.checked_sub(1) else {
                return Err(self.endless());
            };
            self.left = left;
            if let Some(entry) = pages.entry(&self.tree, leaf, usize::from(step.index))? {
                self.done = false;
                return Ok(Some(entry));
            }
        }
    }

    /// Moves to the next entry, which nearly always is in the same leaf.
    #[inline]
    fn advance<'m>(&mut self, pages: Pages<'m>) -> Result<Option<(Page<'m>, Step)>> {
        if let Some(step) = self.at.path.last_mut() {
            let leaf = pages.page(step.page, PageKind::Leaf)?;
            let index = match (self.fresh, self.direction) {
                (true, _) => Some(step.index),
                (false, Direction::Forward) => step.index.checked_add(1),
                (false, Direction::Backward) => step.index.checked_sub(1),
            };
            self.fresh = false;
            if let Some(index) = index.filter(|&index| usize::from(index) < leaf.count()) {
                step.index = index;
                return Ok(Some((leaf, *step)));
            }
        }
        if !self.at.step(pages, &self.tree, self.direction)? {
            return Ok(None);
        }
        match self.at.entry() {
            Some(step) => Ok(Some((pages.page(step.page, PageKind::Leaf)?, step))),
            None => Ok(None),
        }
    }

    #[cold]
    #[inline(never)]
    fn endless(&self) -> Error {
        Error::corrupted(format!("a table has more than the {} entries it says it has", self.tree.entries))
    }
}

/// Whether no key can lie between two bounds because they are the wrong way round.
fn is_inverted(lower: Bound<&[u8]>, upper: Bound<&[u8]>) -> bool {
    match (lower, upper) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(lower), Bound::Included(upper)) => lower > upper,
        (
            Bound::Included(lower) | Bound::Excluded(lower),
            Bound::Included(upper) | Bound::Excluded(upper),
        ) => lower >= upper,
    }
}
