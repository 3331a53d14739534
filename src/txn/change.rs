//! Changes of a container, wherever it lies.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use super::{
    live::{Live, Seen},
    long::{
        elements::Elements,
        place::{Place, kind_of},
        sequence,
        table::{self, Member},
    },
    objects::{Arrangement, Home, Pick, find_record, open_record},
    placing::not_apart,
    write::WriteState,
};
use crate::{
    error::{Error, Result},
    format::{
        builder::{Draft, DraftKind},
        frame::Frame,
        key::{Key, KeyBytes},
        record::{Container, ContainerKind, Node, ObjectId, RecordView},
        scalar::Scalar,
    },
    store::{ReadTables, Table, WriteTables},
};

/// Something that happens to a container, wholly or not at all.
///
/// Positions are those before the change.
#[derive(Clone, Debug)]
pub enum Change {
    /// So many elements of a list, from a position on, make room for others.
    Splice {
        /// The position of the first that goes, or before which others come.
        at: usize,
        /// How many go.
        remove: usize,
        /// What comes in their place.
        insert: Vec<Draft>,
    },
    /// A list gets more elements at its end.
    Append(Vec<Draft>),
    /// Elements of a list become others.
    Assign(Vec<(usize, Draft)>),
    /// Elements of a list go, by their positions in increasing order.
    Delete(Vec<usize>),
    /// The element of a list at each position becomes the one that was at this one.
    Permute(Vec<u64>),
    /// So many bytes of a byte array, from a position on, make room for others.
    SpliceBytes {
        /// The position of the first that goes, or before which others come.
        at: usize,
        /// How many go.
        remove: usize,
        /// What comes in their place.
        insert: Vec<u8>,
    },
    /// Items of a dict get other values, or come in at its end.
    Put(Vec<(Key<'static>, Draft)>),
    /// A set gets members, those that it has not.
    Add(Vec<Key<'static>>),
    /// Items of a dict, or members of a set, go if they are there.
    Remove(Vec<Key<'static>>),
    /// The item of a dict or the member of a set at a place goes that was found in it.
    RemoveAt(Position),
    /// Everything goes.
    Clear,
}

/// Where an item of a dict or a member of a set stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// In a record, by its number.
    Index(usize),
    /// In a long container, by its place in the order of insertion.
    Sequence(u64),
}

/// What a container was like at some moment, to tell later whether it still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(u128);

impl Stamp {
    /// The stamp of what lies in a record with this payload.
    pub(crate) fn of_record(payload: &[u8]) -> Self {
        Self(xxh3_128(payload))
    }

    /// The stamp of a long container whose header has this payload. That counts the changes, so when some are taken back
    /// and others come, it may be what it was.
    pub(crate) fn of_long(header: &[u8], live: &Live) -> Self {
        Self(xxh3_128_with_seed(header, live.rollbacks()))
    }
}

/// A container that was found.
pub(crate) enum Located<'t> {
    /// In a record.
    Inline { home: Home, stored: &'t [u8], container: Container },
    /// In parts of its own; this is its header.
    Long { stored: &'t [u8] },
}

/// Finds a container.
pub(crate) fn locate<'t>(
    tables: &'t impl ReadTables,
    live: &Live,
    id: ObjectId,
    seen: Option<&[u8]>,
) -> Result<Option<Located<'t>>> {
    if let Some((home, stored)) = find_record(tables, live, id.record, seen)? {
        let (_, record) = open_record(stored)?;
        if let Some(container) = record.known_slot(id.slot)? {
            return Ok(Some(Located::Inline { home, stored, container }));
        }
    }
    Ok(tables.get(Table::Objects, Place::new(id).header())?.map(|stored| Located::Long { stored }))
}

impl<T: WriteTables> WriteState<T> {
    /// Changes a container; answers `false`, having done nothing, when it is no longer what it was.
    pub(crate) fn change(
        &mut self,
        id: ObjectId,
        seen: &Seen,
        expected: Option<Stamp>,
        changes: &[Change],
    ) -> Result<bool> {
        match self.patch(id, seen.as_deref(), expected, changes)? {
            Some(done) => Ok(done),
            None => self.change_anew(id, seen, expected, changes),
        }
    }

    /// As [`WriteState::change`], where a record that the container lies in is written anew.
    pub(crate) fn change_anew(
        &mut self,
        id: ObjectId,
        seen: &Seen,
        expected: Option<Stamp>,
        changes: &[Change],
    ) -> Result<bool> {
        let located = locate(self, &self.memory().live, id, seen.as_deref())?.ok_or(Error::Stale)?;
        self.refuse_condemned(id)?;
        if let Some(expected) = expected {
            let stamp = match located {
                Located::Inline { stored, .. } => Stamp::of_record(Frame::decode(stored)?.payload),
                Located::Long { stored } => {
                    Stamp::of_long(Frame::decode(stored)?.payload, &self.memory().live)
                }
            };
            if stamp != expected {
                return Ok(false);
            }
        }
        for change in changes {
            self.apply(id, seen, change)?;
        }
        Ok(true)
    }

    fn apply(&mut self, id: ObjectId, seen: &Seen, change: &Change) -> Result<()> {
        // A value that is placed apart can only refer to what is in the objects table, and the record must not move there
        // while it is written anew.
        for (object, object_seen) in foreign_of(change).filter(|(object, _)| object.record == id.record) {
            self.export(*object, object_seen.as_deref())?;
        }
        match locate(self, &self.memory().live, id, seen.as_deref())?.ok_or(Error::Stale)? {
            Located::Long { stored } => {
                let kind = kind_of(stored)?;
                self.change_long(id, kind, change)
            }
            Located::Inline { home, stored, container } => {
                let stored = stored.to_vec();
                let (_, record) = open_record(&stored)?;
                let Some(arrangement) = self.rearranged(record, container, change)? else { return Ok(()) };
                if is_resized(container, &arrangement) {
                    self.note_object_resized();
                }
                self.count_removed(removed_by(container, &arrangement));
                self.rewrite(&home, seen, &stored, None, Some((id.slot, &arrangement)))
            }
        }
    }

    /// The elements of a container after a change; `None` when they are the same.
    fn rearranged<'c>(
        &self,
        record: RecordView<'_>,
        container: Container,
        change: &'c Change,
    ) -> Result<Option<Arrangement<'c>>> {
        let len = container.len();
        let old = |range: std::ops::Range<usize>| range.map(Pick::Old);
        Ok(Some(match (container.kind, change) {
            (ContainerKind::List, Change::Splice { at, remove, insert }) => {
                let end = check_range(*at, *remove, len)?;
                let inserted = insert.iter().map(Pick::Value);
                Arrangement::Elements(old(0..*at).chain(inserted).chain(old(end..len)).collect())
            }
            (ContainerKind::List, Change::Append(more)) => {
                Arrangement::Elements(old(0..len).chain(more.iter().map(Pick::Value)).collect())
            }
            (ContainerKind::List, Change::Assign(assigned)) => {
                let mut elements: Vec<_> = old(0..len).collect();
                for (at, draft) in assigned {
                    *elements.get_mut(*at).ok_or_else(|| outside(*at, len))? = Pick::Value(draft);
                }
                Arrangement::Elements(elements)
            }
            (ContainerKind::List, Change::Delete(deleted)) => {
                let mut deleted = deleted.iter().peekable();
                Arrangement::Elements(
                    (0..len).filter(|at| deleted.next_if_eq(&at).is_none()).map(Pick::Old).collect(),
                )
            }
            (ContainerKind::List, Change::Permute(order)) => {
                check_order(order, len as u64)?;
                Arrangement::Elements(order.iter().map(|at| Pick::Old(*at as usize)).collect())
            }
            (ContainerKind::ByteArray, Change::SpliceBytes { at, remove, insert }) => {
                let mut bytes = bytes_of(record, container)?;
                let end = check_range(*at, *remove, bytes.len())?;
                bytes.splice(*at..end, insert.iter().copied());
                Arrangement::Bytes(bytes)
            }
            (ContainerKind::ByteArray, Change::Clear) => Arrangement::Bytes(Vec::new()),
            (ContainerKind::List, Change::Clear) => Arrangement::Elements(Vec::new()),
            (ContainerKind::Dict, _) => {
                let mut items: Vec<_> = (0..len).map(|at| (Pick::Old(at), Pick::Old(at))).collect();
                if !self.change_members(record, container, change, &mut items)? {
                    return Ok(None);
                }
                Arrangement::Items(items)
            }
            (ContainerKind::Set, _) => {
                let mut members: Vec<_> = old(0..len).map(|pick| (pick, pick)).collect();
                if !self.change_members(record, container, change, &mut members)? {
                    return Ok(None);
                }
                Arrangement::Elements(members.into_iter().map(|(member, _)| member).collect())
            }
            (kind, _) => return Err(wrong_kind(kind)),
        }))
    }

    /// Changes the items of a dict or the members of a set; answers whether there was something to change.
    fn change_members<'c>(
        &self,
        record: RecordView<'_>,
        container: Container,
        change: &'c Change,
        items: &mut Vec<(Pick<'c>, Pick<'c>)>,
    ) -> Result<bool> {
        let mut fresh = HashMap::<KeyBytes, usize>::new();
        let find = |key: &Key<'_>| self.find_member(record, container, key);
        match (container.kind, change) {
            (_, Change::Clear) => {
                let changed = !items.is_empty();
                items.clear();
                Ok(changed)
            }
            (ContainerKind::Dict, Change::Put(put)) => {
                for (key, draft) in put {
                    if let Some(at) = find(key)? {
                        items[at].1 = Pick::Value(draft);
                        continue;
                    }
                    match fresh.entry(ordered_of(key)?.0) {
                        Entry::Occupied(known) => items[*known.get()].1 = Pick::Value(draft),
                        Entry::Vacant(new) => {
                            new.insert(items.len());
                            items.push((Pick::Member(key), Pick::Value(draft)));
                        }
                    }
                }
                Ok(!put.is_empty())
            }
            (ContainerKind::Set, Change::Add(added)) => {
                let before = items.len();
                for key in added {
                    if find(key)?.is_some() {
                        continue;
                    }
                    let (ordered, is_nan) = ordered_of(key)?;
                    if fresh.insert(ordered, items.len()).is_none() || is_nan {
                        items.push((Pick::Member(key), Pick::Member(key)));
                    }
                }
                Ok(items.len() > before)
            }
            (_, Change::Remove(removed)) => {
                let mut gone = HashSet::new();
                for key in removed {
                    gone.extend(find(key)?);
                }
                let mut at = 0;
                items.retain(|_| {
                    at += 1;
                    !gone.contains(&(at - 1))
                });
                Ok(!gone.is_empty())
            }
            (_, Change::RemoveAt(Position::Index(at))) => {
                if *at >= items.len() {
                    return Err(outside(*at, items.len()));
                }
                items.remove(*at);
                Ok(true)
            }
            // It became long since it was looked at.
            (_, Change::RemoveAt(Position::Sequence(_))) => Err(Error::Stale),
            (kind, _) => Err(wrong_kind(kind)),
        }
    }

    /// Where a key or member stands in a dict or set.
    pub(super) fn find_member(
        &self,
        record: RecordView<'_>,
        container: Container,
        key: &Key<'_>,
    ) -> Result<Option<usize>> {
        record.find_member(container, key, |name| self.known_symbol(name))
    }

    pub(super) fn change_long(&mut self, id: ObjectId, kind: ContainerKind, change: &Change) -> Result<()> {
        let place = Place::new(id);
        match kind {
            ContainerKind::List | ContainerKind::ByteArray => self.change_sequence(id, kind, change),
            _ => self.change_table(&place, kind, change),
        }
    }

    fn change_sequence(&mut self, id: ObjectId, kind: ContainerKind, change: &Change) -> Result<()> {
        let place = &Place::new(id);
        let header = sequence::header(self, *place)?.ok_or(Error::Stale)?;
        let len = header.len;
        let nothing = match kind {
            ContainerKind::ByteArray => Elements::Bytes(Vec::new()),
            _ => Elements::NONE,
        };
        match (kind, change) {
            (ContainerKind::List, Change::Splice { at, remove, insert }) => {
                check_range(*at, *remove, len as usize)?;
                let elements = self.elements(insert)?;
                sequence::splice(self, *place, *at as u64, *remove as u64, &elements)?;
            }
            (ContainerKind::List, Change::Append(more)) => {
                let elements = self.elements(more)?;
                sequence::splice(self, *place, len, 0, &elements)?;
                self.expect_appends(id);
            }
            (ContainerKind::List, Change::Assign(assigned)) => {
                for (at, draft) in assigned {
                    check_range(*at, 1, len as usize)?;
                    let elements = self.elements(std::slice::from_ref(draft))?;
                    sequence::splice(self, *place, *at as u64, 1, &elements)?;
                }
            }
            (ContainerKind::List, Change::Delete(deleted)) => {
                // From the end, so that those before keep their places, and whole runs at once.
                let mut end = deleted.len();
                while end > 0 {
                    let mut start = end - 1;
                    while start > 0 && deleted[start - 1] + 1 == deleted[start] {
                        start -= 1;
                    }
                    check_range(deleted[start], end - start, len as usize)?;
                    sequence::splice(self, *place, deleted[start] as u64, (end - start) as u64, &nothing)?;
                    end = start;
                }
            }
            (ContainerKind::List, Change::Permute(order)) => {
                check_order(order, len)?;
                sequence::permute(self, *place, order)?;
            }
            (ContainerKind::ByteArray, Change::SpliceBytes { at, remove, insert }) => {
                check_range(*at, *remove, len as usize)?;
                let insert = Elements::Bytes(insert.clone());
                sequence::splice(self, *place, *at as u64, *remove as u64, &insert)?;
            }
            (_, Change::Clear) => sequence::splice(self, *place, 0, len, &nothing)?,
            (kind, _) => return Err(wrong_kind(kind)),
        }
        if sequence::header(self, *place)?.is_some_and(|header| header.len != len) {
            self.note_object_resized();
        }
        self.count_removed(match change {
            Change::Splice { remove, .. } => *remove as u64,
            Change::Assign(assigned) => assigned.len() as u64,
            Change::Delete(deleted) => deleted.len() as u64,
            Change::Clear if kind == ContainerKind::List => len,
            Change::SpliceBytes { .. } | Change::Clear => 1,
            _ => 0,
        });
        Ok(())
    }

    /// Values as elements of a long list.
    fn elements(&mut self, drafts: &[Draft]) -> Result<Elements> {
        let payload = self.tuple_of(&drafts.iter().map(Pick::Value).collect::<Vec<_>>())?;
        let source = RecordView::access(&payload)?;
        let tuple = source.root_container()?;
        let nodes = (0..tuple.len()).map(|index| source.item(tuple, index));
        let names = self.symbol_names();
        Elements::of(source, nodes, &names, &mut |_, _| Err(not_apart()))
    }

    fn change_table(&mut self, place: &Place, kind: ContainerKind, change: &Change) -> Result<()> {
        let before = table::header(self, *place)?.ok_or(Error::Stale)?.len;
        match (kind, change) {
            (ContainerKind::Dict, Change::Put(put)) => {
                for (key, draft) in put {
                    self.insert(place, key, Some(draft))?;
                }
            }
            (ContainerKind::Set, Change::Add(added)) => {
                for key in added {
                    self.insert(place, key, None)?;
                }
            }
            (_, Change::Remove(removed)) => {
                for key in removed {
                    let (ordered, is_nan) = ordered_of(key)?;
                    if !is_nan {
                        table::remove(self, *place, &ordered)?;
                    }
                }
            }
            (_, Change::RemoveAt(Position::Sequence(at))) => {
                if !table::remove_at(self, *place, *at)? {
                    return Err(Error::Stale);
                }
            }
            (_, Change::Clear) => table::clear(self, *place)?,
            (_, Change::RemoveAt(Position::Index(_))) => return Err(Error::Stale),
            (kind, _) => return Err(wrong_kind(kind)),
        }
        let after = table::header(self, *place)?.map_or(0, |header| header.len);
        if after != before {
            self.note_object_resized();
        }
        self.count_removed(match change {
            Change::Put(put) => (before + put.len() as u64).saturating_sub(after),
            _ => before.saturating_sub(after),
        });
        Ok(())
    }

    fn insert(&mut self, place: &Place, key: &Key<'static>, value: Option<&Draft>) -> Result<()> {
        let (ordered, _) = ordered_of(key)?;
        let parts: Vec<_> = [Pick::Member(key)].into_iter().chain(value.map(Pick::Value)).collect();
        let payload = self.tuple_of(&parts)?;
        let source = RecordView::access(&payload)?;
        let item = source.root_container()?;
        let value = if value.is_some() { Some(source.item(item, 1)?) } else { None };
        let member = Member { ordered: &ordered, key: source.item(item, 0)?, value };
        let names = self.symbol_names();
        table::insert(self, *place, source, &names, member, &mut |_, _| Err(not_apart()))?;
        Ok(())
    }
}

/// What the new values of a change refer to that may be placed apart.
fn foreign_of(change: &Change) -> impl Iterator<Item = &(ObjectId, Seen)> {
    let drafts: Vec<&Draft> = match change {
        Change::Splice { insert, .. } => insert.iter().collect(),
        Change::Append(drafts) => drafts.iter().collect(),
        Change::Assign(assigned) => assigned.iter().map(|(_, draft)| draft).collect(),
        Change::Put(put) => put.iter().map(|(_, draft)| draft).collect(),
        _ => Vec::new(),
    };
    drafts
        .into_iter()
        .filter_map(|draft| match &draft.0 {
            DraftKind::Record(builder) if !builder.slots().is_empty() => Some(builder.foreign()),
            _ => None,
        })
        .flatten()
}

/// The bytes of a byte array that lies in a record.
pub(crate) fn bytes_of(record: RecordView<'_>, container: Container) -> Result<Vec<u8>> {
    match record.item(container, 0)? {
        Node::Scalar(encoded) => match Scalar::decode(encoded)? {
            Scalar::Bytes(bytes) => Ok(bytes.into_owned()),
            _ => Err(Error::corrupted("a byte array holds no bytes")),
        },
        _ => Err(Error::corrupted("a byte array holds no bytes")),
    }
}

/// The ordered bytes of a member, and whether it equals nothing, not even itself.
fn ordered_of(key: &Key<'_>) -> Result<(KeyBytes, bool)> {
    let mut ordered = KeyBytes::new();
    if key.encode(&mut ordered).is_ok() {
        return Ok((ordered, false));
    }
    ordered.clear();
    key.encode_allowing_nan(&mut ordered)?;
    Ok((ordered, true))
}

fn is_resized(container: Container, arrangement: &Arrangement<'_>) -> bool {
    match arrangement {
        Arrangement::Elements(elements) => elements.len() != container.len(),
        Arrangement::Items(items) => items.len() != container.len(),
        Arrangement::Bytes(_) => true,
    }
}

/// How many elements a container had that it has no more; of a byte array's bytes a change counts as one.
fn removed_by(container: Container, arrangement: &Arrangement<'_>) -> u64 {
    let is_kept = |pick: &Pick<'_>| matches!(pick, Pick::Old(_));
    let kept = match arrangement {
        Arrangement::Elements(elements) => elements.iter().filter(|element| is_kept(element)).count(),
        Arrangement::Items(items) => items.iter().filter(|(_, value)| is_kept(value)).count(),
        Arrangement::Bytes(_) => 0,
    };
    container.len().saturating_sub(kept) as u64
}

fn check_range(at: usize, len: usize, of: usize) -> Result<usize> {
    at.checked_add(len).filter(|end| *end <= of).ok_or_else(|| outside(at.saturating_add(len), of))
}

fn check_order(order: &[u64], len: u64) -> Result<()> {
    let mut seen = vec![false; order.len()];
    let is_order = order.len() as u64 == len
        && order
            .iter()
            .all(|at| seen.get_mut(*at as usize).is_some_and(|seen| !std::mem::replace(seen, true)));
    if is_order {
        return Ok(());
    }
    Err(Error::InvalidKey(format!("the order of {len} elements has to name each position once")))
}

pub(crate) fn outside(at: usize, len: usize) -> Error {
    Error::InvalidKey(format!("position {at} is past the end of a container of {len}"))
}

fn wrong_kind(kind: ContainerKind) -> Error {
    Error::Unsupported(format!("a {kind:?} can't be changed in that way"))
}
