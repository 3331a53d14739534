//! Python objects on their way into the map: without recursion, whatever their depth, shape and cycles.

use oocmap::{Block, Draft, Key, KeyBytes, Role, Scalar, ValueBuilder, Word};
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple},
};

use rustc_hash::FxHashMap;

use super::{key, scalar};
use crate::{errors::OrRaise, lazy};

/// An object, ready to be stored.
///
/// Nothing is written meanwhile, so objects whose conversion runs Python code can't leave anything half done.
pub(crate) fn draft(object: &Bound<'_, PyAny>) -> PyResult<Draft> {
    if let Some(leaf) = scalar::from_python(object)? {
        return Ok(Draft::scalar(&leaf));
    }
    let mut encoder = Encoder {
        builder: ValueBuilder::new(),
        known: FxHashMap::default(),
        pending: Vec::new(),
        handles: Vec::new(),
    };
    let root = encoder.word(object, Role::Value)?;
    let mut next = 0;
    while next < encoder.pending.len() {
        encoder.fill(next)?;
        next += 1;
    }
    Ok(encoder.builder.finish(root))
}

/// A container that has its place, but not its elements yet.
struct Pending<'py> {
    container: Bound<'py, PyAny>,
    block: Block,
    kind: Kind,
    role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    List,
    Tuple,
    Dict,
    Set,
}

struct Encoder<'py> {
    builder: ValueBuilder,
    /// The containers that were met, by address; `pending` keeps them alive, so that addresses stay theirs.
    known: FxHashMap<(usize, bool), Word>,
    pending: Vec<Pending<'py>>,
    handles: Vec<Bound<'py, PyAny>>,
}

impl<'py> Encoder<'py> {
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
        if let Some(word) = self.known.get(&address) {
            return Ok(*word);
        }
        // A handle from the map is copied, as the plain object that it stands for.
        let plain = lazy::plain(object)?;
        let container = plain.as_ref().unwrap_or(object);
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
        } else if let Ok(set) = container.cast_exact::<PyFrozenSet>() {
            let (word, block) = self.builder.frozenset(set.len()).or_raise()?;
            (word, block, Kind::Set)
        } else {
            return match scalar::from_python(object)? {
                Some(leaf) => self.builder.scalar(&leaf, role).or_raise(),
                None => Err(scalar::unsupported(object, "a value")),
            };
        };
        self.known.insert(address, word);
        if plain.is_some() {
            // It is the handle's address that is known, so the handle has to stay alive as well.
            self.handles.push(object.clone());
        }
        self.pending.push(Pending { container: container.clone(), block, kind, role });
        Ok(word)
    }

    fn fill(&mut self, next: usize) -> PyResult<()> {
        let Pending { container, block, kind, role } = &self.pending[next];
        let (container, block, kind, role) = (container.clone(), *block, *kind, *role);
        match kind {
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
            && let Some(word) = self.known.get(&(member.as_ptr() as usize, true))
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
