//! Write transactions over tables in memory, for tests.

use super::write::WriteState;
use crate::{
    format::header::{HEADER_KEY, Header},
    store::MemoryTables,
    sync::Arc,
};

pub(super) type State = WriteState<MemoryTables>;

pub(super) fn new_state() -> State {
    let tables = MemoryTables::new(HEADER_KEY, &Header::new([0; 16]).encode());
    State::new(tables, Arc::default()).unwrap()
}

/// Commits, and begins again.
pub(super) fn commit(mut state: State) -> State {
    state.prepare().unwrap();
    let memory = Arc::clone(state.memory());
    let (tables, learnt) = state.finish();
    learnt.remember();
    State::new(tables, memory).unwrap()
}
