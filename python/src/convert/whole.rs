//! Stored containers and instances as the plain Python objects that they were, all the way down and without recursion.

mod instance;
mod long;
mod plain;

use std::{rc::Rc, sync::Arc};

use oocmap::{
    Container, ContainerKind, ContainerView, Error, Long, Node, ObjectId, ReadObjects, Reader, RecordView,
    Reference,
};
use pyo3::{
    exceptions::PyRecursionError,
    ffi,
    prelude::*,
    types::{PyByteArray, PyBytes, PyDict, PyFrozenSet, PyList, PySet, PyTuple},
};
use rustc_hash::FxHashMap;
use typed_arena::Arena;

pub(super) use self::plain::container as plain;
use self::{
    instance::{Instance, Shape},
    long::Parts,
};
use super::decode;
use crate::{
    access::Access,
    errors::{self, OrRaise},
    lazy::view::{Content, View},
    names::Source,
};

/// How deep members of sets and keys of dicts may nest; the engine stores none deeper than 256.
const MEMBER_DEPTH: usize = 300;
/// How deep containers may nest directly in each other that Python frees by recursion.
const FREED_DEPTH: usize = 5000;

/// A container as the plain Python object that it was; shared parts and cycles stay what they are.
pub(crate) fn container<'py>(py: Python<'py>, view: &View) -> PyResult<Bound<'py, PyAny>> {
    let sources = Arena::new();
    let mut decoder = Decoder {
        py,
        reader: &view.reader,
        sources: &sources,
        place: None,
        records: FxHashMap::default(),
        long: FxHashMap::default(),
        made: FxHashMap::default(),
        shapes: FxHashMap::default(),
        frames: Vec::new(),
        encoded: Vec::new(),
    };
    let mut whole = match &view.content {
        Content::Record(source, container) => {
            let place = decoder.enter_record(source)?;
            decoder.begin(place, *container, 0)?
        }
        Content::Long(long, access) => decoder.begin_long(long, access)?,
    };
    while let Some(frame) = decoder.frames.pop() {
        whole = decoder.go_on(frame, whole)?;
    }
    whole.ok_or_else(|| damaged("a container has no end"))
}

/// An object that exists, though perhaps not with all that is in it, or one that can't exist before that.
struct Made<'py> {
    object: Option<Bound<'py, PyAny>>,
    /// Its place among the frames until it is whole.
    open: Option<usize>,
}

/// A record that is being read, for as long as it takes.
#[derive(Clone, Copy)]
struct Place<'a> {
    source: &'a Source,
    record: RecordView<'a>,
}

/// Where the elements of a container are.
enum Elements<'a> {
    /// In a record.
    Here(Place<'a>, Container),
    /// In parts of their own; the object is there already.
    Long(Parts<'a>),
}

/// A container that is being made.
struct Frame<'a, 'py> {
    elements: Elements<'a>,
    making: Making<'py>,
    /// The next element, or of a dict key or value in turn.
    next: usize,
    end: usize,
    /// How many sets and keys it is in.
    member_depth: usize,
    /// How many are directly around it that Python frees by recursion, and it itself if it is one.
    freed_depth: usize,
}

enum Making<'py> {
    /// Full of None at first.
    List(Bound<'py, PyList>),
    /// Empty at first.
    Growing(Bound<'py, PyList>),
    /// Empty at first.
    Set(Bound<'py, PySet>),
    /// Full of None at first.
    Tuple(Bound<'py, PyTuple>),
    Dict(Bound<'py, PyDict>, Option<Bound<'py, PyAny>>),
    /// Made when all its members are there.
    Members(Vec<Bound<'py, PyAny>>, ContainerKind),
    Instance(Instance<'py>),
}

struct Decoder<'a, 'py> {
    py: Python<'py>,
    reader: &'a Reader,
    sources: &'a Arena<Source>,
    /// The record that is being read.
    place: Option<Place<'a>>,
    /// The records that were met, by id.
    records: FxHashMap<u64, Place<'a>>,
    /// What was begun, apart from each other as values and as parts of keys, which must not nest deeply.
    made: FxHashMap<(usize, Container, bool), Made<'py>>,
    /// The long containers that were begun.
    long: FxHashMap<ObjectId, Bound<'py, PyAny>>,
    shapes: FxHashMap<(usize, Container), Rc<Shape<'py>>>,
    frames: Vec<Frame<'a, 'py>>,
    /// The frames whose object is made of all that is in it by a function of the user's.
    encoded: Vec<usize>,
}

impl<'a, 'py> Decoder<'a, 'py> {
    /// The place of a record that is being read.
    fn here(&self) -> PyResult<Place<'a>> {
        self.place.ok_or_else(lost)
    }

    fn go_to(&mut self, place: Place<'a>) {
        self.place = Some(place);
    }

    /// Keeps a record for as long as this lasts.
    fn enter_part(&mut self, source: Source) -> PyResult<Place<'a>> {
        let source: &'a Source = self.sources.alloc(source);
        Ok(Place { source, record: source.held.record().or_raise()? })
    }

    /// As [`Decoder::enter_part`], for a record that other containers may lead to as well.
    fn enter_record(&mut self, source: &Source) -> PyResult<Place<'a>> {
        let id = source.held.record().or_raise()?.id();
        if let Some(place) = self.records.get(&id).filter(|_| id != 0) {
            return Ok(*place);
        }
        let place = self.enter_part(source.clone())?;
        self.records.insert(id, place);
        Ok(place)
    }

    /// What tells the containers of different records apart.
    fn key(place: Place<'a>, container: Container) -> (usize, Container) {
        (std::ptr::from_ref(place.source) as usize, container)
    }

    /// The object that a reference leads to; none when a frame was added, at whose end it will be there.
    fn begin_object(&mut self, reference: Reference) -> PyResult<Option<Bound<'py, PyAny>>> {
        if let Some(known) = self.long.get(&reference.id) {
            return Ok(Some(known.clone()));
        }
        let around = self.here()?.source;
        if let Some(place) = self.records.get(&reference.id.record).copied()
            && let Some(container) = place.record.at_slot(reference.id.slot).or_raise()?
        {
            return self.begin(place, container, 0);
        }
        let found = self.reader.object(reference.id, around.seen.as_deref()).or_raise()?;
        match found.ok_or_else(|| errors::to_python(Error::Stale))? {
            ContainerView::Record(held, container) => {
                let source = Source { held: Arc::new(held), holds: None, ..around.clone() };
                let place = self.enter_record(&source)?;
                self.begin(place, container, 0)
            }
            ContainerView::Long(long) => self.begin_long(&Arc::new(long), &around.access),
        }
    }

    /// As [`Decoder::begin_object`], for a container that has parts of its own.
    fn begin_long(&mut self, long: &Arc<Long>, access: &Arc<Access>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let len =
            usize::try_from(long.len()).map_err(|_| damaged("a long container has too many elements"))?;
        let making = match long.kind() {
            ContainerKind::List => Making::Growing(PyList::empty(self.py)),
            ContainerKind::Dict => Making::Dict(PyDict::new(self.py), None),
            ContainerKind::Set => Making::Set(PySet::empty(self.py)?),
            _ => {
                let content = Content::Long(Arc::clone(long), Arc::clone(access));
                let bytes = View { reader: self.reader.clone(), content }.bytes()?;
                let object = PyByteArray::new(self.py, &bytes).into_any();
                self.long.insert(long.id(), object.clone());
                return Ok(Some(object));
            }
        };
        if let Some(object) = making.shell() {
            self.long.insert(long.id(), object);
        }
        let end = if long.kind() == ContainerKind::Dict { 2 * len } else { len };
        let elements = Elements::Long(Parts::new(Arc::clone(long), Arc::clone(access)));
        self.frames.push(Frame { elements, making, next: 0, end, member_depth: 0, freed_depth: 0 });
        Ok(None)
    }

    /// The object of a container; none when a frame was added, at whose end it will be there.
    fn begin(
        &mut self,
        place: Place<'a>,
        container: Container,
        member_depth: usize,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if member_depth > MEMBER_DEPTH {
            return Err(PyRecursionError::new_err("a key nests without end; the file is damaged"));
        }
        self.go_to(place);
        let (address, _) = Self::key(place, container);
        if let Some(made) = self.made.get(&(address, container, member_depth > 0)) {
            let too_early = match (made.open, self.encoded.last()) {
                (Some(open), Some(encoded)) => open <= *encoded,
                _ => false,
            };
            return match &made.object {
                Some(object) if !too_early => Ok(Some(object.clone())),
                _ => Err(errors::unsupported(
                    self.py,
                    "an instance can't be made, since it holds itself and has to be made before what is in it",
                )),
            };
        }
        let len = container.len();
        let mut next = 0;
        let (making, object) = match container.kind {
            ContainerKind::List | ContainerKind::Dict | ContainerKind::ByteArray | ContainerKind::Set
                if member_depth > 0 =>
            {
                return Err(damaged("a key is a mutable container"));
            }
            ContainerKind::List => {
                let list = self.nones(len)?;
                (Making::List(list.clone()), Some(list.into_any()))
            }
            ContainerKind::Tuple => {
                let tuple = PyTuple::new(self.py, self.nones(len)?)?;
                (Making::Tuple(tuple.clone()), Some(tuple.into_any()))
            }
            ContainerKind::Dict => {
                let dict = PyDict::new(self.py);
                (Making::Dict(dict.clone(), None), Some(dict.into_any()))
            }
            ContainerKind::Set | ContainerKind::FrozenSet => {
                (Making::Members(Vec::with_capacity(len), container.kind), None)
            }
            ContainerKind::ByteArray => {
                let bytes = decode::leaf(self.py, &place.source.texts(), self.item(container, 0)?)?;
                let bytes = bytes.cast::<PyBytes>().map_err(|_| damaged("a byte array holds no bytes"))?;
                let object = PyByteArray::new(self.py, bytes.as_bytes()).into_any();
                return Ok(Some(self.keep(place, container, member_depth, object)));
            }
            ContainerKind::Instance => {
                let (instance, first) = self.begin_instance(container, member_depth)?;
                if let Instance::Whole(object) = instance {
                    return Ok(Some(self.keep(place, container, member_depth, object)));
                }
                next = first;
                let object = instance.shell();
                (Making::Instance(instance), object)
            }
        };
        let number = self.frames.len();
        let is_encoded = matches!(making, Making::Instance(Instance::Encoded { .. }));
        self.made.insert((address, container, member_depth > 0), Made { object, open: Some(number) });
        if is_encoded {
            self.encoded.push(number);
        }
        let mut freed_depth = 0;
        if matches!(&making, Making::Instance(instance) if instance.frees_by_recursion()) {
            freed_depth = 1 + self.frames.last().map_or(0, |around| around.freed_depth);
        }
        if freed_depth > FREED_DEPTH {
            return Err(PyRecursionError::new_err(format!(
                "deques or defaultdicts nest more than {FREED_DEPTH} levels deep, which Python can't free"
            )));
        }
        let end = if container.kind == ContainerKind::Dict { 2 * len } else { len };
        let elements = Elements::Here(place, container);
        self.frames.push(Frame { elements, making, next, end, member_depth, freed_depth });
        Ok(None)
    }

    fn keep(
        &mut self,
        place: Place<'a>,
        container: Container,
        member_depth: usize,
        object: Bound<'py, PyAny>,
    ) -> Bound<'py, PyAny> {
        let made = Made { object: Some(object.clone()), open: None };
        let (address, _) = Self::key(place, container);
        self.made.insert((address, container, member_depth > 0), made);
        object
    }

    /// Puts elements into a container until one has to be made first; answers the container when it is whole.
    fn go_on(
        &mut self,
        mut frame: Frame<'a, 'py>,
        mut element: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        loop {
            if let Some(element) = element.take() {
                frame.put(element)?;
            }
            if frame.next == frame.end {
                break;
            }
            let node = self.element(&mut frame)?;
            let is_begun = matches!(node, Node::Container(_) | Node::Object(_));
            if !is_begun {
                let place = self.place;
                element = Some(match (node, place) {
                    (node, Some(place)) => decode::node(self.py, place.source, node)?,
                    (Node::Int(value), None) => value.into_pyobject(self.py)?.into_any(),
                    (Node::Float(value), None) => value.into_pyobject(self.py)?.into_any(),
                    _ => return Err(lost()),
                });
                continue;
            }
            let number = self.frames.len();
            let depth = frame.depth_of_next();
            let place = self.here()?;
            // It has to be below the one that is begun now.
            self.frames.push(frame);
            let begun = match node {
                Node::Container(inner) => self.begin(place, inner, depth)?,
                Node::Object(reference) => self.begin_object(reference)?,
                _ => None,
            };
            if begun.is_none() {
                return Ok(None);
            }
            frame = self.frames.pop().filter(|_| self.frames.len() == number).ok_or_else(lost)?;
            element = begun;
        }
        if matches!(frame.making, Making::Instance(Instance::Encoded { .. })) {
            self.encoded.pop();
        }
        let member_depth = frame.member_depth;
        let object = frame.making.finish(self.py)?;
        Ok(Some(match frame.elements {
            Elements::Here(place, container) => self.keep(place, container, member_depth, object),
            Elements::Long(_) => object,
        }))
    }

    fn element(&mut self, frame: &mut Frame<'a, 'py>) -> PyResult<Node<'a>> {
        let next = frame.next;
        match &mut frame.elements {
            Elements::Long(parts) => parts.element(self, next),
            Elements::Here(place, container) => {
                self.go_to(*place);
                match container.kind {
                    ContainerKind::Dict if next.is_multiple_of(2) => self.item(*container, next / 2),
                    ContainerKind::Dict => place.record.value(*container, next / 2).or_raise(),
                    _ => self.item(*container, next),
                }
            }
        }
    }

    fn item(&self, container: Container, index: usize) -> PyResult<Node<'a>> {
        if index >= container.len() {
            return Err(damaged("a container lacks an element"));
        }
        self.here()?.record.item(container, index).or_raise()
    }

    fn nones(&self, len: usize) -> PyResult<Bound<'py, PyList>> {
        PyList::new(self.py, (0..len).map(|_| self.py.None()))
    }
}

impl<'py> Frame<'_, 'py> {
    /// How many sets and keys the next element is in.
    fn depth_of_next(&self) -> usize {
        let is_member = self.member_depth > 0
            || match &self.making {
                Making::Members(..) | Making::Set(_) => true,
                Making::Dict(_, key) => key.is_none(),
                Making::Instance(instance) => instance.needs_key(),
                Making::List(_) | Making::Growing(_) | Making::Tuple(_) => false,
            };
        if is_member { self.member_depth + 1 } else { 0 }
    }

    fn put(&mut self, element: Bound<'py, PyAny>) -> PyResult<()> {
        let index = self.next;
        self.next += 1;
        match &mut self.making {
            Making::List(list) => list.set_item(index, element),
            Making::Tuple(tuple) => {
                replace_none(tuple, index, element);
                Ok(())
            }
            Making::Dict(dict, key) => {
                if let Some(key) = key.take() {
                    return dict.set_item(key, element);
                }
                *key = Some(element);
                Ok(())
            }
            Making::Members(members, _) => {
                members.push(element);
                Ok(())
            }
            Making::Growing(list) => list.append(element),
            Making::Set(set) => set.add(element),
            Making::Instance(instance) => instance.put(index, element),
        }
    }
}

impl<'py> Making<'py> {
    /// The object, when it exists before all that is in it.
    fn shell(&self) -> Option<Bound<'py, PyAny>> {
        match self {
            Self::List(list) | Self::Growing(list) => Some(list.clone().into_any()),
            Self::Tuple(tuple) => Some(tuple.clone().into_any()),
            Self::Dict(dict, _) => Some(dict.clone().into_any()),
            Self::Set(set) => Some(set.clone().into_any()),
            Self::Members(..) => None,
            Self::Instance(instance) => instance.shell(),
        }
    }

    fn finish(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(match self {
            Self::List(list) | Self::Growing(list) => list.into_any(),
            Self::Tuple(tuple) => tuple.into_any(),
            Self::Dict(dict, _) => dict.into_any(),
            Self::Set(set) => set.into_any(),
            Self::Members(members, ContainerKind::Set) => PySet::new(py, members)?.into_any(),
            Self::Members(members, _) => PyFrozenSet::new(py, members)?.into_any(),
            Self::Instance(instance) => instance.finish(py)?,
        })
    }
}

fn damaged(what: &str) -> PyErr {
    errors::to_python(Error::Corrupted(what.into()))
}

fn lost() -> PyErr {
    damaged("a container lost its place")
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
