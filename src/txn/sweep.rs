//! What a vacuum does to records and entries, in write transactions that are short.

use std::{ops::Bound, time::Instant};

use super::{
    changes::Changes,
    entry::{self, TableKey},
    ledger::{first_condemned, first_partly, what_stays},
    live::Live,
    long::place::Place,
    objects::{Home, open_record, slots_of},
    write::WriteState,
};
use crate::{
    error::Result,
    format::{
        frame::Frame,
        record::{ObjectId, RecordView},
    },
    store::{Direction, ReadTables, Table, WriteTables},
};

/// How many rows are deleted between two looks at the clock; so many are in any case.
const STRIDE: usize = if cfg!(test) { 3 } else { 64 };

/// What one transaction of a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// How many records are done with.
    pub(crate) records: u64,
    /// How many containers there were in those that were still there.
    pub(crate) objects: u64,
    /// Whether anything is left on the list.
    pub(crate) has_more: bool,
}

impl<T: WriteTables> WriteState<T> {
    /// Sees to it that an object stays that only a handle leads to, whatever else goes. When it is one of another process,
    /// nobody says when it is gone, and the object waits for another vacuum from then on.
    pub(crate) fn protect(&mut self, id: ObjectId, is_own: bool) -> Result<()> {
        let Some(stored) = self.get(Table::Objects, &id.record.to_be_bytes())?.map(<[u8]>::to_vec) else {
            // What is in entries no sweep looks at.
            return Ok(());
        };
        let (_, record) = open_record(&stored)?;
        let before = slots_of(record)?;
        let mut slots = before.clone();
        for (number, slot) in (0..).zip(&mut slots) {
            if id.slot != number && id.slot != Live::WHOLE || !self.is_there(record, number)? {
                continue;
            }
            if is_own && !slot.exported {
                self.note_orphan(ObjectId { slot: number, ..id }, None);
            }
            slot.exported = true;
            slot.shared |= !is_own;
        }
        if slots == before {
            return Ok(());
        }
        self.rewrite(&Home::Objects, &None, &stored, Some(slots), None)
    }

    /// Lets go of slots of a record in an entry that only handles kept, if the entry still is what it was then; answers how
    /// many containers that were, and whether they may have led to something elsewhere.
    pub(crate) fn tidy_entry(
        &mut self,
        table_key: &[u8],
        gone: &[u32],
        then: Option<&[u8]>,
    ) -> Result<(u64, bool)> {
        let stored = self.get(Table::Entries, table_key)?;
        let Some(stored) = stored.filter(|stored| Some(*stored) == then).map(<[u8]>::to_vec) else {
            // Someone may have got a handle since, to what was let go of after that.
            return Ok((0, false));
        };
        let frame = Frame::decode(&stored)?;
        let view = RecordView::access(frame.payload)?;
        let before = slots_of(view)?;
        let mut slots = before.clone();
        for slot in gone {
            if let Some(slot) = slots.get_mut(*slot as usize) {
                (slot.exported, slot.shared) = (false, false);
            }
        }
        if slots == before {
            return Ok((0, false));
        }
        let seen = entry::ordered_of(table_key, &stored)?;
        let seen = Some(seen.as_slice().into());
        self.rewrite(&Home::Entry(TableKey::from_slice(table_key)), &seen, &stored, Some(slots), None)?;
        let left = self.get(Table::Entries, table_key)?.map(<[u8]>::to_vec).unwrap_or_default();
        let left = RecordView::access(Frame::decode(&left)?.payload)?;
        let count = |record: RecordView<'_>| -> Result<u64> {
            Ok(slots_of(record)?.iter().filter(|slot| slot.position != 0).count() as u64)
        };
        Ok((count(view)?.saturating_sub(count(left)?), frame.has_links))
    }

    /// Deletes what is condemned, until that time has come.
    pub(crate) fn sweep(&mut self, until: Instant) -> Result<Swept> {
        let mut swept = Swept { has_more: true, ..Swept::default() };
        loop {
            if let Some(mut batch) = first_condemned(self)? {
                for number in 1.. {
                    let Some(record) = batch.first() else { break };
                    if !self.sweep_record(record, until, &mut swept)? {
                        break;
                    }
                    batch.remove(record);
                    if number % STRIDE == 0 && Instant::now() >= until {
                        break;
                    }
                }
                self.condemn(&batch)?;
            } else if let Some((record, slots)) = first_partly(self)? {
                if self.sweep_slots(record, &slots, until, &mut swept)? {
                    self.condemn_slots(record, &[])?;
                }
            } else {
                swept.has_more = false;
            }
            if !swept.has_more || Instant::now() >= until {
                return Ok(swept);
            }
        }
    }

    /// Deletes a whole record; answers whether there was time for all of it.
    fn sweep_record(&mut self, record: u64, until: Instant, swept: &mut Swept) -> Result<bool> {
        let key = record.to_be_bytes();
        let Some(stored) = self.get(Table::Objects, &key)? else {
            swept.records += 1;
            return Ok(true);
        };
        let (frame, view) = open_record(stored)?;
        let has_links = frame.has_links;
        let slots = slots_of(view)?;
        let objects = slots.iter().filter(|slot| slot.position != 0 || slot.exported).count();
        if has_links {
            for (slot, _) in (0..).zip(slots).filter(|(_, slot)| slot.position == 0) {
                if !self.sweep_parts(ObjectId { record, slot }, until)? {
                    return Ok(false);
                }
            }
        }
        swept.records += 1;
        swept.objects += objects as u64;
        self.erase(Table::Objects, &key)?;
        Ok(true)
    }

    /// Deletes what some slots of a record lead to and nothing else does; answers whether there was time for all of it.
    fn sweep_slots(&mut self, record: u64, gone: &[u32], until: Instant, swept: &mut Swept) -> Result<bool> {
        swept.records += 1;
        let Some(stored) = self.get(Table::Objects, &record.to_be_bytes())?.map(<[u8]>::to_vec) else {
            return Ok(true);
        };
        let (_, view) = open_record(&stored)?;
        let stays = what_stays(view, gone)?;
        for slot in (0..view.slots() as u32).filter(|slot| !stays.contains(slot)) {
            if !self.sweep_parts(ObjectId { record, slot }, until)? {
                return Ok(false);
            }
        }
        let mut slots = slots_of(view)?;
        swept.objects += slots.len().saturating_sub(stays.len()) as u64;
        for slot in gone {
            if let Some(slot) = slots.get_mut(*slot as usize) {
                (slot.exported, slot.shared) = (false, false);
            }
        }
        self.rewrite(&Home::Objects, &None, &stored, Some(slots), None)?;
        Ok(true)
    }

    /// Deletes the parts of a long container, if it is one; answers whether there was time for all of them. The header is
    /// the first, so that nobody takes for whole what is not.
    fn sweep_parts(&mut self, id: ObjectId, until: Instant) -> Result<bool> {
        let place = Place::new(id);
        for number in 1.. {
            let first = self.seek(Table::Objects, Bound::Included(place.header()), Direction::Forward)?;
            let Some((key, _)) = first.filter(|(key, _)| key.starts_with(place.header())) else { break };
            let key = key.to_vec();
            self.erase(Table::Objects, &key)?;
            if number % STRIDE == 0 && Instant::now() >= until {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
