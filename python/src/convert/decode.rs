//! Stored values on their way out: leaves as Python objects, containers as lazy handles or, if asked, whole.

use std::sync::Arc;

use oocmap::{ContainerKind, Copied, Node, ReadTransaction, Scope, Stored};
use pyo3::{
    prelude::*,
    types::{PyBool, PyByteArray, PyDict, PyEllipsis, PyFloat, PyFrozenSet, PyList, PySet, PyTuple},
};

use super::{scalar, whole};
use crate::{
    access::Access,
    errors::{self, OrRaise},
    lazy::{
        self,
        handle::{Glance, Handle},
        view::{Content, View, damaged},
        walk::{Part, Walk},
    },
    names::{Source, Texts},
};

/// A value that was read from a pinned version, under the ordered bytes of a key.
#[inline]
pub(crate) fn stored<'py>(
    py: Python<'py>,
    read: &ReadTransaction,
    access: &Arc<Access>,
    stored: Stored<'_>,
    ordered: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    match stored {
        Stored::Scalar(encoded) => scalar::decode(py, encoded),
        Stored::Record(record, archive) => {
            let root = record.root().or_raise()?;
            if let Node::Container(container) = root
                && container.kind.is_mutable()
            {
                let location =
                    read.locate(archive).ok_or_else(|| damaged("a record lies outside the data file"))?;
                let handle =
                    Handle::of_place(access, read, location, record.id(), container, Some(ordered.into()))?;
                return lazy::handle(py, handle);
            }
            let held = Arc::new(read.hold(archive).or_raise()?);
            node(
                py,
                &Source { held, access: Arc::clone(access), seen: Some(ordered.into()), holds: None },
                root,
            )
        }
        Stored::Archive(_) => Err(archive(py)),
        Stored::Object(reference) => {
            lazy::handle(py, Handle::of_reference(access, reference, Some(ordered.into()))?)
        }
    }
}

/// A value that was copied out of a write transaction, where it was found under the ordered bytes of a key.
pub(crate) fn copied<'py>(
    py: Python<'py>,
    access: &Arc<Access>,
    copied: Copied,
    ordered: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    match copied {
        Copied::Scalar(encoded) => scalar::decode(py, &encoded),
        Copied::Record(held) => {
            if let Node::Container(container) = held.record().or_raise()?.root().or_raise()?
                && let Some(slot) = container.slot()
            {
                let handle = Handle::of_slot(access, &held, container, slot, Some(ordered.into()))?;
                return lazy::handle(py, handle);
            }
            let source = Source {
                held: Arc::new(held),
                access: Arc::clone(access),
                seen: Some(ordered.into()),
                holds: None,
            };
            let root = source.held.record().or_raise()?.root().or_raise()?;
            node(py, &source, root)
        }
        Copied::Archive(_) => Err(archive(py)),
        Copied::Object(reference) => {
            lazy::handle(py, Handle::of_reference(access, reference, Some(ordered.into()))?)
        }
    }
}

fn archive(py: Python<'_>) -> PyErr {
    errors::unsupported(py, "the value is an archive of a Rust program's own type, which only Rust can read")
}

/// An element of a record; containers become handles, instances of classes are made whole.
#[inline]
pub(crate) fn node<'py>(py: Python<'py>, source: &Source, node: Node<'_>) -> PyResult<Bound<'py, PyAny>> {
    match node {
        Node::Container(container) if container.kind == ContainerKind::Instance => {
            let reader = source.access.reader(py)?;
            whole::container(py, &View { reader, content: Content::Record(source.clone(), container) })
        }
        Node::Container(container) => lazy::handle(py, Handle::of_container(source, container)?),
        Node::Object(reference) => {
            lazy::handle(py, Handle::of_reference(&source.access, reference, source.seen.clone())?)
        }
        node => leaf(py, &source.texts(), node),
    }
}

/// An element of a container whose place in a version is known, as [`node`] makes it.
#[inline]
pub(crate) fn glanced<'py>(
    py: Python<'py>,
    glance: &Glance<'_>,
    node: Node<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    match node {
        Node::Container(container) if container.kind.is_mutable() => {
            lazy::handle(py, glance.handle(container)?)
        }
        Node::Container(_) | Node::Object(_) => self::node(py, &glance.source(), node),
        node => leaf(py, &glance.texts(), node),
    }
}

/// An element that is no container.
#[inline]
pub(super) fn leaf<'py>(
    py: Python<'py>,
    texts: &Texts<'_, impl Scope>,
    node: Node<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(match node {
        Node::None => py.None().into_bound(py),
        Node::Ellipsis => PyEllipsis::get(py).to_owned().into_any(),
        Node::Bool(value) => PyBool::new(py, value).to_owned().into_any(),
        Node::Int(value) => value.into_pyobject(py)?.into_any(),
        Node::Float(value) => PyFloat::new(py, value).into_any(),
        Node::Str(text) => scalar::text(py, text.as_bytes())?,
        Node::Scalar(encoded) => scalar::decode(py, encoded)?,
        Node::Symbol(symbol) => texts.name(py, symbol)?.into_any(),
        Node::Shared(id) => scalar::decode(py, texts.shared(id)?)?,
        Node::Object(_) | Node::Container(_) => {
            return Err(errors::unsupported(py, "a container where a leaf was expected"));
        }
    })
}

/// A container as the plain Python object that it was, one level deep.
pub(crate) fn shallow<'py>(py: Python<'py>, view: &View) -> PyResult<Bound<'py, PyAny>> {
    if view.kind() == ContainerKind::ByteArray {
        return Ok(PyByteArray::new(py, &view.bytes()?).into_any());
    }
    let collect = |part| -> PyResult<Vec<Bound<'py, PyAny>>> {
        let mut walk = Walk::new(view.clone(), part, false)?;
        let mut items = Vec::with_capacity(walk.left());
        while let Some(item) = walk.next(py)? {
            items.push(item);
        }
        Ok(items)
    };
    Ok(match view.kind() {
        ContainerKind::List => PyList::new(py, view.items(py, 0..view.len()?)?)?.into_any(),
        ContainerKind::Tuple => PyTuple::new(py, collect(Part::Items)?)?.into_any(),
        ContainerKind::Set => PySet::new(py, collect(Part::Items)?)?.into_any(),
        ContainerKind::FrozenSet => PyFrozenSet::new(py, collect(Part::Items)?)?.into_any(),
        ContainerKind::Dict => {
            let dict = PyDict::new(py);
            let mut walk = Walk::new(view.clone(), Part::Pairs, false)?;
            while let Some(pair) = walk.next(py)? {
                let (key, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair.extract()?;
                dict.set_item(key, value)?;
            }
            dict.into_any()
        }
        ContainerKind::ByteArray | ContainerKind::Instance => whole::container(py, view)?,
    })
}

/// As [`deep`], of a container whose place in a version is known, unless that takes more.
pub(crate) fn deep_at<'py>(py: Python<'py>, glance: &Glance<'_>) -> PyResult<Option<Bound<'py, PyAny>>> {
    whole::plain(py, glance.record, glance.texts(), glance.container)
}

/// A container as the plain Python object that it was, all the way down.
pub(crate) fn deep<'py>(py: Python<'py>, view: &View) -> PyResult<Bound<'py, PyAny>> {
    if let Content::Record(source, container) = &view.content
        && let Some(plain) = whole::plain(py, source.held.record().or_raise()?, source.texts(), *container)?
    {
        return Ok(plain);
    }
    whole::container(py, view)
}
