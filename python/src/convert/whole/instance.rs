//! Instances of classes on their way out of the map: put together by the recipe of their class.

use std::rc::Rc;

use oocmap::{Container, ContainerKind, Node};
use pyo3::{
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyList, PyString, PyTuple, PyType},
};

use super::{Decoder, damaged, replace_none};
use crate::{
    convert::{
        classes::{self, Protocol, Recipe},
        decode,
    },
    errors,
};

/// An instance that is being made.
pub(super) enum Instance<'py> {
    /// There is nothing to add to it.
    Whole(Bound<'py, PyAny>),
    Deque {
        append: Bound<'py, PyAny>,
        deque: Bound<'py, PyAny>,
    },
    /// Of a kind of dict; the value that comes next belongs to the key.
    Pairs {
        dict: Bound<'py, PyAny>,
        key: Option<Bound<'py, PyAny>>,
        frees_by_recursion: bool,
    },
    /// Full of None at first.
    NamedTuple(Bound<'py, PyTuple>),
    Attributes {
        instance: Bound<'py, PyAny>,
        dict: Option<Bound<'py, PyDict>>,
        shape: Rc<Shape<'py>>,
    },
    /// Made by a function when its state is there.
    Encoded {
        make: Bound<'py, PyAny>,
        state: Option<Bound<'py, PyAny>>,
    },
}

/// How the stored attributes of a class are put into an instance.
pub(super) struct Shape<'py> {
    recipe: Bound<'py, Recipe>,
    /// The name of each stored attribute, and what sets it when it is no item of ``__dict__``.
    places: Vec<(Bound<'py, PyString>, Option<Bound<'py, PyAny>>)>,
    /// The fields that were not stored, since the class didn't have them.
    missing: Vec<Bound<'py, PyString>>,
}

/// Where the elements begin that are put into an instance one by one.
const ELEMENTS: usize = 2;

impl<'py> Decoder<'_, 'py> {
    /// What an instance is made of, and its first element that has to be put in.
    pub(super) fn begin_instance(
        &mut self,
        container: Container,
        member_depth: usize,
    ) -> PyResult<(Instance<'py>, usize)> {
        static DEQUE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        static ORDERED_DICT: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        static DEFAULT_DICT: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        static COUNTER: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let py = self.py;
        let Node::Int(number) = self.item(container, 0)? else {
            return Err(damaged("an instance doesn't say what it is"));
        };
        // Files of later versions may have others.
        let protocol = Protocol::from_number(number).ok_or_else(|| {
            errors::unsupported(
                py,
                format!(
                    "the value is an instance of kind {number}, which this version of oocmap doesn't know"
                ),
            )
        })?;
        let pairs = |dict, first: usize, frees_by_recursion| {
            if (container.len() - first) % 2 == 1 {
                return Err(damaged("a dict has a key without a value"));
            }
            Ok((Instance::Pairs { dict, key: None, frees_by_recursion }, first))
        };
        Ok(match protocol {
            Protocol::Deque => {
                let longest = self.leaf(container, 1)?;
                let deque = DEQUE.import(py, "collections", "deque")?.call1(((), longest))?;
                (Instance::Deque { append: deque.getattr(intern!(py, "append"))?, deque }, ELEMENTS)
            }
            Protocol::OrderedDict => {
                pairs(ORDERED_DICT.import(py, "collections", "OrderedDict")?.call0()?, 1, false)?
            }
            Protocol::Counter => pairs(COUNTER.import(py, "collections", "Counter")?.call0()?, 1, false)?,
            Protocol::DefaultDict => {
                let factory = match self.item(container, 1)? {
                    Node::None => None,
                    _ => Some(known_factory(&self.text(container, 1)?)?),
                };
                let dict = DEFAULT_DICT.import(py, "collections", "defaultdict")?.call1((factory,))?;
                pairs(dict, ELEMENTS, true)?
            }
            Protocol::Path => {
                static PATH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
                let (name, text) = (self.text(container, 1)?, self.text(container, 2)?);
                let path = classes::python(py, &PATH, "path")?.call1((&name, text))?;
                if path.is_none() {
                    return Err(classes::unknown(&name));
                }
                (Instance::Whole(path), 0)
            }
            Protocol::Enum => self.begin_enum(container)?,
            Protocol::NamedTuple => (self.begin_named_tuple(container)?, ELEMENTS),
            Protocol::Attributes => {
                let shape = self.shape(container)?;
                let recipe = shape.recipe.get();
                let instance = recipe.bare(py)?;
                let dict = match instance.getattr_opt(intern!(py, "__dict__"))? {
                    Some(dict) => Some(dict.cast_into::<PyDict>()?),
                    None => None,
                };
                (Instance::Attributes { instance, dict, shape }, ELEMENTS)
            }
            Protocol::Encoded => {
                let recipe = classes::named(&self.text(container, 1)?)?;
                let Some(decode) = &recipe.get().decode else {
                    return Err(differs(&recipe, "by a function, but now has no decode="));
                };
                if container.len() != ELEMENTS + 1 {
                    return Err(damaged("an instance has no state"));
                }
                (Instance::Encoded { make: decode.bind(py).clone(), state: None }, ELEMENTS)
            }
            Protocol::Pickle => (Instance::Whole(self.unpickled(container, member_depth)?), 0),
        })
    }

    fn leaf(&self, container: Container, index: usize) -> PyResult<Bound<'py, PyAny>> {
        decode::leaf(self.py, &self.here()?.source.texts(), self.item(container, index)?)
    }

    fn text(&self, container: Container, index: usize) -> PyResult<Bound<'py, PyString>> {
        self.leaf(container, index)?.cast_into().map_err(|_| damaged("a name in an instance is no text"))
    }

    fn begin_enum(&self, container: Container) -> PyResult<(Instance<'py>, usize)> {
        let recipe = classes::named(&self.text(container, 1)?)?;
        let class = recipe.get().cls.bind(self.py);
        if recipe.get().protocol != Protocol::Enum {
            return Err(differs(&recipe, "as a member of an enum"));
        }
        if matches!(self.item(container, 2)?, Node::None) {
            if container.len() != 4 {
                return Err(damaged("a member of an enum has no value"));
            }
            return Ok((Instance::Encoded { make: class.clone().into_any(), state: None }, 3));
        }
        let name = self.text(container, 2)?;
        let members = class.getattr(intern!(self.py, "__members__"))?;
        if !members.contains(&name)? {
            let text = format!(
                "a member {name} of {} was stored, which the enum no longer has; give it back to read this",
                recipe.get().title(self.py)
            );
            return Err(errors::unsupported(self.py, text));
        }
        Ok((Instance::Whole(members.get_item(&name)?), 0))
    }

    fn begin_named_tuple(&self, container: Container) -> PyResult<Instance<'py>> {
        let py = self.py;
        let recipe = classes::named(&self.text(container, 1)?)?;
        let plan = recipe.get();
        if plan.protocol != Protocol::NamedTuple {
            return Err(differs(&recipe, "as a named tuple"));
        }
        let stored = container.len() - ELEMENTS;
        let fields = plan.fields.len();
        if stored > fields {
            return Err(differs(&recipe, &format!("with {stored} elements, but now has {fields} fields")));
        }
        let elements = self.nones(stored)?;
        for field in &plan.fields[stored..] {
            elements.append(plan.missing(py, elements.as_any(), field.name.bind(py))?)?;
        }
        let tuple = py.get_type::<PyTuple>().call_method1(intern!(py, "__new__"), (&plan.cls, elements))?;
        Ok(Instance::NamedTuple(tuple.cast_into()?))
    }

    /// The shape that an instance names, compared with what the class is now.
    fn shape(&mut self, container: Container) -> PyResult<Rc<Shape<'py>>> {
        let py = self.py;
        let Node::Container(names) = self.item(container, 1)? else {
            return Err(damaged("an instance has no shape"));
        };
        let key = Self::key(self.here()?, names);
        let shape = match self.shapes.get(&key) {
            Some(shape) => Rc::clone(shape),
            None if names.kind == ContainerKind::Tuple => {
                let shape = Rc::new(self.new_shape(py, names)?);
                self.shapes.insert(key, Rc::clone(&shape));
                shape
            }
            None => return Err(damaged("an instance has no shape")),
        };
        if shape.places.len() + ELEMENTS != container.len() {
            return Err(damaged("an instance doesn't fit its shape"));
        }
        Ok(shape)
    }

    fn new_shape(&self, py: Python<'py>, names: Container) -> PyResult<Shape<'py>> {
        let recipe = classes::named(&self.text(names, 0)?)?;
        let plan = recipe.get();
        if !plan.plain {
            return Err(differs(&recipe, "by its attributes"));
        }
        let number = |index| match self.item(names, index)? {
            Node::Int(number) => usize::try_from(number).map_err(|_| damaged("a shape makes no sense")),
            _ => Err(damaged("a shape makes no sense")),
        };
        let (set_fields, unset_fields) = (number(1)?, number(2)?);
        let has_dict = plan.cls.bind(py).getattr(intern!(py, "__dictoffset__"))?.ne(0)?;
        let (mut places, mut missing) = (Vec::new(), Vec::new());
        let mut stored = vec![false; plan.fields.len()];
        for index in 3..names.len() {
            let name = classes::intern_name(&self.text(names, index)?);
            let is_field = index - 3 < set_fields.saturating_add(unset_fields);
            let mut slot = None;
            let field = plan.fields.iter().position(|field| name.is(&field.name));
            if let Some(field) = field {
                stored[field] = true;
                slot = plan.fields[field].slot.as_ref();
            } else if is_field && plan.strict {
                let text =
                    format!("with a field {name}, which the class no longer has; give the class that field");
                return Err(differs(&recipe, &text));
            } else if let Some(known) = plan.slots.iter().find(|known| name.is(&known.name)) {
                slot = known.slot.as_ref();
            }
            if index - 3 >= set_fields && is_field {
                continue;
            }
            if slot.is_none() && !has_dict {
                return Err(differs(
                    &recipe,
                    &format!("with an attribute {name}, for which the class has no slot"),
                ));
            }
            places.push((name, slot.map(|slot| slot.bind(py).clone())));
        }
        for (field, _) in plan.fields.iter().zip(stored).filter(|(_, stored)| !stored) {
            missing.push(field.name.bind(py).clone());
        }
        Ok(Shape { recipe, places, missing })
    }

    fn unpickled(&self, container: Container, member_depth: usize) -> PyResult<Bound<'py, PyAny>> {
        static UNPICKLED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        if !self.here()?.source.origin().allow_pickle {
            return Err(errors::unsafe_pickle(
                self.py,
                "the value was stored with pickle, and reading it could run any code that the file's author chose; if you trust the file, open the map with allow_pickle=True",
            ));
        }
        if member_depth > 0 {
            return Err(damaged("a key was stored with pickle"));
        }
        let parts = PyList::empty(self.py);
        for index in 1..container.len() {
            parts.append(self.leaf(container, index)?)?;
        }
        classes::python(self.py, &UNPICKLED, "unpickled")?.call1((parts,))
    }
}

impl<'py> Instance<'py> {
    /// The object, when it exists before all that is in it.
    pub(super) fn shell(&self) -> Option<Bound<'py, PyAny>> {
        match self {
            Self::Whole(object) | Self::Deque { deque: object, .. } | Self::Pairs { dict: object, .. } => {
                Some(object.clone())
            }
            Self::NamedTuple(tuple) => Some(tuple.clone().into_any()),
            Self::Attributes { instance, .. } => Some(instance.clone()),
            Self::Encoded { .. } => None,
        }
    }

    /// Whether Python frees what is in it by recursion, however deep.
    pub(super) fn frees_by_recursion(&self) -> bool {
        matches!(self, Self::Deque { .. } | Self::Pairs { frees_by_recursion: true, .. })
    }

    /// Whether a key comes next.
    pub(super) fn needs_key(&self) -> bool {
        matches!(self, Self::Pairs { key: None, .. })
    }

    pub(super) fn put(&mut self, index: usize, element: Bound<'py, PyAny>) -> PyResult<()> {
        match self {
            Self::Whole(_) => Err(damaged("an instance has too many elements")),
            Self::Deque { append, .. } => append.call1((element,)).map(|_| ()),
            Self::Pairs { dict, key, .. } => {
                if let Some(key) = key.take() {
                    return dict.set_item(key, element);
                }
                *key = Some(element);
                Ok(())
            }
            Self::NamedTuple(tuple) => {
                replace_none(tuple, index - ELEMENTS, element);
                Ok(())
            }
            Self::Attributes { instance, dict, shape } => match (&shape.places[index - ELEMENTS], dict) {
                ((_, Some(slot)), _) => {
                    slot.call_method1(intern!(slot.py(), "__set__"), (&*instance, element)).map(|_| ())
                }
                ((name, None), Some(dict)) => dict.set_item(name, element),
                ((name, None), None) => instance.setattr(name, element),
            },
            Self::Encoded { state, .. } => {
                *state = Some(element);
                Ok(())
            }
        }
    }

    pub(super) fn finish(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Whole(object) | Self::Deque { deque: object, .. } | Self::Pairs { dict: object, .. } => {
                Ok(object)
            }
            Self::NamedTuple(tuple) => Ok(tuple.into_any()),
            Self::Attributes { instance, shape, .. } => {
                for name in &shape.missing {
                    let value = shape.recipe.get().missing(py, &instance, name)?;
                    set_attribute(&instance, name, &value)?;
                }
                Ok(instance)
            }
            Self::Encoded { make, state } => make.call1((state,)),
        }
    }
}

/// Sets an attribute without asking the class, which may be frozen.
fn set_attribute<'py>(
    instance: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    value: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = instance.py();
    py.get_type::<PyAny>().call_method1(intern!(py, "__setattr__"), (instance, name, value)).map(|_| ())
}

fn known_factory<'py>(name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    static FACTORY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let factory = classes::python(name.py(), &FACTORY, "factory")?.call1((name,))?;
    if factory.is_none() { Err(classes::unknown(name)) } else { Ok(factory) }
}

/// The exception for an instance of a class that is another one now than when it was stored.
fn differs(recipe: &Bound<'_, Recipe>, how: &str) -> PyErr {
    let py = recipe.py();
    let text = format!(
        "an instance of {} was stored {how}; register a class that fits it to read it",
        recipe.get().title(py)
    );
    errors::unsupported(py, text)
}
