//! What those who write have to know of a vacuum: what was referred to again since it began, and what it has condemned.
//!
//! All of it stands in the header table, behind the header record:
//!
//! | key | value |
//! |---|---|
//! | `\0noted`, version `u64`, record `u64`, slot `u32` | nothing: something refers to the object since that version; a byte 1: a process has a handle to it |
//! | `\0condemned`, upper 48 bits of the ids `u64` | the lower 16 bits of the records that go, as a Roaring bitmap |
//! | `\0partly`, record `u64` | the slots that go of a record that stays, each a `u32`, little endian |
//!
//! Numbers in keys are big endian, so that they sort.

use std::{collections::HashSet, ops::Bound};

use roaring::RoaringBitmap;

use super::{changes::Changes, objects::open_record, write::WriteState};
use crate::{
    coord::collection::{self, Ledger, Phase},
    error::{Error, Result},
    format::{
        header::Header,
        record::{ObjectId, RecordView},
    },
    store::{Direction, ReadTables, Table, WriteTables},
};

const NOTED: &[u8] = b"\0noted";
const CONDEMNED: &[u8] = b"\0condemned";
const PARTLY: &[u8] = b"\0partly";

/// The records whose ids have the same upper bits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Batch {
    upper: u64,
    lower: RoaringBitmap,
}

impl Batch {
    /// An empty one, for a record and its neighbours.
    pub(crate) fn around(record: u64) -> Self {
        Self { upper: record >> 16, lower: RoaringBitmap::new() }
    }

    /// Whether a record belongs here.
    pub(crate) fn is_around(&self, record: u64) -> bool {
        self.upper == record >> 16
    }

    pub(crate) fn insert(&mut self, record: u64) {
        debug_assert!(self.is_around(record));
        self.lower.insert(record as u32 & 0xffff);
    }

    pub(crate) fn remove(&mut self, record: u64) {
        self.lower.remove(record as u32 & 0xffff);
    }

    /// Takes in those of another one around the same.
    pub(crate) fn join(&mut self, other: &Self) {
        debug_assert_eq!(self.upper, other.upper);
        self.lower |= &other.lower;
    }

    pub(crate) fn contains(&self, record: u64) -> bool {
        self.is_around(record) && self.lower.contains(record as u32 & 0xffff)
    }

    /// The first record.
    pub(crate) fn first(&self) -> Option<u64> {
        self.lower.min().map(|lower| self.upper << 16 | u64::from(lower))
    }

    pub(crate) fn len(&self) -> u64 {
        self.lower.len()
    }

    fn key(&self) -> Vec<u8> {
        key_of(CONDEMNED, &self.upper.to_be_bytes())
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.lower.serialized_size());
        self.lower
            .serialize_into(&mut bytes)
            .map_err(|error| Error::io("listing what nothing leads to", error))?;
        Ok(bytes)
    }

    fn decode(key: &[u8], value: &[u8]) -> Result<Self> {
        let wrong = || Error::corrupted("the list of condemned records makes no sense");
        let upper = key.get(CONDEMNED.len()..).and_then(|upper| upper.try_into().ok()).ok_or_else(wrong)?;
        let lower = RoaringBitmap::deserialize_from(value).map_err(|_| wrong())?;
        if lower.max().is_some_and(|max| max > 0xffff) {
            return Err(wrong());
        }
        Ok(Self { upper: u64::from_be_bytes(upper), lower })
    }
}

fn key_of(prefix: &[u8], rest: &[u8]) -> Vec<u8> {
    [prefix, rest].concat()
}

fn first_of<'t>(
    tables: &'t impl ReadTables,
    prefix: &[u8],
    from: &[u8],
) -> Result<Option<(&'t [u8], &'t [u8])>> {
    let found = tables.seek(Table::Header, Bound::Included(from), Direction::Forward)?;
    Ok(found.filter(|(key, _)| key.starts_with(prefix)))
}

/// What is noted of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) id: ObjectId,
    /// Whether a process has a handle to it, and not just something refers to it.
    pub(crate) is_held: bool,
}

/// What was noted from a version on.
pub(crate) fn noted(tables: &impl ReadTables, from_version: u64) -> Result<Vec<Note>> {
    let wrong = || Error::corrupted("what was noted for a vacuum makes no sense");
    let mut from = key_of(NOTED, &from_version.to_be_bytes());
    let mut noted = Vec::new();
    while let Some((key, value)) = first_of(tables, NOTED, &from)? {
        let (_, id) = key[NOTED.len()..].split_first_chunk::<8>().ok_or_else(wrong)?;
        let (record, slot) = id.split_first_chunk::<8>().ok_or_else(wrong)?;
        let slot = slot.try_into().map(u32::from_be_bytes).map_err(|_| wrong())?;
        let id = ObjectId { record: u64::from_be_bytes(*record), slot };
        noted.push(Note { id, is_held: !value.is_empty() });
        from = key_of(key, &[0]);
    }
    Ok(noted)
}

/// The condemned records around this one.
pub(crate) fn condemned_around(tables: &impl ReadTables, record: u64) -> Result<Batch> {
    let empty = Batch::around(record);
    let key = empty.key();
    tables.get(Table::Header, &key)?.map_or(Ok(empty), |value| Batch::decode(&key, value))
}

/// The first condemned records.
pub(crate) fn first_condemned(tables: &impl ReadTables) -> Result<Option<Batch>> {
    first_of(tables, CONDEMNED, CONDEMNED)?.map(|(key, value)| Batch::decode(key, value)).transpose()
}

/// The slots of a record that go while it stays.
pub(crate) fn condemned_slots(tables: &impl ReadTables, record: u64) -> Result<Vec<u32>> {
    let stored = tables.get(Table::Header, &key_of(PARTLY, &record.to_be_bytes()))?;
    stored.map_or(Ok(Vec::new()), decode_slots)
}

/// The first record that goes partly, and which of its slots.
pub(crate) fn first_partly(tables: &impl ReadTables) -> Result<Option<(u64, Vec<u32>)>> {
    let Some((key, value)) = first_of(tables, PARTLY, PARTLY)? else { return Ok(None) };
    let record = key[PARTLY.len()..].try_into().map(u64::from_be_bytes);
    let record = record.map_err(|_| Error::corrupted("the list of condemned slots makes no sense"))?;
    Ok(Some((record, decode_slots(value)?)))
}

fn decode_slots(value: &[u8]) -> Result<Vec<u32>> {
    match value.as_chunks() {
        (slots, []) => Ok(slots.iter().map(|slot| u32::from_le_bytes(*slot)).collect()),
        _ => Err(Error::corrupted("the list of condemned slots makes no sense")),
    }
}

/// Whether an object is condemned that a vacuum has yet to sweep.
pub(crate) fn is_condemned(tables: &impl ReadTables, id: ObjectId) -> Result<bool> {
    if condemned_around(tables, id.record)?.contains(id.record) {
        return Ok(true);
    }
    let slots = condemned_slots(tables, id.record)?;
    if slots.is_empty() {
        return Ok(false);
    }
    let Some(stored) = tables.get(Table::Objects, &id.record.to_be_bytes())? else { return Ok(true) };
    Ok(!what_stays(open_record(stored)?.1, &slots)?.contains(&id.slot))
}

/// Tells which records of a version are condemned, wholly or in part.
#[derive(Debug)]
pub(crate) struct Condemned {
    is_sweeping: bool,
    /// What was looked up last.
    around: Option<Batch>,
}

impl Condemned {
    pub(crate) fn of(header: &Header) -> Self {
        Self { is_sweeping: header.phase == Phase::Sweeping, around: None }
    }

    /// Whether what a record says needs not be true any more, since what it leads to may have gone before it.
    pub(crate) fn covers(&mut self, tables: &impl ReadTables, record: u64) -> Result<bool> {
        if !self.is_sweeping {
            return Ok(false);
        }
        let batch = match self.around.take() {
            Some(batch) if batch.is_around(record) => batch,
            _ => condemned_around(tables, record)?,
        };
        let is_condemned = batch.contains(record) || !condemned_slots(tables, record)?.is_empty();
        self.around = Some(batch);
        Ok(is_condemned)
    }
}

/// The slots that the others lead to, within a record of which some go.
pub(crate) fn what_stays(record: RecordView<'_>, gone: &[u32]) -> Result<HashSet<u32>> {
    let starts = record.exported()?.into_iter().filter(|slot| !gone.contains(slot));
    let starts = starts.map(|slot| record.slot_node(slot)).collect::<Result<_>>()?;
    Ok(record.reach(starts)?.slots)
}

impl<T: WriteTables> Ledger for WriteState<T> {
    type Object = ObjectId;
    type Error = Error;

    fn phase(&self) -> Phase {
        self.header().phase
    }

    fn note(&mut self, id: ObjectId) -> Result<()> {
        self.note_as(Note { id, is_held: false })
    }

    fn is_condemned(&self, id: ObjectId) -> Result<bool> {
        is_condemned(self, id)
    }
}

impl<T: WriteTables> WriteState<T> {
    /// Says how far the vacuum has come.
    pub(crate) fn set_phase(&mut self, phase: Phase) {
        self.change_header(|header| header.phase = phase);
    }

    /// Asks whether something may refer to an object from now on, before it does.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`] when it is condemned.
    pub(crate) fn refer(&mut self, id: ObjectId) -> Result<()> {
        // What is new no vacuum looks at that began before.
        if self.is_new(id.record) || collection::refer(self, id)? { Ok(()) } else { Err(Error::Stale) }
    }

    /// Refuses what a vacuum has condemned, and may have deleted in part.
    pub(crate) fn refuse_condemned(&self, id: ObjectId) -> Result<()> {
        if collection::may_change(self, id)? { Ok(()) } else { Err(Error::Stale) }
    }

    /// Notes an object for the vacuum that is marking.
    pub(crate) fn note_as(&mut self, note: Note) -> Result<()> {
        let mut key = key_of(NOTED, &(self.header().version + 1).to_be_bytes());
        key.extend_from_slice(&note.id.record.to_be_bytes());
        key.extend_from_slice(&note.id.slot.to_be_bytes());
        self.write(Table::Header, &key, if note.is_held { &[1] } else { &[] })
    }

    /// Lists condemned records, in the place of those that were listed around them.
    pub(crate) fn condemn(&mut self, batch: &Batch) -> Result<()> {
        let value = if batch.len() > 0 { Some(batch.encode()?) } else { None };
        self.list(&batch.key(), value.as_deref())
    }

    /// Lists the slots of a record that go while it stays, if any.
    pub(crate) fn condemn_slots(&mut self, record: u64, slots: &[u32]) -> Result<()> {
        let value: Vec<u8> = slots.iter().flat_map(|slot| slot.to_le_bytes()).collect();
        let value = (!value.is_empty()).then_some(value.as_slice());
        self.list(&key_of(PARTLY, &record.to_be_bytes()), value)
    }

    /// Stores a list, or deletes the one that is there when there is nothing to list.
    fn list(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        match value {
            Some(value) => self.write(Table::Header, key, value),
            None if self.get(Table::Header, key)?.is_some() => self.erase(Table::Header, key),
            None => Ok(()),
        }
    }

    /// Drops at most so many notes and, when a vacuum begins anew or is called off, lists; answers whether that was all.
    pub(crate) fn drop_ledger(&mut self, limit: usize, with_lists: bool) -> Result<bool> {
        let prefixes: &[&[u8]] = if with_lists { &[NOTED, CONDEMNED, PARTLY] } else { &[NOTED] };
        let mut dropped = 0;
        for prefix in prefixes {
            while let Some((key, _)) = first_of(self, prefix, prefix)? {
                if dropped == limit {
                    return Ok(false);
                }
                let key = key.to_vec();
                self.erase(Table::Header, &key)?;
                dropped += 1;
            }
        }
        Ok(true)
    }
}
