//! What only one at a time may use, and who comes meanwhile is told so instead of waiting.

use std::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicBool, Ordering},
};

/// Something that is in use or not. A mutex would be locked and unlocked by an exchange each; this takes but one.
pub(crate) struct Exclusive<T> {
    is_used: AtomicBool,
    value: UnsafeCell<T>,
}

#[expect(unsafe_code, reason = "the compiler can't know what `is_used` keeps apart")]
// SAFETY: the value is reached through a `Use` only, and of those `try_use` makes but one at a time; so it goes from
// thread to thread as if it were sent.
unsafe impl<T: Send> Sync for Exclusive<T> {}

/// The right to use it.
pub(crate) struct Use<'a, T>(&'a Exclusive<T>);

impl<T> Exclusive<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { is_used: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Uses it, unless someone does already.
    #[inline]
    pub(crate) fn try_use(&self) -> Option<Use<'_, T>> {
        (!self.is_used.swap(true, Ordering::Acquire)).then(|| Use(self))
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
