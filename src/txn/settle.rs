//! What becomes of objects that more or fewer places refer to, once a transaction is about to be committed.

use super::{
    live::Seen,
    objects::{Home, find_record, open_record, slots_of},
    write::WriteState,
};
use crate::{
    coord::collection::{self, Phase},
    error::{Error, Result},
    format::record::ObjectId,
    store::{ReadTables, Table, WriteTables},
};

impl<T: WriteTables> WriteState<T> {
    /// Sees to the objects whose references were made or let go.
    pub(crate) fn settle_links(&mut self) -> Result<()> {
        for (id, seen) in self.memory().live.take_dead() {
            self.bury(id, &seen)?;
        }
        while let Some(record) = self.next_link() {
            let mut changes = self.take_links(record);
            if self.header().phase == Phase::Sweeping {
                changes = self.without_condemned(record, changes)?;
            }
            let Some(stored) = self.get(Table::Objects, &record.to_be_bytes())?.map(<[u8]>::to_vec) else {
                if changes.iter().any(|(_, change)| *change > 0) {
                    return Err(Error::corrupted(format!("object {record} is missing")));
                }
                continue;
            };
            self.settle_record(record, &stored, changes)?;
        }
        Ok(())
    }

    /// Leaves out what waits to be swept, and may be half gone: nothing more is to be done about it than that.
    fn without_condemned(&self, record: u64, changes: Vec<(u32, i64)>) -> Result<Vec<(u32, i64)>> {
        let mut kept = Vec::new();
        for (slot, change) in changes {
            if collection::may_change(self, ObjectId { record, slot })? {
                kept.push((slot, change));
            }
        }
        Ok(kept)
    }

    fn settle_record(&mut self, record: u64, stored: &[u8], changes: Vec<(u32, i64)>) -> Result<()> {
        let mut slots = slots_of(open_record(stored)?.1)?;
        let before = slots.clone();
        for (number, change) in changes {
            let id = ObjectId { record, slot: number };
            let slot = slots
                .get_mut(number as usize)
                .ok_or_else(|| Error::corrupted(format!("object {record} has no slot {number}")))?;
            if change > 0 {
                let adopted = self.adopt_orphan(id);
                slot.shared |= change > 1 || slot.exported && !adopted;
                slot.exported = true;
            } else if change < 0 && slot.exported && !slot.shared {
                slot.exported = false;
            }
        }
        if slots != before {
            self.rewrite(&Home::Objects, &None, stored, Some(slots), None)?;
        }
        Ok(())
    }

    /// Lets an object go that only handles kept, when the last of them is gone.
    fn bury(&mut self, id: ObjectId, seen: &Seen) -> Result<()> {
        if self.memory().live.holds(id) || !collection::may_change(self, id)? {
            return Ok(());
        }
        let Some((home, stored)) = find_record(self, &self.memory().live, id.record, seen.as_deref())? else {
            return Ok(());
        };
        let stored = stored.to_vec();
        let mut slots = slots_of(open_record(&stored)?.1)?;
        match slots.get_mut(id.slot as usize) {
            Some(slot) if slot.exported && !slot.shared => slot.exported = false,
            _ => return Ok(()),
        }
        self.rewrite(&home, seen, &stored, Some(slots), None)
    }
}
