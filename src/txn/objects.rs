//! Records that hold objects: where they lie, how they are written anew, and what becomes of what nothing leads to.

use std::collections::BTreeSet;

use super::{
    changes::Changes,
    entry::{self, TableKey},
    live::{Live, Seen},
    long::{
        place::{Place, kind_of},
        sequence, table,
    },
    write::{SymbolNames, WriteState},
};
use crate::{
    coord::collection,
    error::{Error, Result},
    format::{
        builder::{Block, Draft, ValueBuilder},
        copy::{Copier, Placed, ordered_member},
        frame::{Frame, Kind},
        key::{Key, KeyBytes},
        record::{Container, ContainerKind, Node, ObjectId, RecordView, Reference, Slot},
        scalar::Scalar,
        word::Word,
    },
    store::{ReadTables, Table, WriteTables},
};

/// Where a record lies.
#[derive(Clone, Debug)]
pub(crate) enum Home {
    /// In an entry, which nothing else refers to.
    Entry(TableKey),
    /// In the objects table.
    Objects,
}

/// Finds a record, which is under the key that it was last seen under, in the objects table, or where a rollback put it.
pub(crate) fn find_record<'t>(
    tables: &'t impl ReadTables,
    live: &Live,
    record: u64,
    seen: Option<&[u8]>,
) -> Result<Option<(Home, &'t [u8])>> {
    if let Some(found) = in_entry(tables, record, seen)? {
        return Ok(Some(found));
    }
    if let Some(stored) = tables.get(Table::Objects, &record.to_be_bytes())? {
        return Ok(Some((Home::Objects, stored)));
    }
    in_entry(tables, record, live.home(record).as_deref())
}

/// A record, when it is under a key.
pub(crate) fn in_entry<'t>(
    tables: &'t impl ReadTables,
    record: u64,
    ordered: Option<&[u8]>,
) -> Result<Option<(Home, &'t [u8])>> {
    if let Some(ordered) = ordered
        && let Some((table_key, stored)) = entry::find(tables, ordered)?
        && record_of(&Frame::decode(stored)?)? == record
    {
        return Ok(Some((Home::Entry(table_key), stored)));
    }
    Ok(None)
}

/// The id of the record that a frame holds; zero for none.
pub(crate) fn record_of(frame: &Frame<'_>) -> Result<u64> {
    if frame.kind == Kind::Record { Ok(RecordView::access(frame.payload)?.id()) } else { Ok(0) }
}

/// The record in stored bytes that have to be one.
pub(crate) fn open_record(stored: &[u8]) -> Result<(Frame<'_>, RecordView<'_>)> {
    let frame = Frame::decode(stored)?;
    if frame.kind != Kind::Record {
        return Err(Error::corrupted("an object is no record"));
    }
    Ok((frame, RecordView::access(frame.payload)?))
}

/// An element of a container that is being written anew.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pick<'c> {
    /// One that it had, by its position; of a dict's item, the key or the value.
    Old(usize),
    /// Another value.
    Value(&'c Draft),
    /// Another key or member.
    Member(&'c Key<'static>),
}

/// The elements of a container that is being written anew.
#[derive(Debug)]
pub(crate) enum Arrangement<'c> {
    /// Of a list or set.
    Elements(Vec<Pick<'c>>),
    /// Of a dict: keys and values.
    Items(Vec<(Pick<'c>, Pick<'c>)>),
    /// Of a byte array.
    Bytes(Vec<u8>),
}

impl Arrangement<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Elements(elements) => elements.len(),
            Self::Items(items) => items.len(),
            Self::Bytes(_) => 1,
        }
    }
}

/// A record that is being written anew.
struct Rewrite<'a> {
    source: RecordView<'a>,
    builder: ValueBuilder,
    copier: Copier<'a, SymbolNames>,
    names: &'a SymbolNames,
}

impl<'a> Rewrite<'a> {
    /// Begins; of each slot its flags outlast.
    fn new(source: RecordView<'a>, names: &'a SymbolNames, mut slots: Vec<Slot>) -> Self {
        for slot in &mut slots {
            slot.position = 0;
        }
        let mut builder = ValueBuilder::of_record(source.id(), slots);
        builder.make_room(source.extent());
        Self { source, builder, copier: Copier::new(source, names), names }
    }

    /// Copies something of the old record, in which every container keeps its slot.
    fn copy(&mut self, node: Node<'a>) -> Result<Word> {
        self.copier.copy(&mut self.builder, node, &mut |builder, container| {
            let slot = container.slot().ok_or_else(no_slot)?;
            let (word, block) = builder.at_slot(slot, container.kind, container.len())?;
            Ok(Placed::Here(word, block))
        })
    }

    /// Whether the container of a slot is part of the new record, or something in it leads outside to it.
    fn has(&self, slot: u32) -> Result<bool> {
        Ok(self.builder.slots()[slot as usize].position != 0
            || self.source.at_slot(slot)?.is_none() && self.builder.reached().contains(&slot))
    }

    /// Copies the container of a slot, unless it is there already.
    fn keep(&mut self, slot: u32) -> Result<()> {
        if !self.has(slot)? {
            let node = self.source.slot_node(slot)?;
            self.copy(node)?;
        }
        Ok(())
    }

    /// Copies what new values lead to that were not part of what leads to it otherwise.
    fn keep_reached(&mut self) -> Result<()> {
        let mut next = 0;
        while let Some(slot) = self.builder.reached().get(next).copied() {
            next += 1;
            if (slot as usize) < self.source.slots() {
                self.keep(slot)?;
            }
        }
        Ok(())
    }

    /// Copies what is referred to from outside.
    fn keep_exported(&mut self) -> Result<()> {
        for slot in 0..self.source.slots() as u32 {
            if self.builder.slots()[slot as usize].exported {
                self.keep(slot)?;
            }
        }
        Ok(())
    }
}

fn no_slot() -> Error {
    Error::corrupted("a mutable container has no slot")
}

/// What a record's slots say.
pub(crate) fn slots_of(record: RecordView<'_>) -> Result<Vec<Slot>> {
    (0..record.slots() as u32).map(|number| record.slot(number)).collect()
}

/// The containers of a record that are too long for it.
pub(crate) fn long_containers(record: RecordView<'_>) -> Result<Vec<Container>> {
    let mut long = Vec::new();
    for number in 0..record.slots() as u32 {
        if let Some(container) = record.at_slot(number)?
            && record.is_long(container)?
        {
            long.push(container);
        }
    }
    Ok(long)
}

/// The mutable containers that a container refers to, through immutable ones too.
fn mutable_children(record: RecordView<'_>, container: Container) -> Result<BTreeSet<u32>> {
    let mut children = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut pending = vec![container];
    while let Some(container) = pending.pop() {
        for at in 0..container.words() {
            match record.element(container, at)? {
                Node::Container(child) => match child.slot() {
                    Some(slot) => {
                        children.insert(slot);
                    }
                    None if seen.insert(child.position()) => pending.push(child),
                    None => {}
                },
                Node::Object(reference) if reference.id.record == record.id() => {
                    children.insert(reference.id.slot);
                }
                _ => {}
            }
        }
    }
    Ok(children)
}

impl<T: WriteTables> WriteState<T> {
    /// Writes a record anew: with what its root leads to, if it is in an entry, what is referred to from outside, and what
    /// this process has handles to. The rest is let go.
    pub(crate) fn rewrite(
        &mut self,
        home: &Home,
        seen: &Seen,
        stored: &[u8],
        slots: Option<Vec<Slot>>,
        edit: Option<(u32, &Arrangement<'_>)>,
    ) -> Result<()> {
        let (frame, source) = open_record(stored)?;
        let record = source.id();
        let slots = slots.map_or_else(|| slots_of(source), Ok)?;
        let names = self.symbol_names();
        let mut rewrite = Rewrite::new(source, &names, slots);
        if let Some((slot, arrangement)) = edit {
            let container = source.at_slot(slot)?.ok_or(Error::Stale)?;
            let (word, block) = rewrite.builder.at_slot(slot, container.kind, arrangement.len())?;
            rewrite.copier.place(container, word);
            self.arrange(&mut rewrite, container, block, arrangement)?;
            for slot in rewrite.builder.reached() {
                self.check_there(source, *slot)?;
            }
        }
        let with_root = matches!(home, Home::Entry(_));
        let root = if with_root { rewrite.copy(source.root()?)? } else { rewrite.builder.none() };
        if with_root {
            // In an entry only handles keep what the root doesn't lead to, and those of this process have to be known.
            rewrite.keep_reached()?;
            self.keep_live(&mut rewrite, seen)?;
        }
        rewrite.keep_exported()?;
        for slot in self.awaited(record) {
            // Said at once, since what nothing seems to lead to doesn't count as referring to anything.
            self.mark_exported(record, slot, rewrite.builder.slots_mut());
            rewrite.keep(slot)?;
        }
        rewrite.keep_reached()?;
        self.keep_live(&mut rewrite, seen)?;
        rewrite.keep_reached()?;
        let builder = rewrite.builder;
        let kept: BTreeSet<u32> = builder.reached().iter().copied().collect();
        if !with_root && kept.is_empty() && builder.slots().iter().all(|slot| slot.position == 0) {
            self.erase(Table::Objects, &record.to_be_bytes())?;
        } else {
            self.note_fresh(record, source.slots() as u32..builder.slots().len() as u32);
            let builder = builder.ended(root);
            let may_name = builder.may_name();
            let payload = self.archive(builder)?;
            self.put_record(home, frame.form, &payload, may_name)?;
        }
        if frame.has_links {
            for slot in source.named()?.outside {
                if !kept.contains(&slot) {
                    self.free_parts(Place::new(ObjectId { record, slot }))?;
                }
            }
        }
        Ok(())
    }

    /// Lets a slot say that something refers to it; one of the references that are counted is that from now on.
    fn mark_exported(&mut self, record: u64, slot: u32, slots: &mut [Slot]) {
        if !std::mem::replace(&mut slots[slot as usize].exported, true) {
            self.link(ObjectId { record, slot }, -1);
        }
    }

    /// Whether the container of a slot exists.
    pub(super) fn is_there(&self, record: RecordView<'_>, slot: u32) -> Result<bool> {
        let place = Place::new(ObjectId { record: record.id(), slot });
        Ok((slot as usize) < record.slots()
            && (record.at_slot(slot)?.is_some() || self.get(Table::Objects, place.header())?.is_some()))
    }

    /// Refuses what is gone.
    fn check_there(&self, record: RecordView<'_>, slot: u32) -> Result<()> {
        if self.is_there(record, slot)? { Ok(()) } else { Err(Error::Stale) }
    }

    /// Gives the elements of a container their places.
    fn arrange(
        &mut self,
        rewrite: &mut Rewrite<'_>,
        container: Container,
        block: Block,
        arrangement: &Arrangement<'_>,
    ) -> Result<()> {
        match arrangement {
            Arrangement::Bytes(bytes) => {
                let word = rewrite.builder.bytes_in_place(bytes)?;
                rewrite.builder.set_item(block, 0, word);
            }
            Arrangement::Elements(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    let word = self.member_word(rewrite, container, block, index, *element)?;
                    rewrite.builder.set_item(block, index, word);
                }
            }
            Arrangement::Items(items) => {
                for (index, (key, value)) in items.iter().enumerate() {
                    let key = self.member_word(rewrite, container, block, index, *key)?;
                    rewrite.builder.set_item(block, index, key);
                    let value = match value {
                        Pick::Old(at) => rewrite.copy(rewrite.source.value(container, *at)?)?,
                        Pick::Value(draft) => self.draft_word(&mut rewrite.builder, draft)?,
                        Pick::Member(key) => rewrite.builder.member(key)?,
                    };
                    rewrite.builder.set_value(block, index, value);
                }
            }
        }
        Ok(())
    }

    /// The word of an element, member or key, which an index is told of.
    fn member_word(
        &mut self,
        rewrite: &mut Rewrite<'_>,
        container: Container,
        block: Block,
        index: usize,
        pick: Pick<'_>,
    ) -> Result<Word> {
        match pick {
            Pick::Value(draft) => self.draft_word(&mut rewrite.builder, draft),
            Pick::Old(at) => {
                let node = rewrite.source.item(container, at)?;
                if block.is_indexed() {
                    let ordered = ordered_member(rewrite.source, node, rewrite.names)?;
                    rewrite.builder.index(block, index, &ordered);
                }
                rewrite.copy(node)
            }
            Pick::Member(key) => {
                if block.is_indexed() {
                    let mut ordered = KeyBytes::new();
                    key.encode_allowing_nan(&mut ordered)?;
                    rewrite.builder.index(block, index, &ordered);
                }
                match key {
                    Key::Scalar(Scalar::Str(name)) if container.kind == ContainerKind::Dict => {
                        rewrite.builder.name(name, block)
                    }
                    key => rewrite.builder.member(key),
                }
            }
        }
    }

    /// Keeps what only handles of this process lead to, and remembers it as theirs.
    fn keep_live(&mut self, rewrite: &mut Rewrite<'_>, seen: &Seen) -> Result<()> {
        let (source, record) = (rewrite.source, rewrite.source.id());
        let mut live = self.memory().live.slots(record);
        if live.contains(&Live::WHOLE) {
            live = (0..source.slots() as u32).collect();
        }
        for slot in live {
            if !self.is_there(source, slot)?
                || rewrite.has(slot)?
                || !collection::may_change(self, ObjectId { record, slot })?
            {
                continue;
            }
            rewrite.keep(slot)?;
            rewrite.builder.slots_mut()[slot as usize].exported = true;
            self.note_orphan(ObjectId { record, slot }, seen.clone());
        }
        Ok(())
    }

    /// Stores a record; containers go out that became too long for it.
    fn put_record(&mut self, home: &Home, form: Option<&[u8]>, payload: &[u8], may_name: bool) -> Result<()> {
        let long = long_containers(RecordView::access(payload)?)?;
        if long.is_empty() {
            return self.store_record(home, form, payload, may_name);
        }
        let (payload, has_exports) = self.evict(payload, &long)?;
        self.store_record(home, form, &payload, true)?;
        if has_exports && let Home::Entry(table_key) = home {
            self.move_out(table_key)?;
        }
        Ok(())
    }

    fn store_record(
        &mut self,
        home: &Home,
        form: Option<&[u8]>,
        payload: &[u8],
        may_name: bool,
    ) -> Result<()> {
        let frame = |form| {
            if may_name {
                return record_frame(payload, form);
            }
            Ok(Frame { form, ..Frame::new(Kind::Record, payload) }.encode())
        };
        match home {
            Home::Entry(table_key) => self.write(Table::Entries, table_key, &frame(form)?),
            Home::Objects => {
                let record = RecordView::access(payload)?.id();
                self.write(Table::Objects, &record.to_be_bytes(), &frame(None)?)
            }
        }
    }

    /// Moves the contents of long containers out of a record; answers the record that is left, and whether they refer to
    /// it.
    fn evict(&mut self, payload: &[u8], long: &[Container]) -> Result<(Vec<u8>, bool)> {
        let source = RecordView::access(payload)?;
        let record = source.id();
        let names = self.symbol_names();
        let mut slots = slots_of(source)?;
        let mut has_exports = false;
        for container in long {
            let slot = container.slot().ok_or_else(no_slot)?;
            self.store_long(source, *container, ObjectId { record, slot }, &mut |child| {
                let slot = child.slot().ok_or_else(no_slot)?;
                Ok(ObjectId { record, slot })
            })?;
            for child in mutable_children(source, *container)? {
                has_exports = true;
                self.mark_exported(record, child, &mut slots);
            }
        }
        let mut rewrite = Rewrite::new(source, &names, slots);
        for container in long {
            let slot = container.slot().ok_or_else(no_slot)?;
            let reference = Reference { kind: container.kind, id: ObjectId { record, slot } };
            let word = rewrite.builder.refer(reference)?;
            rewrite.copier.place(*container, word);
        }
        let root = rewrite.copy(source.root()?)?;
        rewrite.keep_exported()?;
        Ok((self.archive(rewrite.builder.ended(root))?, has_exports))
    }

    /// Moves a record from its entry to the objects table, so that other places can refer to its objects.
    pub(crate) fn move_out(&mut self, table_key: &[u8]) -> Result<()> {
        let stored = self
            .get(Table::Entries, table_key)?
            .ok_or_else(|| Error::corrupted("an entry went away while it was being changed"))?
            .to_vec();
        let (frame, source) = open_record(&stored)?;
        let record = source.id();
        let mut slots = slots_of(source)?;
        let (root, children) = match source.root()? {
            Node::Container(root) if root.slot().is_none() => (Err(root), mutable_children(source, root)?),
            Node::Container(Container { kind, .. }) | Node::Object(Reference { kind, .. })
                if kind.is_mutable() =>
            {
                let slot = source.root_slot()?.ok_or_else(no_slot)?;
                (Ok(Reference { kind, id: ObjectId { record, slot } }), BTreeSet::from([slot]))
            }
            _ => return Err(Error::corrupted("the root of a record is no container")),
        };
        // What remains in the entry.
        let entry = if let Ok(reference) = root {
            let payload = reference.encode();
            Frame { form: frame.form, has_links: true, ..Frame::new(Kind::Object, &payload) }.encode()
        } else {
            let names = self.symbol_names();
            let mut builder = ValueBuilder::new();
            let mut refer = |builder: &mut ValueBuilder, child: Container| {
                let id = ObjectId { record, slot: child.slot().ok_or_else(no_slot)? };
                builder.refer(Reference { kind: child.kind, id }).map(Placed::Elsewhere)
            };
            let word = Copier::new(source, &names).copy(&mut builder, source.root()?, &mut refer)?;
            record_frame(&self.archive(builder.ended(word))?, frame.form)?
        };
        self.write(Table::Entries, table_key, &entry)?;
        self.note_moved_out(record, entry::ordered_of(table_key, &stored)?);
        for slot in children {
            self.mark_exported(record, slot, &mut slots);
        }
        self.rewrite(&Home::Objects, &None, &stored, Some(slots), None)
    }

    /// Makes sure that an object can be referred to from anywhere.
    pub(crate) fn export(&mut self, id: ObjectId, seen: Option<&[u8]>) -> Result<()> {
        let Some((home, stored)) = find_record(self, &self.memory().live, id.record, seen)? else {
            return Err(Error::Stale);
        };
        self.check_there(open_record(stored)?.1, id.slot)?;
        self.refer(id)?;
        match home {
            Home::Objects => Ok(()),
            Home::Entry(table_key) => self.move_out(&table_key),
        }
    }

    /// Lets the value of an entry go that was replaced or deleted; what handles of this process name outlives it.
    pub(crate) fn let_entry_go(&mut self, stored: &[u8], seen: Option<&[u8]>) -> Result<()> {
        let frame = Frame::decode(stored)?;
        let record = record_of(&frame)?;
        if record == 0 {
            return Ok(());
        }
        if !self.memory().live.slots(record).is_empty() {
            let seen = seen.map(Into::into);
            return self.rewrite(&Home::Objects, &seen, stored, None, None);
        }
        if frame.has_links {
            for slot in open_record(stored)?.1.named()?.outside {
                self.free_parts(Place::new(ObjectId { record, slot }))?;
            }
        }
        Ok(())
    }

    /// Erases all parts of a long container, if there is one.
    fn free_parts(&mut self, place: Place) -> Result<()> {
        let Some(header) = self.get(Table::Objects, place.header())? else { return Ok(()) };
        match kind_of(header)? {
            ContainerKind::List | ContainerKind::ByteArray => sequence::free(self, place),
            _ => table::free(self, place),
        }
    }
}

/// The frame of a record.
pub(crate) fn record_frame(payload: &[u8], form: Option<&[u8]>) -> Result<Vec<u8>> {
    let named = RecordView::access(payload)?.named()?;
    let frame = Frame {
        form,
        has_shared: !named.shared.is_empty(),
        has_links: named.has_links(),
        ..Frame::new(Kind::Record, payload)
    };
    Ok(frame.encode())
}
