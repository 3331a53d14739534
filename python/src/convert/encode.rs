//! Python objects on their way into the map: without recursion, whatever their depth, shape and cycles.

mod cycles;
mod gather;
mod instance;
mod names;

use oocmap::{Block, ContainerKind, Draft, Key, KeyBytes, Role, Scalar, ValueBuilder, Word};
use pyo3::{
    exceptions::PyRuntimeError,
    ffi,
    prelude::*,
    types::{
        PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple,
    },
};
use rustc_hash::FxHashMap;

use self::{
    gather::{Gathered, is_gathered},
    instance::{Other, Part},
    names::MetNames,
};
use super::{key, scalar};
use crate::{access::Access, errors::OrRaise, lazy};

/// An object, ready to be stored.
///
/// Nothing is written meanwhile, so objects whose conversion runs Python code can't leave anything half done.
/// What has no native form is pickled, if that is allowed.
pub(crate) fn draft(object: &Bound<'_, PyAny>, access: &Access) -> PyResult<Draft> {
    Drafts::new(access).draft(object)
}

/// Makes drafts of objects, one after the other.
pub(crate) struct Drafts<'a, 'py> {
    access: &'a Access,
    /// Once it was needed.
    scratch: Option<Scratch<'py>>,
}

impl<'a, 'py> Drafts<'a, 'py> {
    pub(crate) fn new(access: &'a Access) -> Self {
        Self { access, scratch: None }
    }

    /// As [`draft`].
    pub(crate) fn draft(&mut self, object: &Bound<'py, PyAny>) -> PyResult<Draft> {
        match leaf(object, self.access)? {
            Some(draft) => Ok(draft),
            None => self.encode(object),
        }
    }

    /// What is not a leaf.
    fn encode(&mut self, object: &Bound<'py, PyAny>) -> PyResult<Draft> {
        let scratch = self.scratch.get_or_insert_with(Scratch::new);
        let encoder = Encoder {
            builder: ValueBuilder::new(),
            known: FxHashMap::default(),
            scratch: &mut *scratch,
            access: self.access,
            kept: Vec::new(),
            allow_pickle: self.access.origin().allow_pickle,
            shapes: FxHashMap::default(),
            filling: None,
            in_instance: false,
            encoded: Vec::new(),
            py: object.py(),
            has_run: false,
        };
        let draft = encoder.draft(object);
        scratch.clear();
        draft
    }
}

impl Drop for Drafts<'_, '_> {
    fn drop(&mut self) {
        if let Some(scratch) = self.scratch.take() {
            scratch.names.leave();
        }
    }
}

/// What needs no encoder.
#[inline]
fn leaf(object: &Bound<'_, PyAny>, access: &Access) -> PyResult<Option<Draft>> {
    // By far the most frequent one.
    if let Ok(text) = object.cast_exact::<PyString>()
        && let Ok(text) = text.to_str()
    {
        return Ok(Some(Draft::text(text)));
    }
    if let Ok(list) = object.cast_exact::<PyList>()
        && let Some(draft) = numbers(list)
    {
        return draft.or_raise().map(Some);
    }
    if builtin(object).is_some() {
        return Ok(None);
    }
    match scalar::from_python(object) {
        Ok(leaf) => Ok(leaf.map(|leaf| Draft::scalar(&leaf))),
        // Such as a datetime with a time zone of a class of its own.
        Err(_) if access.origin().allow_pickle => Ok(None),
        Err(error) => Err(error),
    }
}

/// A list that holds nothing but integers of 64 bits, or nothing but doubles, if there are many of them: then it pays to
/// make but numbers of them.
fn numbers(list: &Bound<'_, PyList>) -> Option<oocmap::Result<Draft>> {
    if list.len() < Draft::MANY_NUMBERS {
        return None;
    }
    let first = list.get_item(0).ok()?;
    if first.is_exact_instance_of::<PyInt>() {
        all(list, |item| item.cast_exact::<PyInt>().ok()?.extract().ok()).map(Draft::ints)
    } else {
        all(list, |item| Some(item.cast_exact::<PyFloat>().ok()?.value())).map(Draft::floats)
    }
}

/// What all elements of a list are, if all are such.
fn all<'py, T>(list: &Bound<'py, PyList>, one: impl Fn(&Bound<'py, PyAny>) -> Option<T>) -> Option<Vec<T>> {
    let mut all = Vec::with_capacity(list.len());
    for item in list {
        all.push(one(&item)?);
    }
    Some(all)
}

/// Room for more than this, of each kind, is not kept for the next conversion.
const MOST_KEPT: usize = 1 << 13;

/// The place of what is not filled later.
const NOWHERE: u32 = u32::MAX;

/// A container that has its place, but not its elements yet.
struct Pending<'py> {
    container: Bound<'py, PyAny>,
    block: Block,
    kind: ContainerKind,
    role: Role,
    /// Whether it is an instance or in one.
    in_instance: bool,
    /// What an instance was taken apart into.
    parts: Vec<Part<'py>>,
}

/// What serves one conversion after the other.
struct Scratch<'py> {
    pending: Vec<Pending<'py>>,
    /// Which containers stand in which.
    contained: Vec<(u32, u32)>,
    /// The keys that were met of late.
    names: MetNames,
    /// Room for what is taken out of containers.
    gathered: Gathered<'py>,
}

impl Scratch<'_> {
    fn new() -> Self {
        Self {
            pending: Vec::with_capacity(16),
            contained: Vec::new(),
            names: MetNames::take(),
            gathered: Gathered::default(),
        }
    }

    /// Forgets a value, and the room for it when that was very large.
    fn clear(&mut self) {
        self.pending.clear();
        self.contained.clear();
        let room = [self.pending.capacity(), self.contained.capacity(), self.gathered.items.capacity()];
        if room.iter().any(|room| *room > MOST_KEPT) {
            (self.pending, self.contained, self.gathered) = Default::default();
        }
    }
}

struct Encoder<'a, 'py> {
    builder: ValueBuilder,
    /// The containers that were met, by address; `pending` keeps them alive, so that addresses stay theirs.
    known: FxHashMap<(usize, bool), (Word, u32)>,
    scratch: &'a mut Scratch<'py>,
    /// The map that it is for.
    access: &'a Access,
    /// What else has to stay alive, since it is known by its address.
    kept: Vec<Bound<'py, PyAny>>,
    allow_pickle: bool,
    shapes: FxHashMap<Vec<usize>, Word>,
    /// The container that is being filled, by its place among the pending ones.
    filling: Option<u32>,
    /// Whether that is an instance or in one, which comes back whole: handles in it stand for copies.
    in_instance: bool,
    /// The instances that are made whole again only after all that is in them.
    encoded: Vec<u32>,
    py: Python<'py>,
    /// Whether something may have run that is written in Python.
    has_run: bool,
}

/// How many references there are to an element that is handed on, when only its container and we have one.
const IN_CONTAINER: isize = 2;
/// The same of one that is borrowed from its container.
const BORROWED: isize = 1;
/// Says that an element may be met again, whatever refers to it.
const ANYWHERE: isize = 0;

impl<'py> Encoder<'_, 'py> {
    fn draft(mut self, object: &Bound<'py, PyAny>) -> PyResult<Draft> {
        let root = self.word(object, Role::Value, ANYWHERE)?;
        let mut next = 0;
        while next < self.scratch.pending.len() {
            next = if is_gathered(&self.scratch.pending[next]) {
                self.fill_gathered(next)?
            } else {
                self.fill(next)?;
                next + 1
            };
        }
        self.refuse_cycles()?;
        Ok(self.builder.finish(root))
    }

    /// The word of an element; containers are left to be filled later.
    ///
    /// `unique` is how many references there are to it when it can't be met again.
    #[inline]
    fn word(&mut self, object: &Bound<'py, PyAny>, role: Role, unique: isize) -> PyResult<Word> {
        match self.plain(object, role, unique) {
            Some(word) => Ok(word),
            None => self.other_word(object, role),
        }
    }

    /// The word of an element, when it is one of the most common leaves or a builtin container, so that nothing runs that is
    /// written in Python; nor when there is something wrong with it.
    #[inline]
    fn plain(&mut self, object: &Bound<'py, PyAny>, role: Role, unique: isize) -> Option<Word> {
        if let Ok(text) = object.cast_exact::<PyString>() {
            return self.builder.str(text.to_str().ok()?, role).ok();
        }
        if let Ok(value) = object.cast_exact::<PyInt>() {
            return self.builder.int(value.extract().ok()?).ok();
        }
        if let Ok(value) = object.cast_exact::<PyFloat>() {
            return self.builder.float(value.value()).ok();
        }
        if let Some(kind) = builtin(object) {
            return self.plain_container(object, kind, role, unique);
        }
        if object.is_none() {
            return Some(self.builder.none());
        }
        if let Ok(value) = object.cast_exact::<PyBool>() {
            return Some(self.builder.bool(value.is_true()));
        }
        let bytes = object.cast_exact::<PyBytes>().ok()?;
        self.builder.scalar(&Scalar::Bytes(bytes.as_bytes().into()), role).ok()
    }

    fn plain_container(
        &mut self,
        object: &Bound<'py, PyAny>,
        kind: ContainerKind,
        role: Role,
        unique: isize,
    ) -> Option<Word> {
        let is_unique = references(object) <= unique;
        let address = (object.as_ptr() as usize, role == Role::Member);
        if !is_unique && let Some((word, place)) = self.known.get(&address).copied() {
            self.note_contained(place);
            return Some(word);
        }
        let (word, block) = self.builder.container(kind, length(object, kind)).ok()?;
        let place = self.scratch.pending.len() as u32;
        if !is_unique {
            self.known.insert(address, (word, place));
        }
        self.note_contained(place);
        let in_instance = self.in_instance;
        self.scratch.pending.push(Pending {
            container: object.clone(),
            block,
            kind,
            role,
            in_instance,
            parts: Vec::new(),
        });
        Some(word)
    }

    fn other_word(&mut self, object: &Bound<'py, PyAny>, role: Role) -> PyResult<Word> {
        self.has_run = true;
        let address = (object.as_ptr() as usize, role == Role::Member);
        if let Some((word, place)) = self.known.get(&address).copied() {
            self.note_contained(place);
            return Ok(word);
        }
        let handle = lazy::of(object);
        if let Some(handle) = handle
            && !self.in_instance
            && let Some((reference, seen)) = handle.reference(self.access)?
        {
            if role == Role::Member {
                return Err(scalar::unsupported(object, "a key"));
            }
            let word = self.builder.object(reference, seen).or_raise()?;
            self.known.insert(address, (word, NOWHERE));
            self.kept.push(object.clone());
            return Ok(word);
        }
        // What belongs to another map or to a snapshot is copied; of a tuple the elements may still be references.
        let plain = match handle {
            Some(handle) => {
                let deep = self.in_instance || !handle.belongs_to(self.access);
                Some(lazy::eager(object.py(), handle, deep)?)
            }
            None => None,
        };
        let container = plain.as_ref().unwrap_or(object);
        let mut parts = Vec::new();
        let (word, block, kind) = if let Some(kind) = builtin(container) {
            let (word, block) = self.builder.container(kind, length(container, kind)).or_raise()?;
            (word, block, kind)
        } else if let Ok(bytes) = container.cast_exact::<PyByteArray>() {
            let word = self.builder.byte_array(&bytes.to_vec()).or_raise()?;
            self.known.insert(address, (word, NOWHERE));
            self.kept.push(object.clone());
            return Ok(word);
        } else {
            match self.other(container, role)? {
                Other::Leaf(leaf) => return Ok(leaf),
                Other::Instance(of_instance) => parts = of_instance,
            }
            let (word, block) = self.builder.instance(parts.len()).or_raise()?;
            (word, block, ContainerKind::Instance)
        };
        let place = self.scratch.pending.len() as u32;
        self.known.insert(address, (word, place));
        self.note_contained(place);
        if plain.is_some() {
            // The copy may hold itself; and the handle, whose address is known as well, has to stay alive.
            self.known.insert((container.as_ptr() as usize, role == Role::Member), (word, place));
            self.kept.push(object.clone());
        }
        let in_instance = self.in_instance || kind == ContainerKind::Instance;
        self.scratch.pending.push(Pending {
            container: container.clone(),
            block,
            kind,
            role,
            in_instance,
            parts,
        });
        Ok(word)
    }

    /// Fills some containers, from one on; answers which is the next.
    ///
    /// What is in them is taken out first, of several at once: what has long been lying in memory then comes from there at
    /// the same time, and what the conversion runs may change a container.
    fn fill_gathered(&mut self, first: usize) -> PyResult<usize> {
        let mut gathered = std::mem::take(&mut self.scratch.gathered);
        let end = first + gathered.take(self.py, &self.scratch.pending[first..])?;
        self.has_run = false;
        let mut rest = gathered.items.as_slice();
        let mut next = first;
        while next < end && !self.has_run {
            let Pending { block, kind, role, in_instance, .. } = self.scratch.pending[next];
            (self.in_instance, self.filling) = (in_instance, Some(next as u32));
            let width = if kind == ContainerKind::Dict { 2 } else { 1 };
            let (own, others) = rest.split_at(width * block.len());
            rest = others;
            if kind == ContainerKind::Dict {
                for (index, pair) in own.chunks_exact(2).enumerate() {
                    let word = match self.met_key(&pair[0], block, index) {
                        Some(word) => word,
                        None => self.key(&pair[0], block, index)?,
                    };
                    self.builder.set_item(block, index, word);
                    let word = self.word(&pair[1], role, IN_CONTAINER)?;
                    self.builder.set_value(block, index, word);
                }
            } else {
                for (index, item) in own.iter().enumerate() {
                    let word = self.word(item, role, IN_CONTAINER)?;
                    self.builder.set_item(block, index, word);
                }
            }
            if self.has_run && kind == ContainerKind::List {
                check_length(self.scratch.pending[next].container.len()?, block, "list")?;
            }
            next += 1;
        }
        gathered.end(self.has_run);
        self.scratch.gathered = gathered;
        Ok(next)
    }

    /// Fills a container that is not gathered.
    fn fill(&mut self, next: usize) -> PyResult<()> {
        let Pending { container, block, kind, role, in_instance, parts } = &mut self.scratch.pending[next];
        self.in_instance = *in_instance;
        let (container, block, kind, role, parts) =
            (container.clone(), *block, *kind, *role, std::mem::take(parts));
        self.filling = Some(next as u32);
        match kind {
            ContainerKind::Instance => self.fill_instance(parts, block, role),
            ContainerKind::List => {
                let list = container.cast::<PyList>()?;
                check_length(list.len(), block, "list")?;
                let mut done = 0;
                for item in list {
                    let word = self.word(&item, role, IN_CONTAINER)?;
                    self.builder.set_item(block, done, word);
                    done += 1;
                }
                check_length(done, block, "list")?;
                check_length(list.len(), block, "list")
            }
            // Dicts are all gathered.
            ContainerKind::Tuple | ContainerKind::Dict => {
                for (index, item) in container.cast::<PyTuple>()?.iter_borrowed().enumerate() {
                    let word = self.word(&item, role, BORROWED)?;
                    self.builder.set_item(block, index, word);
                }
                Ok(())
            }
            ContainerKind::Set | ContainerKind::FrozenSet | ContainerKind::ByteArray => {
                let members: Vec<_> = container.try_iter()?.collect::<PyResult<_>>()?;
                check_length(members.len(), block, "set")?;
                for (index, member) in members.iter().enumerate() {
                    let word = self.member(member, block, index)?;
                    self.builder.set_item(block, index, word);
                }
                Ok(())
            }
        }
    }

    /// The word of a dict's key that was met before and is known by now.
    #[inline]
    fn met_key(&mut self, key: &Bound<'py, PyAny>, block: Block, index: usize) -> Option<Word> {
        if !block.takes_names() {
            return None;
        }
        let name = self.scratch.names.of(key.cast_exact::<PyString>().ok()?)?;
        self.index_text(name.text(), block, index);
        self.builder.known_name(name, block).ok()
    }

    fn key(&mut self, key: &Bound<'py, PyAny>, block: Block, index: usize) -> PyResult<Word> {
        if let Ok(text) = key.cast_exact::<PyString>()
            && let Ok(text) = text.to_str()
        {
            self.index_text(text, block, index);
            return self.builder.name(text, block).or_raise();
        }
        self.member(key, block, index)
    }

    #[inline]
    fn index_text(&mut self, text: &str, block: Block, index: usize) {
        if block.is_indexed() {
            let mut ordered = KeyBytes::new();
            oocmap::encode_str(text, &mut ordered);
            self.builder.index(block, index, &ordered);
        }
    }

    /// A dict's key or a set's member, which has to be one of those that can be found again.
    fn member(&mut self, member: &Bound<'py, PyAny>, block: Block, index: usize) -> PyResult<Word> {
        if !block.is_indexed()
            && let Some((word, _)) = self.known.get(&(member.as_ptr() as usize, true))
        {
            return Ok(*word);
        }
        self.has_run = true;
        let key = key::key(member)?;
        if block.is_indexed() || !matches!(key, Key::Scalar(Scalar::Str(_) | Scalar::Int(_))) {
            let mut ordered = KeyBytes::new();
            key.encode_allowing_nan(&mut ordered).or_raise()?;
            self.builder.index(block, index, &ordered);
        }
        self.word(member, Role::Member, ANYWHERE)
    }
}

/// What an object is, when it is a builtin container, of which nothing runs that is written in Python.
#[inline]
fn builtin(object: &Bound<'_, PyAny>) -> Option<ContainerKind> {
    if object.is_exact_instance_of::<PyDict>() {
        Some(ContainerKind::Dict)
    } else if object.is_exact_instance_of::<PyList>() {
        Some(ContainerKind::List)
    } else if object.is_exact_instance_of::<PyTuple>() {
        Some(ContainerKind::Tuple)
    } else if object.is_exact_instance_of::<PySet>() {
        Some(ContainerKind::Set)
    } else if object.is_exact_instance_of::<PyFrozenSet>() {
        Some(ContainerKind::FrozenSet)
    } else {
        None
    }
}

/// How many elements a builtin container has.
#[inline]
fn length(container: &Bound<'_, PyAny>, kind: ContainerKind) -> usize {
    let known = match kind {
        ContainerKind::Dict => container.cast::<PyDict>().map(PyDictMethods::len).ok(),
        ContainerKind::List => container.cast::<PyList>().map(PyListMethods::len).ok(),
        _ => None,
    };
    known.or_else(|| container.len().ok()).unwrap_or_default()
}

/// How many references there are to an object.
#[inline]
#[expect(unsafe_code, reason = "PyO3 has no safe function for it that is to stay")]
fn references(object: &Bound<'_, PyAny>) -> isize {
    // SAFETY: the object is alive and this thread is attached, as a `Bound` says.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

fn check_length(length: usize, block: Block, what: &str) -> PyResult<()> {
    if length == block.len() { Ok(()) } else { Err(changed(what)) }
}

fn changed(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("a {what} changed its size while it was being stored"))
}
