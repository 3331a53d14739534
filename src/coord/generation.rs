//! Which generation of the data file is current while a vacuum, of another process maybe, puts another in its place.
//!
//! The processes share a sequence number: odd while a swap is under way, even otherwise, and another one after each
//! swap. Only who holds the gate changes it.

use crate::sync::{AtomicU64, Ordering};

/// Whether no swap is under way.
pub(crate) fn is_stable(sequence: u64) -> bool {
    sequence.is_multiple_of(2)
}

/// Pins or locks the current generation.
///
/// `current` answers with this process's generation and the number that was read before it was looked for, or while
/// the gate was held. `begin` is called only for a generation that is current, and what it began counts only if the
/// generation still is: while a writer waited for its turn it may have been swapped. Otherwise that is dropped and
/// `refresh`, which may wait for the gate, has to find the current one.
pub(crate) fn enter<G, T, E>(
    sequence: &AtomicU64,
    mut current: impl FnMut() -> (G, u64),
    mut begin: impl FnMut(&G) -> Result<T, E>,
    mut refresh: impl FnMut() -> Result<(), E>,
) -> Result<(G, T), E> {
    loop {
        let (generation, seen) = current();
        let is_current = || is_stable(seen) && sequence.load(Ordering::SeqCst) == seen;
        if is_current() {
            let held = begin(&generation)?;
            if is_current() {
                return Ok((generation, held));
            }
            drop(held);
        }
        refresh()?;
    }
}

/// Publishes another generation, then makes that last.
///
/// The caller holds the gate and the writer lock of the current generation, and no swap is left to recover. If nothing
/// is published the swap is over: all look again what is. If it can't be made to last, or something panics, the swap is
/// left to [`recover`], as if this process had died.
pub(crate) fn swap<E>(
    sequence: &AtomicU64,
    publish: impl FnOnce() -> Result<(), E>,
    settle: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    sequence.fetch_or(1, Ordering::SeqCst);
    let published = publish();
    if published.is_ok() {
        settle()?;
    }
    sequence.fetch_add(1, Ordering::SeqCst);
    published
}

/// Ends the swap of a process that died, if there is one.
///
/// The caller holds the gate, so no swap is under way. While `settle` fails no one can begin anything.
pub(crate) fn recover<E>(sequence: &AtomicU64, settle: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    if !is_stable(sequence.load(Ordering::SeqCst)) {
        settle()?;
        sequence.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}
