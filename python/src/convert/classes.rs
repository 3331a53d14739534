//! How instances of a class are stored: the recipe of each class, found by the class or by its stored name.

use pyo3::{
    exceptions::PyValueError,
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyString, PyTuple, PyType},
};

use crate::errors;

/// The first element of a stored instance. The numbers are part of the file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub(crate) enum Protocol {
    /// The greatest length or None, elements.
    Deque = 0,
    /// Keys and values in turn.
    OrderedDict = 1,
    /// None or the stored name of the factory, keys and values in turn.
    DefaultDict = 2,
    /// Keys and values in turn.
    Counter = 3,
    /// The name of the class, the path.
    Path = 4,
    /// The stored name of the class, the member's name; or the class's, None, the value.
    Enum = 5,
    /// The stored name of the class, elements.
    NamedTuple = 6,
    /// The shape, the values of its attributes. A shape is a tuple: the stored name of the class, how many fields
    /// have values, how many have none, the names of those, of these, and of other attributes.
    Attributes = 7,
    /// The stored name of the class, what `encode` made.
    Encoded = 8,
    /// The pickle; of each buffer, whether it can be written to, and its bytes.
    Pickle = 9,
}

impl Protocol {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Deque, "deque"),
        (Self::OrderedDict, "ordered dict"),
        (Self::DefaultDict, "defaultdict"),
        (Self::Counter, "counter"),
        (Self::Path, "path"),
        (Self::Enum, "enum"),
        (Self::NamedTuple, "named tuple"),
        (Self::Attributes, "attributes"),
        (Self::Encoded, "encoded"),
        (Self::Pickle, "pickle"),
    ];

    pub(crate) fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().map(|(protocol, _)| protocol).find(|protocol| *protocol as i64 == number)
    }

    fn from_name(name: &str) -> PyResult<Self> {
        let found = Self::ALL.into_iter().find(|(_, known)| *known == name);
        found
            .map(|(protocol, _)| protocol)
            .ok_or_else(|| PyValueError::new_err(format!("there is no protocol {name:?}")))
    }
}

/// An attribute that has a name of its own in a class: a field, or a slot.
#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) name: Py<PyString>,
    /// What gets and sets it when it is a slot; otherwise it stands in ``__dict__``.
    pub(crate) slot: Option<Py<PyAny>>,
}

/// How instances of a class are stored and made again.
#[pyclass(frozen, module = "oocmap._oocmap")]
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) protocol: Protocol,
    /// What the class is called in maps.
    #[pyo3(get)]
    pub(crate) name: Py<PyString>,
    /// The class.
    #[pyo3(get)]
    pub(crate) cls: Py<PyType>,
    /// Whether instances are their attributes and nothing else.
    pub(crate) plain: bool,
    /// Whether the class says which fields an instance has, and so which a stored one may have.
    pub(crate) strict: bool,
    pub(crate) fields: Vec<Attribute>,
    /// The slots that are no fields.
    pub(crate) slots: Vec<Attribute>,
    /// Attributes that are stored as None, since they mean something in this process only.
    pub(crate) reset: Vec<Py<PyString>>,
    /// Makes the value of a field, of an instance and the field's name, that was not stored.
    pub(crate) default: Option<Py<PyAny>>,
    pub(crate) encode: Option<Py<PyAny>>,
    pub(crate) decode: Option<Py<PyAny>>,
}

#[pymethods]
impl Recipe {
    #[new]
    #[pyo3(signature = (protocol, name, cls, *, fields=None, slots=None, default=None, reset=None, encode=None, decode=None))]
    #[expect(clippy::too_many_arguments, reason = "one for each thing that a class may have")]
    fn new(
        py: Python<'_>,
        protocol: &str,
        name: &Bound<'_, PyString>,
        cls: Bound<'_, PyType>,
        fields: Option<Bound<'_, PyTuple>>,
        slots: Option<Bound<'_, PyDict>>,
        default: Option<Py<PyAny>>,
        reset: Option<Vec<Py<PyString>>>,
        encode: Option<Py<PyAny>>,
        decode: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let interned = |name: &Bound<'_, PyAny>| -> PyResult<Py<PyString>> {
            name.cast::<PyString>().map(intern_name).map(Bound::unbind).map_err(Into::into)
        };
        let (plain, strict) = (slots.is_some(), fields.is_some());
        let slots = slots.unwrap_or_else(|| PyDict::new(py));
        let fields = fields
            .into_iter()
            .flatten()
            .map(|field| {
                Ok(Attribute { name: interned(&field)?, slot: slots.get_item(&field)?.map(Bound::unbind) })
            })
            .collect::<PyResult<Vec<_>>>()?;
        let reset = reset
            .unwrap_or_default()
            .iter()
            .map(|name| interned(name.bind(py).as_any()))
            .collect::<PyResult<Vec<_>>>()?;
        let mut others = Vec::new();
        for (name, slot) in slots {
            let name = interned(&name)?;
            if !fields.iter().any(|field| field.name.is(&name)) {
                others.push(Attribute { name, slot: Some(slot.unbind()) });
            }
        }
        Ok(Self {
            protocol: Protocol::from_name(protocol)?,
            name: intern_name(name).unbind(),
            cls: cls.unbind(),
            plain,
            strict,
            fields,
            slots: others,
            reset,
            default,
            encode,
            decode,
        })
    }
}

impl Recipe {
    /// A new instance, without attributes; nothing of the class runs.
    pub(crate) fn bare<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.get_type::<PyAny>().call_method1(intern!(py, "__new__"), (&self.cls,))
    }

    /// The value of a field that was not stored.
    pub(crate) fn missing<'py>(
        &self,
        py: Python<'py>,
        instance: &Bound<'py, PyAny>,
        field: &Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match &self.default {
            Some(default) => default.bind(py).call1((instance, field)),
            None => Ok(py.None().into_bound(py)),
        }
    }

    /// What the class is called in Python.
    pub(crate) fn title(&self, py: Python<'_>) -> String {
        self.cls.bind(py).fully_qualified_name().map_or_else(|_| "a class".into(), |name| name.to_string())
    }
}

/// The one string of its text that attributes are found by; those with lone surrogates stay what they are.
pub(crate) fn intern_name<'py>(name: &Bound<'py, PyString>) -> Bound<'py, PyString> {
    match name.to_str() {
        Ok(text) => PyString::intern(name.py(), text),
        Err(_) => name.clone(),
    }
}

/// Something of `oocmap/_classes.py`.
pub(crate) fn python<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyAny>>,
    name: &str,
) -> PyResult<Bound<'py, PyAny>> {
    cell.get_or_try_init(py, || py.import("oocmap._classes")?.getattr(name).map(Bound::unbind))
        .map(|found| found.bind(py).clone())
}

/// The recipe of an object's very class.
#[inline]
pub(crate) fn of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, Recipe>>> {
    static BY_CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let recipes = python(object.py(), &BY_CLASS, "by_class")?;
    let found = recipes.cast::<PyDict>()?.get_item(object.get_type())?;
    Ok(found.map(Bound::cast_into).transpose()?)
}

/// The recipe of a registered class, by its stored name.
pub(crate) fn named<'py>(name: &Bound<'py, PyString>) -> PyResult<Bound<'py, Recipe>> {
    static BY_NAME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let recipes = python(name.py(), &BY_NAME, "by_name")?;
    match recipes.cast::<PyDict>()?.get_item(name)? {
        Some(recipe) => Ok(recipe.cast_into()?),
        None => Err(unknown(name)),
    }
}

/// The exception for a stored name that no class was registered with.
pub(crate) fn unknown(name: &Bound<'_, PyString>) -> PyErr {
    let text = format!(
        "an instance of {name} was stored, a class that is not registered here; call oocmap.register(cls) with it first, then read this"
    );
    errors::unsupported(name.py(), text)
}
