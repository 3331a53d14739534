//! Lists, dicts and leaves of one record as plain Python objects, in one pass: what most values consist of.

use oocmap::{Container, ContainerKind, Node, RecordView, Scope, Tag, Uniform, Word};
use pyo3::{
    ffi,
    prelude::*,
    types::{PyDict, PyFloat, PyInt, PySet, PyTuple},
};

use super::decode;
use crate::{convert::scalar, errors::OrRaise, names::Texts};

/// How deep it may be, since this is recursive.
const DEPTH: usize = 64;

/// A container as the plain Python object that it was; `None` when that takes more than this is made for.
pub(in crate::convert) fn container<'py>(
    py: Python<'py>,
    record: RecordView<'_>,
    texts: Texts<'_, impl Scope>,
    container: Container,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    // Tuples have no slot. One that is met twice has to come back as one, and so may hold itself.
    let Some(slot) = container.slot() else {
        return Ok(None);
    };
    match (record.uniform::<2>(), record.uniform::<4>()) {
        (Some(uniform), _) => Maker::new(py, record, uniform, texts).make(container.kind, slot),
        (None, Some(uniform)) => Maker::new(py, record, uniform, texts).make(container.kind, slot),
        (None, None) => Ok(None),
    }
}

struct Maker<'a, 'py, S, const N: usize> {
    py: Python<'py>,
    record: RecordView<'a>,
    uniform: Uniform<'a, N>,
    texts: Texts<'a, S>,
    /// The mutable containers that are whole, by slot.
    made: Vec<Made<'py>>,
    /// The elements of the lists that are being made. A list is made when all its elements are there, so that nobody ever
    /// sees one with holes, not even a finalizer that looks at all there is.
    elements: Vec<Bound<'py, PyAny>>,
    /// Why an object was not made; nothing when it was unfit: there is something else in it, or it is too deep, perhaps
    /// because it holds itself.
    failure: Option<PyErr>,
}

/// An object that was made, if it was.
type Made<'py> = Option<Bound<'py, PyAny>>;

impl<'a, 'py, S: Scope, const N: usize> Maker<'a, 'py, S, N> {
    fn new(py: Python<'py>, record: RecordView<'a>, uniform: Uniform<'a, N>, texts: Texts<'a, S>) -> Self {
        let made = std::iter::repeat_with(|| None).take(record.slots()).collect();
        Self { py, record, uniform, texts, made, elements: Vec::with_capacity(32), failure: None }
    }

    fn make(mut self, kind: ContainerKind, slot: u32) -> PyResult<Made<'py>> {
        let made = self.container(kind, slot, 0);
        self.failure.map_or(Ok(made), Err)
    }

    /// The result of what may fail, if it has not.
    #[inline]
    fn tried<T>(&mut self, result: PyResult<T>) -> Option<T> {
        match result {
            Ok(result) => Some(result),
            Err(error) => self.failed(error),
        }
    }

    #[cold]
    fn failed<T>(&mut self, error: PyErr) -> Option<T> {
        self.failure = Some(error);
        None
    }

    fn container(&mut self, kind: ContainerKind, slot: u32, depth: usize) -> Made<'py> {
        match self.made.get(slot as usize)? {
            Some(made) => return Some(made.clone()),
            None if depth == DEPTH => return None,
            None => {}
        }
        let object = match kind {
            ContainerKind::Dict => self.dict(slot, depth)?,
            ContainerKind::List => self.list(slot, depth)?,
            ContainerKind::Set => self.set(slot, depth)?,
            _ => return None,
        };
        if let Some(made) = self.made.get_mut(slot as usize) {
            *made = Some(object.clone());
        }
        Some(object)
    }

    #[inline]
    fn list(&mut self, slot: u32, depth: usize) -> Made<'py> {
        let from = self.elements(ContainerKind::List, slot, depth)?;
        let list = list_of(self.py, &mut self.elements, from);
        list.or_else(|| self.failed(PyErr::fetch(self.py)))
    }

    #[inline(never)]
    fn set(&mut self, slot: u32, depth: usize) -> Made<'py> {
        let from = self.elements(ContainerKind::Set, slot, depth)?;
        // As a tuple, since hashes may run Python code.
        let members = PyTuple::new(self.py, self.elements.drain(from..));
        let members = self.tried(members)?;
        self.tried(PySet::new(self.py, members)).map(Bound::into_any)
    }

    /// Makes the elements of a list or set; answers where they begin.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "lists are frequent, and it is short")]
    fn elements(&mut self, kind: ContainerKind, slot: u32, depth: usize) -> Option<usize> {
        let from = self.elements.len();
        for word in self.uniform.elements(kind, slot)? {
            let element = self.element(word, depth)?;
            self.elements.push(element);
        }
        Some(from)
    }

    #[inline]
    fn dict(&mut self, slot: u32, depth: usize) -> Made<'py> {
        let items = self.uniform.items(slot)?;
        let dict = PyDict::new(self.py);
        for (key, value) in items {
            let name = if key.tag() == Tag::Symbol { self.texts.known(key.payload()) } else { None };
            let made;
            let key = if let Some(name) = name {
                name.bind(self.py).as_any()
            } else {
                made = self.leaf(key)?;
                &made
            };
            let value = self.element(value, depth)?;
            self.tried(insert(&dict, key, &value))?;
        }
        Some(dict.into_any())
    }

    #[inline]
    fn element(&mut self, word: Word, depth: usize) -> Made<'py> {
        match word.tag() {
            Tag::Str if let Some(text) = self.uniform.text(word) => self.tried(scalar::text(self.py, text)),
            Tag::SmallInt => Some(PyInt::new(self.py, word.signed()).into_any()),
            Tag::Float => Some(PyFloat::new(self.py, self.uniform.float(word)?).into_any()),
            Tag::List => self.container(ContainerKind::List, word.payload(), depth + 1),
            Tag::Dict => self.container(ContainerKind::Dict, word.payload(), depth + 1),
            Tag::Set => self.container(ContainerKind::Set, word.payload(), depth + 1),
            _ => self.leaf(word),
        }
    }

    #[inline(never)]
    fn leaf(&mut self, word: Word) -> Made<'py> {
        let leaf = match self.record.open(word).or_raise() {
            Ok(Node::Container(_) | Node::Object(_)) => return None,
            Ok(node) => decode::leaf(self.py, &self.texts, node),
            Err(error) => Err(error),
        };
        self.tried(leaf)
    }
}

/// A list of the last elements of a vector, from one on; nothing with an exception set when there is no memory.
#[inline]
#[expect(unsafe_code, reason = "it takes half the time that PyO3's own takes with any iterator")]
fn list_of<'py>(py: Python<'py>, elements: &mut Vec<Bound<'py, PyAny>>, from: usize) -> Made<'py> {
    let taken = &elements[from..];
    // SAFETY: the interpreter is attached; the length of a slice fits.
    let list = unsafe { ffi::PyList_New(taken.len().cast_signed()) };
    // SAFETY: it is a new reference, or null with an exception set.
    let list = unsafe { Bound::from_owned_ptr_or_opt(py, list) }?;
    for (index, element) in taken.iter().enumerate() {
        // SAFETY: the new list has room for so many, and takes over the reference that the vector gives up below.
        unsafe { ffi::PyList_SET_ITEM(list.as_ptr(), index.cast_signed(), element.as_ptr()) };
    }
    // SAFETY: what is behind this belongs to the list now.
    unsafe { elements.set_len(from) };
    Some(list)
}

/// Sets an item of a dict.
#[inline]
#[expect(unsafe_code, reason = "PyO3's own is a call more, and makes room for an error each time")]
fn insert(dict: &Bound<'_, PyDict>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: the interpreter is attached, and these are references to a dict and two objects.
    let status = unsafe { ffi::PyDict_SetItem(dict.as_ptr(), key.as_ptr(), value.as_ptr()) };
    if status == 0 { Ok(()) } else { Err(PyErr::fetch(dict.py())) }
}
