//! Instances of classes on their way into the map: taken apart into elements by the recipe of their class.

use oocmap::{Block, Role, Word};
use pyo3::{
    exceptions::{PyAttributeError, PyRuntimeError},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyList, PyString, PyTuple},
};

use super::{ANYWHERE, Encoder};
use crate::{
    convert::{
        classes::{self, Attribute, Protocol, Recipe},
        scalar,
    },
    errors::{self, OrRaise},
};

/// An element of an instance.
pub(super) enum Part<'py> {
    Protocol(Protocol),
    /// A text that repeats from instance to instance.
    Name(Bound<'py, PyString>),
    Shape(Word),
    Value(Bound<'py, PyAny>),
    /// A value that others are found by.
    Key(Bound<'py, PyAny>),
}

/// What is neither a builtin container nor one of the most common leaves.
pub(super) enum Other<'py> {
    Leaf(Word),
    Instance(Vec<Part<'py>>),
}

impl<'py> Encoder<'_, 'py> {
    /// Anything but a builtin container.
    pub(super) fn other(&mut self, object: &Bound<'py, PyAny>, role: Role) -> PyResult<Other<'py>> {
        if let Some(recipe) = classes::of(object)? {
            return self.take_apart(object, &recipe).map(Other::Instance);
        }
        match scalar::from_python(object) {
            Ok(Some(leaf)) => self.builder.scalar(&leaf, role).or_raise().map(Other::Leaf),
            Ok(None) if self.allow_pickle => pickled(object).map(Other::Instance),
            Ok(None) => Err(unsupported(object)),
            // Such as a datetime with a time zone of a class of its own.
            Err(error) if self.allow_pickle && errors::is_unsupported(object.py(), &error) => {
                pickled(object).map(Other::Instance)
            }
            Err(error) => Err(error),
        }
    }

    fn take_apart(
        &mut self,
        object: &Bound<'py, PyAny>,
        recipe: &Bound<'py, Recipe>,
    ) -> PyResult<Vec<Part<'py>>> {
        let py = object.py();
        let plan = recipe.get();
        let mut parts = vec![Part::Protocol(plan.protocol)];
        match plan.protocol {
            Protocol::Deque => {
                parts.push(Part::Value(object.getattr(intern!(py, "maxlen"))?));
                // A list first: what the conversion runs may change the deque.
                parts.extend(plain_list(object)?.iter().map(Part::Value));
            }
            Protocol::OrderedDict | Protocol::DefaultDict | Protocol::Counter => {
                if plan.protocol == Protocol::DefaultDict {
                    parts.push(factory(object)?);
                } else {
                    refuse_attributes(object)?;
                }
                for item in plain_list(&object.call_method0(intern!(py, "items"))?)? {
                    let (key, value) = item.extract()?;
                    parts.extend([Part::Key(key), Part::Value(value)]);
                }
            }
            Protocol::Path => {
                parts.push(Part::Name(plan.name.bind(py).clone()));
                parts.push(Part::Value(object.str()?.into_any()));
            }
            Protocol::Enum => {
                parts.push(Part::Name(plan.name.bind(py).clone()));
                parts.extend(member(object, plan)?);
            }
            Protocol::NamedTuple => {
                refuse_attributes(object)?;
                parts.push(Part::Name(plan.name.bind(py).clone()));
                parts.extend(object.cast::<PyTuple>()?.iter().map(Part::Value));
            }
            Protocol::Attributes => self.attributes(object, recipe, &mut parts)?,
            Protocol::Encoded | Protocol::Pickle => {
                let encode = plan.encode.as_ref().ok_or_else(|| PyRuntimeError::new_err("no encode="))?;
                let state = encode.bind(py).call1((object,))?;
                if state.get_type().is(object.get_type()) {
                    let text = format!(
                        "encode= made another instance of {}; make something else of it",
                        plan.title(py)
                    );
                    return Err(errors::unsupported(py, text));
                }
                self.encoded.push(self.scratch.pending.len() as u32);
                parts.push(Part::Name(plan.name.bind(py).clone()));
                parts.push(Part::Value(state));
            }
        }
        Ok(parts)
    }

    /// The shape of an instance, and the values of its attributes.
    fn attributes(
        &mut self,
        object: &Bound<'py, PyAny>,
        recipe: &Bound<'py, Recipe>,
        parts: &mut Vec<Part<'py>>,
    ) -> PyResult<()> {
        let py = object.py();
        let plan = recipe.get();
        let dict = match object.getattr_opt(intern!(py, "__dict__"))? {
            Some(dict) => Some(dict.cast_into::<PyDict>()?),
            None => None,
        };
        let mut names = Vec::new();
        let mut values = Vec::new();
        let mut unset = Vec::new();
        let mut from_dict = 0;
        for field in &plan.fields {
            let value = match (&field.slot, &dict) {
                (None, Some(dict)) => {
                    let value = dict.get_item(&field.name)?;
                    from_dict += usize::from(value.is_some());
                    value
                }
                _ => slot_value(object, field)?,
            };
            let name = field.name.bind(py).clone();
            match value {
                Some(value) => {
                    names.push(name);
                    values.push(Part::Value(value));
                }
                None => unset.push(name),
            }
        }
        let (set_fields, unset_fields) = (names.len(), unset.len());
        names.append(&mut unset);
        let is = |name: &Bound<'py, PyString>, known: &Py<PyString>| {
            name.is(known) || name.as_any().eq(known).unwrap_or(false)
        };
        let mut add_other = |name: Bound<'py, PyString>, value| {
            let is_reset = plan.reset.iter().any(|known| is(&name, known));
            values.push(Part::Value(if is_reset { py.None().into_bound(py) } else { value }));
            names.push(name);
        };
        for slot in &plan.slots {
            if let Some(value) = slot_value(object, slot)? {
                add_other(slot.name.bind(py).clone(), value);
            }
        }
        if let Some(dict) = dict
            && dict.len() > from_dict
        {
            for (name, value) in dict {
                let Ok(name) = name.cast_into_exact::<PyString>() else {
                    let text =
                        format!("an instance of {} has an attribute whose name is no str", plan.title(py));
                    return Err(errors::unsupported(py, text));
                };
                if !plan.fields.iter().any(|field| field.slot.is_none() && is(&name, &field.name)) {
                    add_other(name, value);
                }
            }
        }
        parts.push(Part::Shape(self.shape(recipe, names, set_fields, unset_fields)?));
        parts.append(&mut values);
        Ok(())
    }

    /// The tuple that names a class and attributes; instances of one value that have the same share one.
    fn shape(
        &mut self,
        recipe: &Bound<'py, Recipe>,
        names: Vec<Bound<'py, PyString>>,
        set_fields: usize,
        unset_fields: usize,
    ) -> PyResult<Word> {
        let mut addresses = vec![recipe.as_ptr() as usize, set_fields, unset_fields];
        addresses.extend(names.iter().map(|name| name.as_ptr() as usize));
        if let Some(word) = self.shapes.get(&addresses) {
            return Ok(*word);
        }
        let (word, block) = self.builder.tuple(3 + names.len()).or_raise()?;
        let class = self.name(recipe.get().name.bind(recipe.py()))?;
        self.builder.set_item(block, 0, class);
        for (index, number) in [(1, set_fields), (2, unset_fields)] {
            let number = self.builder.int(number.cast_signed() as i64).or_raise()?;
            self.builder.set_item(block, index, number);
        }
        for (index, name) in names.iter().enumerate() {
            let name = self.name(name)?;
            self.builder.set_item(block, 3 + index, name);
        }
        self.kept.push(recipe.clone().into_any());
        self.kept.extend(names.into_iter().map(Bound::into_any));
        self.shapes.insert(addresses, word);
        Ok(word)
    }

    fn name(&mut self, name: &Bound<'py, PyString>) -> PyResult<Word> {
        match name.to_str() {
            Ok(name) => self.builder.symbol(name).or_raise(),
            Err(_) => self.word(name, Role::Value, ANYWHERE),
        }
    }

    pub(super) fn fill_instance(&mut self, parts: Vec<Part<'py>>, block: Block, role: Role) -> PyResult<()> {
        for (index, part) in parts.into_iter().enumerate() {
            let word = match part {
                Part::Protocol(protocol) => self.builder.int(protocol as i64).or_raise()?,
                Part::Name(name) => self.name(&name)?,
                Part::Shape(word) => word,
                Part::Value(value) => self.word(&value, role, ANYWHERE)?,
                Part::Key(key) => self.key(&key, block, index)?,
            };
            self.builder.set_item(block, index, word);
        }
        Ok(())
    }
}

fn plain_list<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    object.py().get_type::<PyList>().call1((object,))?.cast_into().map_err(Into::into)
}

/// The value of a slot, if it has one; the class is not asked, which may have an opinion of its own.
fn slot_value<'py>(object: &Bound<'py, PyAny>, attribute: &Attribute) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    let Some(slot) = &attribute.slot else { return Ok(None) };
    match slot.bind(py).call_method1(intern!(py, "__get__"), (object, object.get_type())) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_instance_of::<PyAttributeError>(py) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The name of an enum's member; of a combination of flags, and what the class makes when it is asked, the value.
fn member<'py>(object: &Bound<'py, PyAny>, plan: &Recipe) -> PyResult<Vec<Part<'py>>> {
    let py = object.py();
    let name = object.getattr(intern!(py, "_name_"))?;
    if let Ok(name) = name.cast_into_exact::<PyString>() {
        let members = plan.cls.bind(py).getattr(intern!(py, "__members__"))?;
        if members.contains(&name)? && members.get_item(&name)?.is(object) {
            return Ok(vec![Part::Name(name)]);
        }
    }
    let value = object.getattr(intern!(py, "_value_"))?;
    Ok(vec![Part::Value(py.None().into_bound(py)), Part::Value(value)])
}

fn factory<'py>(object: &Bound<'py, PyAny>) -> PyResult<Part<'py>> {
    static FACTORY_NAME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    let factory = object.getattr(intern!(py, "default_factory"))?;
    if factory.is_none() {
        return Ok(Part::Value(factory));
    }
    let name = classes::python(py, &FACTORY_NAME, "factory_name")?.call1((&factory,))?;
    match name.cast_into::<PyString>() {
        Ok(name) => Ok(Part::Name(name)),
        Err(_) => Err(errors::unsupported(
            py,
            format!(
                "a defaultdict can't be stored with default_factory={}; let it be None, a builtin type such as list, or a class for which oocmap.register was called",
                factory.repr()?
            ),
        )),
    }
}

/// Raises when an instance has attributes beside what is stored of it.
fn refuse_attributes(object: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = object.py();
    if let Some(dict) = object.getattr_opt(intern!(py, "__dict__"))?
        && dict.len()? > 0
    {
        let name = object.get_type().fully_qualified_name()?;
        let text = format!(
            "an instance of {name} has attributes of its own ({dict}), which would be lost; take them away, or register a class of its own with encode= and decode="
        );
        return Err(errors::unsupported(py, text));
    }
    Ok(())
}

fn pickled<'py>(object: &Bound<'py, PyAny>) -> PyResult<Vec<Part<'py>>> {
    static PICKLED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let stored = classes::python(object.py(), &PICKLED, "pickled")?.call1((object,))?;
    let mut parts = vec![Part::Protocol(Protocol::Pickle)];
    parts.extend(stored.cast::<PyList>()?.iter().map(Part::Value));
    Ok(parts)
}

/// The exception for an object that has no native form.
fn unsupported(object: &Bound<'_, PyAny>) -> PyErr {
    const HEAP_TYPE: u64 = 1 << 9;
    let py = object.py();
    let kind = object.get_type();
    let flags = kind.getattr(intern!(py, "__flags__")).and_then(|flags| flags.extract::<u64>());
    if flags.is_ok_and(|flags| flags & HEAP_TYPE == 0) {
        return scalar::unsupported(object, "a value");
    }
    let name =
        kind.fully_qualified_name().map_or_else(|_| "an unnamed class".into(), |name| name.to_string());
    let short = kind.name().map_or_else(|_| "cls".into(), |name| name.to_string());
    let text = format!(
        "{name} can't be stored as a value yet; call oocmap.register({short}) first, convert it to a builtin type, or open the map with allow_pickle=True"
    );
    errors::unsupported(py, text)
}
