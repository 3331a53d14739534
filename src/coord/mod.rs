//! Who may go first: pure state machines without storage, which loom checks as they stand.

pub(crate) mod collection;
pub(crate) mod deferral;
pub(crate) mod gate;
pub(crate) mod generation;
pub(crate) mod group;
pub(crate) mod idle;
pub(crate) mod registry;
pub(crate) mod tasks;
