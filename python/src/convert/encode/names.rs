//! The keys of dicts that were met of late, so that those that come again need not be looked at.

use std::cell::Cell;

use oocmap::Name;
use pyo3::{prelude::*, types::PyString};

/// How many keys are remembered; a power of two.
const SIZE: usize = 512;

thread_local!(static SPARE: Cell<Option<Box<[Option<Met>]>>> = const { Cell::new(None) });

/// Keys that this thread has met, each in the place that its hash gives it.
pub(super) struct MetNames(Box<[Option<Met>]>);

/// A key that was met.
struct Met {
    key: Py<PyString>,
    /// What it is to the engine, when it was met again.
    name: Option<Name>,
}

impl MetNames {
    /// Those that the thread's last conversion left, unless that one is still under way.
    pub(super) fn take() -> Self {
        Self(SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default())
    }

    /// Leaves them to the thread's next conversion.
    pub(super) fn leave(self) {
        // A thread that ends has no other one.
        let _ = SPARE.try_with(|spare| spare.set(Some(self.0)));
    }

    /// The name of a key that was met before.
    #[inline]
    pub(super) fn of(&mut self, key: &Bound<'_, PyString>) -> Option<Name> {
        if self.0.is_empty() {
            self.0 = std::iter::repeat_with(|| None).take(SIZE).collect();
        }
        // A key of a dict has its hash with it.
        let place = &mut self.0[key.hash().ok()?.cast_unsigned() % SIZE];
        match place {
            Some(Met { key: known, name: Some(name) }) if known.is(key) => Some(*name),
            _ => Self::meet(place, key),
        }
    }

    /// The name of a key that is another object, as the keys are of what was parsed, or was not met twice.
    #[inline(never)]
    fn meet(place: &mut Option<Met>, key: &Bound<'_, PyString>) -> Option<Name> {
        let text = key.to_str().ok()?;
        match place {
            Some(Met { name: Some(name), .. }) if name.text() == text => return Some(*name),
            Some(Met { key: known, name: name @ None })
                if known.bind(key.py()).to_str().is_ok_and(|known| known == text) =>
            {
                *name = Name::of(text);
                return *name;
            }
            _ => {}
        }
        *place = Some(Met { key: key.clone().unbind(), name: None });
        None
    }
}
