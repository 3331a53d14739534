//! Moments: whether what was read a while ago would still be read now, told without reading.

use super::read_transaction::ReadTransaction;
use crate::{
    store::Store,
    sync::Arc,
    txn::{core::Core, read::Pin, shared_write::SharedWrite},
};

/// A moment at which plain reads of a map saw one version. It pins nothing.
#[derive(Clone, Debug)]
pub struct Moment {
    core: Arc<Core>,
    store: Arc<Store>,
    txn_id: u64,
}

impl Moment {
    pub(super) fn of(pin: &Pin) -> Self {
        let snapshot = pin.pinned.snapshot();
        Self { core: Arc::clone(&pin.core), store: Arc::clone(snapshot.store()), txn_id: snapshot.txn_id() }
    }

    /// Whether a plain read of this thread would still see that version: nothing was committed or deferred since, the thread
    /// has no transaction open, and this is no fork of the process.
    #[inline]
    pub fn is_now(&self) -> bool {
        self.store.newest_txn_id() == self.txn_id
            && self.store.is_current()
            && !self.core.has_gathered()
            && !self.core.is_participating()
            && !self.core.is_inherited()
    }
}

impl ReadTransaction {
    /// The moment at which this version is the newest one.
    pub fn moment(&self) -> Moment {
        Moment::of(self.pin())
    }
}

impl SharedWrite {
    /// Whether the transaction is open, belongs to this thread whatever its task, and has changed nothing since it had made so
    /// many changes.
    #[inline]
    pub fn is_as_after(&self, changes: u64) -> bool {
        self.is_own() && self.task() == 0 && self.changes().is_ok_and(|now| now == changes)
    }
}
