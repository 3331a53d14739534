//! Dicts.

use oocmap::{Change, Draft, Key};
use pyo3::{
    class::basic::CompareOp,
    exceptions::PyKeyError,
    prelude::*,
    types::{PyBool, PyDict, PyMapping, PyMemoryView, PyString, PyTuple},
};

use super::{
    handle::{Glance, Handle},
    iterators::LazyIterator,
    memory,
    sequence::same_or_equal,
    walk::{Part, Watched},
};
use crate::{
    convert::{decode, encode, key},
    errors::{OrRaise, no_key},
    pairs::{each_pair, optional},
    views::{ItemsView, KeysView, ValuesView, Viewed},
};

/// A stored dict, read as far as it is used; what changes it changes what is stored.
///
/// It has the whole interface of ``dict``, and keeps the order of insertion. Copies and unions are plain dicts, whose
/// nested containers are lazy.
#[pyclass(frozen, weakref, mapping, module = "oocmap")]
pub(crate) struct LazyDict(pub(crate) Handle);

/// The value under a key.
pub(crate) fn look_up<'py>(
    py: Python<'py>,
    handle: &Handle,
    key: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let name = key.cast_exact::<PyString>().ok();
    handle.look(
        py,
        |glance| Ok(name.map(|name| named(py, glance, name)).transpose()?.flatten().map(Some)),
        |view| view.find(key)?.map(|place| view.value_at(py, &place)).transpose(),
    )
}

/// The value under a key that is a symbol; nothing when it is none, even if the key is there as a text.
#[inline]
fn named<'py>(
    py: Python<'py>,
    glance: &Glance<'_>,
    name: &Bound<'_, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(symbol) = glance.texts().symbol_of(name) else { return Ok(None) };
    let (record, container) = (glance.record, glance.container);
    match record.find_symbol(container, symbol).or_raise()? {
        Some(index) => decode::glanced(py, glance, record.value(container, index).or_raise()?).map(Some),
        None => Ok(None),
    }
}

/// Whether a dict has a key, or a set a member.
pub(crate) fn contains(py: Python<'_>, handle: &Handle, key: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(handle.view(py)?.find(key)?.is_some())
}

lazy_class!(LazyDict, "dict", {
    fn __getitem__<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        look_up(py, &self.0, key)?.ok_or_else(|| no_key(key))
    }

    fn __setitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.check_writable(py)?;
        let item = self.item(key, value)?;
        self.0.change(py, &[Change::Put(vec![item])])
    }

    fn __delitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.update(py, |view| match view.find(key)? {
            Some(place) => Ok((vec![Change::RemoveAt(place.position())], ())),
            None => Err(no_key(key)),
        })
    }

    fn __contains__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        contains(py, &self.0, key)
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<LazyIterator> {
        LazyIterator::of_members(py, &self.0, Part::Items, false)
    }

    fn __reversed__(&self, py: Python<'_>) -> PyResult<LazyIterator> {
        LazyIterator::of_members(py, &self.0, Part::Items, true)
    }

    /// Return the value under ``key``, or ``default`` when there is none.
    #[pyo3(signature = (key, default=None, /))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(look_up(py, &self.0, key)?.or(default))
    }

    /// Return the value under ``key``; when there is none, store ``default`` and return what is stored.
    #[pyo3(signature = (key, default=None, /))]
    fn setdefault<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.0.check_writable(py)?;
        if let Some(found) = look_up(py, &self.0, key)? {
            return Ok(found);
        }
        let default = default.unwrap_or_else(|| py.None().into_bound(py));
        let item = self.item(key, &default)?;
        let found = self.0.update(py, |view| match view.find(key)? {
            Some(place) => Ok((Vec::new(), Some(view.value_at(py, &place)?))),
            None => Ok((vec![Change::Put(vec![item.clone()])], None)),
        })?;
        match found {
            Some(found) => Ok(found),
            None => Ok(look_up(py, &self.0, key)?.unwrap_or(default)),
        }
    }

    /// Delete ``key`` and return its value; when there is none, return ``default`` or raise ``KeyError``.
    #[pyo3(signature = (key, /, *default), text_signature = "($self, key, default=..., /)")]
    fn pop<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let default = optional("pop", 1, default)?;
        let popped = self.0.update(py, |view| match view.find(key)? {
            Some(place) => {
                // Made before it goes, so that a container lives on.
                let value = view.value_at(py, &place)?;
                Ok((vec![Change::RemoveAt(place.position())], Some(value)))
            }
            None => Ok((Vec::new(), None)),
        })?;
        match popped {
            Some(value) => Ok(value),
            None => default.ok_or_else(|| no_key(key)),
        }
    }

    /// Delete the item that was inserted last and return it as a pair of key and value.
    ///
    /// Raises
    /// ------
    /// KeyError
    ///     When there is no item.
    fn popitem<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        self.0.update(py, |view| match view.last()? {
            Some(place) => {
                let item = (view.key_at(py, &place)?, view.value_at(py, &place)?);
                Ok((vec![Change::RemoveAt(place.position())], item))
            }
            None => Err(PyKeyError::new_err("popitem(): dictionary is empty")),
        })
    }

    /// Store all items of a mapping or of an iterable of pairs, and those of the keywords, in one transaction.
    #[pyo3(signature = (*others, **more), text_signature = "($self, other=(), /, **more)")]
    fn update(
        &self,
        py: Python<'_>,
        others: &Bound<'_, PyTuple>,
        more: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let other = optional("update", 0, others)?;
        self.put_all(py, other.as_ref(), more)
    }

    /// Delete all items.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.0.change(py, &[Change::Clear])
    }

    /// Return a live, set-like view of the keys.
    fn keys(&self) -> KeysView {
        KeysView(Viewed::Lazy(self.0.clone()))
    }

    /// Return a live view of the values.
    fn values(&self) -> ValuesView {
        ValuesView(Viewed::Lazy(self.0.clone()))
    }

    /// Return a live, set-like view of the pairs of key and value.
    fn items(&self) -> ItemsView {
        ItemsView(Viewed::Lazy(self.0.clone()))
    }

    /// Return a plain dict, with lazy values.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        super::eager(py, &self.0, false)
    }

    fn __richcmp__<'py>(
        &self,
        py: Python<'py>,
        other: &Bound<'py, PyAny>,
        operator: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        let equal = match operator {
            CompareOp::Eq => true,
            CompareOp::Ne => false,
            _ => return Ok(py.NotImplemented().into_bound(py)),
        };
        let Ok(mapping) = other.cast::<PyMapping>() else { return Ok(py.NotImplemented().into_bound(py)) };
        let answer = self.equals(py, mapping)? == equal;
        Ok(PyBool::new(py, answer).to_owned().into_any())
    }

    fn __or__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match plain(other)? {
            Some(other) => super::eager(py, &self.0, false)?.bitor(other),
            None => Ok(py.NotImplemented().into_bound(py)),
        }
    }

    fn __ror__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match plain(other)? {
            Some(other) => other.bitor(super::eager(py, &self.0, false)?),
            None => Ok(py.NotImplemented().into_bound(py)),
        }
    }

    fn __ior__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.put_all(py, Some(other), None)
    }

    /// Return a read-only view of the stored bytes under ``key``, without copying them.
    #[pyo3(signature = (key, /))]
    fn view<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyMemoryView>> {
        let view = self.0.view(py)?;
        let place = view.find(key)?.ok_or_else(|| no_key(key))?;
        memory::of_value(py, &view, &place)
    }

    #[classattr]
    const __hash__: Option<Py<PyAny>> = None;
});

impl LazyDict {
    /// An item, ready to be stored.
    fn item(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<(Key<'static>, Draft)> {
        Ok((key::key(key)?.into_owned(), encode::draft(value, self.0.access())?))
    }

    fn put_all(
        &self,
        py: Python<'_>,
        other: Option<&Bound<'_, PyAny>>,
        more: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        self.0.check_writable(py)?;
        let mut items = Vec::new();
        each_pair("dictionary", other, more, |key, value| {
            items.push(self.item(key, value)?);
            Ok(())
        })?;
        if items.is_empty() { Ok(()) } else { self.0.change(py, &[Change::Put(items)]) }
    }

    fn equals(&self, py: Python<'_>, other: &Bound<'_, PyMapping>) -> PyResult<bool> {
        let len = self.0.view(py)?.len()?;
        if super::of(other).is_some_and(|other| other.is_same(&self.0)) {
            return Ok(true);
        }
        if other.len()? != len {
            return Ok(false);
        }
        let mut items = Watched::new(py, &self.0, Part::Pairs, false)?;
        while let Some(item) = items.next(py)? {
            let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
            if !other.contains(&key)? || !same_or_equal(&value, &other.get_item(&key)?)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The plain dict of something that can be merged with one.
fn plain<'py>(other: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Ok(handle) = other.cast::<LazyDict>() {
        return super::eager(other.py(), &handle.get().0, false).map(Some);
    }
    Ok(other.is_instance_of::<PyDict>().then(|| other.clone()))
}
