//! How a value gets its place: as one record, or, when something in it is too long for one, as several.

use std::collections::{HashMap, HashSet};

use super::{
    change::bytes_of,
    changes::Changes,
    entry::EntryKey,
    long::{elements::Elements, place::Place, sequence, table},
    objects::{Pick, in_entry, long_containers, open_record, record_frame},
    write::{Placing, SymbolNames, WriteState},
};
use crate::{
    error::{Error, Result},
    format::{
        builder::{Draft, DraftKind, Numbers, UnresolvedRecord, ValueBuilder},
        copy::{Copier, Placed},
        frame::{self, Frame, Kind},
        record::{Container, ContainerKind, Node, ObjectId, RecordView, Reference, Slot},
        word::Word,
    },
    store::{Table, WriteTables},
};

/// A value of more than this, in bytes, that can change is not taken into the record of a container that it is put into.
const APART_FROM: usize = 2 * 1024;
/// A record of more slots than this takes no other mutable containers in.
const MOST_SLOTS: usize = 512;
/// The elements of long containers that can change are put together into records of about this size, in bytes.
const GROUP: usize = 2 * 1024;

impl<T: WriteTables> WriteState<T> {
    /// Places a value that goes under a key; answers what is to be stored there, and `None` when that is what stands there
    /// already.
    pub(crate) fn place(&mut self, key: &EntryKey, draft: Draft) -> Result<Option<Vec<u8>>> {
        let form = key.form();
        let builder = match draft.0 {
            DraftKind::Scalar(encoded) => {
                return Ok(Some(match self.share(&encoded)? {
                    Some(id) => {
                        let id = id.to_le_bytes();
                        Frame { form, has_shared: true, ..Frame::new(Kind::Shared, &id) }.encode()
                    }
                    None => Frame { form, ..Frame::new(Kind::Scalar, &encoded) }.encode(),
                }));
            }
            DraftKind::Archive(payload) => {
                return Ok(Some(Frame { form, ..Frame::new(Kind::Archive, &payload) }.encode()));
            }
            DraftKind::Numbers(numbers) => return self.place_numbers(numbers, form).map(Some),
            DraftKind::Record(builder) => builder,
        };
        let root = builder.root_object()?;
        if let Some(reference) = root
            && self.is_root_of_entry(key, reference)?
        {
            return Ok(None);
        }
        self.export_all(&builder)?;
        if let Some(reference) = root {
            return Ok(Some(reference_frame(reference, form)));
        }
        let names_nothing = builder.foreign().is_empty();
        let is_short = !builder.may_be_long();
        let front = frame::front(form);
        let (mut bytes, has_shared) = builder.archive_behind(&front, &mut Placing { state: self })?;
        let parted = if is_short { None } else { self.split(&bytes[front.len()..])? };
        match parted {
            None if names_nothing && !has_shared => {
                frame::seal(&mut bytes, Frame { form, ..Frame::new(Kind::Record, &[]) });
                Ok(Some(bytes))
            }
            None => record_frame(&bytes[front.len()..], form).map(Some),
            Some(Parted::Record(payload)) => record_frame(&payload, form).map(Some),
            Some(Parted::Object(reference)) => Ok(Some(reference_frame(reference, form))),
        }
    }

    /// Stores a small record under a key, as [`WriteState::put`] does.
    pub(crate) fn put_unresolved(&mut self, key: &EntryKey, record: &UnresolvedRecord<'_>) -> Result<bool> {
        let form = key.form();
        let placed = record.archive_behind(&frame::front(form), &mut Placing { state: self })?;
        let Some(mut bytes) = placed else {
            return self.put(key, Draft(DraftKind::Record(Box::new(record.builder()?))));
        };
        frame::seal(&mut bytes, Frame { form, ..Frame::new(Kind::Record, &[]) });
        self.put_frame(key, &bytes)
    }

    /// Places a long list that is the whole value of an entry, as [`WriteState::part`] would place it if it came in a record.
    fn place_numbers(&mut self, numbers: Numbers, form: Option<&[u8]>) -> Result<Vec<u8>> {
        let kind = ContainerKind::List;
        let id = ObjectId { record: self.new_record(), slot: 0 };
        let mut builder = ValueBuilder::of_record(id.record, vec![Slot { kind, ..Slot::GONE }]);
        let root = builder.refer(Reference { kind, id })?;
        let payload = self.archive(builder.ended(root))?;
        let elements = match numbers {
            Numbers::Ints(ints) => Elements::Ints(ints),
            Numbers::Floats(floats) => Elements::Floats(floats),
        };
        sequence::create(self, Place::new(id), kind, &elements)?;
        record_frame(&payload, form)
    }

    /// Whether an object is the whole value of the entry under a key, as in `m[k] += x`, which stores it again.
    fn is_root_of_entry(&self, key: &EntryKey, reference: Reference) -> Result<bool> {
        match in_entry(self, reference.id.record, Some(key.ordered()))? {
            Some((_, stored)) => Ok(open_record(stored)?.1.root_slot()? == Some(reference.id.slot)),
            None => Ok(false),
        }
    }

    /// Sees to it that the objects can be referred to that a value refers to.
    fn export_all(&mut self, builder: &ValueBuilder) -> Result<()> {
        for (id, seen) in builder.foreign() {
            self.export(*id, seen.as_deref())?;
        }
        Ok(())
    }

    /// The archive of a record whose building has ended.
    pub(crate) fn archive(&mut self, builder: ValueBuilder) -> Result<Vec<u8>> {
        Ok(builder.archive(&mut Placing { state: self })?.0)
    }

    /// The word of a value that is put into a container of a record that is being written anew.
    pub(crate) fn draft_word(&mut self, into: &mut ValueBuilder, draft: &Draft) -> Result<Word> {
        let builder = match &draft.0 {
            DraftKind::Scalar(encoded) => return into.encoded(encoded),
            DraftKind::Archive(_) => return Err(archive_inside()),
            DraftKind::Numbers(_) => None,
            DraftKind::Record(builder) => Some(builder),
        };
        if let Some(builder) = builder {
            for (id, seen) in builder.foreign() {
                if into.id() == Some(id.record) {
                    self.refer(*id)?;
                } else {
                    self.export(*id, seen.as_deref())?;
                }
            }
            let is_apart = !builder.slots().is_empty()
                && (builder.weight() > APART_FROM || into.slots().len() + builder.slots().len() > MOST_SLOTS);
            if !is_apart {
                return into.merge(builder);
            }
        }
        let names = self.symbol_names();
        let payload = self.tuple_of(&[Pick::Value(draft)])?;
        let source = RecordView::access(&payload)?;
        let tuple = source.root_container()?;
        Copier::new(source, &names).copy(into, source.item(tuple, 0)?, &mut |_, _| Err(not_apart()))
    }

    /// The archive of a tuple of values, with references where mutable containers were.
    pub(crate) fn tuple_of(&mut self, values: &[Pick<'_>]) -> Result<Vec<u8>> {
        let mut outer = ValueBuilder::new();
        let (root, block) = outer.tuple(values.len())?;
        for (index, value) in values.iter().enumerate() {
            let word = match value {
                Pick::Member(key) => outer.member(key)?,
                Pick::Value(Draft(DraftKind::Scalar(encoded))) => outer.encoded(encoded)?,
                Pick::Value(Draft(DraftKind::Record(builder))) => {
                    self.export_all(builder)?;
                    outer.merge(builder)?
                }
                Pick::Value(Draft(DraftKind::Numbers(numbers))) => outer.merge(&numbers.in_record()?)?,
                Pick::Value(Draft(DraftKind::Archive(_))) | Pick::Old(_) => return Err(archive_inside()),
            };
            outer.set_item(block, index, word);
        }
        let payload = self.archive(outer.ended(root))?;
        if RecordView::access(&payload)?.slots() == 0 {
            return Ok(payload);
        }
        match self.part(&payload)? {
            Parted::Record(payload) => Ok(payload),
            Parted::Object(_) => Err(not_apart()),
        }
    }

    /// Places a fresh record as several, when a container in it is too long; answers what is left of it.
    fn split(&mut self, payload: &[u8]) -> Result<Option<Parted>> {
        if long_containers(RecordView::access(payload)?)?.is_empty() {
            Ok(None)
        } else {
            self.part(payload).map(Some)
        }
    }

    /// Places a fresh record as several.
    fn part(&mut self, payload: &[u8]) -> Result<Parted> {
        let source = RecordView::access(payload)?;
        let root = source.root_container()?;
        let mut partition = Partition::new(source);
        partition.assign(root, &mut || self.new_record())?;
        // What something else in the value refers to has to be among the objects; so its root is referred to as well.
        let mut apart = None;
        if partition.groups[0].slots.iter().any(|slot| slot.exported) {
            let id = partition.id_of(root)?;
            partition.groups[0].slots[id.slot as usize].exported = true;
            apart = Some(Parted::Object(Reference { kind: root.kind, id }));
        }
        let names = self.symbol_names();
        let mut left = None;
        for (number, group) in partition.groups.iter().enumerate() {
            let payload = self.archive_group(&partition, number, &names, (number == 0).then_some(root))?;
            if number == 0 && apart.is_none() {
                left = Some(Parted::Record(payload));
                continue;
            }
            self.write(Table::Objects, &group.id.to_be_bytes(), &record_frame(&payload, None)?)?;
        }
        for group in &partition.groups {
            for (slot, _) in group.slots.iter().enumerate().filter(|(_, slot)| slot.exported) {
                // One of the references is what the slot says already.
                self.link(ObjectId { record: group.id, slot: slot as u32 }, -1);
            }
        }
        for container in &partition.long {
            let id = partition.id_of(*container)?;
            self.store_long(source, *container, id, &mut |child| partition.id_of(child))?;
        }
        apart.or(left).ok_or_else(not_apart)
    }

    fn archive_group(
        &mut self,
        partition: &Partition<'_>,
        number: usize,
        names: &SymbolNames,
        root: Option<Container>,
    ) -> Result<Vec<u8>> {
        let group = &partition.groups[number];
        let mut builder = ValueBuilder::of_record(group.id, group.slots.clone());
        let mut copier = Copier::new(partition.source, names);
        let mut place = |builder: &mut ValueBuilder, container: Container| {
            let id = partition.id_of(container)?;
            if id.record != group.id || partition.is_long(container) {
                return builder.refer(Reference { kind: container.kind, id }).map(Placed::Elsewhere);
            }
            let (word, block) = builder.at_slot(id.slot, container.kind, container.len())?;
            Ok(Placed::Here(word, block))
        };
        let word = match root {
            Some(root) => copier.copy(&mut builder, Node::Container(root), &mut place)?,
            None => builder.none(),
        };
        for container in &group.roots {
            copier.copy(&mut builder, Node::Container(*container), &mut place)?;
        }
        self.archive(builder.ended(word))
    }

    /// Writes the parts of a container that is too long for its record; `id_of` tells which objects its elements are.
    pub(crate) fn store_long(
        &mut self,
        source: RecordView<'_>,
        container: Container,
        id: ObjectId,
        id_of: &mut dyn FnMut(Container) -> Result<ObjectId>,
    ) -> Result<()> {
        let names = self.symbol_names();
        let place = Place::new(id);
        let mut refer = |builder: &mut ValueBuilder, child: Container| {
            let reference = Reference { kind: child.kind, id: id_of(child)? };
            builder.refer(reference).map(Placed::Elsewhere)
        };
        match container.kind {
            ContainerKind::ByteArray => {
                let bytes = Elements::Bytes(bytes_of(source, container)?);
                sequence::create(self, place, container.kind, &bytes)
            }
            ContainerKind::List => {
                let elements = if let Some(ints) = source.ints(container)? {
                    Elements::Ints(ints)
                } else {
                    let nodes = (0..container.len()).map(|index| source.item(container, index));
                    Elements::of(source, nodes, &names, &mut refer)?
                };
                sequence::create(self, place, container.kind, &elements)
            }
            ContainerKind::Dict | ContainerKind::Set => {
                table::create(self, place, container.kind)?;
                let members = (0..container.len()).map(|index| {
                    let value = match container.kind {
                        ContainerKind::Dict => Some(source.value(container, index)?),
                        _ => None,
                    };
                    Ok((source.item(container, index)?, value))
                });
                table::extend(self, place, source, &names, members, &mut refer)
            }
            ContainerKind::Tuple | ContainerKind::FrozenSet | ContainerKind::Instance => {
                Err(Error::corrupted("a container is long that can't change"))
            }
        }
    }
}

fn reference_frame(reference: Reference, form: Option<&[u8]>) -> Vec<u8> {
    let payload = reference.encode();
    Frame { form, has_links: true, ..Frame::new(Kind::Object, &payload) }.encode()
}

fn archive_inside() -> Error {
    Error::Unsupported("an archive of a type of its own can only be the whole value of an entry".into())
}

pub(super) fn not_apart() -> Error {
    Error::corrupted("a mutable container is left where only references should be")
}

/// What is left of a record that was placed as several.
pub(crate) enum Parted {
    Record(Vec<u8>),
    /// It lies among the objects.
    Object(Reference),
}

/// Which containers of a fresh record go into which record.
struct Partition<'a> {
    source: RecordView<'a>,
    groups: Vec<Group>,
    /// The group and slot of each mutable container, by position.
    assigned: HashMap<u32, (usize, u32)>,
    long: Vec<Container>,
    long_places: HashSet<u32>,
}

/// A record to be.
struct Group {
    id: u64,
    slots: Vec<Slot>,
    /// Containers that nothing in the group may lead to.
    roots: Vec<Container>,
    weight: usize,
}

impl<'a> Partition<'a> {
    fn new(source: RecordView<'a>) -> Self {
        Self {
            source,
            groups: Vec::new(),
            assigned: HashMap::new(),
            long: Vec::new(),
            long_places: HashSet::new(),
        }
    }

    fn id_of(&self, container: Container) -> Result<ObjectId> {
        let (group, slot) = *self.assigned.get(&container.position()).ok_or_else(not_apart)?;
        Ok(ObjectId { record: self.groups[group].id, slot })
    }

    fn is_long(&self, container: Container) -> bool {
        self.long_places.contains(&container.position())
    }

    /// Decides about everything that the root leads to. The first group is that of the root, which has no containers of its
    /// own when the root itself can't change.
    fn assign(&mut self, root: Container, new_id: &mut dyn FnMut() -> u64) -> Result<()> {
        let is_spread = root.slot().is_none();
        let id = if is_spread { 0 } else { self.source.id() };
        self.groups.push(Group { id, slots: Vec::new(), roots: Vec::new(), weight: 0 });
        let mut next = 0;
        if is_spread {
            self.spread(root, new_id)?;
        } else {
            self.take_in(root, 0);
            self.explore(root, 0)?;
        }
        while next < self.long.len() {
            let container = self.long[next];
            next += 1;
            if container.kind != ContainerKind::ByteArray {
                self.spread(container, new_id)?;
            }
        }
        Ok(())
    }

    fn take_in(&mut self, container: Container, group: usize) {
        let slots = &mut self.groups[group].slots;
        self.assigned.insert(container.position(), (group, slots.len() as u32));
        slots.push(Slot { kind: container.kind, ..Slot::GONE });
    }

    /// Takes everything into a group that a container leads to, but what is in another one.
    fn explore(&mut self, container: Container, group: usize) -> Result<()> {
        let mut seen = HashSet::new();
        let mut pending = vec![container];
        while let Some(container) = pending.pop() {
            if container.kind.is_mutable() && self.source.is_long(container)? {
                if self.long_places.insert(container.position()) {
                    self.long.push(container);
                }
                continue;
            }
            self.groups[group].weight += 8 + 8 * container.words();
            let mut next = 0;
            while let Some((at, child)) = self.source.next_container(container, next)? {
                next = at + 1;
                if !child.kind.is_mutable() {
                    if seen.insert(child.position()) {
                        pending.push(child);
                    }
                    continue;
                }
                match self.assigned.get(&child.position()) {
                    None => {
                        self.take_in(child, group);
                        pending.push(child);
                    }
                    Some((other, slot)) if *other != group => {
                        let (other, slot) = (*other, *slot);
                        self.export(child, other, slot);
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    fn export(&mut self, container: Container, group: usize, slot: u32) {
        let group = &mut self.groups[group];
        if !std::mem::replace(&mut group.slots[slot as usize].exported, true) {
            group.roots.push(container);
        }
    }

    /// Takes the mutable containers that a long one refers to, or one that can't change, into groups of their own.
    fn spread(&mut self, container: Container, new_id: &mut dyn FnMut() -> u64) -> Result<()> {
        let mut current = None;
        let mut seen = HashSet::new();
        let mut pending = vec![(container, 0)];
        while let Some((container, from)) = pending.pop() {
            let mut next = from;
            while let Some((at, child)) = self.source.next_container(container, next)? {
                next = at + 1;
                if !child.kind.is_mutable() {
                    if seen.insert(child.position()) {
                        // In the order of the elements, so that neighbours stay neighbours.
                        pending.push((container, next));
                        pending.push((child, 0));
                        break;
                    }
                    continue;
                }
                if let Some((group, slot)) = self.assigned.get(&child.position()).copied() {
                    self.export(child, group, slot);
                    continue;
                }
                let group = match current {
                    Some(group) if self.is_roomy(group) => group,
                    _ => {
                        self.groups.push(Group {
                            id: new_id(),
                            slots: Vec::new(),
                            roots: Vec::new(),
                            weight: 0,
                        });
                        self.groups.len() - 1
                    }
                };
                current = Some(group);
                self.take_in(child, group);
                let slot = self.groups[group].slots.len() as u32 - 1;
                self.export(child, group, slot);
                self.explore(child, group)?;
            }
        }
        Ok(())
    }

    fn is_roomy(&self, group: usize) -> bool {
        self.groups[group].weight < GROUP && self.groups[group].slots.len() < MOST_SLOTS
    }
}
