//! Remembers where in one version entries were found, so that those who read them again needn't walk down the tree.
//!
//! A version never changes while it is pinned, so what was found once is there for as long as the snapshot lives, which
//! this is a part of. The table is a cache in which a key may be in any cell of one row, best in its own; a cell is one word,
//! so threads need no lock. What a cell tells is checked like anything else: the bounds of the node, and its key.

use std::{hash::Hasher, io};

use memmap2::MmapMut;
use rustc_hash::FxHasher;

use super::{
    page::Tree,
    tree::{Pages, Place},
};
use crate::{
    error::Result,
    sync::{AtomicU64, OnceLock, Ordering},
};

/// After so many look-ups of a version it is seen whether a table is worth its while, and again after as many.
const WARM: u64 = 4096;
/// It is, once there was a look-up for so many of its cells, which cost something to make.
const CELLS_PER_WALK: u64 = 8;
/// The least and the most cells that a table has; the most are 4 MiB.
pub(super) const CELLS: (u64, u64) = (1 << 10, 1 << 19);
/// How many neighbours a key may be in, half of what a processor reads at once: those that are put out by others are read
/// again by a walk, which costs more than to look through all of these.
const ROW: usize = 4;
/// How many bits of a cell tell where the node is, in units of two bytes, which all that is found is aligned to; the others
/// are of the key's hash. A cell of zero is empty: the first pages of a file have no nodes.
pub(super) const PLACE_BITS: u32 = 44;
/// Tells that the key is in no node, but in a gap.
const GAP: u64 = 1 << (PLACE_BITS - 1);
/// As large as the pages that a processor finds large tables faster in, as far as Linux has them to spare.
const LARGE_PAGE: usize = 2 << 20;

/// Where the entries of one table of one version were found.
#[derive(Default)]
pub(super) struct Places {
    /// How often it was looked for an entry, as long as there is no table; threads may overlook each other's.
    walks: AtomicU64,
    cells: OnceLock<Cells>,
}

impl Places {
    /// As [`Pages::get`].
    #[inline]
    pub(super) fn get<'m>(&self, pages: Pages<'m>, tree: &Tree, key: &[u8]) -> Result<Option<&'m [u8]>> {
        let Some(cells) = self.cells.get() else {
            self.count(tree);
            return pages.get(tree, key);
        };
        let hash = hash(key);
        if let Some((held, _)) = cells.row(hash).find(|&(held, _)| held != 0 && is_of(held, hash)) {
            let offset = (held & (GAP - 1)) << 1;
            if held & GAP != 0 {
                if pages.is_in_gap(offset, key) {
                    return Ok(None);
                }
            } else if let Some(value) = pages.get_at(tree, offset, key)? {
                return Ok(Some(value));
            }
        }
        let (value, place) = pages.find(tree, key)?;
        if let Some(place) = place {
            let (kind, offset) = match place {
                Place::Node(offset) => (0, offset),
                Place::Gap(offset) => (GAP, offset),
            };
            if offset % 2 == 0 && offset >> 1 < GAP {
                cells.keep(hash, hash >> PLACE_BITS << PLACE_BITS | kind | offset >> 1);
            }
        }
        Ok(value)
    }

    fn count(&self, tree: &Tree) {
        let walks = self.walks.load(Ordering::Relaxed) + 1;
        self.walks.store(walks, Ordering::Relaxed);
        if walks.is_multiple_of(WARM) {
            self.grow(tree, walks);
        }
    }

    #[cold]
    fn grow(&self, tree: &Tree, walks: u64) {
        let count = tree.entries.saturating_mul(2).clamp(CELLS.0, CELLS.1).next_power_of_two();
        // Where there is no memory it goes without.
        if walks >= count / CELLS_PER_WALK
            && let Ok(cells) = Cells::new(count as usize)
        {
            let _ = self.cells.set(cells);
        }
    }
}

/// Cells, of which there are a power of two.
struct Cells {
    memory: MmapMut,
    /// Where in the memory they begin, in cells.
    first: usize,
    count: usize,
}

impl Cells {
    fn new(count: usize) -> io::Result<Self> {
        let bytes = count * size_of::<AtomicU64>();
        let spare = if bytes < LARGE_PAGE { 0 } else { LARGE_PAGE };
        let memory = MmapMut::map_anon(bytes + spare)?;
        #[cfg(target_os = "linux")]
        if spare > 0 {
            // It is but a wish.
            let _ = memory.advise(memmap2::Advice::HugePage);
        }
        let first = memory.as_ptr().align_offset(LARGE_PAGE).min(spare) / size_of::<AtomicU64>();
        Ok(Self { memory, first, count })
    }

    /// What is held in the cells that a hash may be in, its own first.
    #[inline]
    fn row(&self, hash: u64) -> impl Iterator<Item = (u64, &AtomicU64)> {
        (0..ROW).map(move |place| {
            let cell = self.at((hash as usize ^ place) & (self.count - 1));
            (cell.load(Ordering::Relaxed), cell)
        })
    }

    /// Puts something in a cell that holds nothing, or what is told by the same bits of a hash; else in its own.
    fn keep(&self, hash: u64, word: u64) {
        let free = self.row(hash).find(|&(held, _)| held == 0 || is_of(held, hash));
        if let Some((_, cell)) = free.or_else(|| self.row(hash).next()) {
            cell.store(word, Ordering::Relaxed);
        }
    }

    #[inline]
    #[expect(unsafe_code, reason = "there is no safe way to look at mapped memory as atomics")]
    fn at(&self, index: usize) -> &AtomicU64 {
        debug_assert!(index < self.count, "there are {} cells", self.count);
        #[expect(clippy::cast_ptr_alignment, reason = "mapped memory begins with a page")]
        let cells = self.memory.as_ptr().cast::<AtomicU64>();
        // SAFETY: `new` has mapped so many cells from `first` on.
        let cell = unsafe { cells.add(self.first + index) };
        // SAFETY: it is zero at first, lives as long as `self`, and nobody looks at it but through this.
        unsafe { &*cell }
    }
}

/// Whether a cell holds what has such a hash, as far as it tells.
#[inline]
fn is_of(held: u64, hash: u64) -> bool {
    (held ^ hash) >> PLACE_BITS == 0
}

pub(super) fn hash(key: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(key);
    hasher.finish()
}
