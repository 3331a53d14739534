//! The only place that names the locks, channels and atomics that the engine uses.

pub(crate) use std::sync::{
    Arc, Once, OnceLock, Weak,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};
use std::time::Duration;

pub(crate) use crossbeam_channel as channel;
pub(crate) use parking_lot::{Mutex, MutexGuard, RwLock};

/// A condition variable whose waits always have a limit.
#[derive(Debug, Default)]
pub(crate) struct Condvar(parking_lot::Condvar);

impl Condvar {
    /// Waits for a notification, for at most so long.
    pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, limit: Duration) {
        let _ = self.0.wait_for(guard, limit);
    }

    /// Wakes all who wait.
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}
