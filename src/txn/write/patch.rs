//! Changes that only put leaves in the place of others, by far the most frequent ones, done in the record as it lies.

use smallvec::SmallVec;

use super::WriteState;
use crate::{
    error::Result,
    format::{
        builder::{Draft, DraftKind},
        frame::{self, Frame},
        record::{Container, ContainerKind, ObjectId, Patch, RecordView},
    },
    store::{Table, WriteTables},
    sync::Arc,
    txn::{
        change::{Change, Stamp},
        objects::{Home, find_record, open_record},
    },
};

/// The leaves that are put in the place of others, by the position among all elements of their container.
type Leaves<'c> = SmallVec<[(usize, &'c [u8]); 4]>;

impl<T: WriteTables> WriteState<T> {
    /// Puts leaves in the place of others; answers `false`, having done nothing, when the container is no longer what it
    /// was. `None`, having done nothing either, when the changes ask for more than that.
    ///
    /// What writing a record anew does besides is of no use then. Neither the old leaves nor the new ones lead to anything,
    /// so what the record's root and its exported slots lead to stays the same: nothing is let go, no handle comes to be all
    /// that keeps something, no slot is new, and the record names the same objects and shared values as before, so no
    /// count changes and a vacuum that marks misses nothing. References that are counted but not settled yet are left as
    /// they are, since only what drops what nothing leads to has to know of them.
    pub(crate) fn patch(
        &mut self,
        id: ObjectId,
        seen: Option<&[u8]>,
        expected: Option<Stamp>,
        changes: &[Change],
    ) -> Result<Option<bool>> {
        let [change] = changes else { return Ok(None) };
        if !is_of_leaves(change) {
            return Ok(None);
        }
        // What is changed was mostly read just before.
        let copied = self.take_copied(id.record);
        let was_copied = copied.is_some();
        let (mut copy, home) = if let Some(copied) = copied {
            copied
        } else {
            let found = find_record(self, &self.memory.live, id.record, seen)?;
            let Some((home, stored)) = found else { return Ok(None) };
            (Arc::new(self.copy_alone(stored, &Frame::decode(stored)?, id.record)), home)
        };
        let (frame, record) = open_record(copy.stored())?;
        let Some(container) = record.known_slot(id.slot)? else { return Ok(None) };
        self.refuse_condemned(id)?;
        if expected.is_some_and(|expected| expected != Stamp::of_record(frame.payload)) {
            return Ok(Some(false));
        }
        let Some(leaves) = self.leaves(record, container, change)? else { return Ok(None) };
        let has_shared = frame.has_shared;
        // No one else has it, as a rule, and then it is changed where it lies.
        let (stored, start) = Arc::make_mut(&mut copy).stored_mut();
        if !patch(stored, start, container, &leaves)? {
            return Ok(None);
        }
        let mut replaced: SmallVec<[usize; 4]> = leaves.iter().map(|(at, _)| *at).collect();
        replaced.sort_unstable();
        replaced.dedup();
        self.count_removed(replaced.len() as u64);
        match &home {
            Home::Entry(table_key) => self.overwrite(Table::Entries, table_key, copy.stored())?,
            Home::Objects => {
                self.overwrite(Table::Objects, &id.record.to_be_bytes(), copy.stored())?;
            }
        }
        // The shared values that it names are those that it named before.
        if was_copied || !has_shared {
            self.keep_copied(copy, Some(home));
        }
        Ok(Some(true))
    }

    /// What a change puts where; `None` when it does something else besides, or makes no sense.
    fn leaves<'c>(
        &self,
        record: RecordView<'_>,
        container: Container,
        change: &'c Change,
    ) -> Result<Option<Leaves<'c>>> {
        let mut leaves = Leaves::new();
        match (container.kind, change) {
            (ContainerKind::List, Change::Assign(assigned)) => {
                for (at, draft) in assigned {
                    let Some(leaf) = leaf_of(draft).filter(|_| *at < container.len()) else {
                        return Ok(None);
                    };
                    leaves.push((*at, leaf));
                }
            }
            (ContainerKind::Dict, Change::Put(put)) => {
                for (key, draft) in put {
                    let Some(leaf) = leaf_of(draft) else { return Ok(None) };
                    let Some(at) = self.find_member(record, container, key)? else { return Ok(None) };
                    leaves.push((container.len() + at, leaf));
                }
            }
            _ => return Ok(None),
        }
        Ok(Some(leaves))
    }

    /// Stores a record in the place of what it was, where it named the same things.
    fn overwrite(&mut self, table: Table, key: &[u8], stored: &[u8]) -> Result<()> {
        debug_assert!(!self.has_appends(), "a leaf is put in place before what waits was written");
        self.remember(table, key)?;
        self.note_changed();
        self.tables.put(table, key, stored)
    }
}

/// Whether all that a change brings are leaves, and there is something.
fn is_of_leaves(change: &Change) -> bool {
    match change {
        Change::Assign(assigned) => {
            !assigned.is_empty() && assigned.iter().all(|(_, draft)| leaf_of(draft).is_some())
        }
        Change::Put(put) => !put.is_empty() && put.iter().all(|(_, draft)| leaf_of(draft).is_some()),
        _ => false,
    }
}

fn leaf_of(draft: &Draft) -> Option<&[u8]> {
    match &draft.0 {
        DraftKind::Scalar(encoded) => Some(encoded),
        DraftKind::Record(_) | DraftKind::Archive(_) | DraftKind::Numbers(_) => None,
    }
}

/// Puts other leaves into the stored bytes of a record whose payload begins at `start`; answers `false` when it has to be
/// built anew for that, after which the bytes are of no use.
fn patch(
    stored: &mut Vec<u8>,
    start: usize,
    container: Container,
    leaves: &[(usize, &[u8])],
) -> Result<bool> {
    let mut patch = Patch::new(&mut stored[start..])?;
    for (at, leaf) in leaves {
        if !patch.replace(container.word_at(*at), leaf)? {
            return Ok(false);
        }
    }
    if let Some(grown) = patch.grown()? {
        stored.truncate(start);
        stored.extend_from_slice(&grown);
    }
    // It may have become too long for a record.
    if RecordView::access(&stored[start..])?.is_long(container)? {
        return Ok(false);
    }
    frame::reseal(stored);
    Ok(true)
}
