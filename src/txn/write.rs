//! What a write transaction does to the tables: entries, symbols, shared values, savepoints, the header.

mod counts;
mod learnt;
mod many;
mod patch;
#[cfg(test)]
mod tests;
mod texts;

pub(super) use self::texts::{Placing, SymbolNames};
pub(crate) use self::{
    learnt::Learnt,
    texts::{shared_id, shared_value},
};

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use super::{
    appends::Appends,
    changes::Changes,
    copied::LastCopied,
    entry::{self, EntryKey, Place, TableKey},
    live::Seen,
    memory::Memory,
};
use crate::{
    error::{Error, Result},
    format::{
        builder::{Draft, Placement},
        frame::Frame,
        header::{HEADER_KEY, Header},
        key::KeyBytes,
        record::ObjectId,
    },
    store::{Direction, Entry, ReadTables, Table, WriteTables},
    sync::Arc,
};

/// How to take one change back.
pub(super) enum Undo {
    Put(Table, Vec<u8>, Vec<u8>),
    Delete(Table, Vec<u8>),
    /// Deletes the entries behind one.
    DeleteBehind(KeyBytes),
    Claim(u64, i64),
    Link(ObjectId, i64),
    Appends(ObjectId, Vec<Draft>),
}

/// A point that a transaction can be rolled back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Savepoint {
    undo: usize,
    changed: bool,
    fresh_slots: usize,
    moved_out: usize,
    orphans: usize,
    waiting: usize,
    header: Header,
}

/// A write transaction over any tables.
pub(crate) struct WriteState<T> {
    tables: T,
    memory: Arc<Memory>,
    header: Header,
    changed: bool,
    /// The symbols that this transaction made; the first has the id `first_name`.
    names: Arc<Vec<Arc<str>>>,
    first_name: u32,
    name_ids: HashMap<Arc<str>, u32>,
    /// The symbols of the names that this process knows, by their numbers, where they were asked for.
    named: Vec<Option<u32>>,
    /// How many more or fewer places name each shared value.
    claims: HashMap<u64, i64>,
    /// How many more or fewer places refer to each object than what its slot says.
    links: BTreeMap<ObjectId, i64>,
    /// Objects that only handles keep from now on, and those that something refers to again.
    orphans: Vec<(ObjectId, Seen)>,
    adopted: Vec<ObjectId>,
    /// The objects that were made in records that were there before.
    fresh_slots: Vec<ObjectId>,
    /// The records that were moved out of their entries, and the ordered bytes of the keys.
    moved_out: Vec<(u64, KeyBytes)>,
    /// The first record that this transaction made.
    first_record: u64,
    /// Changes of the number of elements in containers, so that iterators notice.
    objects_resized: u64,
    /// Counts the changes, so that those notice who remember something.
    pub(super) changes: u64,
    pub(super) last_copied: RefCell<Option<LastCopied>>,
    pub(super) undo: Vec<Undo>,
    pub(super) savepoints: usize,
    /// What was appended to a long list and is not in the tables yet.
    pub(super) appends: Option<Appends>,
    /// Changes of the number of entries, so that iterators notice.
    resized: u64,
    /// A key that no entry sorts behind, once it was looked up; it may be gone by now.
    last: Option<TableKey>,
    /// The same of the objects.
    last_object: Option<Vec<u8>>,
}

impl<T: WriteTables> WriteState<T> {
    /// Begins, on tables that are open for writing, and which come back when that fails.
    pub(crate) fn new(tables: T, memory: Arc<Memory>) -> Result<Self, (Error, T)> {
        let learnt = read_header(&tables).and_then(|header| {
            memory.learn(&tables, &header)?;
            Ok(header)
        });
        let header = match learnt {
            Ok(header) => header,
            Err(error) => return Err((error, tables)),
        };
        memory.live.begin(header.next_record);
        Ok(Self {
            tables,
            memory,
            header,
            changed: false,
            names: Arc::default(),
            first_name: header.symbols,
            name_ids: HashMap::new(),
            named: Vec::new(),
            claims: HashMap::new(),
            links: BTreeMap::new(),
            orphans: Vec::new(),
            adopted: Vec::new(),
            fresh_slots: Vec::new(),
            moved_out: Vec::new(),
            first_record: header.next_record,
            objects_resized: 0,
            changes: 0,
            last_copied: RefCell::default(),
            undo: Vec::new(),
            savepoints: 0,
            appends: None,
            resized: 0,
            last: None,
            last_object: None,
        })
    }

    /// The counters, as this transaction would commit them.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Changes what the header says.
    pub(crate) fn change_header(&mut self, change: impl FnOnce(&mut Header)) {
        change(&mut self.header);
        self.changed = true;
    }

    /// Counts what was deleted or replaced, for the vacuum that begins by itself when that was much.
    pub(crate) fn count_removed(&mut self, removed: u64) {
        self.header.removals = self.header.removals.saturating_add(removed);
    }

    /// Whether a record was made by this transaction.
    pub(crate) fn is_new(&self, record: u64) -> bool {
        record >= self.first_record
    }

    pub(crate) fn tables(&self) -> &T {
        &self.tables
    }

    /// What the process remembers of the map.
    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Counts the insertions and deletions of entries.
    pub(crate) fn resized(&self) -> u64 {
        self.resized
    }

    /// The symbols that this transaction made so far, and the id of the first.
    pub(crate) fn new_names(&self) -> (u32, Arc<Vec<Arc<str>>>) {
        (self.first_name, Arc::clone(&self.names))
    }

    /// The symbol of a name, when it has one.
    pub(crate) fn known_symbol(&self, name: &str) -> Option<u32> {
        self.name_ids
            .get(name)
            .copied()
            .or_else(|| self.memory.symbol(name).filter(|symbol| *symbol < self.first_name))
    }

    /// Counts the changes.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// The names of symbols, as they are now.
    pub(crate) fn symbol_names(&self) -> SymbolNames {
        SymbolNames {
            memory: Arc::clone(&self.memory),
            first_name: self.first_name,
            names: Arc::clone(&self.names),
        }
    }

    /// The stored bytes of an entry.
    pub(crate) fn entry(&self, ordered: &[u8]) -> Result<Option<&[u8]>> {
        entry::get(&self.tables, ordered)
    }

    /// How many entries there are.
    pub(crate) fn entries(&self) -> Result<u64> {
        self.tables.len(Table::Entries)
    }

    /// Stores a value under a key, of which the first form stays; answers whether the key is new.
    pub(crate) fn put(&mut self, key: &EntryKey, draft: Draft) -> Result<bool> {
        match self.place(key, draft)? {
            Some(stored) => self.put_frame(key, &stored),
            None => Ok(false),
        }
    }

    /// As [`WriteState::put`], of the bytes that are to be stored.
    pub(super) fn put_frame(&mut self, key: &EntryKey, stored: &[u8]) -> Result<bool> {
        self.changes += 1;
        if self.append(key, stored)? {
            self.account(stored, 1)?;
            return Ok(true);
        }
        // Other short keys that are new, by far the most frequent case, take a single step.
        if key.is_short() {
            self.changed = true;
            let Some(old) = self.tables.put_new(Table::Entries, key.ordered(), stored)? else {
                self.note_new(key);
                self.account(stored, 1)?;
                return Ok(true);
            };
            self.replace(key.ordered(), key.ordered(), &old, stored)?;
            return Ok(false);
        }
        match entry::place(&self.tables, key.ordered())? {
            Place::Free(table_key) => {
                self.write(Table::Entries, &table_key, stored)?;
                if self.last.as_ref().is_some_and(|last| *last < table_key) {
                    self.last = Some(table_key);
                }
                self.resized += 1;
                Ok(true)
            }
            Place::Found(table_key) => {
                let old = self.stored(&table_key)?.to_vec();
                self.replace(&table_key, key.ordered(), &old, stored)?;
                Ok(false)
            }
        }
    }

    /// Stores an entry behind all others, when that is its place: keys that come in order fill their pages that way.
    fn append(&mut self, key: &EntryKey, stored: &[u8]) -> Result<bool> {
        if !key.is_short() {
            return Ok(false);
        }
        if self.last.is_none() {
            let last = self.tables.seek(Table::Entries, Bound::Unbounded, Direction::Backward)?;
            self.last = last.map(|(last, _)| TableKey::from_slice(last));
        }
        if self.last.as_ref().is_some_and(|last| last.as_slice() >= key.ordered())
            || !self.tables.append(Table::Entries, key.ordered(), stored)?
        {
            return Ok(false);
        }
        self.note_new(key);
        self.changed = true;
        self.last = Some(TableKey::from_slice(key.ordered()));
        Ok(true)
    }

    /// Notes that there is a new entry under a short key.
    fn note_new(&mut self, key: &EntryKey) {
        if self.savepoints > 0 {
            self.undo.push(Undo::Delete(Table::Entries, key.ordered().to_vec()));
        }
        self.resized += 1;
    }

    /// As [`WriteState::append`], for an object: those of new records come in order.
    fn append_object(&mut self, key: &[u8], value: &[u8]) -> Result<bool> {
        if self.last_object.is_none() {
            let last = self.tables.seek(Table::Objects, Bound::Unbounded, Direction::Backward)?;
            self.last_object = Some(last.map_or_else(Vec::new, |(last, _)| last.to_vec()));
        }
        if self.last_object.as_ref().is_some_and(|last| last.as_slice() >= key)
            || !self.tables.append(Table::Objects, key, value)?
        {
            return Ok(false);
        }
        self.last_object = Some(key.to_vec());
        Ok(true)
    }

    /// Deletes an entry; answers whether it was there.
    pub(crate) fn delete(&mut self, ordered: &[u8]) -> Result<bool> {
        let Place::Found(table_key) = entry::place(&self.tables, ordered)? else {
            return Ok(false);
        };
        let old = self.stored(&table_key)?.to_vec();
        match entry::last_of_row(&self.tables, &table_key)? {
            None => self.erase(Table::Entries, &table_key)?,
            Some(last) => {
                let moved = self.stored(&last)?.to_vec();
                self.write(Table::Entries, &table_key, &moved)?;
                self.erase(Table::Entries, &last)?;
            }
        }
        self.let_entry_go(&old, None)?;
        self.count_removed(1);
        self.resized += 1;
        self.changes += 1;
        Ok(true)
    }

    /// Deletes all entries.
    pub(crate) fn clear(&mut self) -> Result<()> {
        let entries = self.entries()?;
        if entries == 0 {
            return Ok(());
        }
        self.count_removed(entries);
        self.changes += 1;
        if self.savepoints > 0 || self.memory.live.may_be_any() {
            while let Some((key, _)) =
                self.tables.seek(Table::Entries, Bound::Unbounded, Direction::Forward)?
            {
                let key = key.to_vec();
                let old = self.stored(&key)?.to_vec();
                self.erase(Table::Entries, &key)?;
                self.let_entry_go(&old, None)?;
            }
        } else {
            self.changed = true;
            self.tables.clear(Table::Entries)?;
            // Nothing is left that leads to an object, or names a shared value.
            self.tables.clear(Table::Objects)?;
            self.tables.clear(Table::Shared)?;
            self.claims.clear();
            self.links.clear();
            self.last = None;
        }
        self.resized += 1;
        Ok(())
    }

    /// Remembers the present state; every savepoint has to be released or rolled back to, the last one first.
    pub(crate) fn savepoint(&mut self) -> Savepoint {
        self.savepoints += 1;
        Savepoint {
            undo: self.undo.len(),
            changed: self.changed,
            fresh_slots: self.fresh_slots.len(),
            moved_out: self.moved_out.len(),
            orphans: self.orphans.len(),
            waiting: self.waiting(),
            header: self.header,
        }
    }

    /// Keeps what happened since.
    pub(crate) fn release_savepoint(&mut self) {
        self.savepoints -= 1;
        if self.savepoints == 0 {
            self.undo.clear();
        }
    }

    /// Takes back what happened since.
    pub(crate) fn roll_back_to(&mut self, savepoint: Savepoint) -> Result<()> {
        self.savepoints -= 1;
        while self.undo.len() > savepoint.undo {
            match self.undo.pop() {
                Some(Undo::Put(table, key, value)) => self.tables.put(table, &key, &value)?,
                Some(Undo::Delete(table, key)) => {
                    self.tables.delete(table, &key)?;
                }
                Some(Undo::DeleteBehind(last)) => self.delete_behind(&last)?,
                Some(Undo::Claim(id, change)) => *self.claims.entry(id).or_default() += change,
                Some(Undo::Link(id, change)) => self.add_link(id, change),
                Some(Undo::Appends(id, waiting)) => self.wait_again(id, waiting),
                None => break,
            }
        }
        self.forget_appends(savepoint.waiting);
        let kept = (savepoint.header.symbols - self.first_name) as usize;
        for name in self.names.iter().skip(kept) {
            self.name_ids.remove(name);
            self.named.clear();
        }
        Arc::make_mut(&mut self.names).truncate(kept);
        // Ids of records are never used twice, not even those of what was taken back.
        self.header = Header { next_record: self.header.next_record, ..savepoint.header };
        self.changed = savepoint.changed;
        let fresh = self.fresh_slots.split_off(savepoint.fresh_slots);
        self.memory.live.take_back(savepoint.header.next_record, &fresh);
        self.orphans.truncate(savepoint.orphans);
        for (record, key) in self.moved_out.split_off(savepoint.moved_out) {
            self.memory.live.note_home(record, &key);
        }
        self.resized += 1;
        self.objects_resized += 1;
        self.changes += 1;
        Ok(())
    }

    fn delete_behind(&mut self, last: &[u8]) -> Result<()> {
        let next = Bound::Excluded(last);
        while let Some((key, _)) = self.tables.seek(Table::Entries, next, Direction::Forward)? {
            let key = TableKey::from_slice(key);
            self.tables.delete(Table::Entries, &key)?;
        }
        Ok(())
    }

    /// Writes the counters, after which the tables are ready to be committed; `false` when nothing was changed.
    pub(crate) fn prepare(&mut self) -> Result<bool> {
        self.settle_appends()?;
        if !self.changed {
            return Ok(false);
        }
        self.settle_counts()?;
        self.header.version += 1;
        let header = self.header.encode();
        self.tables.put(Table::Header, HEADER_KEY, &header)?;
        Ok(true)
    }

    /// The version that a commit makes, which is the present one when nothing was changed.
    pub(crate) fn next_version(&self) -> u64 {
        self.header.version + u64::from(self.changed)
    }

    /// The tables, of a transaction that is taken back.
    pub(crate) fn take_back(self) -> T {
        self.memory.live.take_back(self.first_record, &self.fresh_slots);
        for (record, key) in &self.moved_out {
            self.memory.live.note_home(*record, key);
        }
        self.memory.live.end();
        self.tables
    }

    /// The tables, and what is to be remembered once they are committed.
    pub(crate) fn finish(self) -> (T, Learnt) {
        let is_vacuum_due = self.header.is_vacuum_due();
        let Self { tables, memory, first_name, names, orphans, adopted, first_record, fresh_slots, .. } =
            self;
        let learnt =
            Learnt { memory, first_name, names, orphans, adopted, first_record, fresh_slots, is_vacuum_due };
        (tables, learnt)
    }

    /// Puts a value in the place of an old one, whose form of the key it keeps.
    fn replace(&mut self, table_key: &[u8], ordered: &[u8], old: &[u8], stored: &[u8]) -> Result<()> {
        self.count_removed(1);
        let form = Frame::decode(old)?.form;
        let fresh = Frame::decode(stored)?;
        if fresh.form == form {
            self.write(Table::Entries, table_key, stored)?;
        } else {
            self.write(Table::Entries, table_key, &Frame { form, ..fresh }.encode())?;
        }
        self.let_entry_go(old, Some(ordered))
    }

    fn stored(&self, table_key: &[u8]) -> Result<&[u8]> {
        self.tables
            .get(Table::Entries, table_key)?
            .ok_or_else(|| Error::corrupted("an entry went away while it was being changed"))
    }

    fn remember(&mut self, table: Table, key: &[u8]) -> Result<()> {
        if self.savepoints > 0 {
            self.undo.push(match self.tables.get(table, key)? {
                Some(old) => Undo::Put(table, key.to_vec(), old.to_vec()),
                None => Undo::Delete(table, key.to_vec()),
            });
        }
        Ok(())
    }

    /// Notes that a record is no longer in its entry.
    pub(super) fn note_moved_out(&mut self, record: u64, key: KeyBytes) {
        self.moved_out.push((record, key));
    }

    /// Notes objects that were made in a record that was there before.
    pub(super) fn note_fresh(&mut self, record: u64, slots: std::ops::Range<u32>) {
        let fresh = slots.map(|slot| ObjectId { record, slot });
        self.memory.live.note_fresh(fresh.clone());
        self.fresh_slots.extend(fresh);
    }

    /// Notes an object that only handles keep.
    pub(super) fn note_orphan(&mut self, id: ObjectId, seen: Seen) {
        self.orphans.push((id, seen));
    }

    /// Whether only handles kept an object, to which something refers from now on.
    pub(super) fn adopt_orphan(&mut self, id: ObjectId) -> bool {
        let is_new = self.orphans.iter().any(|(orphan, _)| *orphan == id);
        self.orphans.retain(|(orphan, _)| *orphan != id);
        let is_known = !self.adopted.contains(&id) && self.memory.live.is_orphan(id);
        if is_known {
            self.adopted.push(id);
        }
        is_new || is_known
    }

    /// Notes a change.
    pub(super) fn note_changed(&mut self) {
        self.changed = true;
        self.changes += 1;
    }

    /// Notes that a container has more or fewer elements.
    pub(super) fn note_object_resized(&mut self) {
        self.objects_resized += 1;
    }

    /// Counts the changes of the number of elements in containers.
    pub(crate) fn objects_resized(&self) -> u64 {
        self.objects_resized
    }

    /// The id of a new record.
    pub(super) fn new_record(&mut self) -> u64 {
        let id = self.header.next_record;
        self.header.next_record += 1;
        id
    }

    /// The id of an encoded leaf in the shared table, when it is to stand there.
    pub(super) fn share(&mut self, encoded: &[u8]) -> Result<Option<u64>> {
        Placing { state: self }.share(encoded)
    }
}

impl<T: ReadTables> ReadTables for WriteState<T> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<&[u8]>> {
        self.tables.get(table, key)
    }

    fn len(&self, table: Table) -> Result<u64> {
        self.tables.len(table)
    }

    fn seek(&self, table: Table, from: Bound<&[u8]>, direction: Direction) -> Result<Option<Entry<'_>>> {
        self.tables.seek(table, from, direction)
    }
}

/// Every change of a table goes through here but those of entries that were not there before, and leaves that take the place of
/// others.
impl<T: WriteTables> Changes for WriteState<T> {
    fn write(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        debug_assert!(!self.has_appends(), "something is changed before what waits was written");
        if matches!(table, Table::Entries | Table::Objects) {
            self.account_old(table, key)?;
            self.account(value, 1)?;
        }
        self.remember(table, key)?;
        self.note_changed();
        if table == Table::Objects && self.append_object(key, value)? {
            return Ok(());
        }
        self.tables.put(table, key, value)
    }

    fn erase(&mut self, table: Table, key: &[u8]) -> Result<()> {
        debug_assert!(!self.has_appends(), "something is deleted before what waits was written");
        if matches!(table, Table::Entries | Table::Objects) {
            self.account_old(table, key)?;
        }
        self.remember(table, key)?;
        self.note_changed();
        self.tables.delete(table, key).map(|_| ())
    }
}

/// The header of a version.
pub(crate) fn read_header(tables: &impl ReadTables) -> Result<Header> {
    let bytes = tables
        .get(Table::Header, HEADER_KEY)?
        .ok_or_else(|| Error::corrupted("the header record is missing"))?;
    Header::decode(bytes).map_err(Error::corrupted)
}
