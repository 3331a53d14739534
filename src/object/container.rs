//! Mutable containers as a reader finds them: in a record, or, when they are long, in parts of their own.

use std::ops::Bound;

use super::{
    held::Held,
    long::{Long, Version},
    read_transaction::ReadTransaction,
    write_transaction::WriteTransaction,
};
use crate::{
    error::{Error, Result},
    format::{
        frame::Frame,
        key::{Key, KeyBytes},
        record::{Container, ContainerKind, Node, ObjectId, RecordView},
    },
    store::{Direction, HomeProcess, ReadTables, Snapshot, Table},
    sync::Arc,
    txn::{
        change::{Located, Position, Stamp, bytes_of, locate},
        live::{Live, Token},
        long::{
            elements::Elements,
            leaf::Leaf,
            place::{Place, kind_of},
            sequence,
            table::{self, Chunk},
        },
        memory::Memory,
        shared_write::SharedWrite,
    },
};

/// Keeps an object for as long as this lives in the process, even when its key is deleted or overwritten.
#[derive(Debug)]
pub struct Hold {
    memory: Arc<Memory>,
    id: ObjectId,
    token: Arc<Token>,
    /// The process that holds it.
    home: HomeProcess,
}

impl Hold {
    pub(crate) fn new(memory: &Arc<Memory>, id: ObjectId) -> Self {
        let token = memory.live.hold(id);
        Self { memory: Arc::clone(memory), id, token, home: memory.live.owner() }
    }

    /// Which object it is; the slot is `u32::MAX` for all objects of the record.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Whether it belongs to the process of which this one is a fork.
    #[inline]
    pub fn is_inherited(&self) -> bool {
        self.home.is_inherited()
    }

    /// Holds the same object in a fork of the process, whose own map this is.
    pub(crate) fn again(&self, memory: &Arc<Memory>) -> Result<Self> {
        if self.is_taken_back() || self.memory.live.is_pending(self.id) {
            return Err(Error::Stale);
        }
        Ok(Self::new(memory, self.id))
    }

    /// Whether the transaction was rolled back that made it.
    pub fn is_taken_back(&self) -> bool {
        self.token.is_taken_back()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !self.is_inherited() {
            self.memory.live.let_go(self.id, &self.token);
        }
    }
}

/// A container, as it is at one moment.
#[derive(Debug)]
pub enum ContainerView {
    /// It lies in a record.
    Record(Held, Container),
    /// It lies in parts of its own.
    Long(Long),
}

impl ContainerView {
    /// What it is.
    pub fn kind(&self) -> ContainerKind {
        match self {
            Self::Record(_, container) => container.kind,
            Self::Long(long) => long.kind(),
        }
    }

    /// How many elements, items, members or bytes it has.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is damaged.
    pub fn len(&self) -> Result<u64> {
        match self {
            Self::Record(held, container) if container.kind == ContainerKind::ByteArray => {
                bytes_of(held.record()?, *container).map(|bytes| bytes.len() as u64)
            }
            Self::Record(_, container) => Ok(container.len() as u64),
            Self::Long(long) => Ok(long.len()),
        }
    }

    /// Whether it has none.
    ///
    /// # Errors
    ///
    /// As [`ContainerView::len`].
    pub fn is_empty(&self) -> Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// What tells later whether it still is the same.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is damaged.
    pub fn stamp(&self) -> Result<Stamp> {
        match self {
            Self::Record(held, _) => held.stamp(),
            Self::Long(long) => Ok(long.stamp()),
        }
    }
}

/// Some neighbouring elements of a long list or byte array.
#[derive(Debug)]
pub struct Run {
    /// The position of the first.
    pub first: u64,
    /// The elements.
    pub elements: RunElements,
}

/// The elements of a [`Run`].
#[derive(Debug)]
pub enum RunElements {
    /// Integers.
    Ints(Vec<i64>),
    /// Doubles.
    Floats(Vec<f64>),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Anything: the elements of a tuple in a record.
    Mixed(Arc<Held>, Container),
}

impl RunElements {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Ints(ints) => ints.len(),
            Self::Floats(floats) => floats.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Mixed(_, tuple) => tuple.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An element of a long list or byte array.
#[derive(Debug)]
pub enum Element {
    /// An integer, or a byte.
    Int(i64),
    /// A double.
    Float(f64),
    /// Anything: an element of a tuple in a record.
    Mixed(Arc<Held>, Container, usize),
}

/// Some neighbouring items of a long dict, or members of a long set, in the order of insertion.
#[derive(Debug)]
pub struct Members {
    held: Arc<Held>,
    tuple: Container,
    kind: ContainerKind,
    sequence: Vec<u64>,
}

impl Members {
    fn open(kind: ContainerKind, own: u64, stored: &[u8], keep: Keep<'_>) -> Result<Self> {
        let chunk = Chunk::open(own, stored)?;
        let sequence = (0..chunk.len()).map(|index| chunk.seq(index)).collect::<Result<_>>()?;
        let frame = Frame::decode(stored)?;
        let tuple = RecordView::access(frame.payload)?.root_container()?;
        Ok(Self { held: Arc::new(keep(stored)?), tuple, kind, sequence })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sequence.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sequence.is_empty()
    }

    /// The record that they lie in, which nodes are read with.
    pub fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// The place of one in the order of insertion.
    pub fn position(&self, index: usize) -> Position {
        Position::Sequence(self.sequence[index])
    }

    /// The tuple that they lie in.
    pub fn tuple(&self) -> Container {
        self.tuple
    }

    /// The place of a key or member in the tuple.
    pub fn key_index(&self, index: usize) -> usize {
        self.stride() * index + 2
    }

    /// The place of a value in the tuple.
    pub fn value_index(&self, index: usize) -> usize {
        self.stride() * index + 3
    }

    /// The key or member.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is damaged.
    pub fn key(&self, index: usize) -> Result<Node<'_>> {
        self.held.record()?.item(self.tuple, self.key_index(index))
    }

    /// The value of an item.
    ///
    /// # Errors
    ///
    /// `Corrupted` when it is damaged; `InvalidKey` for the members of a set.
    pub fn value(&self, index: usize) -> Result<Node<'_>> {
        if self.kind != ContainerKind::Dict {
            return Err(Error::InvalidKey("only dicts have values".into()));
        }
        self.held.record()?.item(self.tuple, self.value_index(index))
    }

    fn stride(&self) -> usize {
        if self.kind == ContainerKind::Dict { 3 } else { 2 }
    }
}

/// Keeps a record that was read, given what is stored.
pub type Keep<'a> = &'a dyn Fn(&[u8]) -> Result<Held>;

/// The tables of a version or of a write transaction.
pub struct Tables<'a> {
    inner: &'a dyn ReadTables,
    live: &'a Live,
    /// The version that they are of.
    snapshot: Option<&'a Snapshot>,
}

impl std::fmt::Debug for Tables<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tables")
    }
}

impl<'a> Tables<'a> {
    pub(crate) fn new(tables: &'a dyn ReadTables, memory: &'a Memory) -> Self {
        Self { inner: tables, live: &memory.live, snapshot: None }
    }

    fn of_version(read: &'a ReadTransaction) -> Self {
        let snapshot = read.snapshot();
        Self { inner: snapshot, live: &read.memory().live, snapshot: Some(snapshot) }
    }

    /// The version that they are of.
    pub(super) fn snapshot(&self) -> Option<&'a Snapshot> {
        self.snapshot
    }
}

impl ReadTables for Tables<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<&[u8]>> {
        self.inner.get(table, key)
    }

    fn len(&self, table: Table) -> Result<u64> {
        self.inner.len(table)
    }

    fn seek(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        direction: Direction,
    ) -> Result<Option<crate::store::Entry<'_>>> {
        self.inner.seek(table, from, direction)
    }
}

/// What objects can be read from: versions and write transactions.
pub trait ReadObjects {
    /// Reads something, all of it at one moment.
    ///
    /// # Errors
    ///
    /// Those of `work`; `TransactionClosed` when the transaction has ended.
    fn look<R>(&self, work: impl FnOnce(&Tables<'_>, Keep<'_>) -> Result<R>) -> Result<R>;

    /// The container that an object is; `seen` are the ordered bytes of the key that it was last seen under. `None` when it
    /// is gone.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged.
    fn object(&self, id: ObjectId, seen: Option<&[u8]>) -> Result<Option<ContainerView>> {
        self.look(|tables, keep| object_in(tables, keep, id, seen))
    }

    /// An element of a long list or byte array.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged; `InvalidKey` past the end; `Stale` when it is gone.
    fn element(&self, long: &Long, index: u64) -> Result<Element> {
        self.look(|tables, keep| {
            let (first, stored) = long.leaf(tables, index, true)?;
            let frame = Frame::decode(stored)?;
            let at = (index - first) as usize;
            let leaf = Leaf::open(&frame)?;
            if let Leaf::Mixed(_, tuple) = leaf {
                return Ok(Element::Mixed(Arc::new(keep(stored)?), tuple, at));
            }
            match leaf.item(at)? {
                Node::Int(value) => Ok(Element::Int(value)),
                Node::Float(value) => Ok(Element::Float(value)),
                _ => Err(Error::corrupted("a leaf of numbers holds something else")),
            }
        })
    }

    /// The elements of a long list or byte array that lie together with one of them.
    ///
    /// # Errors
    ///
    /// As [`ReadObjects::element`].
    fn run(&self, long: &Long, index: u64) -> Result<Run> {
        self.look(|tables, keep| {
            let (first, stored) = long.leaf(tables, index, false)?;
            let frame = Frame::decode(stored)?;
            let elements = match Leaf::open(&frame)? {
                Leaf::Mixed(_, tuple) => RunElements::Mixed(Arc::new(keep(stored)?), tuple),
                leaf => match leaf.to_elements(0..leaf.len())? {
                    Elements::Ints(ints) => RunElements::Ints(ints),
                    Elements::Floats(floats) => RunElements::Floats(floats),
                    Elements::Bytes(bytes) => RunElements::Bytes(bytes),
                    Elements::Mixed { .. } => return Err(Error::corrupted("a leaf of numbers is none")),
                },
            };
            Ok(Run { first, elements })
        })
    }

    /// An item of a long dict, or a member of a long set.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged; `InvalidKey` or `TooLarge` for a key that can't be one.
    fn member(&self, long: &Long, key: &Key<'_>) -> Result<Option<(Members, usize)>> {
        let mut ordered = KeyBytes::new();
        if key.encode(&mut ordered).is_err() {
            ordered.clear();
            // NaN may be a member, but it equals nothing, not even itself.
            return key.encode_allowing_nan(&mut ordered).map(|()| None);
        }
        self.look(|tables, keep| match table::find(tables, Place::new(long.id()), &ordered)? {
            None => Ok(None),
            Some(found) => {
                let members = Members::open(long.kind(), found.own, found.chunk, keep)?;
                Ok(Some((members, found.position)))
            }
        })
    }

    /// The items or members of a long dict or set that lie together with the first one from a place on, or with the last
    /// one up to there; and which of them that is.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged.
    fn members(&self, long: &Long, from: u64, backward: bool) -> Result<Option<(Members, usize)>> {
        self.look(|tables, keep| {
            let Some((own, stored)) = table::chunk_from(tables, Place::new(long.id()), from, backward)?
            else {
                return Ok(None);
            };
            let members = Members::open(long.kind(), own, stored, keep)?;
            let at = members.sequence.partition_point(|sequence| *sequence < from);
            let at = if !backward || members.sequence.get(at) == Some(&from) {
                at
            } else {
                at.checked_sub(1)
                    .ok_or_else(|| Error::corrupted("a part of a long dict or set begins late"))?
            };
            Ok(Some((members, at)))
        })
    }
}

/// The container that an object is.
fn object_in(
    tables: &Tables<'_>,
    keep: Keep<'_>,
    id: ObjectId,
    seen: Option<&[u8]>,
) -> Result<Option<ContainerView>> {
    match locate(tables, tables.live, id, seen)? {
        None => Ok(None),
        Some(Located::Inline { stored, container, .. }) => {
            Ok(Some(ContainerView::Record(keep(stored)?, container)))
        }
        Some(Located::Long { stored }) => long_in(tables, id, stored).map(Some),
    }
}

/// The long container that an object is, whose header this is.
fn long_in(tables: &Tables<'_>, id: ObjectId, stored: &[u8]) -> Result<ContainerView> {
    let place = Place::new(id);
    let stamp = Stamp::of_long(Frame::decode(stored)?.payload, tables.live);
    Ok(ContainerView::Long(match kind_of(stored)? {
        ContainerKind::List | ContainerKind::ByteArray => {
            let header = sequence::header(tables, place)?.ok_or(Error::Stale)?;
            Long::of_sequence(id, stamp, header, tables.snapshot.map(Version::of))
        }
        kind => Long::of_table(id, stamp, kind, table::header(tables, place)?.ok_or(Error::Stale)?.len),
    }))
}

impl ReadObjects for ReadTransaction {
    fn look<R>(&self, work: impl FnOnce(&Tables<'_>, Keep<'_>) -> Result<R>) -> Result<R> {
        work(&Tables::of_version(self), &|stored| self.hold(Frame::decode(stored)?.payload))
    }
}

impl ReadObjects for SharedWrite {
    fn look<R>(&self, work: impl FnOnce(&Tables<'_>, Keep<'_>) -> Result<R>) -> Result<R> {
        self.read(|state| {
            work(&Tables::new(state, state.memory()), &|stored| Held::copied(state, stored, None))
        })
    }

    fn object(&self, id: ObjectId, seen: Option<&[u8]>) -> Result<Option<ContainerView>> {
        self.read(|state| {
            if let Some((copy, container)) = state.copied_object(id)? {
                return Ok(Some(ContainerView::Record(Held::of_copy(copy), container)));
            }
            let tables = Tables::new(state, state.memory());
            match locate(&tables, tables.live, id, seen)? {
                None => Ok(None),
                Some(Located::Inline { home, stored, container }) => {
                    let held = Held::copied(state, stored, Some(home))?;
                    Ok(Some(ContainerView::Record(held, container)))
                }
                Some(Located::Long { stored }) => long_in(&tables, id, stored).map(Some),
            }
        })
    }
}

impl ReadObjects for WriteTransaction {
    fn look<R>(&self, work: impl FnOnce(&Tables<'_>, Keep<'_>) -> Result<R>) -> Result<R> {
        let state = self.state()?;
        work(&Tables::new(state, state.memory()), &|stored| Held::copied(state, stored, None))
    }
}

/// What reads: a version, or a write transaction that lives across calls.
#[derive(Clone, Debug)]
pub enum Reader {
    /// A committed version.
    Version(ReadTransaction),
    /// A write transaction, with its own changes.
    Transaction(Arc<SharedWrite>),
}

impl ReadObjects for Reader {
    fn look<R>(&self, work: impl FnOnce(&Tables<'_>, Keep<'_>) -> Result<R>) -> Result<R> {
        match self {
            Self::Version(read) => read.look(work),
            Self::Transaction(transaction) => transaction.look(work),
        }
    }

    fn object(&self, id: ObjectId, seen: Option<&[u8]>) -> Result<Option<ContainerView>> {
        match self {
            Self::Version(read) => read.object(id, seen),
            Self::Transaction(transaction) => transaction.object(id, seen),
        }
    }
}

impl Reader {
    /// Keeps an object for as long as the answer lives.
    ///
    /// # Errors
    ///
    /// `TransactionClosed` when the transaction has ended.
    pub fn keep(&self, id: ObjectId) -> Result<Hold> {
        match self {
            Self::Version(read) => Ok(Hold::new(read.memory(), id)),
            Self::Transaction(transaction) => transaction.read(|state| Ok(Hold::new(state.memory(), id))),
        }
    }
}
