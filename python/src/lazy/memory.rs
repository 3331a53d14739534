//! Read-only views of stored bytes that lie in containers.

use oocmap::{ContainerKind, Node, Scope};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyMemoryView},
};

use super::{
    handle::Handle,
    not_viewable,
    view::{Content, Place, View},
};
use crate::{
    buffer::{self, Lender},
    errors::OrRaise,
    names::Source,
};

/// The bytes that are an element of a list or tuple.
pub(super) fn of_element<'py>(
    py: Python<'py>,
    view: &View,
    index: usize,
) -> PyResult<Bound<'py, PyMemoryView>> {
    view.with_node(&Place::Record(index), false, |source, node| of_node(py, source, node))
}

/// The bytes that are a value of a dict.
pub(super) fn of_value<'py>(
    py: Python<'py>,
    view: &View,
    place: &Place,
) -> PyResult<Bound<'py, PyMemoryView>> {
    view.with_node(place, true, |source, node| of_node(py, source, node))
}

/// The bytes of a byte array: borrowed from the record that it lies in, or else copied.
pub(crate) fn of_byte_array<'py>(py: Python<'py>, handle: &Handle) -> PyResult<Bound<'py, PyMemoryView>> {
    let view = handle.view(py)?;
    if let Content::Record(source, container) = &view.content {
        let record = source.held.record().or_raise()?;
        return of_node(py, source, record.item(*container, 0).or_raise()?);
    }
    PyMemoryView::from(&PyBytes::new(py, &view.bytes()?))
}

fn of_node<'py>(py: Python<'py>, source: &Source, node: Node<'_>) -> PyResult<Bound<'py, PyMemoryView>> {
    let encoded = match node {
        Node::Scalar(encoded) => encoded,
        Node::Shared(id) => source.held.shared(id).or_raise()?,
        Node::Container(container) if container.kind == ContainerKind::ByteArray => {
            return of_byte_array(py, &Handle::of_container(source, container)?);
        }
        Node::Object(reference) if reference.kind == ContainerKind::ByteArray => {
            let handle = Handle::of_reference(&source.access, reference, source.seen.clone())?;
            return of_byte_array(py, &handle);
        }
        _ => return Err(not_viewable()),
    };
    let lender = source.held.reader().map(|read| Lender { read, borrows: source.origin().borrows.clone() });
    buffer::view(py, lender, encoded)
}
