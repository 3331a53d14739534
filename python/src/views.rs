//! The views of keys, values and items, of maps, of parts of maps and of lazy dicts.

use pyo3::{
    class::basic::CompareOp,
    prelude::*,
    types::{PyList, PyMapping, PySet, PyString, PyTuple},
};

use crate::{
    access::Part as MapPart,
    lazy::{
        dict::{contains, look_up},
        handle::Handle,
        iterators::LazyIterator,
        sequence::same_or_equal,
        walk::Part,
    },
    many,
};

/// What a view is of.
#[derive(Clone)]
pub(crate) enum Viewed {
    /// A map, or a part of it.
    Map(MapPart),
    /// A lazy dict.
    Lazy(Handle),
}

impl Viewed {
    fn len(&self, py: Python<'_>) -> PyResult<usize> {
        match self {
            Self::Map(part) => part.len(py),
            Self::Lazy(handle) => handle.view(py)?.len(),
        }
    }

    fn iterate<'py>(&self, py: Python<'py>, part: Part, backward: bool) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Map(map) => Ok(Bound::new(py, map.iterate(py, part, backward)?)?.into_any()),
            Self::Lazy(handle) => {
                Ok(Bound::new(py, LazyIterator::of_members(py, handle, part, backward)?)?.into_any())
            }
        }
    }

    /// The value under a key.
    fn lookup<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self {
            Self::Map(part) => part.get(py, key),
            Self::Lazy(handle) => look_up(py, handle, key),
        }
    }

    fn contains(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        match self {
            Self::Map(part) => part.contains(py, key),
            Self::Lazy(handle) => contains(py, handle, key),
        }
    }

    fn repr(&self, py: Python<'_>, part: Part, name: &str) -> PyResult<String> {
        const SHOWN: usize = 100;
        let mut text = format!("{name}([");
        for (index, element) in self.iterate(py, part, false)?.try_iter()?.take(SHOWN + 1).enumerate() {
            if index > 0 {
                text.push_str(", ");
            }
            if index == SHOWN {
                text.push_str("...");
                break;
            }
            let shown: Bound<'_, PyString> = element?.repr()?;
            text.push_str(&shown.to_string_lossy());
        }
        text.push_str("])");
        Ok(text)
    }
}

/// A live view of the values, in order.
#[pyclass(frozen, module = "oocmap")]
pub(crate) struct ValuesView(pub(crate) Viewed);

#[pymethods]
impl ValuesView {
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.0.len(py)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.iterate(py, Part::Values, false)
    }

    fn __reversed__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.iterate(py, Part::Values, true)
    }

    fn __contains__(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        for found in self.0.iterate(py, Part::Values, false)?.try_iter()? {
            if same_or_equal(&found?, value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        self.0.repr(py, Part::Values, "ValuesView")
    }
}

/// A plain set of what any iterable gives.
fn set_of<'py>(iterable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PySet>> {
    PySet::new(iterable.py(), iterable.try_iter()?.collect::<PyResult<Vec<_>>>()?)
}

/// Whether an object is a set, as `collections.abc` sees it.
fn is_set(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    static SET: pyo3::sync::PyOnceLock<Py<PyAny>> = pyo3::sync::PyOnceLock::new();
    let class = SET.import(object.py(), "collections.abc", "Set")?;
    object.is_instance(class)
}

/// The methods that keys and items share: they are sets.
macro_rules! set_like_view {
    ($class:ident, $part:expr, $name:literal, { $($own:tt)* }) => {
        impl $class {
            fn to_set<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySet>> {
                set_of(&self.0.iterate(py, $part, false)?)
            }

            fn combine<'py>(
                &self,
                other: &Bound<'py, PyAny>,
                operator: impl FnOnce(&Bound<'py, PySet>, &Bound<'py, PySet>) -> PyResult<Bound<'py, PyAny>>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let py = other.py();
                if other.try_iter().is_err() {
                    return Ok(py.NotImplemented().into_bound(py));
                }
                operator(&self.to_set(py)?, &set_of(other)?)
            }
        }

        #[pymethods]
        impl $class {
            fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
                self.0.len(py)
            }

            fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.0.iterate(py, $part, false)
            }

            fn __reversed__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.0.iterate(py, $part, true)
            }

            fn __and__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                let py = other.py();
                let Ok(elements) = other.try_iter() else { return Ok(py.NotImplemented().into_bound(py)) };
                // As with views of dicts, it is the other's elements that are given, unless there are more of them.
                if let Ok(set) = other.cast_exact::<PySet>()
                    && self.0.len(py)? <= set.len()
                {
                    return set.call_method1("intersection", (self.to_set(py)?,));
                }
                let common = PySet::empty(py)?;
                for element in elements {
                    let element = element?;
                    if self.holds(&element)? {
                        common.add(element)?;
                    }
                }
                Ok(common.into_any())
            }

            fn __rand__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.__and__(other)
            }

            fn __or__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.combine(other, |own, other| own.bitor(other))
            }

            fn __ror__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.combine(other, |own, other| other.bitor(own))
            }

            fn __xor__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.combine(other, |own, other| own.bitxor(other))
            }

            fn __rxor__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.combine(other, |own, other| other.bitxor(own))
            }

            fn __sub__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.combine(other, |own, other| own.sub(other))
            }

            fn __rsub__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.combine(other, |own, other| other.sub(own))
            }

            /// Return whether nothing is both in the view and in ``other``.
            #[pyo3(signature = (other, /))]
            fn isdisjoint(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
                for element in other.try_iter()? {
                    if self.holds(&element?)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }

            fn __richcmp__<'py>(
                &self,
                py: Python<'py>,
                other: &Bound<'py, PyAny>,
                operator: CompareOp,
            ) -> PyResult<Bound<'py, PyAny>> {
                if !is_set(other)? {
                    return Ok(py.NotImplemented().into_bound(py));
                }
                let (len, other_len) = (self.0.len(py)?, other.len()?);
                let holds_all = || -> PyResult<bool> {
                    for element in other.try_iter()? {
                        if !self.holds(&element?)? {
                            return Ok(false);
                        }
                    }
                    Ok(true)
                };
                let all_held = || -> PyResult<bool> {
                    for element in self.0.iterate(py, $part, false)?.try_iter()? {
                        if !other.contains(element?)? {
                            return Ok(false);
                        }
                    }
                    Ok(true)
                };
                let answer = match operator {
                    CompareOp::Eq => len == other_len && holds_all()?,
                    CompareOp::Ne => len != other_len || !holds_all()?,
                    CompareOp::Ge => len >= other_len && holds_all()?,
                    CompareOp::Gt => len > other_len && holds_all()?,
                    CompareOp::Le => len <= other_len && all_held()?,
                    CompareOp::Lt => len < other_len && all_held()?,
                };
                Ok(pyo3::types::PyBool::new(py, answer).to_owned().into_any())
            }

            fn __contains__(&self, element: &Bound<'_, PyAny>) -> PyResult<bool> {
                self.holds(element)
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                self.0.repr(py, $part, $name)
            }

            #[classattr]
            const __hash__: Option<Py<PyAny>> = None;

            $($own)*
        }
    };
}

/// A live, set-like view of the keys, in order.
#[pyclass(frozen, module = "oocmap")]
pub(crate) struct KeysView(pub(crate) Viewed);

impl KeysView {
    fn holds(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.0.contains(key.py(), key)
    }
}

set_like_view!(KeysView, Part::Items, "KeysView", {});

/// A live, set-like view of the pairs of key and value, in order.
#[pyclass(frozen, module = "oocmap")]
pub(crate) struct ItemsView(pub(crate) Viewed);

impl ItemsView {
    fn holds(&self, pair: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = pair.py();
        let Ok(pair) = pair.cast::<PyTuple>() else { return Ok(false) };
        if pair.len() != 2 {
            return Ok(false);
        }
        match self.0.lookup(py, &pair.get_item(0)?)? {
            Some(value) => same_or_equal(&value, &pair.get_item(1)?),
            None => Ok(false),
        }
    }
}

set_like_view!(ItemsView, Part::Pairs, "ItemsView", {});

/// A part of a map between two keys, or with a common prefix; its views read nothing outside it.
#[pyclass(frozen, mapping, module = "oocmap")]
pub(crate) struct MapRange(pub(crate) MapPart);

#[pymethods]
impl MapRange {
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.0.len(py)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Viewed::Map(self.0.clone()).iterate(py, Part::Items, false)
    }

    fn __reversed__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Viewed::Map(self.0.clone()).iterate(py, Part::Items, true)
    }

    fn __contains__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.0.contains(py, key)
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.0.get(py, key)?.ok_or_else(|| pyo3::exceptions::PyKeyError::new_err((key.clone().unbind(),)))
    }

    /// Return the value under ``key``, or ``default`` when the part has no such key.
    #[pyo3(signature = (key, default=None, /))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.0.get(py, key)?.or(default))
    }

    /// Return the values under many keys, all of one version; ``default`` for those that the part does not have.
    #[pyo3(signature = (keys, default=None, /))]
    fn get_many<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        many::values(py, &self.0, keys, default.as_ref())
    }

    /// Return a set-like view of the keys.
    fn keys(&self) -> KeysView {
        KeysView(Viewed::Map(self.0.clone()))
    }

    /// Return a view of the values.
    fn values(&self) -> ValuesView {
        ValuesView(Viewed::Map(self.0.clone()))
    }

    /// Return a set-like view of the pairs of key and value.
    fn items(&self) -> ItemsView {
        ItemsView(Viewed::Map(self.0.clone()))
    }

    fn __eq__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let Ok(other) = other.cast::<PyMapping>() else { return Ok(py.NotImplemented().into_bound(py)) };
        Ok(pyo3::types::PyBool::new(py, self.0.equals(py, other)?).to_owned().into_any())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Viewed::Map(self.0.clone()).repr(py, Part::Items, "MapRange")
    }

    #[classattr]
    const __hash__: Option<Py<PyAny>> = None;
}
