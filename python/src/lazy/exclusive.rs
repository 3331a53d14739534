//! What only one at a time may use, and who comes meanwhile is told so instead of waiting.

use std::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicBool, Ordering},
};

use pyo3::Python;

/// Something that is in use or not. A mutex would be locked and unlocked by an exchange each; this needs none where the
/// interpreter has a lock.
pub(crate) struct Exclusive<T> {
    is_used: AtomicBool,
    value: UnsafeCell<T>,
}

#[expect(unsafe_code, reason = "the compiler can't know what `is_used` keeps apart")]
// SAFETY: the value is reached through a `Use` only, and of those `try_use`, which takes the interpreter or an exchange,
// makes but one at a time; so it goes from thread to thread as if it were sent.
unsafe impl<T: Send> Sync for Exclusive<T> {}

/// The right to use it.
pub(crate) struct Use<'a, T>(&'a Exclusive<T>);

impl<T> Exclusive<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { is_used: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Uses it, unless someone does already.
    #[inline]
    pub(crate) fn try_use(&self, _: Python<'_>) -> Option<Use<'_, T>> {
        (!self.was_used()).then(|| Use(self))
    }

    /// Notes that it is used, and answers whether it was already.
    #[inline]
    #[cfg(not(Py_GIL_DISABLED))]
    fn was_used(&self) -> bool {
        // Who has the interpreter is alone between the two.
        let was_used = self.is_used.load(Ordering::Acquire);
        self.is_used.store(true, Ordering::Relaxed);
        was_used
    }

    /// Notes that it is used, and answers whether it was already.
    #[inline]
    #[cfg(Py_GIL_DISABLED)]
    fn was_used(&self) -> bool {
        self.is_used.swap(true, Ordering::Acquire)
    }
}

impl<T> Deref for Use<'_, T> {
    type Target = T;

    #[inline]
    #[expect(unsafe_code, reason = "the compiler can't know what `is_used` keeps apart")]
    fn deref(&self) -> &T {
        // SAFETY: this is the only `Use` that there is, by `try_use`, and it is borrowed.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Use<'_, T> {
    #[inline]
    #[expect(unsafe_code, reason = "the compiler can't know what `is_used` keeps apart")]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this is the only `Use` that there is, by `try_use`, and it is borrowed mutably.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Use<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.is_used.store(false, Ordering::Release);
    }
}
