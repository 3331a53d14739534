//! Read transactions: one committed version, pinned for as long as anyone holds it.

use std::ops::Bound;

use super::{core::Core, entry, scan::Span, write::read_header};
use crate::{
    error::Result,
    format::header::Header,
    store::{ReadTables, Snapshot, Store, Table},
    sync::Arc,
};

/// A pinned version with its header.
#[derive(Debug)]
pub(crate) struct Pinned {
    snapshot: Snapshot,
    header: Header,
}

impl Pinned {
    pub(crate) fn begin(store: &Arc<Store>) -> Result<Self> {
        let snapshot = store.snapshot()?;
        let header = read_header(&snapshot)?;
        Ok(Self { snapshot, header })
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
