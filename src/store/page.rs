//! One page of an LMDB file, parsed from bytes that nobody vouches for.
//!
//! The layout is that of LMDB's data format version 1 with 64-bit page numbers, in the byte order of the
//! machine:
//!
//! | page | bytes |
//! |---|---|
//! | every page | 0: own number `u64`, 8: unused, 10: flags `u16`, 12: end of the offsets `u16`, 14: start of the nodes `u16` |
//! | meta | 16: magic `u32`, version `u32`, unused `u64`, map size `u64`, free tree, main tree, last page `u64`, transaction `u64` |
//! | branch, leaf | 16: offsets `u16` of the nodes, in the order of the keys |
//! | overflow | 12: number of pages `u32`, 16: one value |
//!
//! A node has 8 bytes of header and then its key: on a branch the child's number (48 bits), the size of the
//! key (`u16`); on a leaf the size of the value (`u32`), flags (`u16`), the size of the key (`u16`), and
//! after the key the value or the number of the overflow page that holds it. A tree is described by 48 bytes:
//! page size `u32` (free tree only), flags `u16`, depth `u16`, three counts of pages `u64`, entries `u64`,
//! root `u64`.

use std::cmp::Ordering;

use crate::error::{Error, Result};

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the file format has 64-bit page numbers, which LMDB writes on 64-bit machines only");

/// The size of the header that every page begins with.
pub(super) const PAGE_HEADER: usize = 16;
/// The bytes of a meta page that mean something, with the header.
pub(super) const META_BYTES: usize = 152;
/// Where a meta page holds the number of its transaction.
pub(super) const META_TXN_ID: usize = 144;
/// How many meta pages a file begins with.
pub(super) const META_PAGES: u64 = 2;
/// The root of an empty tree.
pub(super) const NO_PAGE: u64 = u64::MAX;
/// The size of a tree's description.
pub(super) const TREE_BYTES: usize = 48;

/// Beyond 32 levels LMDB itself gives up.
const DEPTH_LIMIT: u16 = 32;
const MAGIC: u32 = 0xBEEF_C0DE;
const DATA_VERSION: u32 = 1;
const NODE_HEADER: usize = 8;
/// What a page holds for each of its nodes: where it begins.
const NODE_PLACE: usize = 2;
/// A leaf has room for so many nodes at least; larger values lie on pages of their own.
const LEAST_NODES: usize = 2;
/// No file has more pages, so that sizes in bytes never overflow.
const PAGE_LIMIT: u64 = 1 << 47;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;
const META: u16 = 0x08;

const BIG_VALUE: u16 = 0x01;
const TABLE_RECORD: u16 = 0x02;

/// The flag of a tree whose keys are machine words, which the free tree is.
const INTEGER_KEYS: u16 = 0x08;
/// All flags that change the order of keys or allow duplicates. The free tree's other ones are those that the
/// creator opened the environment with.
const TREE_FLAGS: u16 = 0x7e;

#[cold]
#[inline(never)]
pub(super) fn damaged(number: u64, what: &str) -> Error {
    Error::corrupted(format!("page {number}: {what}"))
}

/// How many bytes of nodes a leaf has room for.
pub(super) fn leaf_room(page_size: usize) -> usize {
    page_size - PAGE_HEADER
}

/// How many of them an entry takes.
#[inline]
pub(super) fn leaf_node(page_size: usize, key: &[u8], value: &[u8]) -> usize {
    let most = ((leaf_room(page_size) / LEAST_NODES) & !1) - NODE_PLACE;
    let whole = NODE_HEADER + key.len() + value.len();
    let node = if whole > most { NODE_HEADER + key.len() + size_of::<u64>() } else { whole };
    node.next_multiple_of(2) + NODE_PLACE
}

#[inline]
fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[inline]
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    chunk(bytes, at).map(u16::from_ne_bytes)
}

#[inline]
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    chunk(bytes, at).map(u32::from_ne_bytes)
}

#[inline]
fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    chunk(bytes, at).map(u64::from_ne_bytes)
}

/// What the beginning of a meta page says of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// A file of the format that this module reads.
    Readable,
    /// Not an LMDB file, or its stamp was overwritten.
    Missing,
    /// An LMDB file of a machine with the other byte order.
    OtherByteOrder,
    /// An LMDB file of another version of the format.
    Version(u32),
}

impl Stamp {
    /// Reads the stamp of a meta page.
    pub(super) fn of(meta: &[u8; META_BYTES]) -> Self {
        match (u32_at(meta, 16), u32_at(meta, 20), u16_at(meta, 10)) {
            (Some(MAGIC), Some(DATA_VERSION), Some(flags)) if flags & META != 0 => Self::Readable,
            (Some(MAGIC), Some(DATA_VERSION), _) => Self::Missing,
            (Some(MAGIC), Some(version), _) => Self::Version(version),
            (Some(magic), ..) if magic == MAGIC.swap_bytes() => Self::OtherByteOrder,
            _ => Self::Missing,
        }
    }
}

/// The transaction of a meta page that need not make sense otherwise, as LMDB chooses by nothing else.
pub(super) fn raw_txn_id(meta: &[u8; META_BYTES]) -> u64 {
    u64_at(meta, META_TXN_ID).unwrap_or_default()
}

/// Whether bytes begin with the header of page `number`, other than a meta page.
///
/// Chance alone doesn't put the page's own number there, so this tells a damaged file from a foreign one.
pub(super) fn looks_like_page(bytes: &[u8], number: u64) -> bool {
    u64_at(bytes, 0) == Some(number)
        && u16_at(bytes, 10).is_some_and(|flags| matches!(flags, BRANCH | LEAF | OVERFLOW | META))
}

/// A tree of pages, as a meta page or the record of a named table describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tree {
    /// The root, or [`NO_PAGE`].
    pub(super) root: u64,
    /// The levels of pages, 0 for the empty tree.
    pub(super) depth: u16,
    /// What LMDB was told about the order of keys and about duplicates.
    pub(super) flags: u16,
    /// The number of pages with large values.
    pub(super) overflow_pages: u64,
    /// The number of entries.
    pub(super) entries: u64,
    /// Whether entries may be the records of named tables.
    pub(super) holds_tables: bool,
}

impl Tree {
    /// A tree without entries.
    pub(super) const EMPTY: Self =
        Self { root: NO_PAGE, depth: 0, flags: 0, overflow_pages: 0, entries: 0, holds_tables: false };

    /// Parses the description of a tree.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            flags: u16_at(bytes, 4)?,
            depth: u16_at(bytes, 6)?,
            overflow_pages: u64_at(bytes, 24)?,
            entries: u64_at(bytes, 32)?,
            root: u64_at(bytes, 40)?,
            holds_tables: false,
        })
    }

    /// Checks the description against a file with so many pages.
    pub(super) fn check(&self, what: &str, pages: u64, page_size: usize) -> Result<()> {
        if self.root == NO_PAGE {
            return if self.depth == 0 && self.entries == 0 {
                Ok(())
            } else {
                Err(Error::corrupted(format!(
                    "the {what} table has {} entries and no root page",
                    self.entries
                )))
            };
        }
        if !(META_PAGES..pages).contains(&self.root) {
            return Err(Error::corrupted(format!(
                "the {what} table's root is page {} of {pages}",
                self.root
            )));
        }
        if !(1..=DEPTH_LIMIT).contains(&self.depth) {
            return Err(Error::corrupted(format!("the {what} table has {} levels", self.depth)));
        }
        // A page holds at most one entry for each node header, so walks that count entries end.
        if self.entries > pages.saturating_mul((page_size / NODE_HEADER) as u64) {
            return Err(Error::corrupted(format!(
                "the {what} table claims {} entries in {pages} pages",
                self.entries
            )));
        }
        Ok(())
    }
}

/// A meta page: where one version begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    /// The size of a page in bytes.
    pub(super) page_size: u32,
    /// The tree of unused pages.
    pub(super) free: Tree,
    /// LMDB's unnamed database.
    pub(super) main: Tree,
    /// The last page that was ever used.
    pub(super) last_page: u64,
    /// The transaction that wrote the version.
    pub(super) txn_id: u64,
}

impl Meta {
    /// Parses a meta page with a readable stamp.
    pub(super) fn parse(bytes: &[u8; META_BYTES]) -> Result<Self> {
        Self::fields(bytes)
            .filter(|meta| {
                Stamp::of(bytes) == Stamp::Readable
                    && (1..PAGE_LIMIT).contains(&meta.last_page)
                    && meta.page_size.is_power_of_two()
                    && (256..=32768).contains(&meta.page_size)
            })
            .ok_or_else(|| Error::corrupted("a meta page makes no sense"))
    }

    fn fields(bytes: &[u8; META_BYTES]) -> Option<Self> {
        Some(Self {
            page_size: u32_at(bytes, 40)?,
            free: Tree::parse(bytes.get(40..)?)?,
            main: Tree { holds_tables: true, ..Tree::parse(bytes.get(88..)?)? },
            last_page: u64_at(bytes, 136)?,
            txn_id: u64_at(bytes, META_TXN_ID)?,
        })
    }

    /// How many bytes the file would have with all pages that were ever used.
    pub(super) fn used_bytes(&self) -> u64 {
        (self.last_page + 1) * u64::from(self.page_size)
    }

    /// Whether nothing was ever committed.
    pub(super) fn is_pristine(&self) -> bool {
        self.txn_id == 0 && self.last_page == META_PAGES - 1 && self.main.root == NO_PAGE
    }

    /// Whether the trees have the flags of an environment with plain keys.
    pub(super) fn has_plain_trees(&self) -> bool {
        self.free.flags & TREE_FLAGS == INTEGER_KEYS && self.main.flags == 0
    }
}

/// What a page is for, which its place in a tree decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    /// Keys and the pages below.
    Branch,
    /// Keys and values.
    Leaf,
}

/// A branch or a leaf with at least one node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page<'p> {
    bytes: &'p [u8],
    number: u64,
    kind: PageKind,
    count: usize,
}

/// What a leaf holds for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held<'p> {
    /// The value itself.
    Value(&'p [u8]),
    /// A value of so many bytes from this page on.
    Overflow {
        /// The first page.
        page: u64,
        /// The size of the value.
        len: u32,
    },
    /// The description of a named table.
    Table(&'p [u8]),
}

impl<'p> Page<'p> {
    /// Checks the header of a page.
    #[inline]
    pub(super) fn parse(bytes: &'p [u8], number: u64, kind: PageKind) -> Result<Self> {
        let Some(&[n0, n1, n2, n3, n4, n5, n6, n7, _, _, f0, f1, l0, l1, u0, u1]) =
            bytes.first_chunk::<PAGE_HEADER>()
        else {
            return Err(damaged(number, "it is cut short"));
        };
        let flags = u16::from_ne_bytes([f0, f1]);
        let lower = usize::from(u16::from_ne_bytes([l0, l1]));
        let upper = usize::from(u16::from_ne_bytes([u0, u1]));
        let expected = match kind {
            PageKind::Branch => BRANCH,
            PageKind::Leaf => LEAF,
        };
        if u64::from_ne_bytes([n0, n1, n2, n3, n4, n5, n6, n7]) != number {
            return Err(damaged(number, "it holds the number of another page"));
        }
        if flags != expected {
            return Err(damaged(number, "it is of another kind than its place in the tree says"));
        }
        // Neither trees nor their pages are ever empty, so a walk meets an entry after at most as many steps
        // as the tree is deep.
        if lower < PAGE_HEADER + 2 || lower % 2 != 0 || lower > upper || upper > bytes.len() {
            return Err(damaged(number, "its bounds make no sense"));
        }
        Ok(Self { bytes, number, kind, count: (lower - PAGE_HEADER) / 2 })
    }

    /// How many nodes there are, at least one.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many bytes of the page are in use, its header not counted.
    pub(super) fn used_bytes(&self) -> Result<usize> {
        let upper = u16_at(self.bytes, 14).map(usize::from);
        let nodes = upper.and_then(|upper| self.bytes.len().checked_sub(upper));
        nodes
            .map(|nodes| 2 * self.count + nodes)
            .ok_or_else(|| damaged(self.number, "its bounds make no sense"))
    }

    /// The header of a node and what follows it in the page.
    #[inline]
    fn node(&self, index: usize) -> Option<(&'p [u8; NODE_HEADER], &'p [u8])> {
        self.bytes.get(self.offset_of(index)?..)?.split_first_chunk()
    }

    #[inline]
    fn offset_of(&self, index: usize) -> Option<usize> {
        u16_at(self.bytes, PAGE_HEADER + 2 * index).map(usize::from)
    }

    /// Where in a page it is said where a node begins.
    #[inline]
    pub(super) fn place_of(index: usize) -> u64 {
        (PAGE_HEADER + NODE_PLACE * index) as u64
    }

    /// The node of which it is said there where it begins.
    #[inline]
    pub(super) fn index_of(place: u64) -> usize {
        (place as usize).saturating_sub(PAGE_HEADER) / NODE_PLACE
    }

    /// Whether a key sorts between a node and the one before it.
    #[inline]
    pub(super) fn is_between(&self, index: usize, key: &[u8]) -> bool {
        let Some(before) = index.checked_sub(1).filter(|_| index < self.count) else { return false };
        match (self.key_and_rest(before), self.key_and_rest(index)) {
            (Some((before, _)), Some((behind, _))) => {
                compare(before, key) == Ordering::Less && compare(key, behind) == Ordering::Less
            }
            _ => false,
        }
    }

    /// The number of the page.
    #[inline]
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Where in the page a node begins.
    #[inline]
    pub(super) fn offset(&self, index: usize) -> Result<u64> {
        self.offset_of(index).map(|offset| offset as u64).ok_or_else(|| self.bad_node(index))
    }

    /// The key of a node and what follows it in the page.
    #[inline]
    fn key_and_rest(&self, index: usize) -> Option<(&'p [u8], &'p [u8])> {
        let (&[.., s0, s1], rest) = self.node(index)?;
        rest.split_at_checked(usize::from(u16::from_ne_bytes([s0, s1])))
    }

    #[cold]
    #[inline(never)]
    fn bad_node(&self, index: usize) -> Error {
        damaged(self.number, &format!("node {index} of {} reaches past its end", self.count))
    }

    /// Asks the processor for a node that a search may look at next, so that misses of the cache overlap.
    #[inline]
    fn prefetch(&self, index: usize) {
        #[cfg(target_arch = "x86_64")]
        if let Some(offset) = self.offset_of(index) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let address = self.bytes.as_ptr().wrapping_add(offset);
            // SAFETY: a prefetch reads nothing that the program sees and never faults, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = index;
    }

    /// The first node from `low` on whose key is not less, and whether it is equal.
    #[inline]
    fn search(&self, mut low: usize, key: &[u8]) -> Result<(usize, bool)> {
        let mut high = self.count;
        while low < high {
            let middle = low.midpoint(high);
            self.prefetch(low.midpoint(middle));
            self.prefetch((middle + 1).midpoint(high));
            let Some((candidate, _)) = self.key_and_rest(middle) else {
                return Err(self.bad_node(middle));
            };
            match compare(candidate, key) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok((middle, true)),
                Ordering::Greater => high = middle,
            }
        }
        Ok((low, false))
    }

    /// The first node of a leaf whose key is not less, perhaps one past the last, and whether it is equal.
    #[inline]
    pub(super) fn lower_bound(&self, key: &[u8]) -> Result<(usize, bool)> {
        debug_assert_eq!(self.kind, PageKind::Leaf);
        self.search(0, key)
    }

    /// The node of a branch under which a key belongs.
    ///
    /// The key of the first node counts as less than any other; LMDB leaves it empty or stale.
    #[inline]
    pub(super) fn child_for(&self, key: &[u8]) -> Result<usize> {
        debug_assert_eq!(self.kind, PageKind::Branch);
        let (index, exact) = self.search(1, key)?;
        Ok(if exact { index } else { index - 1 })
    }

    /// The page below a node of a branch.
    #[inline]
    pub(super) fn child(&self, index: usize) -> Result<u64> {
        debug_assert_eq!(self.kind, PageKind::Branch);
        match self.node(index) {
            Some((header, _)) if index < self.count => {
                // Six bytes of number and two that are the size of the key.
                let &[b0, b1, b2, b3, b4, b5, ..] = header;
                let low = u32::from_ne_bytes([b0, b1, b2, b3]);
                Ok(u64::from(low) | u64::from(u16::from_ne_bytes([b4, b5])) << 32)
            }
            _ => Err(self.bad_node(index)),
        }
    }

    /// The key of a node of a branch, below which nothing sorts before it; that of the first one means nothing.
    pub(super) fn key(&self, index: usize) -> Result<&'p [u8]> {
        debug_assert_eq!(self.kind, PageKind::Branch);
        match self.key_and_rest(index) {
            Some((key, _)) if index < self.count => Ok(key),
            _ => Err(self.bad_node(index)),
        }
    }

    /// What a node of a leaf holds.
    #[inline]
    pub(super) fn held(&self, index: usize) -> Result<(&'p [u8], Held<'p>)> {
        debug_assert_eq!(self.kind, PageKind::Leaf);
        self.leaf_node(index).ok_or_else(|| self.bad_node(index))
    }

    #[inline]
    fn leaf_node(&self, index: usize) -> Option<(&'p [u8], Held<'p>)> {
        if index >= self.count {
            return None;
        }
        held_in(self.bytes.get(self.offset_of(index)?..)?)
    }
}

/// What the node of a leaf holds that these bytes begin with.
#[inline]
pub(super) fn held_in(node: &[u8]) -> Option<(&[u8], Held<'_>)> {
    let (&[a, b, c, d, f0, f1, s0, s1], rest) = node.split_first_chunk::<NODE_HEADER>()?;
    let len = u32::from_ne_bytes([a, b, c, d]);
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_ne_bytes([s0, s1])))?;
    let held = match u16::from_ne_bytes([f0, f1]) {
        0 => Held::Value(rest.get(..len as usize)?),
        BIG_VALUE => Held::Overflow { page: u64_at(rest, 0)?, len },
        TABLE_RECORD if len as usize == TREE_BYTES => Held::Table(rest.get(..TREE_BYTES)?),
        _ => return None,
    };
    Some((key, held))
}

/// Checks the header of the first of several pages that hold one value, and says how many they are.
#[inline]
pub(super) fn overflow_pages(bytes: &[u8], number: u64) -> Result<u64> {
    if u64_at(bytes, 0) != Some(number) || u16_at(bytes, 10) != Some(OVERFLOW) {
        return Err(damaged(number, "it should hold a large value and does not"));
    }
    u32_at(bytes, 12).map(u64::from).ok_or_else(|| damaged(number, "it is cut short"))
}

/// Compares keys byte by byte, eight at a time: keys are short, and a call of `memcmp` costs more than the
/// loop.
#[inline]
fn compare(mut left: &[u8], mut right: &[u8]) -> Ordering {
    while let (Some((l, left_rest)), Some((r, right_rest))) =
        (left.split_first_chunk::<8>(), right.split_first_chunk::<8>())
    {
        if l != r {
            return u64::from_be_bytes(*l).cmp(&u64::from_be_bytes(*r));
        }
        (left, right) = (left_rest, right_rest);
    }
    for (l, r) in left.iter().zip(right) {
        if l != r {
            return l.cmp(r);
        }
    }
    left.len().cmp(&right.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::compare;

    proptest! {
        #[test]
        fn keys_compare_as_slices_do(
            common in prop::collection::vec(0..3_u8, 0..20),
            left in prop::collection::vec(0..3_u8, 0..12),
            right in prop::collection::vec(0..3_u8, 0..12),
        ) {
            let (left, right) = ([&common[..], &left].concat(), [&common[..], &right].concat());
            prop_assert_eq!(compare(&left, &right), left.cmp(&right));
        }
    }
}
