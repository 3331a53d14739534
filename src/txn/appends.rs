//! Elements that were appended to a long list one by one, and wait to be written together.
//!
//! An append changes a leaf, the branches above it and the header, whatever its size, so a transaction that appends one by
//! one keeps new elements in memory. They are written before anything else is changed, before anything is read and before
//! the commit: no one can tell the difference. Who changes the state has to begin with [`WriteState::settle_appends`], and
//! who reads it with [`WriteState::write_appends`].

#[cfg(test)]
mod tests;

use super::{
    change::Change,
    live::Seen,
    write::{Undo, WriteState},
};
use crate::{
    error::Result,
    format::{
        builder::{Draft, DraftKind},
        record::{ContainerKind, ObjectId},
    },
    store::WriteTables,
};

/// How many elements wait at most, and how many bytes they have together, about.
const MOST: usize = 1024;
const MOST_BYTES: usize = 64 << 10;
/// Elements of more bytes don't wait.
const LARGE: usize = 4 << 10;

/// The long list that was appended to last, to which nothing else has happened since, and what waits for it.
#[derive(Debug)]
pub(super) struct Appends {
    id: ObjectId,
    waiting: Vec<Draft>,
    bytes: usize,
}

impl Appends {
    fn new(id: ObjectId, waiting: Vec<Draft>) -> Self {
        let bytes = waiting.iter().map(Draft::size).sum();
        Self { id, waiting, bytes }
    }
}

/// Whether nothing can go wrong with an element later but what goes wrong with storage: it refers to nothing that others
/// could delete, and is no more than a record takes.
fn can_wait(draft: &Draft) -> bool {
    match &draft.0 {
        DraftKind::Scalar(encoded) => encoded.len() <= LARGE,
        DraftKind::Record(builder) => builder.foreign().is_empty() && builder.weight() <= LARGE,
        DraftKind::Archive(_) | DraftKind::Numbers(_) => false,
    }
}

impl<T: WriteTables> WriteState<T> {
    /// Adds elements at the end of a list, at once or with others that come later.
    pub(crate) fn append_elements(&mut self, id: ObjectId, seen: &Seen, drafts: Vec<Draft>) -> Result<()> {
        if let Some(appends) = &mut self.appends
            && appends.id == id
            && drafts.len() <= MOST
            && drafts.iter().all(can_wait)
        {
            appends.bytes += drafts.iter().map(Draft::size).sum::<usize>();
            appends.waiting.extend(drafts);
            let is_enough = appends.waiting.len() >= MOST || appends.bytes >= MOST_BYTES;
            self.note_changed();
            self.note_object_resized();
            return if is_enough { self.write_appends() } else { Ok(()) };
        }
        self.settle_appends()?;
        self.change(id, seen, None, &[Change::Append(drafts)]).map(|_| ())
    }

    /// Notes that a long list was appended to, and that the next elements for it may wait.
    pub(super) fn expect_appends(&mut self, id: ObjectId) {
        self.appends = Some(Appends::new(id, Vec::new()));
    }

    /// Whether something waits.
    #[inline]
    pub(crate) fn has_appends(&self) -> bool {
        self.appends.as_ref().is_some_and(|appends| !appends.waiting.is_empty())
    }

    /// How many elements wait.
    pub(super) fn waiting(&self) -> usize {
        self.appends.as_ref().map_or(0, |appends| appends.waiting.len())
    }

    /// Writes what waits, before anything is read.
    pub(crate) fn write_appends(&mut self) -> Result<()> {
        if !self.has_appends() {
            return Ok(());
        }
        let Some(Appends { id, waiting, .. }) = self.appends.take() else { return Ok(()) };
        let undo = self.undo.len();
        let change = Change::Append(waiting);
        let written = self.change_long(id, ContainerKind::List, &change);
        if self.savepoints > 0
            && let Change::Append(waiting) = change
        {
            // Where the writing is taken back, they wait again.
            self.undo.insert(undo, Undo::Appends(id, waiting));
        }
        written
    }

    /// Writes what waits, before anything else is changed, after which nothing is known of the list.
    pub(crate) fn settle_appends(&mut self) -> Result<()> {
        let written = self.write_appends();
        self.appends = None;
        written
    }

    /// Lets elements wait again whose writing was taken back.
    pub(super) fn wait_again(&mut self, id: ObjectId, waiting: Vec<Draft>) {
        self.appends = Some(Appends::new(id, waiting));
    }

    /// Takes back what came after so many that waited.
    pub(super) fn forget_appends(&mut self, kept: usize) {
        self.appends = self.appends.take().filter(|_| kept > 0).map(|Appends { id, mut waiting, .. }| {
            waiting.truncate(kept);
            Appends::new(id, waiting)
        });
    }
}
