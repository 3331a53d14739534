//! What the engine's `sync` offers to `coord`, over loom's primitives.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use loom::sync::atomic::AtomicUsize;
pub use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub use std::sync::Arc;

/// From here on a wait is taken to last for ever: it ends with a notification only.
const FOR_EVER: Duration = Duration::from_mins(1);

loom::lazy_static! {
    // Loom has to see it: where threads touch nothing that others touch, it tries one order only.
    static ref PHASE: AtomicUsize = AtomicUsize::new(0);
}

/// Grows when a wait with a time limit begins and when it ends, and so is odd in between. No more than one thread of a
/// model may have such waits.
pub fn phase() -> usize {
    // A mere load may answer with an old number.
    PHASE.fetch_add(0, Ordering::AcqRel)
}

fn next_phase() {
    PHASE.fetch_add(1, Ordering::AcqRel);
}

/// A lock without poisoning.
#[derive(Debug, Default)]
pub struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A lock that is free.
    pub fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    /// Waits until the lock is free.
    ///
    /// # Panics
    ///
    /// When another thread of the model has panicked, which ends the model anyway.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { lock: self, held: self.0.lock().expect("no thread has panicked") }
    }
}

/// A lock that is held.
#[derive(Debug)]
pub struct MutexGuard<'a, T> {
    lock: &'a Mutex<T>,
    held: loom::sync::MutexGuard<'a, T>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.held
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.held
    }
}

/// A condition variable.
#[derive(Debug)]
pub struct Condvar(loom::sync::Condvar);

impl Default for Condvar {
    fn default() -> Self {
        Self(loom::sync::Condvar::new())
    }
}

impl Condvar {
    /// Waits for a notification. Loom has no time: a short wait ends by itself, whether the others had a turn or not,
    /// and a long one never does.
    ///
    /// # Panics
    ///
    /// As [`Mutex::lock`].
    pub fn wait_for<'a, T>(&self, guard: MutexGuard<'a, T>, limit: Duration) -> MutexGuard<'a, T> {
        let MutexGuard { lock, held } = guard;
        if limit >= FOR_EVER {
            return MutexGuard { lock, held: self.0.wait(held).expect("no thread has panicked") };
        }
        next_phase();
        drop(held);
        let guard = lock.lock();
        next_phase();
        guard
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}
