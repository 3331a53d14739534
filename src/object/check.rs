//! Verifies everything that a version holds.

mod objects;

use std::{collections::HashMap, fmt};

use self::objects::Objects;
use super::read_transaction::ReadTransaction;
use crate::{
    error::{Error, Result},
    format::{
        frame::{self, Frame, Kind},
        key::{Key, KeyBytes},
        record::{RecordView, Reference, check::References},
        scalar::Scalar,
    },
    store::{ReadTables, Snapshot, Table},
    txn::{
        entry,
        ledger::Condemned,
        memory::stored_symbol,
        write::{shared_id, shared_value},
    },
};

/// How many entries are verified between two reports of progress.
const STRIDE: u64 = 256;

/// Something that is wrong in a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is, such as the key of an entry.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl ReadTransaction {
    /// Verifies every record's checksum and structure, every reference and every count.
    ///
    /// `progress` is told how many entries and objects are done, and of how many; it answers whether to go on.
    ///
    /// # Errors
    ///
    /// `Interrupted` when `progress` said so. What is wrong with the map is no error but the answer.
    pub fn check(&self, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<Vec<Problem>> {
        let snapshot = self.snapshot();
        let total = |table| snapshot.len(table).unwrap_or_default();
        let mut check = Check {
            snapshot,
            symbols: self.symbols(),
            next_record: self.next_record(),
            named: HashMap::new(),
            objects: Objects::default(),
            condemned: Condemned::of(self.header()),
            problems: Vec::new(),
            done: 0,
            total: total(Table::Entries) + total(Table::Objects),
            progress,
        };
        check.check_symbols();
        check.check_table(Table::Entries, |check, key, value| {
            check.check_entry(key, value).map_err(|error| (place_of(key, value), error))
        })?;
        check.check_table(Table::Objects, |check, key, value| {
            check.check_object(key, value).map_err(|error| (format!("object {key:02x?}"), error))
        })?;
        check.check_links();
        check.check_shared();
        Ok(check.problems)
    }
}

struct Check<'t, 'p> {
    snapshot: &'t Snapshot,
    symbols: u32,
    next_record: u64,
    /// How many places name each shared value.
    named: HashMap<u64, i64>,
    objects: Objects,
    condemned: Condemned,
    problems: Vec<Problem>,
    done: u64,
    total: u64,
    progress: &'p mut dyn FnMut(u64, u64) -> bool,
}

/// What a record's references lead to, and which of them it has.
struct Found<'c, 't> {
    snapshot: &'t Snapshot,
    symbols: u32,
    named: &'c mut HashMap<u64, i64>,
    objects: &'c mut Objects,
    /// The record that is looked at.
    record: u64,
    /// Whether it, or what the part belongs to that is looked at, waits to be swept.
    is_condemned: bool,
}

impl References for Found<'_, '_> {
    fn name(&mut self, symbol: u32) -> Result<String> {
        if symbol >= self.symbols {
            return Err(Error::corrupted(format!("symbol {symbol} is one of only {}", self.symbols)));
        }
        stored_symbol(self.snapshot, symbol).map(ToOwned::to_owned)
    }

    fn shared(&mut self, id: u64) -> Result<()> {
        *self.named.entry(id).or_default() += 1;
        shared_value(self.snapshot, id).map(|_| ())
    }

    fn object(&mut self, reference: Reference) -> Result<()> {
        if self.is_condemned { Ok(()) } else { self.objects.note_reference(self.record, reference) }
    }
}

impl<'t> Check<'t, '_> {
    fn note(&mut self, place: impl Into<String>, what: &Error) {
        let what = match what {
            Error::Corrupted(what) => what.clone(),
            other => other.to_string(),
        };
        self.problems.push(Problem { place: place.into(), what });
    }

    fn found(&mut self, record: u64) -> Found<'_, 't> {
        self.found_in(record, false)
    }

    fn found_in(&mut self, record: u64, is_condemned: bool) -> Found<'_, 't> {
        Found {
            snapshot: self.snapshot,
            symbols: self.symbols,
            named: &mut self.named,
            objects: &mut self.objects,
            record,
            is_condemned,
        }
    }

    /// Walks through a table; a page that can't be read ends the walk.
    fn walk(
        &mut self,
        table: Table,
        mut visit: impl FnMut(&mut Self, &'t [u8], &'t [u8]) -> Result<()>,
    ) -> Result<()> {
        let mut cursor = match self.snapshot.whole(table) {
            Ok(cursor) => cursor,
            Err(error) => {
                self.note(format!("the table of {table:?}"), &error);
                return Ok(());
            }
        };
        loop {
            match cursor.next(self.snapshot) {
                Ok(Some((key, value))) => visit(self, key, value)?,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.note(format!("the table of {table:?}"), &error);
                    return Ok(());
                }
            }
        }
    }

    fn check_symbols(&mut self) {
        let mut ids = HashMap::new();
        for symbol in 0..self.symbols {
            match stored_symbol(self.snapshot, symbol) {
                Err(error) => self.note(format!("symbol {symbol}"), &error),
                Ok(name) => {
                    if let Some(other) = ids.insert(name, symbol) {
                        let what = Error::corrupted(format!("{name:?} is also symbol {other}"));
                        self.note(format!("symbol {symbol}"), &what);
                    }
                }
            }
        }
        match self.snapshot.len(Table::Symbols) {
            Ok(len) if len == u64::from(self.symbols) => {}
            Ok(len) => {
                let what = Error::corrupted(format!("{len} entries for {} symbols", self.symbols));
                self.note("the table of Symbols", &what);
            }
            Err(error) => self.note("the table of Symbols", &error),
        }
    }

    /// Verifies each entry of a table by itself.
    fn check_table(
        &mut self,
        table: Table,
        check_one: impl Fn(&mut Self, &'t [u8], &'t [u8]) -> Result<(), (String, Error)>,
    ) -> Result<()> {
        let total = self.snapshot.len(table).unwrap_or_default();
        let before = self.done;
        self.walk(table, |check, key, value| {
            if let Err((place, error)) = check_one(check, key, value) {
                check.note(place, &error);
            }
            check.done += 1;
            let report = check.done % STRIDE == 0 || check.done == check.total;
            if report && !(check.progress)(check.done, check.total) {
                Err(Error::Interrupted)
            } else {
                Ok(())
            }
        })?;
        let done = self.done - before;
        if done != total {
            let what = Error::corrupted(format!("{done} entries could be read, of {total}"));
            self.note(format!("the table of {table:?}"), &what);
        }
        Ok(())
    }

    fn check_entry(&mut self, table_key: &[u8], value: &'t [u8]) -> Result<()> {
        let frame = check_frame(value)?;
        let key = entry::decode_key(table_key, &frame)?;
        let mut ordered = KeyBytes::new();
        key.encode(&mut ordered)?;
        match entry::place(self.snapshot, &ordered)? {
            entry::Place::Found(place) if place.as_slice() == table_key => {}
            _ => return Err(Error::corrupted("the key leads elsewhere")),
        }
        match frame.kind {
            Kind::Scalar => Scalar::decode(frame.payload).map(|_| ()),
            Kind::Shared => self.found(0).shared(shared_id(frame.payload)?),
            Kind::Record => self.check_record(&frame, true),
            // What a Rust program's own type needs to be, only that program knows.
            Kind::Archive => Ok(()),
            Kind::Object if frame.has_links => self.found(0).object(Reference::decode(frame.payload)?),
            other => Err(Error::corrupted(format!("the value of an entry is of kind {other:?}"))),
        }
    }

    /// Verifies a record that stands in an entry or among the objects.
    fn check_record(&mut self, frame: &Frame<'_>, in_entry: bool) -> Result<()> {
        let record = RecordView::access(frame.payload)?;
        let (id, next) = (record.id(), self.next_record);
        if id >= next {
            return Err(Error::corrupted(format!("record {id} is newer than the next, {next}")));
        }
        self.objects.note_record(record, in_entry)?;
        let is_condemned = !in_entry && self.condemned.covers(self.snapshot, id)?;
        record.check(&mut self.found_in(id, is_condemned))?;
        let named = record.named()?;
        if named.shared.is_empty() == frame.has_shared {
            return Err(Error::corrupted("the frame is wrong about the values that it shares"));
        }
        if named.has_links() != frame.has_links {
            return Err(Error::corrupted("the frame is wrong about whether it refers to objects"));
        }
        Ok(())
    }

    fn check_shared(&mut self) {
        let mut counts = HashMap::new();
        let mut values = Vec::new();
        let walked = self.walk(Table::Shared, |check, key, value| {
            let id = key.first_chunk().map(|id| u64::from_be_bytes(*id)).unwrap_or_default();
            match key.get(8..) {
                Some([]) => {
                    values.push(id);
                    let checked =
                        check_frame(value).and_then(|frame| Scalar::decode(frame.payload).map(|_| ()));
                    if let Err(error) = checked {
                        check.note(format!("shared value {id:016x}"), &error);
                    }
                }
                Some([1]) if value.len() == 8 => {
                    counts.insert(id, value.first_chunk().map_or(0, |count| i64::from_le_bytes(*count)));
                }
                _ => {
                    check
                        .note(format!("shared value {id:016x}"), &Error::corrupted("its key makes no sense"));
                }
            }
            Ok(())
        });
        if let Err(error) = walked {
            self.note("the table of Shared", &error);
        }
        for id in values {
            let (named, counted) =
                (self.named.remove(&id).unwrap_or_default(), counts.remove(&id).unwrap_or_default());
            if named != counted {
                let what = Error::corrupted(format!("{named} places name it, {counted} are counted"));
                self.note(format!("shared value {id:016x}"), &what);
            }
        }
        for id in counts.into_keys() {
            self.note(format!("shared value {id:016x}"), &Error::corrupted("it is counted, and not there"));
        }
    }
}

/// Verifies the checksum, and takes the frame apart.
fn check_frame(value: &[u8]) -> Result<Frame<'_>> {
    let frame = Frame::decode(value)?;
    if frame::is_intact(value) { Ok(frame) } else { Err(Error::corrupted("the checksum is wrong")) }
}

/// The key of an entry, as text that is not too long.
fn place_of(table_key: &[u8], value: &[u8]) -> String {
    let key =
        Frame::decode(value).and_then(|frame| entry::decode_key(table_key, &frame).map(Key::into_owned));
    let text = match key {
        Ok(Key::Scalar(Scalar::Str(text))) => format!("{text:?}"),
        Ok(Key::Scalar(Scalar::Int(value))) => value.to_string(),
        Ok(key) => format!("{key:?}"),
        Err(_) => format!("{table_key:02x?}"),
    };
    let shown: String = text.chars().take(100).collect();
    format!("the entry {shown}")
}
