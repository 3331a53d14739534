//! Stored values on their way out: leaves as Python objects, containers as lazy handles or, if asked, whole.

use std::sync::Arc;

use oocmap::{Container, ContainerKind, Copied, Node, ReadTransaction, RecordView, Scope, Stored};
use pyo3::{
    exceptions::PyRecursionError,
    ffi,
    prelude::*,
    types::{PyBool, PyDict, PyEllipsis, PyFloat, PyFrozenSet, PyList, PySet, PyString, PyTuple},
};

use rustc_hash::FxHashMap;

use super::scalar;
use crate::{
    errors::{self, OrRaise},
    lazy::{self, Handle},
    names::{Origin, Source},
};

/// How deep members of sets and keys of dicts may nest; the engine stores none deeper than 256.
const MEMBER_DEPTH: usize = 300;

/// A value that was read from a pinned version.
#[inline]
pub(crate) fn stored<'py>(
    py: Python<'py>,
    read: &ReadTransaction,
    origin: &Arc<Origin>,
    stored: Stored<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    match stored {
        Stored::Scalar(encoded) => scalar::decode(py, encoded),
        Stored::Record(record, archive) => {
            let root = record.root().or_raise()?;
            let held = read.hold(archive).or_raise()?;
            node(py, &Source { held: Arc::new(held), origin: Arc::clone(origin) }, root)
        }
        Stored::Archive(_) => Err(archive(py)),
    }
}

/// A value that was copied out of a write transaction.
pub(crate) fn copied<'py>(
    py: Python<'py>,
    origin: &Arc<Origin>,
    copied: Copied,
) -> PyResult<Bound<'py, PyAny>> {
    match copied {
        Copied::Scalar(encoded) => scalar::decode(py, &encoded),
        Copied::Record(held) => {
            let source = Source { held: Arc::new(held), origin: Arc::clone(origin) };
            let root = source.held.record().or_raise()?.root().or_raise()?;
            node(py, &source, root)
        }
        Copied::Archive(_) => Err(archive(py)),
    }
}

fn archive(py: Python<'_>) -> PyErr {
    errors::unsupported(py, "the value is an archive of a Rust program's own type, which only Rust can read")
}

/// An element of a record; containers become handles.
#[inline]
pub(crate) fn node<'py>(py: Python<'py>, source: &Source, node: Node<'_>) -> PyResult<Bound<'py, PyAny>> {
    match node {
        Node::Container(container) => lazy::handle(py, Handle { source: source.clone(), container }),
        node => leaf(py, source, node),
    }
}

/// An element that is no container.
fn leaf<'py>(py: Python<'py>, source: &Source, node: Node<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match node {
        Node::None => py.None().into_bound(py),
        Node::Ellipsis => PyEllipsis::get(py).to_owned().into_any(),
        Node::Bool(value) => PyBool::new(py, value).to_owned().into_any(),
        Node::Int(value) => value.into_pyobject(py)?.into_any(),
        Node::Float(value) => PyFloat::new(py, value).into_any(),
        Node::Str(text) => PyString::new(py, text.to_str().or_raise()?).into_any(),
        Node::Scalar(encoded) => scalar::decode(py, encoded)?,
        Node::Symbol(symbol) => source.origin.names.get(py, &source.held, symbol)?.into_any(),
        Node::Shared(id) => scalar::decode(py, source.held.shared(id).or_raise()?)?,
        Node::Container(_) => return Err(errors::unsupported(py, "a container where a leaf was expected")),
    })
}

/// A container as the plain Python object that it was, one level deep.
pub(crate) fn shallow<'py>(py: Python<'py>, handle: &Handle) -> PyResult<Bound<'py, PyAny>> {
    let record = handle.source.held.record().or_raise()?;
    let container = handle.container;
    let items = || {
        (0..container.len()).map(|index| node(py, &handle.source, record.item(container, index).or_raise()?))
    };
    Ok(match container.kind {
        ContainerKind::List => PyList::new(py, items().collect::<PyResult<Vec<_>>>()?)?.into_any(),
        ContainerKind::Tuple => PyTuple::new(py, items().collect::<PyResult<Vec<_>>>()?)?.into_any(),
        ContainerKind::Set => PySet::new(py, items().collect::<PyResult<Vec<_>>>()?)?.into_any(),
        ContainerKind::FrozenSet => PyFrozenSet::new(py, items().collect::<PyResult<Vec<_>>>()?)?.into_any(),
        ContainerKind::Dict => {
            let dict = PyDict::new(py);
            for (index, key) in items().enumerate() {
                dict.set_item(key?, node(py, &handle.source, record.value(container, index).or_raise()?)?)?;
            }
            dict.into_any()
        }
    })
}

/// A container as the plain Python object that it was, all the way down; shared parts and cycles stay what they are.
pub(crate) fn deep<'py>(py: Python<'py>, handle: &Handle) -> PyResult<Bound<'py, PyAny>> {
    let record = handle.source.held.record().or_raise()?;
    let mut decoder = Decoder {
        py,
        source: &handle.source,
        record,
        made: FxHashMap::default(),
        members: FxHashMap::default(),
        pending: Vec::new(),
    };
    let root = decoder.object(Node::Container(handle.container))?;
    while let Some((container, object)) = decoder.pending.pop() {
        decoder.fill(container, &object)?;
    }
    Ok(root)
}

struct Decoder<'a, 'py> {
    py: Python<'py>,
    source: &'a Source,
    record: RecordView<'a>,
    /// The objects that exist already, some of them not filled yet.
    made: FxHashMap<Container, Bound<'py, PyAny>>,
    /// Those that are members of sets or keys of dicts, all of them whole.
    members: FxHashMap<Container, Bound<'py, PyAny>>,
    pending: Vec<(Container, Bound<'py, PyAny>)>,
}

impl<'py> Decoder<'_, 'py> {
    fn object(&mut self, node: Node<'_>) -> PyResult<Bound<'py, PyAny>> {
        let Node::Container(container) = node else { return leaf(self.py, self.source, node) };
        if let Some(made) = self.made.get(&container) {
            return Ok(made.clone());
        }
        let object = match container.kind {
            // Filled in one go, since members can't lead back to what holds them.
            ContainerKind::Set | ContainerKind::FrozenSet => self.member(node, 0)?,
            ContainerKind::List => self.nones(container.len())?.into_any(),
            ContainerKind::Tuple => PyTuple::new(self.py, self.nones(container.len())?)?.into_any(),
            ContainerKind::Dict => PyDict::new(self.py).into_any(),
        };
        self.made.insert(container, object.clone());
        if !matches!(container.kind, ContainerKind::Set | ContainerKind::FrozenSet) && !container.is_empty() {
            self.pending.push((container, object.clone()));
        }
        Ok(object)
    }

    fn nones(&self, len: usize) -> PyResult<Bound<'py, PyList>> {
        PyList::new(self.py, (0..len).map(|_| self.py.None()))
    }

    fn fill(&mut self, container: Container, object: &Bound<'py, PyAny>) -> PyResult<()> {
        for index in 0..container.len() {
            let item = self.record.item(container, index).or_raise()?;
            match container.kind {
                ContainerKind::Dict => {
                    let key = self.member(item, 0)?;
                    let value = self.record.value(container, index).or_raise()?;
                    let value = self.object(value)?;
                    object.cast::<PyDict>()?.set_item(key, value)?;
                }
                ContainerKind::List => {
                    let item = self.object(item)?;
                    object.cast::<PyList>()?.set_item(index, item)?;
                }
                _ => {
                    let item = self.object(item)?;
                    replace_none(object.cast::<PyTuple>()?, index, item);
                }
            }
        }
        Ok(())
    }

    /// A dict's key or a set with its members: all of it at once, since it has to be hashed.
    fn member(&mut self, node: Node<'_>, depth: usize) -> PyResult<Bound<'py, PyAny>> {
        let Node::Container(container) = node else { return leaf(self.py, self.source, node) };
        if depth > MEMBER_DEPTH {
            return Err(PyRecursionError::new_err("a key nests without end; the file is damaged"));
        }
        if let Some(made) = self.members.get(&container) {
            return Ok(made.clone());
        }
        let members = (0..container.len())
            .map(|index| {
                let member = self.record.item(container, index).or_raise()?;
                self.member(member, depth + 1)
            })
            .collect::<PyResult<Vec<_>>>()?;
        let whole = match container.kind {
            ContainerKind::Tuple => PyTuple::new(self.py, members)?.into_any(),
            ContainerKind::FrozenSet => PyFrozenSet::new(self.py, members)?.into_any(),
            ContainerKind::Set => PySet::new(self.py, members)?.into_any(),
            ContainerKind::List | ContainerKind::Dict => {
                return Err(errors::unsupported(
                    self.py,
                    "a key is a mutable container; the file is damaged",
                ));
            }
        };
        self.members.insert(container, whole.clone());
        Ok(whole)
    }
}

/// Puts an element into a tuple that this module made full of None and that no one else has seen.
#[expect(unsafe_code, reason = "a tuple with a cycle through it can only be filled after it exists")]
fn replace_none(tuple: &Bound<'_, PyTuple>, index: usize, item: Bound<'_, PyAny>) {
    assert!(index < tuple.len(), "element {index} of {}", tuple.len());
    // SAFETY: the index is below the length, and the tuple is a real one, by its type.
    let old = unsafe { ffi::PyTuple_GET_ITEM(tuple.as_ptr(), index.cast_signed()) };
    // SAFETY: as above; the reference to the item is handed over, and that to None is taken back below.
    unsafe { ffi::PyTuple_SET_ITEM(tuple.as_ptr(), index.cast_signed(), item.into_ptr()) };
    // SAFETY: the tuple owned this reference until the line above replaced it.
    unsafe { ffi::Py_DECREF(old) };
}
