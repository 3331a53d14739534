//! What a forked process does with its parent's transactions: nothing at all.
//!
//! A child has its parent's memory, but LMDB's lock file and the locks on it are shared: ending an inherited read
//! transaction would free the slot that pins the parent's version.

use std::sync::Once;

use crate::sync::{AtomicU64, Ordering};

/// How many forks lie between this process and the one that loaded the library.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// A number that differs between a process and the children that it forks.
#[inline]
pub(crate) fn generation() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Begins to count forks.
#[expect(unsafe_code, reason = "the standard library has no hook for forks")]
pub(super) fn watch() {
    extern "C" fn forked() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        // SAFETY: the handler only adds to an atomic number, which may be done at any time in a child.
        let answer = unsafe { libc::pthread_atfork(None, None, Some(forked)) };
        // It only fails without memory for one more entry.
        assert_eq!(answer, 0, "no memory to watch for forks");
    });
}

/// Something that only the process that made it may end.
pub(super) struct Own<T> {
    /// Empty only while it is taken out or dropped.
    value: Option<T>,
    generation: u64,
}

impl<T> Own<T> {
    pub(super) fn new(value: T) -> Self {
        Self { value: Some(value), generation: generation() }
    }

    /// The value; `None` in a child of the process that made it, where it stays as it is.
    pub(super) fn take(mut self) -> Option<T> {
        let value = self.value.take();
        if self.generation == generation() {
            return value;
        }
        std::mem::forget(value);
        None
    }
}

impl<T> std::ops::Deref for Own<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is there until it is taken out or dropped")
    }
}

impl<T> std::ops::DerefMut for Own<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("it is there until it is taken out or dropped")
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        if self.generation != generation() {
            std::mem::forget(self.value.take());
        }
    }
}
