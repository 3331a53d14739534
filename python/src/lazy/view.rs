//! What a container is like at one moment: the reads that all lazy classes are made of.

use std::{ops::Range, sync::Arc};

use oocmap::{
    Container, ContainerKind, Element, Held, Long, Members, Node, Position, ReadObjects, Reader, RunElements,
    Scalar, Stamp, find,
};
use pyo3::{
    exceptions::{PyIndexError, PyRuntimeError},
    prelude::*,
    types::{PyFloat, PyString},
};

use super::walk::{Part, Walk};

use crate::{
    access::Access,
    convert::{decode, key},
    errors::OrRaise,
    names::Source,
};

/// Room is made at once for so many elements at most: a damaged length must not take all memory.
const MOST_AT_ONCE: usize = 1 << 20;

/// A container as it is at one moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// What it was read with.
    pub(crate) reader: Reader,
    pub(crate) content: Content,
}

/// What a container consists of.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A part of a record.
    Record(Source, Container),
    /// Parts of its own.
    Long(Arc<Long>, Arc<Access>),
}

/// The neighbours of the element of a long list or byte array that was read last.
#[derive(Default)]
pub(crate) struct Near(Option<Neighbours>);

struct Neighbours {
    /// When they were read.
    stamp: Stamp,
    /// The position of the first.
    first: usize,
    elements: Elements,
}

enum Elements {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Bytes(Vec<u8>),
    Mixed(Source, Container),
}

impl Near {
    /// The element at a position, when it was among those that were read; whether it is still there is for the caller to
    /// know.
    #[inline]
    pub(crate) fn get<'py>(&self, py: Python<'py>, index: usize) -> Option<PyResult<Bound<'py, PyAny>>> {
        let neighbours = self.0.as_ref()?;
        let at = index.checked_sub(neighbours.first)?;
        (at < neighbours.elements.len()).then(|| neighbours.elements.get(py, at))
    }

    /// As [`Near::get`], of integers only.
    #[inline]
    pub(crate) fn int(&self, index: usize) -> Option<i64> {
        let neighbours = self.0.as_ref()?;
        let Elements::Ints(ints) = &neighbours.elements else { return None };
        ints.get(index.checked_sub(neighbours.first)?).copied()
    }
}

impl Elements {
    /// What was read, in a form that keeps no version when it is small.
    fn of(elements: RunElements, access: &Arc<Access>) -> PyResult<Self> {
        Ok(match elements {
            RunElements::Ints(ints) => Self::Ints(ints),
            RunElements::Floats(floats) => Self::Floats(floats),
            RunElements::Bytes(bytes) => Self::Bytes(bytes),
            RunElements::Mixed(held, tuple) => {
                let held = held.detached().or_raise()?.map_or(held, Arc::new);
                Self::Mixed(part(held, access), tuple)
            }
        })
    }

    #[inline]
    fn len(&self) -> usize {
        match self {
            Self::Ints(ints) => ints.len(),
            Self::Floats(floats) => floats.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Mixed(_, tuple) => tuple.len(),
        }
    }

    #[inline]
    fn get<'py>(&self, py: Python<'py>, at: usize) -> PyResult<Bound<'py, PyAny>> {
        Ok(match self {
            Self::Ints(ints) => ints[at].into_pyobject(py)?.into_any(),
            Self::Floats(floats) => PyFloat::new(py, floats[at]).into_any(),
            Self::Bytes(bytes) => bytes[at].into_pyobject(py)?.into_any(),
            Self::Mixed(source, tuple) => return Self::mixed(py, source, *tuple, at),
        })
    }

    // Apart, so that numbers are not in its way.
    #[inline(never)]
    fn mixed<'py>(
        py: Python<'py>,
        source: &Source,
        tuple: Container,
        at: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let record = source.held.record().or_raise()?;
        decode::node(py, source, record.item(tuple, at).or_raise()?)
    }
}

/// An item of a dict or a member of a set that was found.
pub(crate) enum Place {
    /// In the container's record, or in a list at this position.
    Record(usize),
    /// Among the members of a part of a long container.
    Long(Members, usize),
}

impl View {
    /// The same, where what is found in it is read and written through something else.
    pub(crate) fn through(&self, access: Arc<Access>) -> Self {
        let content = match &self.content {
            Content::Record(source, container) => {
                Content::Record(Source { access, ..source.clone() }, *container)
            }
            Content::Long(long, _) => Content::Long(Arc::clone(long), access),
        };
        Self { reader: self.reader.clone(), content }
    }

    pub(crate) fn kind(&self) -> ContainerKind {
        match &self.content {
            Content::Record(_, container) => container.kind,
            Content::Long(long, _) => long.kind(),
        }
    }

    /// How many elements, items, members or bytes there are.
    #[inline]
    pub(crate) fn len(&self) -> PyResult<usize> {
        match &self.content {
            Content::Record(_, container) if container.kind == ContainerKind::ByteArray => {
                self.with_bytes(<[u8]>::len)
            }
            Content::Record(_, container) => Ok(container.len()),
            Content::Long(long, _) => Ok(long.len() as usize),
        }
    }

    pub(crate) fn stamp(&self) -> PyResult<Stamp> {
        match &self.content {
            Content::Record(source, _) => source.held.stamp().or_raise(),
            Content::Long(long, _) => Ok(long.stamp()),
        }
    }

    /// An element of a list, tuple or byte array; the index has to be below the length.
    #[inline]
    pub(crate) fn item<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        match &self.content {
            Content::Record(_, container) if container.kind == ContainerKind::ByteArray => {
                let byte = self.with_bytes(|bytes| bytes.get(index).copied())?;
                Ok(byte.ok_or_else(no_byte)?.into_pyobject(py)?.into_any())
            }
            Content::Record(source, container) => {
                let record = source.held.record().or_raise()?;
                decode::node(py, source, record.item(*container, index).or_raise()?)
            }
            Content::Long(long, access) => match self.reader.element(long, index as u64).or_raise()? {
                Element::Int(value) => Ok(value.into_pyobject(py)?.into_any()),
                Element::Float(value) => Ok(PyFloat::new(py, value).into_any()),
                Element::Mixed(held, tuple, at) => {
                    let source = part(held, access);
                    let record = source.held.record().or_raise()?;
                    decode::node(py, &source, record.item(tuple, at).or_raise()?)
                }
            },
        }
    }

    /// As [`View::item`], where the next one to be read is likely to be a neighbour.
    pub(crate) fn item_near<'py>(
        &self,
        py: Python<'py>,
        index: usize,
        near: &mut Near,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Content::Long(long, access) = &self.content else { return self.item(py, index) };
        let is_fresh = near.0.as_ref().is_some_and(|neighbours| neighbours.stamp == long.stamp());
        if is_fresh && let Some(item) = near.get(py, index) {
            return item;
        }
        let run = self.reader.run(long, index as u64).or_raise()?;
        near.0 = Some(Neighbours {
            stamp: long.stamp(),
            first: run.first as usize,
            elements: Elements::of(run.elements, access)?,
        });
        near.get(py, index).ok_or_else(|| damaged("a run is elsewhere"))?
    }

    /// The elements of a list or tuple between two positions.
    pub(crate) fn items<'py>(
        &self,
        py: Python<'py>,
        range: Range<usize>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let Content::Long(long, access) = &self.content else {
            return range.map(|index| self.item(py, index)).collect();
        };
        let mut items = Vec::with_capacity(range.len().min(MOST_AT_ONCE));
        let mut next = range.start;
        while next < range.end {
            let run = self.reader.run(long, next as u64).or_raise()?;
            let (first, elements) = (run.first as usize, Elements::of(run.elements, access)?);
            let wanted = next.checked_sub(first).filter(|skip| *skip < elements.len());
            let skip = wanted.ok_or_else(|| damaged("a run is elsewhere"))?;
            let end = elements.len().min(range.end - first);
            for at in skip..end {
                items.push(elements.get(py, at)?);
            }
            next = first + end;
        }
        Ok(items)
    }

    /// All members of a set, or items of a dict.
    pub(crate) fn members<'py>(&self, py: Python<'py>, part: Part) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let mut walk = Walk::new(self.clone(), part, false)?;
        let mut members = Vec::with_capacity(walk.left());
        while let Some(member) = walk.next(py)? {
            members.push(member);
        }
        Ok(members)
    }

    /// Does something with the bytes of a byte array that lies in a record.
    fn with_bytes<R>(&self, work: impl FnOnce(&[u8]) -> R) -> PyResult<R> {
        let Content::Record(source, container) = &self.content else {
            return self.bytes().map(|bytes| work(&bytes));
        };
        let record = source.held.record().or_raise()?;
        let Node::Scalar(encoded) = record.item(*container, 0).or_raise()? else {
            return Err(damaged("a byte array holds no bytes"));
        };
        match Scalar::decode(encoded).or_raise()? {
            Scalar::Bytes(bytes) => Ok(work(&bytes)),
            _ => Err(damaged("a byte array holds no bytes")),
        }
    }

    /// All bytes of a byte array.
    pub(crate) fn bytes(&self) -> PyResult<Vec<u8>> {
        match &self.content {
            Content::Record(..) => self.with_bytes(<[u8]>::to_vec),
            Content::Long(long, _) => self.bytes_between(0..long.len() as usize),
        }
    }

    /// The bytes of a byte array between two positions.
    pub(crate) fn bytes_between(&self, range: Range<usize>) -> PyResult<Vec<u8>> {
        let Content::Long(long, _) = &self.content else {
            return self.with_bytes(|bytes| bytes.get(range).map(<[u8]>::to_vec))?.ok_or_else(no_byte);
        };
        let mut bytes = Vec::with_capacity(range.len());
        let mut at = range.start;
        while at < range.end {
            let run = self.reader.run(long, at as u64).or_raise()?;
            let RunElements::Bytes(some) = run.elements else {
                return Err(damaged("a byte array holds no bytes"));
            };
            let skip = at - run.first as usize;
            let take = some.len().min(skip + range.end - at);
            let wanted = some.get(skip..take).filter(|some| !some.is_empty());
            bytes.extend_from_slice(wanted.ok_or_else(|| damaged("a run is elsewhere"))?);
            at += take - skip;
        }
        Ok(bytes)
    }

    /// Finds an item of a dict by its key, or a member of a set; raises `TypeError` for what is not hashable.
    pub(crate) fn find(&self, member: &Bound<'_, PyAny>) -> PyResult<Option<Place>> {
        if let Content::Record(source, container) = &self.content
            && let Ok(name) = member.cast_exact::<PyString>()
            && let Some(symbol) = source.texts().symbol_of(name)
            && let Some(index) =
                source.held.record().or_raise()?.find_symbol(*container, symbol).or_raise()?
        {
            return Ok(Some(Place::Record(index)));
        }
        let Some(member) = key::look_up_key(member)? else { return Ok(None) };
        let found = match &self.content {
            Content::Record(source, container) => {
                let record = source.held.record().or_raise()?;
                find(&*source.held, record, *container, &member).map(|found| found.map(Place::Record))
            }
            Content::Long(long, _) => self
                .reader
                .member(long, &member)
                .map(|found| found.map(|(members, at)| Place::Long(members, at))),
        };
        match found {
            // Keys that can't be stored are in no container.
            Err(oocmap::Error::TooLarge(_) | oocmap::Error::InvalidKey(_)) => Ok(None),
            found => found.or_raise(),
        }
    }

    /// The last item of a dict or member of a set in the order of insertion.
    pub(crate) fn last(&self) -> PyResult<Option<Place>> {
        match &self.content {
            Content::Record(_, container) => Ok(container.len().checked_sub(1).map(Place::Record)),
            Content::Long(long, _) => {
                let found = self.reader.members(long, i64::MAX as u64, true).or_raise()?;
                Ok(found.map(|(members, at)| Place::Long(members, at)))
            }
        }
    }

    /// The key of an item, or a member.
    pub(crate) fn key_at<'py>(&self, py: Python<'py>, place: &Place) -> PyResult<Bound<'py, PyAny>> {
        self.node_at(py, place, false)
    }

    /// The value of an item.
    pub(crate) fn value_at<'py>(&self, py: Python<'py>, place: &Place) -> PyResult<Bound<'py, PyAny>> {
        self.node_at(py, place, true)
    }

    pub(crate) fn node_at<'py>(
        &self,
        py: Python<'py>,
        place: &Place,
        value: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.with_node(place, value, |source, node| decode::node(py, source, node))
    }

    /// Does something with an item, as it is stored, and what it is stored in.
    pub(crate) fn with_node<R>(
        &self,
        place: &Place,
        value: bool,
        work: impl FnOnce(&Source, Node<'_>) -> PyResult<R>,
    ) -> PyResult<R> {
        match (&self.content, place) {
            (Content::Record(source, container), Place::Record(index)) => {
                with_record_node(source, *container, *index, value, work)
            }
            (Content::Long(_, access), Place::Long(members, at)) => {
                let source = part(Arc::clone(members.held()), access);
                let node = if value { members.value(*at) } else { members.key(*at) };
                work(&source, node.or_raise()?)
            }
            (Content::Long(long, access), Place::Record(index)) => {
                match self.reader.element(long, *index as u64).or_raise()? {
                    Element::Mixed(held, tuple, at) => {
                        let source = part(held, access);
                        let record = source.held.record().or_raise()?;
                        work(&source, record.item(tuple, at).or_raise()?)
                    }
                    _ => Err(super::not_viewable()),
                }
            }
            _ => Err(PyRuntimeError::new_err(
                "an item is looked for in another container than it was found in",
            )),
        }
    }
}

impl Place {
    /// Where it stands, for a change.
    pub(crate) fn position(&self) -> Position {
        match self {
            Self::Record(index) => Position::Index(*index),
            Self::Long(members, at) => members.position(*at),
        }
    }
}

/// Does something with an item or element of a container in a record.
pub(super) fn with_record_node<R>(
    source: &Source,
    container: Container,
    index: usize,
    value: bool,
    work: impl FnOnce(&Source, Node<'_>) -> PyResult<R>,
) -> PyResult<R> {
    let record = source.held.record().or_raise()?;
    let node = if value { record.value(container, index) } else { record.item(container, index) };
    work(source, node.or_raise()?)
}

/// A part of a long container as what its nodes are read from.
pub(super) fn part(held: Arc<Held>, access: &Arc<Access>) -> Source {
    Source { held, access: Arc::clone(access), seen: None, holds: None }
}

fn no_byte() -> PyErr {
    PyIndexError::new_err("bytearray index out of range")
}

pub(crate) fn damaged(what: &str) -> PyErr {
    crate::errors::to_python(oocmap::Error::Corrupted(what.into()))
}
