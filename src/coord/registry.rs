//! One value for each key in a process, of which a new one is made only after the old one is wholly gone.

use super::gate::Wait;
use crate::sync::{Condvar, Mutex};

/// What there is for a key.
pub(crate) enum Found<T> {
    /// A share of the value that others use too.
    Shared(T),
    /// Nothing. The caller has to make it, and then call [`Registry::made`], or [`Registry::gone`] when that failed.
    Absent,
}

/// The values that are in use, each under its key.
///
/// Invariant: a key has its place from the moment when someone sets out to make its value until the value is gone; an
/// empty place means that it is being made. Whoever changes a place wakes those who wait.
#[derive(Debug)]
pub(crate) struct Registry<K, V> {
    places: Mutex<Vec<(K, Option<V>)>>,
    changed: Condvar,
}

impl<K, V> Default for Registry<K, V> {
    fn default() -> Self {
        Self { places: Mutex::default(), changed: Condvar::default() }
    }
}

impl<K: PartialEq + Clone, V> Registry<K, V> {
    /// Waits while the value is being made or ended; `wait` is asked before every wait. `None` when it gave up.
    ///
    /// `share` answers `None` when the last user of the value is just ending it. It runs under the lock.
    pub(crate) fn find<T>(
        &self,
        key: &K,
        mut share: impl FnMut(&V) -> Option<T>,
        mut wait: impl FnMut() -> Wait,
    ) -> Option<Found<T>> {
        let mut places = self.places.lock();
        let mut asked = None;
        loop {
            let Some((_, value)) = places.iter().find(|(other, _)| other == key) else {
                places.push((key.clone(), None));
                return Some(Found::Absent);
            };
            if let Some(shared) = value.as_ref().and_then(&mut share) {
                return Some(Found::Shared(shared));
            }
            // The callback may take locks of its own, so it never runs under this one, and then all is looked at anew.
            if let Some(limit) = asked.take() {
                places = self.changed.wait_for(places, limit);
                continue;
            }
            drop(places);
            let Wait::For(limit) = wait() else { return None };
            asked = Some(limit);
            places = self.places.lock();
        }
    }

    /// The caller, who found nothing, has made the value.
    pub(crate) fn made(&self, key: &K, value: V) {
        let mut places = self.places.lock();
        if let Some((_, place)) = places.iter_mut().find(|(other, _)| other == key) {
            *place = Some(value);
        }
        drop(places);
        self.changed.notify_all();
    }

    /// The value was wholly ended, or could not be made.
    pub(crate) fn gone(&self, key: &K) {
        self.places.lock().retain(|(other, _)| other != key);
        self.changed.notify_all();
    }
}
