//! Remembers where in one version entries were found, so that those who read them again needn't walk down the tree.
//!
//! A version never changes while it is pinned, so what was found once is there for as long as the snapshot lives, which
//! this is a part of. The table is a cache that each key has one cell in, which belongs to whoever was read last; a cell is
//! one word, so threads need no lock. What a cell tells is checked like anything else: the bounds of the node, and its key.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use super::{page::Tree, tree::Pages};
use crate::{
    error::Result,
    sync::{AtomicU64, OnceLock, Ordering},
};

/// After so many look-ups of a version a table is worth its while.
const WARM: u64 = 4096;
/// The least and the most cells that a table has; the most are 4 MiB.
pub(super) const CELLS: (u64, u64) = (1 << 10, 1 << 19);
/// How many bits of a cell tell where the node is, in units of two bytes, which nodes are aligned to; the others are of
/// the key's hash. A cell of zero is empty: the first pages of a file have no nodes.
pub(super) const PLACE_BITS: u32 = 44;

/// Where the entries of one table of one version were found.
#[derive(Default)]
pub(super) struct Places {
    /// How often it was looked for an entry, as long as there is no table; threads may overlook each other's.
    walks: AtomicU64,
    cells: OnceLock<Box<[AtomicU64]>>,
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
        let cell = &cells[hash as usize & (cells.len() - 1)];
        let held = cell.load(Ordering::Relaxed);
        if held != 0 && (held ^ hash) >> PLACE_BITS == 0 {
            let offset = (held << 1) & ((2 << PLACE_BITS) - 1);
            if let Some(value) = pages.get_at(tree, offset, key)? {
                return Ok(Some(value));
            }
        }
        let Some((offset, value)) = pages.find(tree, key)? else { return Ok(None) };
        if offset % 2 == 0 && offset >> 1 >> PLACE_BITS == 0 {
            cell.store(hash >> PLACE_BITS << PLACE_BITS | offset >> 1, Ordering::Relaxed);
        }
        Ok(Some(value))
    }

    fn count(&self, tree: &Tree) {
        let walks = self.walks.load(Ordering::Relaxed) + 1;
        self.walks.store(walks, Ordering::Relaxed);
        if walks == WARM {
            self.grow(tree);
        }
    }

    #[cold]
    fn grow(&self, tree: &Tree) {
        let cells = tree.entries.saturating_mul(2).clamp(CELLS.0, CELLS.1).next_power_of_two();
        self.cells.get_or_init(|| (0..cells).map(|_| AtomicU64::new(0)).collect());
    }
}

pub(super) fn hash(key: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(key);
    hasher.finish()
}
