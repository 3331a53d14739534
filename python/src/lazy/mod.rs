//! Lazy handles to stored containers: they read nothing until asked.

pub(crate) mod dict;
pub(crate) mod list;
pub(crate) mod repr;
pub(crate) mod sequence;
pub(crate) mod set;
pub(crate) mod tuple;

use std::cell::Cell;

use oocmap::{Container, ContainerKind, Node};
use pyo3::{
    exceptions::{PyIndexError, PyRecursionError, PyTypeError},
    prelude::*,
    types::{PyBytes, PyMemoryView},
};

use crate::{
    buffer::{self, Lender},
    convert::{decode, scalar},
    errors::OrRaise,
    names::Source,
};

/// A container's place in a record that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(crate) source: Source,
    pub(crate) container: Container,
}

impl Handle {
    pub(crate) fn len(&self) -> usize {
        self.container.len()
    }

    /// An element, a member or a key; the index has to be below the length.
    #[inline]
    pub(crate) fn item<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        let record = self.source.held.record().or_raise()?;
        decode::node(py, &self.source, record.item(self.container, index).or_raise()?)
    }

    /// The value of a dict's item; the index has to be below the length.
    #[inline]
    pub(crate) fn value<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        let record = self.source.held.record().or_raise()?;
        decode::node(py, &self.source, record.value(self.container, index).or_raise()?)
    }

    /// The plain object, one level deep or all the way.
    pub(crate) fn eager<'py>(&self, py: Python<'py>, deep: bool) -> PyResult<Bound<'py, PyAny>> {
        if deep { decode::deep(py, self) } else { decode::shallow(py, self) }
    }

    /// Whether two handles are of one object.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.container == other.container && self.source.held.is_same(&other.source.held)
    }

    /// A read-only view of stored bytes.
    pub(crate) fn view<'py>(
        &self,
        py: Python<'py>,
        value: bool,
        index: usize,
    ) -> PyResult<Bound<'py, PyMemoryView>> {
        let record = self.source.held.record().or_raise()?;
        let node =
            if value { record.value(self.container, index) } else { record.item(self.container, index) };
        let encoded = match node.or_raise()? {
            Node::Scalar(encoded) => encoded,
            Node::Shared(id) => oocmap::Scope::shared(&*self.source.held, id).or_raise()?,
            _ => return Err(not_viewable()),
        };
        let lender = self
            .source
            .held
            .reader()
            .map(|read| Lender { read, borrows: self.source.origin.borrows.clone() });
        buffer::view(py, lender, encoded)
    }
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
    let hash = handle.eager(py, false).and_then(|plain| plain.hash());
    DEPTH_NOW.set(depth);
    hash
}

/// The exception for a view of something that is not bytes.
pub(crate) fn not_viewable() -> PyErr {
    PyTypeError::new_err("view() needs a stored bytes object; read other values with []")
}

/// The Python object of a handle.
pub(crate) fn handle(py: Python<'_>, handle: Handle) -> PyResult<Bound<'_, PyAny>> {
    Ok(match handle.container.kind {
        ContainerKind::List => Bound::new(py, list::LazyList(handle))?.into_any(),
        ContainerKind::Tuple => Bound::new(py, tuple::LazyTuple(handle))?.into_any(),
        ContainerKind::Dict => Bound::new(py, dict::LazyDict(handle))?.into_any(),
        ContainerKind::Set => Bound::new(py, set::LazySet(handle))?.into_any(),
        ContainerKind::FrozenSet => Bound::new(py, set::LazyFrozenSet(handle))?.into_any(),
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
    None
}

/// The plain object that a handle stands for.
pub(crate) fn plain<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    of(object).map(|handle| handle.eager(object.py(), true)).transpose()
}

/// A position that may count from the end.
pub(crate) fn position(index: isize, len: usize, what: &str) -> PyResult<usize> {
    let from_start = if index < 0 { index.checked_add_unsigned(len) } else { Some(index) };
    from_start
        .and_then(|index| usize::try_from(index).ok())
        .filter(|index| *index < len)
        .ok_or_else(|| PyIndexError::new_err(format!("{what} index out of range")))
}

/// Bytes that were copied, as a view.
pub(crate) fn copied_view<'py>(py: Python<'py>, encoded: &[u8]) -> PyResult<Bound<'py, PyMemoryView>> {
    let bytes = scalar::decode(py, encoded)?;
    PyMemoryView::from(bytes.cast::<PyBytes>().map_err(|_| not_viewable())?)
}
