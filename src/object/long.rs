//! Containers that are too long for a record, as they are at one moment, and where parts of them lie.

use rustc_hash::FxHashMap;

use super::container::Tables;
use crate::{
    error::{Error, Result},
    format::record::{ContainerKind, ObjectId},
    store::{Location, Snapshot},
    sync::Mutex,
    txn::{
        change::{Stamp, outside},
        long::{place::Place, sequence},
    },
};

/// Of so many leaves and branches at most it is remembered where they lie: those of 2 million integers or doubles, in about
/// 200 KB.
const MOST_NODES: usize = 4096;

/// A container that is too long for a record.
#[derive(Debug)]
pub struct Long {
    id: ObjectId,
    kind: ContainerKind,
    len: u64,
    stamp: Stamp,
    /// What is known of a list or byte array that was read in a version.
    sequence: Option<Sequence>,
}

/// A version of a file: the number of LMDB's transaction that made it, and that of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version(u64, u32);

impl Version {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self(snapshot.txn_id(), snapshot.store().id())
    }
}

/// A list or byte array in one version.
#[derive(Debug)]
struct Sequence {
    version: Version,
    header: sequence::Header,
    /// Where nodes lie, by their numbers: LMDB would look for each of them from the root of its own tree.
    nodes: Mutex<FxHashMap<u32, Location>>,
}

impl Sequence {
    /// As [`sequence::leaf`], in the version.
    fn leaf<'t>(
        &self,
        snapshot: &'t Snapshot,
        place: Place,
        index: u64,
        again: bool,
    ) -> Result<(u64, &'t [u8])> {
        // Who comes while another thread is here need not wait, and a fork of the process may find it locked for ever.
        let mut nodes = self.nodes.try_lock();
        sequence::leaf_by(&self.header, index, |number, is_leaf| {
            if let Some(location) = nodes.as_ref().and_then(|nodes| nodes.get(&number)) {
                return snapshot.at(*location);
            }
            let stored = sequence::node(snapshot, place, number)?;
            if let Some(nodes) = &mut nodes
                && (again || !is_leaf)
                && let Some(location) = snapshot.locate(stored)
            {
                if nodes.len() == MOST_NODES {
                    nodes.clear();
                }
                nodes.insert(number, location);
            }
            Ok(stored)
        })
    }
}

impl Long {
    /// A list or byte array.
    pub(super) fn of_sequence(
        id: ObjectId,
        stamp: Stamp,
        header: sequence::Header,
        version: Option<Version>,
    ) -> Self {
        let sequence = version.map(|version| Sequence { version, header, nodes: Mutex::default() });
        Self { id, kind: header.kind, len: header.len, stamp, sequence }
    }

    /// A dict or set.
    pub(super) fn of_table(id: ObjectId, stamp: Stamp, kind: ContainerKind, len: u64) -> Self {
        Self { id, kind, len, stamp, sequence: None }
    }

    /// Which object it is.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// What it is.
    pub fn kind(&self) -> ContainerKind {
        self.kind
    }

    /// How many elements, items, members or bytes it has.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What tells later whether it still is the same.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The leaf of a list or byte array that has an element: the index of its first one, and its stored bytes. `again` says
    /// whether the leaf is likely to be read again.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged; `InvalidKey` past the end; `Stale` when it is gone.
    pub(super) fn leaf<'t>(
        &self,
        tables: &'t Tables<'_>,
        index: u64,
        again: bool,
    ) -> Result<(u64, &'t [u8])> {
        let within = |len| if index < len { Ok(()) } else { Err(outside(index as usize, len as usize)) };
        let place = Place::new(self.id);
        if let (Some(snapshot), Some(sequence)) = (tables.snapshot(), &self.sequence)
            && sequence.version == Version::of(snapshot)
        {
            within(sequence.header.len)?;
            return sequence.leaf(snapshot, place, index, again);
        }
        let header = sequence::header(tables, place)?.ok_or(Error::Stale)?;
        within(header.len)?;
        sequence::leaf(tables, place, &header, index)
    }
}
