//! The keys of dicts that were met of late, so that those that come again need not be looked at.

use std::cell::Cell;

use oocmap::Name;
use pyo3::{prelude::*, types::PyString};

/// How many keys are remembered in each table; a power of two.
const SIZE: usize = 512;

thread_local!(static SPARE: Cell<Option<MetNames>> = const { Cell::new(None) });

/// Keys that this thread has met.
#[derive(Default)]
pub(super) struct MetNames {
    /// Those that came again as the same object, each in the place that its address gives it.
    same: Box<[Option<Known>]>,
    /// All of late, each in the place that its hash gives it.
    met: Box<[Option<Met>]>,
}

/// A key, and what it is to the engine.
type Known = (Py<PyString>, Name);

/// A key that was met.
struct Met {
    /// The last object that it was.
    key: Py<PyString>,
    /// What it is to the engine, when it was met again.
    name: Option<Name>,
}

impl MetNames {
    /// Those that the thread's last conversion left, unless that one is still under way.
    pub(super) fn take() -> Self {
        SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default()
    }

    /// Leaves them to the thread's next conversion.
    pub(super) fn leave(self) {
        // A thread that ends has no other one.
        let _ = SPARE.try_with(|spare| spare.set(Some(self)));
    }

    /// The name of a key that was met before.
    #[inline]
    pub(super) fn of(&mut self, key: &Bound<'_, PyString>) -> Option<Name> {
        match self.same.get(place(key)) {
            Some(Some((known, name))) if known.is(key) => Some(*name),
            _ => self.meet(key),
        }
    }

    /// The name of a key that is another object, as the keys are of what was parsed, or was not met twice.
    #[inline(never)]
    fn meet(&mut self, key: &Bound<'_, PyString>) -> Option<Name> {
        if self.same.is_empty() {
            self.same = std::iter::repeat_with(|| None).take(SIZE).collect();
            self.met = std::iter::repeat_with(|| None).take(SIZE).collect();
        }
        let text = key.to_str().ok()?;
        // A key of a dict has its hash with it.
        let met = &mut self.met[key.hash().ok()?.cast_unsigned() % SIZE];
        let Some(known) = met.as_mut().filter(|known| known.is(key, text)) else {
            *met = Some(Met { key: key.clone().unbind(), name: None });
            return None;
        };
        known.name = known.name.or_else(|| Name::of(text));
        let name = known.name?;
        if known.key.is(key) {
            self.same[place(key)] = Some((key.clone().unbind(), name));
        } else {
            known.key = key.clone().unbind();
        }
        Some(name)
    }
}

impl Met {
    fn is(&self, key: &Bound<'_, PyString>, text: &str) -> bool {
        match self.name {
            _ if self.key.is(key) => true,
            Some(name) => name.text() == text,
            None => self.key.bind(key.py()).to_str().is_ok_and(|known| known == text),
        }
    }
}

/// The place that the address of a key gives it; objects lie 16 bytes apart, or more.
#[inline]
fn place(key: &Bound<'_, PyString>) -> usize {
    (key.as_ptr() as usize >> 4) % SIZE
}
