//! Merges sorted runs: the least key of all comes first, with its last value and its first form.

use super::{
    batch::{Batch, Packed, compare, prefix},
    run::{Run, RunReader, RunWriter},
    spill::Spill,
};
use crate::{error::Result, sync::Arc};

/// How many bytes of a run are read at once, at least.
const LEAST_PIECE: usize = 32 << 10;
/// And at most.
const MOST_PIECE: usize = 1 << 20;

/// Entries in the order of their keys, each key once.
pub(super) enum Sorted {
    /// All of them are in memory.
    Batch { batch: Batch, next: usize },
    /// They are in several runs.
    Runs(Merge),
}

impl Sorted {
    /// Of a batch that was never written.
    pub(super) fn of_batch(mut batch: Batch) -> Self {
        batch.sort();
        Self::Batch { batch, next: 0 }
    }

    /// Of runs, the earlier of which came first, with about so much memory.
    pub(super) fn of_runs(mut spill: Arc<Spill>, mut runs: Vec<Run>, memory: usize) -> Result<Self> {
        let most = (memory / LEAST_PIECE).max(2);
        // So many that not each of them could have a piece in memory; neighbours are merged first.
        while runs.len() > most {
            let next = Arc::new(spill.another()?);
            let mut fewer = Vec::new();
            for group in runs.chunks(most) {
                let bytes = group.iter().map(Run::len).sum();
                let mut merge = Merge::new(&spill, group, memory)?;
                let mut writer = RunWriter::new(&next, bytes);
                while let Some(entry) = merge.next()? {
                    writer.push(entry)?;
                }
                fewer.push(writer.end()?);
            }
            (spill, runs) = (next, fewer);
        }
        Merge::new(&spill, &runs, memory).map(Self::Runs)
    }

    /// How many entries there are at most: those of one key in several runs count each time.
    pub(super) fn most(&self) -> u64 {
        match self {
            Self::Batch { batch, .. } => batch.entries() as u64,
            Self::Runs(merge) => merge.most,
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Packed<'_>>> {
        match self {
            Self::Batch { batch, next } => {
                if *next == batch.entries() {
                    return Ok(None);
                }
                let (entry, behind) = batch.merged(*next)?;
                *next = behind;
                Ok(Some(entry))
            }
            Self::Runs(merge) => merge.next(),
        }
    }
}

/// The runs that have entries left, the one with the least key first.
pub(super) struct Merge {
    readers: Vec<RunReader>,
    /// A heap: none is less than the one at half its place. Each is the prefix of a run's present key, and its number.
    heap: Vec<(u64, usize)>,
    current: Current,
    most: u64,
}

/// An entry that was taken out of its run.
#[derive(Default)]
struct Current {
    key: Vec<u8>,
    form: Option<Vec<u8>>,
    draft: Vec<u8>,
}

impl Merge {
    fn new(spill: &Arc<Spill>, runs: &[Run], memory: usize) -> Result<Self> {
        let piece = (memory / runs.len().max(1)).clamp(LEAST_PIECE, MOST_PIECE);
        let mut merge = Self { readers: Vec::new(), heap: Vec::new(), current: Current::default(), most: 0 };
        for (number, run) in runs.iter().enumerate() {
            let mut reader = RunReader::new(spill, *run, piece);
            if reader.advance()? {
                merge.heap.push((prefix(reader.entry()?.key), number));
            }
            merge.readers.push(reader);
            merge.most += run.entries;
        }
        for place in (0..merge.heap.len() / 2).rev() {
            merge.sink(place)?;
        }
        Ok(merge)
    }

    fn next(&mut self) -> Result<Option<Packed<'_>>> {
        let Some(&(first, number)) = self.heap.first() else { return Ok(None) };
        let entry = self.readers[number].entry()?;
        let current = &mut self.current;
        current.key.clear();
        current.key.extend_from_slice(entry.key);
        current.form = entry.form.map(<[u8]>::to_vec);
        current.draft.clear();
        current.draft.extend_from_slice(entry.draft);
        self.advance_first()?;
        while let Some(&(other, number)) = self.heap.first()
            && other == first
        {
            let entry = self.readers[number].entry()?;
            if entry.key != self.current.key {
                break;
            }
            self.current.draft.clear();
            self.current.draft.extend_from_slice(entry.draft);
            self.advance_first()?;
        }
        let Current { key, form, draft } = &self.current;
        Ok(Some(Packed { key, form: form.as_deref(), draft }))
    }

    /// Goes on in the run with the least key.
    fn advance_first(&mut self) -> Result<()> {
        let number = self.heap[0].1;
        if self.readers[number].advance()? {
            self.heap[0].0 = prefix(self.readers[number].entry()?.key);
        } else {
            self.heap.swap_remove(0);
        }
        self.sink(0)
    }

    /// Moves what stands at a place down until nothing below it is less.
    fn sink(&mut self, mut place: usize) -> Result<()> {
        loop {
            let mut least = place;
            for below in [2 * place + 1, 2 * place + 2] {
                if below < self.heap.len() && self.is_less(below, least)? {
                    least = below;
                }
            }
            if least == place {
                return Ok(());
            }
            self.heap.swap(place, least);
            place = least;
        }
    }

    fn is_less(&self, left: usize, right: usize) -> Result<bool> {
        let ((left, one), (right, other)) = (self.heap[left], self.heap[right]);
        if left != right {
            return Ok(left < right);
        }
        let keys = (self.readers[one].entry()?.key, self.readers[other].entry()?.key);
        // Of equal keys the one comes first that was given first.
        Ok(compare((left, keys.0), (right, keys.1)).then(one.cmp(&other)).is_lt())
    }
}
