//! The list of unused pages, which LMDB keeps in a tree of its own.

use std::{collections::HashSet, ops::Bound};

use super::{
    page::Meta,
    table::Direction,
    tree::{Pages, Walk},
};
use crate::error::{Error, Result};

/// The numbers of unused pages.
type Numbers<'m> = &'m [[u8; 8]];

/// The records of the free tree, each the numbers of pages that one transaction left behind.
struct FreeLists<'m> {
    pages: Pages<'m>,
    walk: Walk,
}

impl<'m> FreeLists<'m> {
    fn new(pages: Pages<'m>, meta: &Meta) -> Result<Self> {
        let walk = Walk::new(pages, &meta.free, Bound::Unbounded, Bound::Unbounded, Direction::Forward)?;
        Ok(Self { pages, walk })
    }

    fn next(&mut self) -> Result<Option<Numbers<'m>>> {
        Ok(self.next_of()?.map(|(_, list)| list))
    }

    /// The next list, with the transaction that left the pages behind.
    fn next_of(&mut self) -> Result<Option<(u64, Numbers<'m>)>> {
        let Some((key, value)) = self.walk.next(self.pages)? else {
            return Ok(None);
        };
        let transaction = key
            .try_into()
            .map(u64::from_ne_bytes)
            .map_err(|_| Error::corrupted("a list of free pages has no transaction"))?;
        // LMDB leaves room behind the numbers that the count covers.
        let (count, numbers) = value
            .as_chunks()
            .0
            .split_first()
            .ok_or_else(|| Error::corrupted("a list of free pages is empty"))?;
        usize::try_from(u64::from_ne_bytes(*count))
            .ok()
            .and_then(|count| numbers.get(..count))
            .map(|list| Some((transaction, list)))
            .ok_or_else(|| Error::corrupted("a list of free pages is cut short"))
    }
}

/// How many pages are unused.
pub(super) fn free_pages(pages: Pages<'_>, meta: &Meta) -> Result<u64> {
    let mut lists = FreeLists::new(pages, meta)?;
    let mut total = 0;
    while let Some(list) = lists.next()? {
        total += list.len() as u64;
    }
    Ok(total)
}

/// How many pages are unused that can't be used again as long as a version is pinned.
pub(super) fn held_pages(pages: Pages<'_>, meta: &Meta, version: u64) -> Result<u64> {
    let mut lists = FreeLists::new(pages, meta)?;
    let mut total = 0;
    while let Some((transaction, list)) = lists.next_of()? {
        if transaction >= version {
            total += list.len() as u64;
        }
    }
    Ok(total)
}

/// Checks that the pages which the file is too short for are all unused.
pub(super) fn check_missing_pages(pages: Pages<'_>, meta: &Meta) -> Result<()> {
    let missing = pages.count()..meta.last_page + 1;
    if missing.is_empty() {
        return Ok(());
    }
    let mut unused = HashSet::new();
    let mut lists = FreeLists::new(pages, meta)?;
    while let Some(list) = lists.next()? {
        unused.extend(list.iter().map(|number| u64::from_ne_bytes(*number)).filter(|n| missing.contains(n)));
    }
    if unused.len() as u64 == missing.end - missing.start {
        return Ok(());
    }
    Err(Error::corrupted(format!(
        "it was cut off: it has {} pages of {} bytes, and the data reach to page {}",
        pages.count(),
        pages.page_size(),
        meta.last_page
    )))
}
