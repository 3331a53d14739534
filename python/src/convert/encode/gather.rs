//! Takes the elements out of containers, of several at once.
//!
//! Objects that were made long ago have to come from memory, which takes longer than to convert them. So the addresses of many
//! are taken first, and the processor is told to fetch what lies there, all at the same time, before any is looked at.

#![expect(
    unsafe_code,
    reason = "PyO3 counts a reference to each element at once, and so waits for one after the other"
)]

use std::ptr;

use oocmap::ContainerKind;
use pyo3::{
    ffi,
    prelude::*,
    types::{PyDict, PyList, PyTuple},
};

use super::{Pending, changed, check_length};

/// About how many elements are taken out of containers at a time. Longer lists and tuples are gone through where they are.
const GATHERED: usize = 256;
/// Room for so many is made at once.
const ROOM: usize = 128;

/// The bytes in front of the characters of a text, which may lie in another line of the cache.
const TEXT_HEADER: usize = 48;

/// Elements that were taken out of containers.
pub(super) struct Gathered<'py> {
    /// How many may be taken at a time, beside those of the first container.
    most: usize,
    addresses: Vec<*mut ffi::PyObject>,
    /// Of dicts, keys and values in turn.
    pub(super) items: Vec<Bound<'py, PyAny>>,
}

/// Whether the elements of a container are taken out before they are converted.
#[inline]
pub(super) fn is_gathered(pending: &Pending<'_>) -> bool {
    match pending.kind {
        ContainerKind::Dict => true,
        ContainerKind::List | ContainerKind::Tuple => pending.block.len() <= GATHERED,
        _ => false,
    }
}

impl Default for Gathered<'_> {
    fn default() -> Self {
        Self { most: GATHERED, addresses: Vec::new(), items: Vec::new() }
    }
}

impl<'py> Gathered<'py> {
    /// Takes the elements out of the first of some containers, and of some more; answers of how many.
    pub(super) fn take(&mut self, py: Python<'py>, pending: &[Pending<'py>]) -> PyResult<usize> {
        self.addresses.clear();
        self.addresses.reserve(ROOM);
        let mut count = 0;
        for pending in pending.iter().take_while(|pending| is_gathered(pending)) {
            self.take_addresses(pending)?;
            count += 1;
            if self.addresses.len() >= self.most {
                break;
            }
        }
        self.items.reserve(self.addresses.len().max(ROOM));
        for address in self.addresses.drain(..) {
            // SAFETY: it was taken from a container that `pending` keeps alive, as this does; nothing has run since then
            // that could have changed one, as the module says that it needs the lock of the interpreter.
            let item = unsafe { Bound::from_borrowed_ptr_or_opt(py, address) };
            // Only who plays with the collector meets a list that is not filled yet.
            let item = item.ok_or_else(|| changed("list"))?;
            fetch_inside(&item);
            self.items.push(item);
        }
        Ok(count)
    }

    /// Lets go of what was taken. When something has run meanwhile that is written in Python, the rest has to be taken once
    /// more, so it is less for some time.
    pub(super) fn end(&mut self, has_run: bool) {
        self.items.clear();
        self.most = if has_run { 0 } else { (2 * self.most + 16).min(GATHERED) };
    }

    fn take_addresses(&mut self, pending: &Pending<'py>) -> PyResult<()> {
        let Pending { container, block, kind, .. } = pending;
        match kind {
            ContainerKind::Dict => {
                let dict = container.cast::<PyDict>()?;
                check_length(dict.len(), *block, "dict")?;
                let (mut place, mut key, mut value) = (0, ptr::null_mut(), ptr::null_mut());
                loop {
                    // SAFETY: it is a dict, and the places are there for what is answered.
                    let more = unsafe {
                        ffi::PyDict_Next(dict.as_ptr(), &raw mut place, &raw mut key, &raw mut value)
                    };
                    if more == 0 {
                        break;
                    }
                    self.add(key);
                    self.add(value);
                }
            }
            ContainerKind::List => {
                let list = container.cast::<PyList>()?;
                check_length(list.len(), *block, "list")?;
                for index in 0..list.len().cast_signed() {
                    // SAFETY: it is a list that is longer than the index.
                    self.add(unsafe { ffi::PyList_GET_ITEM(list.as_ptr(), index) });
                }
            }
            _ => {
                let tuple = container.cast::<PyTuple>()?;
                for index in 0..tuple.len().cast_signed() {
                    // SAFETY: it is a tuple that is longer than the index.
                    self.add(unsafe { ffi::PyTuple_GET_ITEM(tuple.as_ptr(), index) });
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn add(&mut self, address: *mut ffi::PyObject) {
        fetch(address.cast());
        fetch(address.cast::<u8>().wrapping_add(TEXT_HEADER));
        self.addresses.push(address);
    }
}

/// Has what a container is going to be asked for fetched into the cache.
#[inline]
fn fetch_inside(item: &Bound<'_, PyAny>) {
    if item.is_exact_instance_of::<PyDict>() {
        let dict = item.as_ptr().cast::<ffi::PyDictObject>();
        // SAFETY: it is a dict.
        let keys = unsafe { (*dict).ma_keys }.cast::<u8>();
        fetch(keys);
        fetch(keys.wrapping_add(64));
    } else if item.is_exact_instance_of::<PyList>() {
        let list = item.as_ptr().cast::<ffi::PyListObject>();
        // SAFETY: it is a list.
        fetch(unsafe { (*list).ob_item }.cast());
    }
}

/// Has memory fetched into the cache, where the processor can be told so; nothing else happens, whatever the address.
#[inline]
fn fetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: nothing is read.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
