//! Sorted runs: how a batch is written to the file of runs, and read again piece by piece.

use super::{
    batch::{Batch, Packed},
    spill::Spill,
};
use crate::{
    error::{Error, Result},
    format::varint,
    sync::Arc,
};

/// How many bytes are written at once.
const PIECE: usize = 1 << 20;
/// The most bytes that a length takes.
const LENGTH: usize = 10;

/// A part of the file in which entries stand in the order of their keys, each key once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    at: u64,
    end: u64,
    /// How many entries it has.
    pub(super) entries: u64,
}

/// Writes a run from its beginning to its end.
pub(super) struct RunWriter<'a> {
    spill: &'a Spill,
    run: Run,
    piece: Vec<u8>,
}

impl<'a> RunWriter<'a> {
    /// Begins a run of at most so many bytes.
    pub(super) fn new(spill: &'a Spill, most: u64) -> Self {
        let at = spill.reserve(most);
        Self { spill, run: Run { at, end: at, entries: 0 }, piece: Vec::new() }
    }

    pub(super) fn push(&mut self, entry: Packed<'_>) -> Result<()> {
        entry.put(&mut self.piece);
        self.run.entries += 1;
        if self.piece.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.spill.write(&self.piece, self.run.end)?;
        self.run.end += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }

    pub(super) fn end(mut self) -> Result<Run> {
        self.flush()?;
        Ok(self.run)
    }
}

impl Run {
    /// Sorts a batch and writes it.
    pub(super) fn write(spill: &Spill, mut batch: Batch) -> Result<Self> {
        batch.sort();
        let mut writer = RunWriter::new(spill, batch.len() as u64);
        let mut next = 0;
        while next < batch.entries() {
            let (entry, behind) = batch.merged(next)?;
            writer.push(entry)?;
            next = behind;
        }
        writer.end()
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> u64 {
        self.end - self.at
    }
}

/// Reads a run entry by entry.
pub(super) struct RunReader {
    spill: Arc<Spill>,
    at: u64,
    end: u64,
    /// How many bytes are read at once.
    piece: usize,
    buffer: Vec<u8>,
    /// Where in the buffer the present entry begins and ends.
    entry: std::ops::Range<usize>,
}

impl RunReader {
    pub(super) fn new(spill: &Arc<Spill>, run: Run, piece: usize) -> Self {
        let buffer = Vec::new();
        Self { spill: Arc::clone(spill), at: run.at, end: run.end, piece, buffer, entry: 0..0 }
    }

    /// Goes to the next entry; answers whether there is one.
    pub(super) fn advance(&mut self) -> Result<bool> {
        let from = self.entry.end;
        self.entry = from..from;
        if self.buffer.len() - from < LENGTH && !self.fill(LENGTH)? {
            return Ok(false);
        }
        let mut rest = &self.buffer[self.entry.start..];
        let before = rest.len();
        let length = varint::take(&mut rest)? as usize;
        let taken = before - rest.len();
        if rest.len() < length {
            self.fill(taken + length)?;
        }
        let start = self.entry.start + taken;
        let end = start + length;
        if end > self.buffer.len() {
            return Err(Error::corrupted("a sorted run was cut short"));
        }
        self.entry = start..end;
        Ok(true)
    }

    /// The entry that [`RunReader::advance`] went to.
    pub(super) fn entry(&self) -> Result<Packed<'_>> {
        Packed::take(&self.buffer[self.entry.clone()])
    }

    /// Reads on until so many bytes are there from the present entry on, or none are left; answers whether any is there.
    fn fill(&mut self, wanted: usize) -> Result<bool> {
        self.buffer.drain(..self.entry.start);
        self.entry = 0..0;
        let there = self.buffer.len();
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let more = wanted.saturating_sub(there).max(self.piece).min(left);
        self.buffer.resize(there + more, 0);
        self.spill.read(&mut self.buffer[there..], self.at)?;
        self.at += more as u64;
        Ok(!self.buffer.is_empty())
    }
}
