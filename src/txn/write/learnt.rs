//! What is to be remembered once a write transaction is committed.

use crate::{
    format::record::ObjectId,
    sync::Arc,
    txn::{live::Seen, memory::Memory},
};

/// What a transaction leaves behind in memory.
pub(crate) struct Learnt {
    pub(super) memory: Arc<Memory>,
    pub(super) first_name: u32,
    pub(super) names: Arc<Vec<Arc<str>>>,
    pub(super) orphans: Vec<(ObjectId, Seen)>,
    pub(super) adopted: Vec<ObjectId>,
    pub(super) first_record: u64,
    pub(super) fresh_slots: Vec<ObjectId>,
    pub(super) is_vacuum_due: bool,
}

impl Learnt {
    /// Tells the handles of what the transaction made that it never was.
    pub(crate) fn forget(self) {
        self.memory.live.end();
        self.memory.live.take_back(self.first_record, &self.fresh_slots);
    }

    /// Remembers it; the transaction is committed.
    pub(crate) fn remember(self) {
        self.memory.live.end();
        self.memory.adopt(self.first_name, &self.names);
        self.memory.note_vacuum_due(self.is_vacuum_due);
        if !self.adopted.is_empty() {
            self.memory.live.adopt(self.adopted);
        }
        if !self.orphans.is_empty() {
            self.memory.live.add_orphans(self.orphans);
        }
    }
}
