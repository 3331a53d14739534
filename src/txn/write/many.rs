//! Many entries, most of which come in the order of their keys: those behind all others are stored in one go.

use std::iter::Peekable;

use super::{Undo, WriteState, texts::may_be_shared};
use crate::{
    error::Result,
    format::{
        builder::{Draft, DraftKind, Unpacked},
        frame::{Frame, Kind},
        key::KeyBytes,
    },
    store::{Entry, Run, Table, WriteTables},
    txn::entry::EntryKey,
};

impl<T: WriteTables> WriteState<T> {
    /// Stores entries as [`WriteState::put`] does, one after the other.
    pub(crate) fn put_all<'a>(
        &mut self,
        entries: impl Iterator<Item = Result<(EntryKey, Unpacked<'a>)>>,
    ) -> Result<()> {
        let mut entries = entries.peekable();
        while let Some(entry) = entries.next() {
            let (key, value) = entry?;
            match value {
                Unpacked::Draft(draft) => self.put(&key, draft)?,
                Unpacked::Unresolved(record) => self.put_unresolved(&key, &record)?,
            };
            self.settle_many()?;
            if self.last.as_deref() == Some(key.ordered()) {
                self.append_leaves(key.into_ordered(), &mut entries)?;
            }
        }
        Ok(())
    }

    /// Stores the entries that come next behind all others, of which this is the last, while they are leaves that nothing
    /// has to be looked up for.
    fn append_leaves<'a>(
        &mut self,
        last: KeyBytes,
        entries: &mut Peekable<impl Iterator<Item = Result<(EntryKey, Unpacked<'a>)>>>,
    ) -> Result<()> {
        let mut leaves = Leaves { entries, last, present: None, stored: Vec::new(), done: 0 };
        leaves.find();
        if leaves.present.is_none() {
            return Ok(());
        }
        if self.savepoints > 0 {
            self.undo.push(Undo::DeleteBehind(leaves.last.clone()));
        }
        self.changed = true;
        self.tables.append_run(Table::Entries, &mut leaves)?;
        self.resized += leaves.done;
        self.changes += leaves.done;
        self.last = Some(leaves.last);
        match leaves.present {
            Some(key) => self.put_frame(&key, &leaves.stored).map(|_| ()),
            None => Ok(()),
        }
    }
}

/// Entries that go behind all others as they are.
struct Leaves<'a, I: Iterator> {
    entries: &'a mut Peekable<I>,
    /// The last key that was stored.
    last: KeyBytes,
    /// The key of the present entry, whose stored bytes are `stored`.
    present: Option<EntryKey>,
    stored: Vec<u8>,
    /// How many were stored.
    done: u64,
}

impl<'a, I: Iterator<Item = Result<(EntryKey, Unpacked<'a>)>>> Leaves<'_, I> {
    /// Takes the next entry if it is such a one.
    fn find(&mut self) {
        let last = &self.last;
        let is_next = |entry: &Result<(EntryKey, Unpacked<'a>)>| match entry {
            Ok((key, Unpacked::Draft(Draft(DraftKind::Scalar(encoded))))) => {
                key.is_short() && key.ordered() > last.as_slice() && !may_be_shared(encoded)
            }
            _ => false,
        };
        if let Some(Ok((key, Unpacked::Draft(Draft(DraftKind::Scalar(encoded)))))) =
            self.entries.next_if(is_next)
        {
            Frame { form: key.form(), ..Frame::new(Kind::Scalar, &encoded) }.encode_in(&mut self.stored);
            self.present = Some(key);
        }
    }
}

impl<'a, I: Iterator<Item = Result<(EntryKey, Unpacked<'a>)>>> Run for Leaves<'_, I> {
    fn entry(&self) -> Option<Entry<'_>> {
        self.present.as_ref().map(|key| (key.ordered(), self.stored.as_slice()))
    }

    fn advance(&mut self) {
        if let Some(key) = self.present.take() {
            self.last = key.into_ordered();
            self.done += 1;
            self.find();
        }
    }
}
