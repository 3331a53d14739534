//! Finds what something leads to in one version, with about a bit of memory for each record.

use std::ops::Bound;

use roaring::{RoaringTreemap, treemap};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::{
    error::Result,
    format::{
        frame::{Frame, Kind},
        record::{ContainerKind, ObjectId, Reach, RecordView, Reference},
    },
    store::{Direction, ReadTables, Snapshot, Table, TreeCursor},
    sync::Arc,
    txn::{
        live::Live,
        long::place::{Place, kind_of},
        objects::open_record,
        read::Pinned,
    },
};

/// So many records that are marked in part are looked at before others are met.
const PARTLY: usize = 1 << 14;
/// How many entries are remembered that have something in them which nothing leads to.
const STRAYS: usize = 1 << 12;

/// What is known of a record of which some slots are marked, and maybe not all that count.
#[derive(Debug, Default)]
struct Partly {
    /// The slots that something leads to directly.
    met: SmallVec<[u32; 4]>,
    /// Those of its long containers that were looked through.
    scanned: SmallVec<[u32; 2]>,
}

/// Slots of a record in an entry that its root does not lead to. Nothing else in the file can.
#[derive(Debug)]
pub(super) struct Stray {
    pub(super) key: Vec<u8>,
    pub(super) record: u64,
    pub(super) slots: Vec<u32>,
}

/// What nothing leads to of a record in the objects table.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Dead {
    /// All of it.
    Record,
    /// What these slots lead to, and nothing else does: so many containers.
    Slots(Vec<u32>, u64),
}

/// Marks what a version has, beginning with its entries.
///
/// A record in the objects table is known by its id. Bits are enough for those of which all is marked that other places
/// can refer to, as is the rule, and for those of which nothing is.
pub(super) struct Marker {
    version: Arc<Pinned>,
    entries: TreeCursor,
    has_entries: bool,
    /// The records of which all is marked that other places can refer to.
    whole: RoaringTreemap,
    partly: FxHashMap<u64, Partly>,
    /// The records whose references have yet to be followed, and those of them whose turn it is.
    pending: RoaringTreemap,
    turn: treemap::IntoIter,
    /// The records with long containers that have yet to be looked through.
    unscanned: RoaringTreemap,
    /// The long containers of one record whose turn it is, and the walk through the one before.
    long: Vec<ObjectId>,
    scan: Option<TreeCursor>,
    /// The records that are met from the moment on at which it was decided about the others.
    pub(super) late: Option<Vec<u64>>,
    /// Where something stands in entries that only handles can lead to.
    pub(super) strays: Vec<Stray>,
    /// Whether there were more of those.
    pub(super) has_more_strays: bool,
    /// How many entries and records were looked at.
    pub(super) done: u64,
}

impl Marker {
    pub(super) fn new(version: Arc<Pinned>) -> Result<Self> {
        Ok(Self {
            entries: version.snapshot().whole(Table::Entries)?,
            has_entries: true,
            version,
            whole: RoaringTreemap::new(),
            partly: FxHashMap::default(),
            pending: RoaringTreemap::new(),
            turn: RoaringTreemap::new().into_iter(),
            unscanned: RoaringTreemap::new(),
            long: Vec::new(),
            scan: None,
            late: None,
            strays: Vec::new(),
            has_more_strays: false,
            done: 0,
        })
    }

    pub(super) fn version(&self) -> &Arc<Pinned> {
        &self.version
    }

    /// Goes on for about so many steps; answers whether there is more to do.
    pub(super) fn advance(&mut self, steps: usize) -> Result<bool> {
        for _ in 0..steps {
            // What is half known takes memory, so it comes first once it is much.
            let more = (self.partly.len() > PARTLY && self.follow_next()?)
                || self.scan_next()?
                || self.follow_next()?
                || self.enter_next()?;
            if !more {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Marks an object; answers whether it may not have been marked before.
    pub(super) fn meet(&mut self, id: ObjectId) -> bool {
        if self.whole.contains(id.record) {
            return false;
        }
        let partly = self.partly.entry(id.record).or_default();
        if partly.met.contains(&id.slot) {
            return false;
        }
        partly.met.push(id.slot);
        self.pending.insert(id.record);
        true
    }

    /// What nothing leads to of a record of this version, once all is marked.
    pub(super) fn dead(&self, record: RecordView<'_>) -> Result<Option<Dead>> {
        let id = record.id();
        if self.whole.contains(id) {
            return Ok(None);
        }
        let Some(partly) = self.partly.get(&id) else { return Ok(Some(Dead::Record)) };
        let met = reach_of(record, &partly.met)?.slots;
        let slots: Vec<u32> = record.exported()?.into_iter().filter(|slot| !met.contains(slot)).collect();
        let objects = reach_of(record, &slots)?.slots.difference(&met).count() as u64;
        Ok((!slots.is_empty()).then_some(Dead::Slots(slots, objects)))
    }

    /// Looks at the next entry.
    fn enter_next(&mut self) -> Result<bool> {
        if !self.has_entries {
            return Ok(false);
        }
        let version = Arc::clone(&self.version);
        let Some((key, stored)) = self.entries.next(version.snapshot())? else {
            self.has_entries = false;
            return Ok(false);
        };
        self.done += 1;
        let frame = Frame::decode(stored)?;
        match frame.kind {
            Kind::Object => {
                self.meet(Reference::decode(frame.payload)?.id);
            }
            Kind::Record => {
                let record = RecordView::access(frame.payload)?;
                if frame.has_links {
                    let named = record.named()?;
                    self.meet_all(named.objects);
                    self.long
                        .extend(named.outside.into_iter().map(|slot| ObjectId { record: record.id(), slot }));
                }
                let exported = record.exported()?;
                if !exported.is_empty() {
                    let reached = record.reach(vec![record.root()?])?.slots;
                    let slots: Vec<_> = exported.into_iter().filter(|slot| !reached.contains(slot)).collect();
                    if self.strays.len() == STRAYS {
                        self.has_more_strays |= !slots.is_empty();
                    } else if !slots.is_empty() {
                        self.strays.push(Stray { key: key.to_vec(), record: record.id(), slots });
                    }
                }
            }
            _ => {}
        }
        Ok(true)
    }

    /// Follows the references of a record that was met.
    fn follow_next(&mut self) -> Result<bool> {
        let next = self.turn.next().or_else(|| {
            self.turn = std::mem::take(&mut self.pending).into_iter();
            self.turn.next()
        });
        let Some(id) = next else { return Ok(false) };
        self.pending.remove(id);
        if self.whole.contains(id) {
            return Ok(true);
        }
        let version = Arc::clone(&self.version);
        let Some(stored) = version.snapshot().get(Table::Objects, &id.to_be_bytes())? else {
            // It stands in an entry, all of which is marked, or came later.
            self.partly.remove(&id);
            return Ok(true);
        };
        self.done += 1;
        if let Some(late) = &mut self.late {
            late.push(id);
        }
        let (frame, record) = open_record(stored)?;
        let exported = record.exported()?;
        let Some(partly) = self.partly.get(&id) else { return Ok(true) };
        if !frame.has_links && exported.iter().all(|slot| partly.met.contains(slot)) {
            self.partly.remove(&id);
            self.whole.insert(id);
            return Ok(true);
        }
        let reach = reach_of(record, &partly.met)?;
        if reach.outside.iter().any(|slot| !partly.scanned.contains(slot)) {
            self.unscanned.insert(id);
        } else if exported.iter().all(|slot| reach.slots.contains(slot)) {
            self.partly.remove(&id);
            self.whole.insert(id);
        }
        self.meet_all(reach.objects);
        Ok(true)
    }

    /// Goes one step on through a long container that something leads to.
    fn scan_next(&mut self) -> Result<bool> {
        let version = Arc::clone(&self.version);
        let snapshot = version.snapshot();
        if let Some(scan) = &mut self.scan {
            let Some((_, stored)) = scan.next(snapshot)? else {
                self.scan = None;
                return Ok(true);
            };
            let frame = Frame::decode(stored)?;
            if frame.kind == Kind::Record && frame.has_links {
                self.meet_all(RecordView::access(frame.payload)?.named()?.objects);
            }
            return Ok(true);
        }
        if let Some(id) = self.long.pop() {
            self.scan = begin_scan(snapshot, id)?;
            return Ok(true);
        }
        let Some(id) = self.unscanned.min() else { return Ok(false) };
        self.unscanned.remove(id);
        if let (Some(partly), Some(stored)) =
            (self.partly.get_mut(&id), snapshot.get(Table::Objects, &id.to_be_bytes())?)
        {
            for slot in reach_of(open_record(stored)?.1, &partly.met)?.outside {
                if !partly.scanned.contains(&slot) {
                    partly.scanned.push(slot);
                    self.long.push(ObjectId { record: id, slot });
                }
            }
            // To see whether that was all of it.
            self.pending.insert(id);
        }
        Ok(true)
    }

    fn meet_all(&mut self, objects: Vec<ObjectId>) {
        for id in objects {
            self.meet(id);
        }
    }
}

/// A walk through the parts of a long container that may refer to something.
fn begin_scan(snapshot: &Snapshot, id: ObjectId) -> Result<Option<TreeCursor>> {
    let (place, next) = (Place::new(id), Place::new(ObjectId { slot: id.slot + 1, ..id }));
    match snapshot.get(Table::Objects, place.header())? {
        Some(header) if kind_of(header)? != ContainerKind::ByteArray => {
            let (lower, upper) = (Bound::Excluded(place.header()), Bound::Excluded(next.header()));
            snapshot.cursor(Table::Objects, lower, upper, Direction::Forward).map(Some)
        }
        // A handle may be to something that is gone.
        _ => Ok(None),
    }
}

/// What some slots of a record lead to; those that it has.
pub(super) fn reach_of(record: RecordView<'_>, slots: &[u32]) -> Result<Reach> {
    let whole = slots.contains(&Live::WHOLE);
    let known = (0..record.slots() as u32).filter(|slot| whole || slots.contains(slot));
    let mut starts = Vec::new();
    for slot in known {
        starts.push(record.slot_node(slot)?);
    }
    record.reach(starts)
}
