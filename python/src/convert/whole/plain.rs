//! Lists, dicts and leaves of one record as plain Python objects, in one pass: what most values consist of.

use oocmap::{Container, ContainerKind, Node, RecordView, Scope, Word};
use pyo3::{
    prelude::*,
    types::{PyDict, PyFloat, PyInt, PyList, PySet, PyTuple},
};

use super::decode;
use crate::{convert::scalar, errors::OrRaise, names::Texts};

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
    record: RecordView<'_>,
    texts: Texts<'_, impl Scope>,
    container: Container,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let made = std::iter::repeat_with(|| None).take(record.slots()).collect();
    let mut maker = Maker { py, record, texts, made, elements: Vec::with_capacity(32) };
    match maker.container(container, 0) {
        Ok(object) => Ok(Some(object)),
        Err(Stop::Unfit) => Ok(None),
        Err(Stop::Failed(error)) => Err(*error),
    }
}

struct Maker<'a, 'py, S> {
    py: Python<'py>,
    record: RecordView<'a>,
    texts: Texts<'a, S>,
    /// The mutable containers that are whole, by slot.
    made: Vec<Option<Bound<'py, PyAny>>>,
    /// The elements of the lists that are being made. A list is made when all its elements are there, so that nobody ever
    /// sees one with holes, not even a finalizer that looks at all there is.
    elements: Vec<Bound<'py, PyAny>>,
}

impl<'py, S: Scope> Maker<'_, 'py, S> {
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
        for word in self.record.words(container).or_raise()? {
            let element = self.element(word, depth)?;
            self.elements.push(element);
        }
        Ok(from)
    }

    fn dict(&mut self, container: Container, depth: usize) -> Result<Bound<'py, PyDict>, Stop> {
        let (keys, values) =
            (self.record.words(container).or_raise()?, self.record.values(container).or_raise()?);
        let dict = PyDict::new(self.py);
        for (key, value) in keys.zip(values) {
            let key = match key.symbol() {
                Some(symbol) => self.texts.name(self.py, symbol)?.into_any(),
                None => match self.record.open(key).or_raise()? {
                    Node::Container(_) | Node::Object(_) => return Err(Stop::Unfit),
                    node => decode::leaf(self.py, &self.texts, node)?,
                },
            };
            let value = self.element(value, depth)?;
            dict.set_item(key, value)?;
        }
        Ok(dict)
    }

    #[inline]
    fn element(&mut self, word: Word, depth: usize) -> Result<Bound<'py, PyAny>, Stop> {
        if let Some(text) = self.record.short_text(word) {
            return Ok(scalar::text(self.py, text)?);
        }
        if let Some(value) = word.int() {
            return Ok(PyInt::new(self.py, value).into_any());
        }
        if let Some(value) = self.record.float(word) {
            return Ok(PyFloat::new(self.py, value).into_any());
        }
        match self.record.open(word).or_raise()? {
            Node::Container(container) => self.container(container, depth + 1),
            Node::Object(_) => Err(Stop::Unfit),
            node => Ok(decode::leaf(self.py, &self.texts, node)?),
        }
    }
}
