//! Whether a version is still the newest one, told by the few words that say so, each of them close at hand.

use super::{control::Swaps, lmdb::Store, snapshot::Snapshot};
use crate::{coord::generation::is_stable, sync::Arc};

/// A version that was the newest one of its map. It pins nothing.
#[derive(Clone, Debug)]
pub(crate) struct Newest {
    store: Arc<Store>,
    txn_id: u64,
    swaps: Swaps,
    /// How many swaps there had been when the store was the current generation.
    seen: u64,
}

impl Newest {
    /// The version of a snapshot. `None` when it lies in no generation that could be the current one.
    pub(crate) fn of(snapshot: &Snapshot) -> Option<Self> {
        let (store, txn_id) = (snapshot.store(), snapshot.txn_id());
        let seen = store.seen();
        let swaps = store.swaps().clone();
        is_stable(seen).then(|| Self { store: Arc::clone(store), txn_id, swaps, seen })
    }

    /// Whether it is the newest one now.
    #[inline]
    pub(crate) fn is_still(&self) -> bool {
        // The count of swaps never comes back to what it was, so while it is the same the store is still the current one.
        self.store.newest_txn_id() == self.txn_id && self.swaps.count() == self.seen
    }
}
