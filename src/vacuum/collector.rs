//! The steps of a collection, over the tables of a map; `coord/collection.rs` has their order and why they are safe.

use std::{
    collections::HashSet,
    ops::Bound,
    time::{Duration, Instant},
};

use super::{
    compact::alive,
    mark::{Dead, Marker, Stray, reach_of},
    report::VacuumStep,
};
use crate::{
    coord::collection::{Collector, Phase},
    error::{Error, Result},
    format::record::ObjectId,
    options::Durability,
    store::{Direction, ReadTables, Table, Writer},
    sync::{Arc, Weak},
    txn::{
        core::{Core, Terms},
        ledger::{self, Batch, Note},
        live::Live,
        objects::open_record,
        patience::Patience,
        write::WriteState,
    },
};

/// How many steps of marking are done between two looks at whether to go on.
const STEPS: usize = 1 << 10;
/// How many records are looked at before those that nothing leads to are listed.
const RECORDS: usize = if cfg!(test) { 4 } else { 1 << 15 };
/// For how long one transaction of a vacuum may work, so that others wait no longer; in tests as short as can be.
const SLICE: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_millis(5) };
/// How long one that is called off waits for its turn to say so.
const WITHDRAWING: Duration = Duration::from_secs(1);
/// How many lists of condemned records are written in one transaction.
const LISTS: usize = if cfg!(test) { 1 } else { 32 };

/// What a collection did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Collected {
    /// How many containers were deleted.
    pub(super) objects: u64,
    /// How long one of its transactions held up other writers, at most.
    pub(super) longest: Duration,
    /// Whether something was let go of late that may have led to something else, so that another collection finds more.
    pub(super) left_more: bool,
}

/// Where a collection tells how far it is, and learns whether to go on.
pub(super) trait Supervisor {
    fn is_cancelled(&self) -> bool;
    fn tell(&self, step: VacuumStep, done: u64, total: u64);
}

/// A collection that is under way.
pub(super) struct Collection<'a, S> {
    core: Weak<Core>,
    terms: Terms,
    supervisor: &'a S,
    marker: Option<Marker>,
    /// The version from which on notes have not been read yet.
    unread: u64,
    /// Whether the handles of this process were marked.
    has_handles: bool,
    /// What was noted, and has yet to be marked.
    noted: Vec<Note>,
    /// What is held by nothing but a handle, as far as is known, and whether by one of this process.
    held: Vec<(ObjectId, bool)>,
    /// What other processes have handles to.
    held_by_others: HashSet<ObjectId>,
    /// The record that is looked at next for whether it is condemned; `None` when all were.
    next: Option<u64>,
    /// How many deletions were counted when it began.
    removals: u64,
    total: u64,
    swept: u64,
    /// Whether it goes on with what another vacuum has condemned.
    is_resumed: bool,
    pub(super) collected: Collected,
}

impl<'a, S: Supervisor> Collection<'a, S> {
    pub(super) fn new(core: &Weak<Core>, terms: Terms, supervisor: &'a S) -> Self {
        Self {
            core: Weak::clone(core),
            terms,
            supervisor,
            marker: None,
            unread: 0,
            has_handles: false,
            noted: Vec::new(),
            held: Vec::new(),
            held_by_others: HashSet::new(),
            next: Some(0),
            removals: 0,
            total: 0,
            swept: 0,
            is_resumed: true,
            collected: Collected::default(),
        }
    }

    fn core(&self) -> Result<Arc<Core>> {
        alive(&self.core)
    }

    /// Does something in a write transaction of its own, unless the vacuum was called off.
    fn write<R>(&mut self, work: impl FnOnce(&mut WriteState<Writer>) -> Result<R>) -> Result<R> {
        let supervisor = self.supervisor;
        if supervisor.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let mut is_cancelled = || supervisor.is_cancelled();
        self.write_within(&mut Patience::new(None).until(&mut is_cancelled), work)
    }

    fn write_within<R>(
        &mut self,
        patience: &mut Patience<'_>,
        work: impl FnOnce(&mut WriteState<Writer>) -> Result<R>,
    ) -> Result<R> {
        // None of it needs to be durable before it returns: who looks for garbage again finds it again.
        let terms = Terms { durability: Durability::NoMetaSync, ..self.terms };
        #[cfg(test)]
        super::tests::die_in_time();
        let (result, held_up) = self.core()?.write_alone(terms, patience, work)?;
        self.collected.longest = self.collected.longest.max(held_up);
        Ok(result)
    }

    fn marker(&mut self) -> Result<&mut Marker> {
        self.marker.as_mut().ok_or(Error::TransactionClosed)
    }

    /// Drops what a vacuum left behind, in several transactions.
    fn drop_ledger(&mut self, with_lists: bool) -> Result<()> {
        const MOST: usize = if cfg!(test) { 1 } else { 2_000 };
        while !self.write(|state| state.drop_ledger(MOST, with_lists))? {}
        Ok(())
    }

    /// Marks what this process has handles to.
    fn mark_own(&mut self) -> Result<()> {
        let own = self.core()?.memory.live.objects();
        let marker = self.marker.as_mut().ok_or(Error::TransactionClosed)?;
        self.held.extend(own.into_iter().filter(|id| marker.meet(*id)).map(|id| (id, true)));
        Ok(())
    }

    /// Marks what was noted; answers whether any of it may not have been marked before.
    fn mark_what_was_noted(&mut self) -> Result<bool> {
        let marker = self.marker.as_mut().ok_or(Error::TransactionClosed)?;
        let mut is_new = false;
        for Note { id, is_held } in self.noted.drain(..) {
            if marker.meet(id) {
                is_new = true;
                self.held.extend(is_held.then_some((id, false)));
            }
        }
        Ok(is_new)
    }

    /// Reads the notes that were made since it last did.
    fn read_notes(&mut self, tables: &impl ReadTables, version: u64) -> Result<()> {
        let noted = ledger::noted(tables, self.unread)?;
        self.unread = version + 1;
        self.held_by_others.extend(noted.iter().filter(|note| note.is_held).map(|note| note.id));
        self.noted.extend(noted);
        Ok(())
    }

    /// Sees to it that what only handles lead to stays, whatever else goes.
    fn protect(&mut self) -> Result<()> {
        while !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            self.write(|state| {
                let begun = Instant::now();
                while let Some((id, is_own)) = held.pop() {
                    state.protect(id, is_own)?;
                    if begun.elapsed() > SLICE {
                        break;
                    }
                }
                Ok(())
            })?;
            self.held.append(&mut held);
        }
        Ok(())
    }

    /// Lets go of what only handles kept that are gone, in entries.
    fn tidy_entries(&mut self) -> Result<()> {
        let mut strays = std::mem::take(&mut self.marker()?.strays);
        self.collected.left_more |= self.marker()?.has_more_strays;
        for Stray { record, slots, .. } in &mut strays {
            let is_held = |slot| self.held_by_others.contains(&ObjectId { record: *record, slot });
            slots.retain(|slot| !is_held(*slot) && !is_held(Live::WHOLE));
        }
        let version = Arc::clone(self.marker()?.version());
        let then = version.snapshot();
        while !strays.is_empty() {
            let (objects, had_links) = self.write(|state| {
                let begun = Instant::now();
                let mut tidied = (0, false);
                while let Some(Stray { key, slots, .. }) = strays.pop() {
                    let (objects, had_links) =
                        state.tidy_entry(&key, &slots, then.get(Table::Entries, &key)?)?;
                    tidied = (tidied.0 + objects, tidied.1 | had_links);
                    if begun.elapsed() > SLICE {
                        break;
                    }
                }
                Ok(tidied)
            })?;
            self.collected.objects += objects;
            self.collected.left_more |= had_links;
        }
        Ok(())
    }

    /// What nothing leads to of the records from one on, as far as that fits into a few lists.
    fn find_dead(&mut self, mut next: u64) -> Result<Found> {
        let mut found = Found::default();
        let marker = self.marker.as_ref().ok_or(Error::TransactionClosed)?;
        let version = Arc::clone(marker.version());
        for _ in 0..RECORDS {
            let from = next.to_be_bytes();
            let Some((key, stored)) =
                version.snapshot().seek(Table::Objects, Bound::Included(&from), Direction::Forward)?
            else {
                return Ok(found);
            };
            let record = key.first_chunk().map(|record| u64::from_be_bytes(*record));
            let record = record.ok_or_else(|| Error::corrupted("the key of an object is too short"))?;
            next = record + 1;
            // A record in an entry may have parts here.
            if key.len() != size_of::<u64>() {
                continue;
            }
            let (_, view) = open_record(stored)?;
            match marker.dead(view)? {
                None => {}
                Some(Dead::Record) => {
                    found.objects += reach_of(view, &view.exported()?)?.slots.len() as u64;
                    found.records += 1;
                    match found.batches.last_mut() {
                        Some(batch) if batch.is_around(record) => batch.insert(record),
                        _ => {
                            let mut batch = Batch::around(record);
                            batch.insert(record);
                            found.batches.push(batch);
                        }
                    }
                }
                Some(Dead::Slots(slots, objects)) => {
                    found.objects += objects;
                    found.records += 1;
                    found.partly.push((record, slots));
                }
            }
            if found.batches.len() + found.partly.len() >= LISTS {
                break;
            }
        }
        found.next = Some(next);
        Ok(found)
    }

    /// Corrects the lists where more was marked since they were made.
    fn spare(state: &mut WriteState<Writer>, marker: &Marker, late: &[u64]) -> Result<()> {
        let version = Arc::clone(marker.version());
        for record in late {
            let mut batch = ledger::condemned_around(state, *record)?;
            if batch.contains(*record) {
                batch.remove(*record);
                state.condemn(&batch)?;
            }
            let stored = version.snapshot().get(Table::Objects, &record.to_be_bytes())?;
            let slots = match stored.map(|stored| marker.dead(open_record(stored)?.1)).transpose()?.flatten()
            {
                Some(Dead::Slots(slots, _)) => slots,
                _ => Vec::new(),
            };
            state.condemn_slots(*record, &slots)?;
        }
        Ok(())
    }
}

/// Some of what nothing leads to.
#[derive(Debug, Default)]
struct Found {
    batches: Vec<Batch>,
    partly: Vec<(u64, Vec<u32>)>,
    objects: u64,
    records: u64,
    /// Where to go on, if there is more.
    next: Option<u64>,
}

impl<S: Supervisor> Collector for Collection<'_, S> {
    type Error = Error;

    fn phase(&mut self) -> Result<Phase> {
        Ok(self.core()?.pin_committed()?.header().phase)
    }

    fn announce(&mut self) -> Result<()> {
        self.drop_ledger(true)?;
        let (version, removals) = self.write(|state| {
            state.set_phase(Phase::Marking);
            Ok((state.next_version(), state.header().removals))
        })?;
        (self.unread, self.removals, self.swept) = (version, removals, 0);
        self.is_resumed = false;
        Ok(())
    }

    fn pin(&mut self) -> Result<()> {
        let version = Arc::new(self.core()?.pin_committed()?);
        self.total = version.snapshot().len(Table::Entries)? + version.snapshot().len(Table::Objects)?;
        self.marker = Some(Marker::new(version)?);
        Ok(())
    }

    fn ask(&mut self) -> Result<()> {
        let supervisor = self.supervisor;
        let mut is_cancelled = || supervisor.is_cancelled();
        let mut patience = Patience::new(None).until(&mut is_cancelled);
        match self.core()?.generations.current().ask_for_handles(&mut || patience.pause()) {
            // The next step sees it too.
            Err(Error::Interrupted) => Ok(()),
            asked => asked,
        }
    }

    fn mark_some(&mut self) -> Result<bool> {
        let more = self.marker()?.advance(STEPS)?;
        let done = self.marker()?.done;
        self.supervisor.tell(VacuumStep::Marking, done.min(self.total), self.total);
        if more {
            return Ok(true);
        }
        // Handles come after all that the entries lead to, to see what only they keep.
        if !std::mem::replace(&mut self.has_handles, true) {
            self.mark_own()?;
            return Ok(true);
        }
        self.mark_what_was_noted()
    }

    fn mark_noted(&mut self) -> Result<bool> {
        let newest = self.core()?.pin_committed()?;
        self.read_notes(newest.snapshot(), newest.header().version)?;
        Ok(!self.noted.is_empty())
    }

    fn condemn_some(&mut self) -> Result<bool> {
        if self.marker()?.late.is_none() {
            self.protect()?;
            self.tidy_entries()?;
            self.marker()?.late = Some(Vec::new());
            self.total = 0;
            return Ok(true);
        }
        let Some(next) = self.next else { return Ok(false) };
        let found = self.find_dead(next)?;
        self.collected.objects += found.objects;
        self.total += found.records;
        self.next = found.next;
        if !found.batches.is_empty() || !found.partly.is_empty() {
            self.write(|state| {
                for mut batch in found.batches {
                    batch.join(&ledger::condemned_around(state, batch.first().unwrap_or_default())?);
                    state.condemn(&batch)?;
                }
                for (record, slots) in found.partly {
                    state.condemn_slots(record, &slots)?;
                }
                Ok(())
            })?;
        }
        Ok(self.next.is_some())
    }

    fn begin_sweep(&mut self) -> Result<()> {
        self.protect()?;
        let Some(mut marker) = self.marker.take() else { return Err(Error::TransactionClosed) };
        let mut unread = self.unread;
        self.write(|state| {
            for Note { id, is_held } in ledger::noted(state, unread)? {
                if marker.meet(id) && is_held {
                    state.protect(id, false)?;
                }
            }
            unread = state.next_version();
            while marker.advance(STEPS)? {}
            let late = marker.late.take().unwrap_or_default();
            Self::spare(state, &marker, &late)?;
            state.set_phase(Phase::Sweeping);
            Ok(())
        })
    }

    fn sweep_some(&mut self) -> Result<bool> {
        let swept = self.write(|state| state.sweep(Instant::now() + SLICE))?;
        if self.is_resumed {
            self.collected.objects += swept.objects;
        }
        self.swept += swept.records;
        self.total = self.total.max(self.swept);
        self.supervisor.tell(VacuumStep::Sweeping, self.swept, self.total);
        Ok(swept.has_more)
    }

    fn end(&mut self) -> Result<()> {
        self.drop_ledger(false)?;
        let removals = self.removals;
        self.write(|state| {
            state.set_phase(Phase::Idle);
            state.change_header(|header| header.removals = header.removals.saturating_sub(removals));
            Ok(())
        })
    }

    fn withdraw(&mut self) -> Result<()> {
        self.marker = None;
        // What is noted and listed means nothing from then on, and the next vacuum drops it. Without this it would be
        // noted until then.
        self.write_within(&mut Patience::new(Some(WITHDRAWING)), |state| {
            state.set_phase(Phase::Idle);
            Ok(())
        })
    }
}
