//! Counts what refers to what: shared values, and objects that don't lie where they are referred to.

use super::{
    Undo, WriteState,
    texts::{count_key, shared_id},
};
use crate::{
    error::{Error, Result},
    format::{
        frame::{Frame, Kind},
        record::{ObjectId, RecordView, Reference},
    },
    store::{Table, WriteTables},
};

/// So many counts are gathered at most by those who store very many entries; in tests few, so that they are settled often.
const MOST_COUNTS: usize = if cfg!(test) { 64 } else { 1 << 16 };

impl<T: WriteTables> WriteState<T> {
    /// Writes the counts that were gathered if they have become many, so that memory does not grow with the number of
    /// entries; between two entries, when all that was counted is in its place.
    pub(crate) fn settle_many(&mut self) -> Result<()> {
        // What is written here could not be taken back.
        if self.savepoints > 0 || self.claims.len().max(self.links.len()) < MOST_COUNTS {
            return Ok(());
        }
        self.settle_counts()
    }

    /// Writes the counts that were gathered.
    pub(super) fn settle_counts(&mut self) -> Result<()> {
        self.settle_links()?;
        for (id, change) in std::mem::take(&mut self.claims) {
            self.settle(id, change)?;
        }
        Ok(())
    }

    /// Counts what something stored names, when it comes or when it goes.
    pub(super) fn account(&mut self, stored: &[u8], change: i64) -> Result<()> {
        let frame = Frame::decode(stored)?;
        if !frame.has_shared && !frame.has_links {
            return Ok(());
        }
        match frame.kind {
            Kind::Shared => self.claim(shared_id(frame.payload)?, change),
            Kind::Object => self.link(Reference::decode(frame.payload)?.id, change),
            Kind::Record => {
                let named = RecordView::access(frame.payload)?.named()?;
                for id in named.shared {
                    self.claim(id, change);
                }
                for id in named.objects {
                    self.link(id, change);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Counts what goes that stands under a key.
    pub(super) fn account_old(&mut self, table: Table, key: &[u8]) -> Result<()> {
        let Some(old) = self.tables.get(table, key)? else { return Ok(()) };
        let frame = Frame::decode(old)?;
        if !frame.has_shared && !frame.has_links {
            return Ok(());
        }
        let old = old.to_vec();
        self.account(&old, -1)
    }

    pub(super) fn claim(&mut self, id: u64, change: i64) {
        *self.claims.entry(id).or_default() += change;
        if self.savepoints > 0 {
            self.undo.push(Undo::Claim(id, -change));
        }
    }

    /// Counts a reference to an object.
    pub(in crate::txn) fn link(&mut self, id: ObjectId, change: i64) {
        self.add_link(id, change);
        if self.savepoints > 0 {
            self.undo.push(Undo::Link(id, -change));
        }
    }

    pub(super) fn add_link(&mut self, id: ObjectId, change: i64) {
        let count = self.links.entry(id).or_default();
        *count += change;
        if *count == 0 {
            self.links.remove(&id);
        }
    }

    /// The slots of a record that more places refer to than its slots say.
    pub(in crate::txn) fn awaited(&self, record: u64) -> Vec<u32> {
        self.links
            .range(ObjectId { record, slot: 0 }..=ObjectId { record, slot: u32::MAX })
            .filter(|(_, change)| **change > 0)
            .map(|(id, _)| id.slot)
            .collect()
    }

    /// A record to which the number of references has changed.
    pub(in crate::txn) fn next_link(&self) -> Option<u64> {
        self.links.first_key_value().map(|(id, _)| id.record)
    }

    /// The changes of the number of references to the objects of a record, which are seen to by that.
    pub(in crate::txn) fn take_links(&mut self, record: u64) -> Vec<(u32, i64)> {
        let range = ObjectId { record, slot: 0 }..=ObjectId { record, slot: u32::MAX };
        let links: Vec<_> = self.links.range(range).map(|(id, change)| (*id, *change)).collect();
        for (id, change) in &links {
            self.link(*id, -change);
        }
        links.into_iter().map(|(id, change)| (id.slot, change)).collect()
    }

    /// Writes how many places name a shared value, or deletes it when none does.
    pub(super) fn settle(&mut self, id: u64, change: i64) -> Result<()> {
        let count_key = count_key(id);
        let stored = match self.tables.get(Table::Shared, &count_key)? {
            Some(bytes) => i64::from_le_bytes(
                bytes.try_into().map_err(|_| Error::corrupted("the count of a shared value is damaged"))?,
            ),
            None => 0,
        };
        let count = stored + change;
        if count > 0 {
            if change != 0 || stored == 0 {
                self.tables.put(Table::Shared, &count_key, &count.to_le_bytes())?;
            }
        } else {
            self.tables.delete(Table::Shared, &count_key)?;
            self.tables.delete(Table::Shared, &id.to_be_bytes())?;
        }
        Ok(())
    }
}
