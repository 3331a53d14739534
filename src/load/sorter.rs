//! Takes entries in any order and gives them back in that of their keys, with as much memory as it is told to use.

use std::path::{Path, PathBuf};

use super::{
    batch::{Batch, Packed},
    merge::Sorted,
    pool::{Pool, Work},
    spill::Spill,
    text::Text,
};
use crate::{
    error::{Error, Result},
    format::builder::Draft,
    store::HomeProcess,
    txn::entry::EntryKey,
};

/// The least that a batch may become, in bytes, whatever the memory.
const LEAST: usize = 64 << 10;

/// Sorts entries for [`Environment::load`](crate::Environment::load). What does not fit into memory goes to a file without
/// a name beside the map.
pub struct Sorter {
    data_path: PathBuf,
    memory: usize,
    workers: usize,
    /// The process that began.
    home: HomeProcess,
    batch: Batch,
    /// Once something was written.
    pool: Option<Pool>,
    pushed: u64,
}

impl std::fmt::Debug for Sorter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sorter").field("data_path", &self.data_path).finish_non_exhaustive()
    }
}

impl Sorter {
    /// Sorts beside a map's data file, with about so many bytes of memory and so many threads.
    pub fn new(data_path: &Path, memory: usize, workers: usize) -> Self {
        Self {
            data_path: data_path.to_owned(),
            memory,
            workers: workers.max(1),
            home: HomeProcess::default(),
            batch: Batch::default(),
            pool: None,
            pushed: 0,
        }
    }

    /// How large a batch becomes: each thread has one, and one is filled, with the text that it is made of.
    fn limit(&self) -> usize {
        (self.memory / (2 * (self.workers + 1))).max(LEAST)
    }

    /// How much text is read at a time.
    pub(super) fn text_limit(&self) -> usize {
        self.limit() / 2
    }

    /// How many entries were taken by [`Sorter::push`].
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Takes an entry. Of those with equal keys the last value counts, and the first form of the key. Answers whether so
    /// many were taken that [`Sorter::spill`] is due.
    #[must_use]
    pub fn push(&mut self, key: &EntryKey, draft: Draft) -> bool {
        self.batch.push(key, draft);
        self.pushed += 1;
        self.is_full()
    }

    /// As [`Sorter::push`], of an entry that is packed already.
    pub(super) fn push_packed(&mut self, entry: &Packed<'_>) -> bool {
        self.batch.push_packed(entry);
        self.pushed += 1;
        self.is_full()
    }

    fn is_full(&self) -> bool {
        self.batch.size() >= self.limit()
    }

    /// Takes a piece of text; the last one of a file is read at once while all fits into memory.
    pub(super) fn push_text(&mut self, text: Text, is_last: bool) -> Result<()> {
        if is_last && self.pool.is_none() {
            return text.read(&mut |key, draft| if self.push(key, draft) { self.spill() } else { Ok(()) });
        }
        self.spill()?;
        self.pool()?.give(Work::Text(text))
    }

    /// Has a thread sort and write what was taken, and waits until one is free.
    ///
    /// # Errors
    ///
    /// `Io` when there is no room for what does not fit into memory; `Transaction` in a fork of the process that began.
    pub fn spill(&mut self) -> Result<()> {
        self.check()?;
        if self.batch.entries() == 0 {
            return Ok(());
        }
        let next = self.batch.successor();
        let full = std::mem::replace(&mut self.batch, next);
        self.pool()?.give(Work::Batch(full))
    }

    fn pool(&mut self) -> Result<&mut Pool> {
        if self.pool.is_none() {
            let spill = Spill::beside(&self.data_path)?;
            self.pool = Some(Pool::new(spill, self.workers, self.limit())?);
        }
        self.pool.as_mut().ok_or(Error::TransactionClosed)
    }

    fn check(&self) -> Result<()> {
        if self.home.is_inherited() {
            return Err(Error::Transaction(
                "this process is a fork of the one that loads entries; begin anew here",
            ));
        }
        Ok(())
    }

    /// Sorts what was taken.
    ///
    /// # Errors
    ///
    /// As [`Sorter::spill`]; `Source` when a text had no entry where one was expected.
    pub fn finish(mut self) -> Result<SortedEntries> {
        self.check()?;
        if self.pool.is_none() {
            return Ok(SortedEntries(Sorted::of_batch(std::mem::take(&mut self.batch))));
        }
        self.spill()?;
        self.batch = Batch::default();
        let pool = self.pool.take().ok_or(Error::TransactionClosed)?;
        let (spill, runs) = pool.finish()?;
        Sorted::of_runs(spill, runs, self.memory / 2).map(SortedEntries)
    }
}

impl Drop for Sorter {
    fn drop(&mut self) {
        if self.home.is_inherited()
            && let Some(pool) = self.pool.take()
        {
            pool.forget();
        }
    }
}

/// Entries in the order of their keys, each key once.
pub struct SortedEntries(pub(super) Sorted);

impl std::fmt::Debug for SortedEntries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SortedEntries").field("most", &self.most()).finish_non_exhaustive()
    }
}

impl SortedEntries {
    /// How many entries there are at most: keys that were given several times may count each time.
    pub fn most(&self) -> u64 {
        self.0.most()
    }
}
