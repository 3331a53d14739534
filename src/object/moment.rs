//! Moments: whether what was read a while ago would still be read now, told without reading.

use super::read_transaction::ReadTransaction;
use crate::{
    store::Newest,
    sync::Arc,
    txn::{core::Core, read::Pin, shared_write::SharedWrite},
};

/// A moment at which plain reads of a map saw one version. It pins nothing.
#[derive(Clone, Debug)]
pub struct Moment {
    core: Arc<Core>,
    newest: Newest,
}

impl Moment {
    pub(super) fn of(pin: &Pin) -> Option<Self> {
        Some(Self { core: Arc::clone(&pin.core), newest: Newest::of(pin.pinned.snapshot())? })
    }

    /// Whether a plain read of this thread would still see that version: nothing was committed or deferred since, the thread
    /// has no transaction open, and this is no fork of the process.
    #[inline]
    pub fn is_now(&self) -> bool {
        self.newest.is_still()
            && !self.core.has_gathered()
            && !self.core.is_participating()
            && !self.core.is_inherited()
    }
}

impl ReadTransaction {
    /// The moment at which this version is the newest one. `None` when it can't be any more.
    pub fn moment(&self) -> Option<Moment> {
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
