//! Lists, dicts and leaves of one record as plain Python objects, in one pass: what most values consist of.

use oocmap::{Container, ContainerKind, Held, Node, RecordView};
use pyo3::{
    prelude::*,
    types::{PyDict, PyList, PySet, PyTuple},
};

use super::decode;
use crate::{
    errors::OrRaise,
    names::{Source, Texts},
};

/// How deep it may be, since this is recursive.
const DEPTH: usize = 64;

/// Why an object was not made.
enum Stop {
    /// There is something else in it, or it is too deep, perhaps because it holds itself.
    Unfit,
    Failed(Box<PyErr>),
}

impl From<PyErr> for Stop {
    #[cold]
    fn from(error: PyErr) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// A container as the plain Python object that it was; `None` when that takes more than this is made for.
pub(in crate::convert) fn container<'py>(
    py: Python<'py>,
    source: &Source,
    container: Container,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let record = source.held.record().or_raise()?;
    let made = std::iter::repeat_with(|| None).take(record.slots()).collect();
    let mut maker = Maker { py, record, texts: source.texts(), made, elements: Vec::with_capacity(32) };
    match maker.container(container, 0) {
        Ok(object) => Ok(Some(object)),
        Err(Stop::Unfit) => Ok(None),
        Err(Stop::Failed(error)) => Err(*error),
    }
}

struct Maker<'a, 'py> {
    py: Python<'py>,
    record: RecordView<'a>,
    texts: Texts<'a, Held>,
    /// The mutable containers that are whole, by slot.
    made: Vec<Option<Bound<'py, PyAny>>>,
    /// The elements of the lists that are being made. A list is made when all its elements are there, so that nobody ever
    /// sees one with holes, not even a finalizer that looks at all there is.
    elements: Vec<Bound<'py, PyAny>>,
}

impl<'py> Maker<'_, 'py> {
    fn container(&mut self, container: Container, depth: usize) -> Result<Bound<'py, PyAny>, Stop> {
        let Some(slot) = container.slot() else {
            // A tuple that is met twice has to come back as one, and so may hold itself.
            return Err(Stop::Unfit);
        };
        if let Some(Some(made)) = self.made.get(slot as usize) {
            return Ok(made.clone());
        }
        if depth == DEPTH {
            return Err(Stop::Unfit);
        }
        let object = match container.kind {
            ContainerKind::List => {
                let from = self.elements(container, depth)?;
                PyList::new(self.py, self.elements.drain(from..))?.into_any()
            }
            ContainerKind::Dict => self.dict(container, depth)?.into_any(),
            ContainerKind::Set => {
                let from = self.elements(container, depth)?;
                // As a tuple, since hashes may run Python code.
                let members = PyTuple::new(self.py, self.elements.drain(from..))?;
                PySet::new(self.py, members)?.into_any()
            }
            _ => return Err(Stop::Unfit),
        };
        if let Some(made) = self.made.get_mut(slot as usize) {
            *made = Some(object.clone());
        }
        Ok(object)
    }

    /// Makes the elements of a list or set; answers where they begin.
    fn elements(&mut self, container: Container, depth: usize) -> Result<usize, Stop> {
        let from = self.elements.len();
        for node in self.record.nodes(container).or_raise()? {
            let element = self.node(node.or_raise()?, depth)?;
            self.elements.push(element);
        }
        Ok(from)
    }

    fn dict(&mut self, container: Container, depth: usize) -> Result<Bound<'py, PyDict>, Stop> {
        let mut keys = self.record.nodes(container).or_raise()?;
        let mut values = self.record.values(container).or_raise()?;
        let dict = PyDict::new(self.py);
        while let (Some(key), Some(value)) = (keys.next(), values.next()) {
            let key = match key.or_raise()? {
                Node::Symbol(symbol) => self.texts.name(self.py, symbol)?.into_any(),
                Node::Container(_) | Node::Object(_) => return Err(Stop::Unfit),
                node => decode::leaf(self.py, &self.texts, node)?,
            };
            let value = self.node(value.or_raise()?, depth)?;
            dict.set_item(key, value)?;
        }
        Ok(dict)
    }

    #[inline]
    fn node(&mut self, node: Node<'_>, depth: usize) -> Result<Bound<'py, PyAny>, Stop> {
        match node {
            Node::Container(container) => self.container(container, depth + 1),
            Node::Object(_) => Err(Stop::Unfit),
            node => Ok(decode::leaf(self.py, &self.texts, node)?),
        }
    }
}
