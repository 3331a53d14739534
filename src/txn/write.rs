//! What a write transaction does to the tables: entries, symbols, shared values, savepoints, the header.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, ops::Bound};

use xxhash_rust::xxh3::xxh3_64;

use super::{
    entry::{self, EntryKey, Place, TableKey},
    memory::{Memory, SYMBOLS},
};
use crate::{
    error::{Error, Result},
    format::{
        builder::{Draft, DraftKind, LONG, Placement},
        frame::{Frame, Kind},
        header::{HEADER_KEY, Header},
        record::RecordView,
    },
    store::{Direction, ReadTables, Table, WriteTables},
    sync::Arc,
};

/// Values from this size on, in bytes, always go to the shared table, so that what holds them stays small.
const SHARED_FROM: usize = 64 * 1024;

/// How to take one change back.
enum Undo {
    Put(Table, Vec<u8>, Vec<u8>),
    Delete(Table, Vec<u8>),
    Claim(u64, i64),
}

/// A point that a transaction can be rolled back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Savepoint {
    undo: usize,
    symbols: u32,
    changed: bool,
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
    /// How many more or fewer places name each shared value.
    claims: HashMap<u64, i64>,
    undo: Vec<Undo>,
    savepoints: usize,
    /// Changes of the number of entries, so that iterators notice.
    resized: u64,
    /// A key that no entry sorts behind, once it was looked up; it may be gone by now.
    last: Option<TableKey>,
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
        Ok(Self {
            tables,
            memory,
            header,
            changed: false,
            names: Arc::default(),
            first_name: header.symbols,
            name_ids: HashMap::new(),
            claims: HashMap::new(),
            undo: Vec::new(),
            savepoints: 0,
            resized: 0,
            last: None,
        })
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

    /// The stored bytes of an entry.
    pub(crate) fn get(&self, ordered: &[u8]) -> Result<Option<&[u8]>> {
        entry::get(&self.tables, ordered)
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> Result<u64> {
        self.tables.len(Table::Entries)
    }

    /// Stores a value under a key, of which the first form stays; answers whether the key is new.
    pub(crate) fn put(&mut self, key: &EntryKey, draft: Draft) -> Result<bool> {
        let Placed { kind, payload, shared } = Placing { state: self }.place(draft)?;
        let frame = Frame { kind, form: key.form(), has_shared: !shared.is_empty(), payload: &payload };
        let is_new = self.put_frame(key, frame)?;
        for id in shared {
            self.claim(id, 1);
        }
        Ok(is_new)
    }

    fn put_frame(&mut self, key: &EntryKey, frame: Frame<'_>) -> Result<bool> {
        if self.append(key, &frame)? {
            return Ok(true);
        }
        // Other short keys that are new, by far the most frequent case, take a single step.
        if self.savepoints == 0 && key.is_short() {
            self.changed = true;
            let Some(old) = self.tables.put_new(Table::Entries, key.ordered(), &frame.encode())? else {
                self.resized += 1;
                return Ok(true);
            };
            self.replace(key.ordered(), &old, frame)?;
            return Ok(false);
        }
        match entry::place(&self.tables, key.ordered())? {
            Place::Free(table_key) => {
                self.write(Table::Entries, &table_key, &frame.encode())?;
                if self.last.as_ref().is_some_and(|last| *last < table_key) {
                    self.last = Some(table_key);
                }
                self.resized += 1;
                Ok(true)
            }
            Place::Found(table_key) => {
                let old = self.stored(&table_key)?.to_vec();
                self.replace(&table_key, &old, frame)?;
                Ok(false)
            }
        }
    }

    /// Stores an entry behind all others, when that is its place: keys that come in order fill their pages that way.
    fn append(&mut self, key: &EntryKey, frame: &Frame<'_>) -> Result<bool> {
        if !key.is_short() {
            return Ok(false);
        }
        if self.last.is_none() {
            let last = self.tables.seek(Table::Entries, Bound::Unbounded, Direction::Backward)?;
            self.last = last.map(|(last, _)| TableKey::from_slice(last));
        }
        if self.last.as_ref().is_some_and(|last| last.as_slice() >= key.ordered())
            || !self.tables.append(Table::Entries, key.ordered(), &frame.encode())?
        {
            return Ok(false);
        }
        if self.savepoints > 0 {
            self.undo.push(Undo::Delete(Table::Entries, key.ordered().to_vec()));
        }
        self.changed = true;
        self.resized += 1;
        self.last = Some(TableKey::from_slice(key.ordered()));
        Ok(true)
    }

    /// Deletes an entry; answers whether it was there.
    pub(crate) fn delete(&mut self, ordered: &[u8]) -> Result<bool> {
        let Place::Found(table_key) = entry::place(&self.tables, ordered)? else {
            return Ok(false);
        };
        let old = self.stored(&table_key)?.to_vec();
        let shared = named_by(&Frame::decode(&old)?)?;
        match entry::last_of_row(&self.tables, &table_key)? {
            None => self.erase(Table::Entries, &table_key)?,
            Some(last) => {
                let moved = self.stored(&last)?.to_vec();
                self.write(Table::Entries, &table_key, &moved)?;
                self.erase(Table::Entries, &last)?;
            }
        }
        self.let_go(shared);
        self.resized += 1;
        Ok(true)
    }

    /// Deletes all entries.
    pub(crate) fn clear(&mut self) -> Result<()> {
        if self.len()? == 0 {
            return Ok(());
        }
        if self.savepoints > 0 {
            while let Some((key, _)) =
                self.tables.seek(Table::Entries, Bound::Unbounded, Direction::Forward)?
            {
                let key = key.to_vec();
                let old = self.stored(&key)?.to_vec();
                let shared = named_by(&Frame::decode(&old)?)?;
                self.erase(Table::Entries, &key)?;
                self.let_go(shared);
            }
        } else {
            self.changed = true;
            self.tables.clear(Table::Entries)?;
            // Only entries name shared values, so none is left that anything names.
            self.tables.clear(Table::Shared)?;
            self.claims.clear();
            self.last = None;
        }
        self.resized += 1;
        Ok(())
    }

    /// Remembers the present state; every savepoint has to be released or rolled back to, the last one first.
    pub(crate) fn savepoint(&mut self) -> Savepoint {
        self.savepoints += 1;
        Savepoint { undo: self.undo.len(), symbols: self.header.symbols, changed: self.changed }
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
                Some(Undo::Claim(id, change)) => *self.claims.entry(id).or_default() += change,
                None => break,
            }
        }
        let kept = (savepoint.symbols - self.first_name) as usize;
        for name in self.names.iter().skip(kept) {
            self.name_ids.remove(name);
        }
        Arc::make_mut(&mut self.names).truncate(kept);
        self.header.symbols = savepoint.symbols;
        self.changed = savepoint.changed;
        self.resized += 1;
        Ok(())
    }

    /// Writes the counters, after which the tables are ready to be committed; `false` when nothing was changed.
    pub(crate) fn prepare(&mut self) -> Result<bool> {
        if !self.changed {
            return Ok(false);
        }
        for (id, change) in std::mem::take(&mut self.claims) {
            self.settle(id, change)?;
        }
        self.header.version += 1;
        let header = self.header.encode();
        self.tables.put(Table::Header, HEADER_KEY, &header)?;
        Ok(true)
    }

    /// The tables, and the symbols to be remembered once they are committed.
    pub(crate) fn finish(self) -> (T, NewSymbols) {
        let Self { tables, memory, first_name, names, .. } = self;
        (tables, NewSymbols { memory, first_name, names })
    }

    /// Puts a value in the place of an old one, whose form of the key it keeps.
    fn replace(&mut self, table_key: &[u8], old: &[u8], frame: Frame<'_>) -> Result<()> {
        let old = Frame::decode(old)?;
        let shared = named_by(&old)?;
        let bytes = Frame { form: old.form, ..frame }.encode();
        self.write(Table::Entries, table_key, &bytes)?;
        self.let_go(shared);
        Ok(())
    }

    fn stored(&self, table_key: &[u8]) -> Result<&[u8]> {
        self.tables
            .get(Table::Entries, table_key)?
            .ok_or_else(|| Error::corrupted("an entry went away while it was being changed"))
    }

    /// Every change of a table while a savepoint exists goes through here or through `erase`.
    fn write(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        self.remember(table, key)?;
        self.changed = true;
        self.tables.put(table, key, value)
    }

    fn erase(&mut self, table: Table, key: &[u8]) -> Result<()> {
        self.remember(table, key)?;
        self.changed = true;
        self.tables.delete(table, key).map(|_| ())
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

    fn claim(&mut self, id: u64, change: i64) {
        *self.claims.entry(id).or_default() += change;
        if self.savepoints > 0 {
            self.undo.push(Undo::Claim(id, -change));
        }
    }

    /// Lets go of shared values, once for each place that named them.
    fn let_go(&mut self, shared: Vec<u64>) {
        for id in shared {
            self.claim(id, -1);
        }
    }

    /// Writes how many places name a shared value, or deletes it when none does.
    fn settle(&mut self, id: u64, change: i64) -> Result<()> {
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

/// A value that is about to be stored.
struct Placed {
    kind: Kind,
    payload: Vec<u8>,
    /// The shared values that it names, once for each place, as [`WriteState::release`] will find them.
    shared: Vec<u64>,
}

/// Places one draft.
struct Placing<'a, T> {
    state: &'a mut WriteState<T>,
}

impl<T: WriteTables> Placing<'_, T> {
    fn place(&mut self, draft: Draft) -> Result<Placed> {
        let plain = |kind, payload| Placed { kind, payload, shared: Vec::new() };
        Ok(match draft.0 {
            DraftKind::Scalar(encoded) => match self.share(&encoded)? {
                Some(id) => {
                    Placed { kind: Kind::Shared, payload: id.to_le_bytes().to_vec(), shared: vec![id] }
                }
                None => plain(Kind::Scalar, encoded),
            },
            DraftKind::Record(builder) => {
                let (payload, has_shared) = builder.archive(self)?;
                // A text may stand in several places of the record, or in none that can be reached.
                let shared = if has_shared { RecordView::access(&payload)?.shared()? } else { Vec::new() };
                Placed { kind: Kind::Record, payload, shared }
            }
            DraftKind::Archive(bytes) => plain(Kind::Archive, bytes),
        })
    }
}

impl<T: WriteTables> Placement for Placing<'_, T> {
    fn symbol(&mut self, name: &str) -> Result<Option<u32>> {
        let state = &mut *self.state;
        if let Some(symbol) = state.known_symbol(name) {
            return Ok(Some(symbol));
        }
        let symbol = state.header.symbols;
        if symbol >= SYMBOLS || !state.memory.seen.lock().again(hash(name.as_bytes())) {
            return Ok(None);
        }
        state.write(Table::Symbols, &symbol.to_be_bytes(), name.as_bytes())?;
        state.header.symbols += 1;
        let name: Arc<str> = name.into();
        Arc::make_mut(&mut state.names).push(Arc::clone(&name));
        state.name_ids.insert(name, symbol);
        Ok(Some(symbol))
    }

    fn share(&mut self, encoded: &[u8]) -> Result<Option<u64>> {
        if encoded.len() < LONG {
            return Ok(None);
        }
        let state = &mut *self.state;
        let hash = hash(encoded);
        let mut id = shared_hash(hash);
        loop {
            match state.tables.get(Table::Shared, &id.to_be_bytes())? {
                Some(stored) if Frame::decode(stored)?.payload == encoded => break,
                Some(_) => id = id.wrapping_add(1),
                None => {
                    if encoded.len() < SHARED_FROM && !state.memory.seen.lock().again(hash) {
                        return Ok(None);
                    }
                    let frame = Frame { kind: Kind::Scalar, form: None, has_shared: false, payload: encoded };
                    state.write(Table::Shared, &id.to_be_bytes(), &frame.encode())?;
                    break;
                }
            }
        }
        // Goes away with the commit unless an entry comes to name it.
        state.claim(id, 0);
        Ok(Some(id))
    }

    fn record_id(&mut self) -> u64 {
        let id = self.state.header.next_record;
        self.state.header.next_record += 1;
        id
    }
}

/// The symbols that a transaction made.
pub(crate) struct NewSymbols {
    memory: Arc<Memory>,
    first_name: u32,
    names: Arc<Vec<Arc<str>>>,
}

impl NewSymbols {
    /// Remembers them; the transaction is committed.
    pub(crate) fn remember(self) {
        self.memory.adopt(self.first_name, &self.names);
    }
}

/// The shared values that an entry names, once for each place.
fn named_by(frame: &Frame<'_>) -> Result<Vec<u64>> {
    match frame.kind {
        _ if !frame.has_shared => Ok(Vec::new()),
        Kind::Shared => Ok(vec![shared_id(frame.payload)?]),
        Kind::Record => RecordView::access(frame.payload)?.shared(),
        Kind::Scalar | Kind::Archive => Ok(Vec::new()),
    }
}

/// The header of a version.
pub(crate) fn read_header(tables: &impl ReadTables) -> Result<Header> {
    let bytes = tables
        .get(Table::Header, HEADER_KEY)?
        .ok_or_else(|| Error::corrupted("the header record is missing"))?;
    Header::decode(bytes).map_err(Error::corrupted)
}

/// The id of a shared value, from the payload that names it.
pub(crate) fn shared_id(payload: &[u8]) -> Result<u64> {
    payload
        .try_into()
        .map(u64::from_le_bytes)
        .map_err(|_| Error::corrupted("the id of a shared value is not 8 bytes"))
}

/// A shared value, encoded as a scalar.
pub(crate) fn shared_value(tables: &impl ReadTables, id: u64) -> Result<&[u8]> {
    let stored = tables
        .get(Table::Shared, &id.to_be_bytes())?
        .ok_or_else(|| Error::corrupted(format!("shared value {id:016x} is missing")))?;
    match Frame::decode(stored)? {
        Frame { kind: Kind::Scalar, form: None, payload, .. } => Ok(payload),
        _ => Err(Error::corrupted(format!("shared value {id:016x} is no leaf"))),
    }
}

fn count_key(id: u64) -> [u8; 9] {
    let mut key = [1; 9];
    key[..8].copy_from_slice(&id.to_be_bytes());
    key
}

fn hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Where a value's search in the shared table starts; the engine's own tests make all values collide.
fn shared_hash(hash: u64) -> u64 {
    if cfg!(test) { hash & 1 } else { hash }
}
