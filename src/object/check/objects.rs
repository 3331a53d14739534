//! Verifies the objects: that all references lead somewhere, and something leads to every part.

use std::collections::{HashMap, HashSet};

use super::{Check, check_frame};
use crate::{
    error::{Error, Result},
    format::{
        frame::Kind,
        record::{ContainerKind, ObjectId, RecordView, Reference, Slot},
    },
    txn::{
        long::{
            place::{Place, kind_of},
            sequence, table,
        },
        objects::slots_of,
    },
};

/// The bytes of a record's key, and those of the key of a long container's header.
const RECORD: usize = 8;
const HEADER: usize = 12;

/// What was met so far.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// The slots of each record, and whether it stands in an entry.
    records: HashMap<u64, (Vec<Slot>, bool)>,
    /// How many places refer to each object, and as what.
    references: HashMap<ObjectId, (ContainerKind, u64)>,
    /// The containers that lie outside their records, as these have them.
    outside: HashMap<ObjectId, ContainerKind>,
    /// The headers that were met, the parts that belong to them, and the parts that were met.
    headers: HashMap<ObjectId, ContainerKind>,
    expected: HashMap<ObjectId, u64>,
    parts: HashMap<ObjectId, u64>,
}

impl Objects {
    pub(super) fn note_reference(&mut self, record: u64, reference: Reference) -> Result<()> {
        if reference.id.record == record && record != 0 {
            self.outside.insert(reference.id, reference.kind);
            return Ok(());
        }
        let (kind, count) = self.references.entry(reference.id).or_insert((reference.kind, 0));
        *count += 1;
        if *kind == reference.kind {
            return Ok(());
        }
        Err(Error::corrupted(format!(
            "{:?} is referred to as a {kind:?} and a {:?}",
            reference.id, reference.kind
        )))
    }

    pub(super) fn note_record(&mut self, record: RecordView<'_>, in_entry: bool) -> Result<()> {
        let slots = slots_of(record)?;
        if record.id() != 0 && self.records.insert(record.id(), (slots, in_entry)).is_some() {
            return Err(Error::corrupted(format!("record {} is there twice", record.id())));
        }
        Ok(())
    }
}

fn object_of(key: &[u8]) -> Option<ObjectId> {
    let (record, rest) = key.split_first_chunk()?;
    let (slot, _) = rest.split_first_chunk()?;
    Some(ObjectId { record: u64::from_be_bytes(*record), slot: u32::from_be_bytes(*slot) })
}

impl<'t> Check<'t, '_> {
    /// Verifies an entry of the objects table.
    pub(super) fn check_object(&mut self, key: &'t [u8], value: &'t [u8]) -> Result<()> {
        let frame = check_frame(value)?;
        if frame.form.is_some() {
            return Err(Error::corrupted("an object has a key's form"));
        }
        if key.len() == RECORD {
            let record = RecordView::access(frame.payload)?;
            if frame.kind != Kind::Record || record.id().to_be_bytes() != key {
                return Err(Error::corrupted("another record stands under its id"));
            }
            return self.check_record(&frame, false);
        }
        let id = object_of(key).ok_or_else(|| Error::corrupted("the key of an object is too short"))?;
        if self.condemned.covers(self.snapshot, id.record)? {
            // Some of its parts may be gone, but what is there counts.
            if frame.kind == Kind::Record {
                RecordView::access(frame.payload)?.check(&mut self.found_in(0, true))?;
            }
            return Ok(());
        }
        *self.objects.parts.entry(id).or_default() += 1;
        if key.len() == HEADER { self.check_long(id, value) } else { Ok(()) }
    }

    fn check_long(&mut self, id: ObjectId, header: &[u8]) -> Result<()> {
        let kind = kind_of(header)?;
        self.objects.headers.insert(id, kind);
        let snapshot = self.snapshot;
        let mut visit = |stored: &[u8]| {
            let frame = check_frame(stored)?;
            if frame.kind != Kind::Record {
                return Ok(());
            }
            let record = RecordView::access(frame.payload)?;
            record.check(&mut self.found(0))?;
            let named = record.named()?;
            if named.shared.is_empty() == frame.has_shared || named.has_links() != frame.has_links {
                return Err(Error::corrupted("a frame is wrong about what it names"));
            }
            Ok(())
        };
        let parts = match kind {
            ContainerKind::List | ContainerKind::ByteArray => {
                sequence::check(snapshot, Place::new(id), &mut visit)?
            }
            _ => table::check(snapshot, Place::new(id), &mut visit)?,
        };
        self.objects.expected.insert(id, parts);
        Ok(())
    }

    /// Verifies that references and objects fit together.
    pub(super) fn check_links(&mut self) {
        let objects = std::mem::take(&mut self.objects);
        for (id, (kind, count)) in &objects.references {
            if let Err(error) = check_reference(&objects, *id, *kind, *count) {
                self.note(format!("the references to {id:?}"), &error);
            }
        }
        for (id, kind) in &objects.outside {
            if objects.headers.get(id) != Some(kind) {
                self.note(
                    format!("{id:?}"),
                    &Error::corrupted(format!("the {kind:?} that lies outside is missing")),
                );
            }
        }
        let mut led_to: HashSet<ObjectId> = objects.outside.keys().copied().collect();
        for (record, (slots, _)) in &objects.records {
            for (number, _) in slots.iter().enumerate().filter(|(_, slot)| slot.exported) {
                led_to.insert(ObjectId { record: *record, slot: number as u32 });
            }
        }
        for (id, parts) in &objects.parts {
            let expected = objects.expected.get(id).copied().unwrap_or_default();
            if expected != *parts {
                let what = format!("{parts} parts are there of a long container, {expected} belong to it");
                self.note(format!("{id:?}"), &Error::corrupted(what));
            }
            if !led_to.contains(id) {
                self.note(format!("{id:?}"), &Error::corrupted("nothing leads to the long container"));
            }
        }
    }
}

fn check_reference(objects: &Objects, id: ObjectId, kind: ContainerKind, count: u64) -> Result<()> {
    let (slots, in_entry) =
        objects.records.get(&id.record).ok_or_else(|| Error::corrupted("the record is missing"))?;
    let slot = slots.get(id.slot as usize).ok_or_else(|| Error::corrupted("there is no such slot"))?;
    if *in_entry {
        return Err(Error::corrupted("the record stands in an entry"));
    }
    if slot.kind != kind {
        return Err(Error::corrupted(format!("a {:?} is referred to as a {kind:?}", slot.kind)));
    }
    if slot.position == 0 && !objects.headers.contains_key(&id) {
        return Err(Error::corrupted("the object is gone"));
    }
    if !slot.exported || count > 1 && !slot.shared {
        return Err(Error::corrupted(format!("the slot doesn't say that {count} places refer to it")));
    }
    Ok(())
}
