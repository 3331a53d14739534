//! Python objects on their way into the map: without recursion, whatever their depth, shape and cycles.

mod cycles;
mod instance;

use oocmap::{Block, Draft, Key, KeyBytes, Role, Scalar, ValueBuilder, Word};
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{PyByteArray, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple},
};

use rustc_hash::FxHashMap;

use self::instance::{Other, Part};
use super::{key, scalar};
use crate::{access::Access, errors::OrRaise, lazy};

/// An object, ready to be stored.
///
/// Nothing is written meanwhile, so objects whose conversion runs Python code can't leave anything half done.
/// What has no native form is pickled, if that is allowed.
pub(crate) fn draft(object: &Bound<'_, PyAny>, access: &Access) -> PyResult<Draft> {
    let allow_pickle = access.origin().allow_pickle;
    match scalar::from_python(object) {
        Ok(Some(leaf)) => return Ok(Draft::scalar(&leaf)),
        // Such as a datetime with a time zone of a class of its own.
        Err(error) if !allow_pickle => return Err(error),
        Ok(None) | Err(_) => {}
    }
    let mut encoder = Encoder {
        builder: ValueBuilder::new(),
        known: FxHashMap::default(),
        pending: Vec::new(),
        access,
        kept: Vec::new(),
        allow_pickle,
        shapes: FxHashMap::default(),
        filling: None,
        in_instance: false,
        contained: Vec::new(),
        encoded: Vec::new(),
    };
    let root = encoder.word(object, Role::Value)?;
    let mut next = 0;
    while next < encoder.pending.len() {
        encoder.fill(next)?;
        next += 1;
    }
    encoder.refuse_cycles()?;
    Ok(encoder.builder.finish(root))
}

/// The place of what is not filled later.
const NOWHERE: u32 = u32::MAX;

/// A container that has its place, but not its elements yet.
struct Pending<'py> {
    container: Bound<'py, PyAny>,
    block: Block,
    kind: Kind,
    role: Role,
    /// Whether it is an instance or in one.
    in_instance: bool,
    /// What an instance was taken apart into.
    parts: Vec<Part<'py>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    List,
    Tuple,
    Dict,
    Set,
    Instance,
}

struct Encoder<'a, 'py> {
    builder: ValueBuilder,
    /// The containers that were met, by address; `pending` keeps them alive, so that addresses stay theirs.
    known: FxHashMap<(usize, bool), (Word, u32)>,
    pending: Vec<Pending<'py>>,
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
    /// Which containers stand in which.
    contained: Vec<(u32, u32)>,
    /// The instances that are made whole again only after all that is in them.
    encoded: Vec<u32>,
}

impl<'py> Encoder<'_, 'py> {
    /// The word of an element; containers are left to be filled later.
    #[inline]
    fn word(&mut self, object: &Bound<'py, PyAny>, role: Role) -> PyResult<Word> {
        if let Ok(text) = object.cast_exact::<PyString>()
            && let Ok(text) = text.to_str()
        {
            return self.builder.str(text, role).or_raise();
        }
        if let Ok(value) = object.cast_exact::<PyInt>()
            && let Ok(value) = value.extract::<i64>()
        {
            return self.builder.int(value).or_raise();
        }
        if let Ok(value) = object.cast_exact::<PyFloat>() {
            return self.builder.float(value.value()).or_raise();
        }
        if object.is_none() {
            return Ok(self.builder.none());
        }
        self.container(object, role)
    }

    fn container(&mut self, object: &Bound<'py, PyAny>, role: Role) -> PyResult<Word> {
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
        let (word, block, kind) = if let Ok(list) = container.cast_exact::<PyList>() {
            let (word, block) = self.builder.list(list.len()).or_raise()?;
            (word, block, Kind::List)
        } else if let Ok(tuple) = container.cast_exact::<PyTuple>() {
            let (word, block) = self.builder.tuple(tuple.len()).or_raise()?;
            (word, block, Kind::Tuple)
        } else if let Ok(dict) = container.cast_exact::<PyDict>() {
            let (word, block) = self.builder.dict(dict.len()).or_raise()?;
            (word, block, Kind::Dict)
        } else if let Ok(set) = container.cast_exact::<PySet>() {
            let (word, block) = self.builder.set(set.len()).or_raise()?;
            (word, block, Kind::Set)
        } else if let Ok(bytes) = container.cast_exact::<PyByteArray>() {
            let word = self.builder.byte_array(&bytes.to_vec()).or_raise()?;
            self.known.insert(address, (word, NOWHERE));
            self.kept.push(object.clone());
            return Ok(word);
        } else if let Ok(set) = container.cast_exact::<PyFrozenSet>() {
            let (word, block) = self.builder.frozenset(set.len()).or_raise()?;
            (word, block, Kind::Set)
        } else {
            match self.other(container, role)? {
                Other::Leaf(leaf) => return Ok(leaf),
                Other::Instance(of_instance) => parts = of_instance,
            }
            let (word, block) = self.builder.instance(parts.len()).or_raise()?;
            (word, block, Kind::Instance)
        };
        let place = self.pending.len() as u32;
        self.known.insert(address, (word, place));
        self.note_contained(place);
        if plain.is_some() {
            // The copy may hold itself; and the handle, whose address is known as well, has to stay alive.
            self.known.insert((container.as_ptr() as usize, role == Role::Member), (word, place));
            self.kept.push(object.clone());
        }
        let in_instance = self.in_instance || kind == Kind::Instance;
        self.pending.push(Pending { container: container.clone(), block, kind, role, in_instance, parts });
        Ok(word)
    }

    fn fill(&mut self, next: usize) -> PyResult<()> {
        let Pending { container, block, kind, role, in_instance, parts } = &mut self.pending[next];
        self.in_instance = *in_instance;
        let (container, block, kind, role, parts) =
            (container.clone(), *block, *kind, *role, std::mem::take(parts));
        self.filling = Some(next as u32);
        match kind {
            Kind::Instance => self.fill_instance(parts, block, role),
            Kind::List => {
                let list = container.cast::<PyList>()?;
                for index in 0..block.len() {
                    let item = list.get_item(index).map_err(|_| changed("list"))?;
                    let word = self.word(&item, role)?;
                    self.builder.set_item(block, index, word);
                }
                check_length(list.len(), block, "list")
            }
            Kind::Tuple => {
                let tuple = container.cast::<PyTuple>()?;
                for (index, item) in tuple.iter_borrowed().enumerate() {
                    let word = self.word(&item, role)?;
                    self.builder.set_item(block, index, word);
                }
                Ok(())
            }
            Kind::Dict => {
                // Taken out first: what the conversion runs may change the dict.
                let items: Vec<_> = container.cast::<PyDict>()?.iter().collect();
                check_length(items.len(), block, "dict")?;
                for (index, (key, value)) in items.iter().enumerate() {
                    let word = self.key(key, block, index)?;
                    self.builder.set_item(block, index, word);
                    let word = self.word(value, role)?;
                    self.builder.set_value(block, index, word);
                }
                Ok(())
            }
            Kind::Set => {
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

    fn key(&mut self, key: &Bound<'py, PyAny>, block: Block, index: usize) -> PyResult<Word> {
        if let Ok(text) = key.cast_exact::<PyString>()
            && let Ok(text) = text.to_str()
        {
            if block.is_indexed() {
                let mut ordered = KeyBytes::new();
                oocmap::encode_str(text, &mut ordered);
                self.builder.index(block, index, &ordered);
            }
            return self.builder.name(text, block).or_raise();
        }
        self.member(key, block, index)
    }

    /// A dict's key or a set's member, which has to be one of those that can be found again.
    fn member(&mut self, member: &Bound<'py, PyAny>, block: Block, index: usize) -> PyResult<Word> {
        if !block.is_indexed()
            && let Some((word, _)) = self.known.get(&(member.as_ptr() as usize, true))
        {
            return Ok(*word);
        }
        let key = key::key(member)?;
        if block.is_indexed() || !matches!(key, Key::Scalar(Scalar::Str(_) | Scalar::Int(_))) {
            let mut ordered = KeyBytes::new();
            key.encode_allowing_nan(&mut ordered).or_raise()?;
            self.builder.index(block, index, &ordered);
        }
        self.word(member, Role::Member)
    }
}

fn check_length(length: usize, block: Block, what: &str) -> PyResult<()> {
    if length == block.len() { Ok(()) } else { Err(changed(what)) }
}

fn changed(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("a {what} changed its size while it was being stored"))
}
