//! Read transactions: one committed version, pinned for as long as anyone holds it.

use std::ops::Bound;

use super::{core::Core, entry, scan::Span, write::read_header};
use crate::{
    error::{Error, Result},
    format::header::Header,
    store::{Generations, ReadTables, Snapshot, Table},
    sync::Arc,
};

/// A pinned version with its header.
#[derive(Debug)]
pub(crate) struct Pinned {
    snapshot: Snapshot,
    header: Header,
}

impl Pinned {
    pub(crate) fn new(snapshot: Snapshot) -> Result<Self> {
        let header = read_header(&snapshot)?;
        Ok(Self { snapshot, header })
    }

    /// Names the version for another process: device, inode, identity of the map, number of the version, meta page.
    pub(crate) fn hand_over(&self) -> Vec<u8> {
        let (meta_page, (device, inode)) = self.snapshot.origin();
        let mut handed = Vec::new();
        for number in [device, inode, self.header.version] {
            handed.extend_from_slice(&number.to_le_bytes());
        }
        handed.extend_from_slice(&self.header.identity);
        handed.extend_from_slice(&meta_page);
        handed
    }

    /// Pins the version that another process has named.
    pub(crate) fn follow(generations: &Generations, handed: &[u8]) -> Result<Self> {
        let unknown = || Error::Unsupported("the bytes name no version of a map".into());
        let number = |at: usize| handed.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let (Some(device), Some(inode), Some(version)) = (number(0), number(8), number(16)) else {
            return Err(unknown());
        };
        let identity = handed.get(24..40).ok_or_else(unknown)?;
        let meta_page = handed.get(40..).and_then(|page| page.try_into().ok()).ok_or_else(unknown)?;
        let pinned = Self::new(generations.follow((device, inode), meta_page)?)?;
        if pinned.header.version != version || pinned.header.identity != identity {
            return Err(Error::SnapshotExpired);
        }
        Ok(pinned)
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// How many entries lie within a span; all of them are counted at once, a part is walked.
    pub(crate) fn count(&self, span: &Span) -> Result<u64> {
        if matches!((&span.lower, &span.upper), (Bound::Unbounded, Bound::Unbounded)) {
            return self.snapshot.len(Table::Entries);
        }
        let mut walk =
            super::scan::SnapshotScan::new(&self.snapshot, span.clone(), crate::store::Direction::Forward)?;
        let mut entries = 0;
        while walk.next(&self.snapshot)?.is_some() {
            entries += 1;
        }
        Ok(entries)
    }

    #[inline]
    pub(crate) fn get(&self, ordered: &[u8]) -> Result<Option<&[u8]>> {
        entry::get(&self.snapshot, ordered)
    }
}

/// A version that is pinned, and the map that it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Pin {
    pub(crate) core: Arc<Core>,
    pub(crate) pinned: Arc<Pinned>,
}
