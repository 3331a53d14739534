//! Lazy handles to stored containers: they read nothing until asked, and what changes them changes what is stored.

/// The methods that all lazy classes have, beside their own; and those that a plain object does, through `call_plain`.
macro_rules! lazy_class {
    ($class:ident, $twin:literal, { $($own:tt)* }) => {
        lazy_class!($class, $twin, [], { $($own)* });
    };
    ($class:ident, $twin:literal, [$($name:ident $signature:tt;)*], { $($own:tt)* }) => {
        #[pymethods]
        impl $class {
            fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
                self.0.view(py)?.len()
            }

            #[doc = concat!("Return the plain ", $twin, ", one level deep or, with ``deep``, all the way down.")]
            #[pyo3(signature = (*, deep=false))]
            fn eager<'py>(&self, py: Python<'py>, deep: bool) -> PyResult<Bound<'py, PyAny>> {
                $crate::lazy::eager(py, &self.0, deep)
            }

            /// Tell whether ``other`` is a handle to the very same stored object.
            #[pyo3(signature = (other, /))]
            fn same_as(&self, other: &Bound<'_, PyAny>) -> bool {
                $crate::lazy::of(other).is_some_and(|other| other.is_same(&self.0))
            }

            fn __copy__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                $crate::lazy::eager(py, &self.0, false)
            }

            #[pyo3(signature = (_memo, /), text_signature = "($self, memo, /)")]
            fn __deepcopy__<'py>(
                &self,
                py: Python<'py>,
                _memo: &Bound<'py, PyAny>,
            ) -> PyResult<Bound<'py, PyAny>> {
                $crate::lazy::eager(py, &self.0, true)
            }

            fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                $crate::lazy::reduce(py, &self.0)
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                $crate::lazy::repr::repr(py, &self.0)
            }

            #[classmethod]
            #[pyo3(signature = (item, /))]
            fn __class_getitem__<'py>(
                cls: &Bound<'py, pyo3::types::PyType>,
                item: &Bound<'py, PyAny>,
            ) -> PyResult<Bound<'py, PyAny>> {
                $crate::lazy::generic_alias(cls, item)
            }

            $(
                #[doc = concat!("Do what ``", $twin, ".", stringify!($name), "`` does, on a plain copy.")]
                #[pyo3(signature = (*arguments, **keywords), text_signature = $signature)]
                fn $name<'py>(
                    &self,
                    py: Python<'py>,
                    arguments: &Bound<'py, pyo3::types::PyTuple>,
                    keywords: Option<&Bound<'py, pyo3::types::PyDict>>,
                ) -> PyResult<Bound<'py, PyAny>> {
                    self.call_plain(py, stringify!($name), arguments, keywords)
                }
            )*

            $($own)*
        }
    };
}

pub(crate) mod bytearray;
pub(crate) mod bytes_change;
pub(crate) mod dict;
pub(crate) mod exclusive;
pub(crate) mod handle;
pub(crate) mod iterators;
pub(crate) mod list;
pub(crate) mod list_change;
pub(crate) mod memory;
pub(crate) mod repr;
pub(crate) mod sequence;
pub(crate) mod set;
pub(crate) mod set_change;
pub(crate) mod still;
pub(crate) mod tuple;
pub(crate) mod view;
pub(crate) mod walk;

use std::cell::Cell;

use oocmap::ContainerKind;
use pyo3::{
    exceptions::{PyRecursionError, PyTypeError},
    prelude::*,
    types::{PyBytes, PyMemoryView, PyType},
};

use self::handle::Handle;
use crate::{
    convert::{decode, scalar},
    errors,
};

/// The plain object of a handle, one level deep or all the way.
pub(crate) fn eager<'py>(py: Python<'py>, handle: &Handle, deep: bool) -> PyResult<Bound<'py, PyAny>> {
    if deep {
        return handle.look(py, |glance| decode::deep_at(py, glance), |view| decode::deep(py, view));
    }
    decode::shallow(py, &handle.view(py)?)
}

/// What makes the plain object again.
///
/// Calling its class on it would copy it once more, and tear cycles through it apart.
fn reduce<'py>(py: Python<'py>, handle: &Handle) -> PyResult<Bound<'py, PyAny>> {
    let getitem = py.import("operator")?.getattr("getitem")?;
    let plain = eager(py, handle, true)?;
    Ok((getitem, ((plain,), 0)).into_pyobject(py)?.into_any())
}

fn generic_alias<'py>(cls: &Bound<'py, PyType>, item: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    cls.py().import("types")?.getattr("GenericAlias")?.call1((cls, item))
}

/// The hash of an immutable container, which is that of its twin.
///
/// Python's own hash of nested tuples recurses without a limit; ours has one.
pub(crate) fn hash(py: Python<'_>, handle: &Handle) -> PyResult<isize> {
    const DEPTH: u32 = 500;
    thread_local!(static DEPTH_NOW: Cell<u32> = const { Cell::new(0) });
    let depth = DEPTH_NOW.get();
    if depth >= DEPTH {
        return Err(PyRecursionError::new_err(format!(
            "tuples that nest more than {DEPTH} levels deep have no hash"
        )));
    }
    DEPTH_NOW.set(depth + 1);
    let hash = eager(py, handle, false).and_then(|plain| plain.hash());
    DEPTH_NOW.set(depth);
    hash
}

/// The exception for a view of something that is not bytes.
pub(crate) fn not_viewable() -> PyErr {
    PyTypeError::new_err("view() needs a stored bytes or bytearray; read other values with []")
}

/// The Python object of a handle.
pub(crate) fn handle(py: Python<'_>, handle: Handle) -> PyResult<Bound<'_, PyAny>> {
    Ok(match handle.kind() {
        ContainerKind::List => Bound::new(py, list::LazyList(handle))?.into_any(),
        ContainerKind::Tuple => Bound::new(py, tuple::LazyTuple(handle))?.into_any(),
        ContainerKind::Dict => Bound::new(py, dict::LazyDict(handle))?.into_any(),
        ContainerKind::Set => Bound::new(py, set::LazySet(handle))?.into_any(),
        ContainerKind::FrozenSet => Bound::new(py, set::LazyFrozenSet(handle))?.into_any(),
        ContainerKind::ByteArray => Bound::new(py, bytearray::LazyByteArray(handle))?.into_any(),
        ContainerKind::Instance => return Err(errors::unsupported(py, "an instance has no handle")),
    })
}

/// The handle that an object is, when it is one.
pub(crate) fn of<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a Handle> {
    if let Ok(list) = object.cast::<list::LazyList>() {
        return Some(&list.get().0);
    }
    if let Ok(tuple) = object.cast::<tuple::LazyTuple>() {
        return Some(&tuple.get().0);
    }
    if let Ok(dict) = object.cast::<dict::LazyDict>() {
        return Some(&dict.get().0);
    }
    if let Ok(set) = object.cast::<set::LazySet>() {
        return Some(&set.get().0);
    }
    if let Ok(set) = object.cast::<set::LazyFrozenSet>() {
        return Some(&set.get().0);
    }
    if let Ok(bytes) = object.cast::<bytearray::LazyByteArray>() {
        return Some(&bytes.get().0);
    }
    None
}

/// Bytes that were copied, as a view.
pub(crate) fn copied_view<'py>(py: Python<'py>, encoded: &[u8]) -> PyResult<Bound<'py, PyMemoryView>> {
    let bytes = scalar::decode(py, encoded)?;
    PyMemoryView::from(bytes.cast::<PyBytes>().map_err(|_| not_viewable())?)
}
