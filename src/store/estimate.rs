//! How large a version would be if all its pages were full.

use super::{
    page::{NO_PAGE, PAGE_HEADER, PageKind, Tree},
    tree::Pages,
};
use crate::error::Result;

/// How many leaves of a table are looked at, evenly spread.
const SAMPLES: u64 = 256;

/// The nodes that were seen on some pages, and the room that they take there.
#[derive(Debug, Default)]
struct Nodes {
    count: u128,
    bytes: u128,
}

impl Nodes {
    fn add(&mut self, weight: u64, count: usize, bytes: usize) {
        self.count += u128::from(weight) * count as u128;
        self.bytes += u128::from(weight) * bytes as u128;
    }

    /// How many pages so many nodes fill. On average half a node is left free at the end of each.
    fn pages(&self, nodes: u64, page_size: usize) -> u64 {
        let (count, bytes) = (self.count.max(1), self.bytes);
        let room = (page_size - PAGE_HEADER) as u128 * count;
        let filled = room.saturating_sub(bytes / 2).max(bytes).max(1);
        u64::try_from((u128::from(nodes) * bytes).div_ceil(filled)).unwrap_or(u64::MAX)
    }
}

/// How many pages a tree would have, about, if it were loaded in the order of its keys.
pub(super) fn full_pages(pages: Pages<'_>, tree: &Tree) -> Result<u64> {
    if tree.root == NO_PAGE {
        return Ok(0);
    }
    let (mut leaves, mut branches) = (Nodes::default(), Nodes::default());
    for sample in 0..SAMPLES {
        // A leaf is met the less often the more nodes there are beside its branches, and counts for that many.
        let (mut weight, mut number) = (1_u64, tree.root);
        let mut place = (2 * sample + 1) << (u32::BITS - 1);
        for _ in 1..tree.depth {
            let branch = pages.page(number, PageKind::Branch)?;
            let count = branch.count() as u64;
            place *= count;
            let index = (place / WHOLE) as usize;
            place %= WHOLE;
            branches.add(weight, branch.count(), branch.used_bytes()?);
            weight = weight.saturating_mul(count);
            number = branch.child(index)?;
        }
        let leaf = pages.page(number, PageKind::Leaf)?;
        leaves.add(weight, leaf.count(), leaf.used_bytes()?);
    }
    let mut level = leaves.pages(tree.entries, pages.page_size());
    let mut total = tree.overflow_pages.min(pages.count()).saturating_add(level);
    while level > 1 && branches.count > 0 {
        let above = branches.pages(level, pages.page_size());
        total = total.saturating_add(above);
        level = above.min(level - 1);
    }
    Ok(total)
}

/// The places of samples are fractions of this.
const WHOLE: u64 = SAMPLES << u32::BITS;
