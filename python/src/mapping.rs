//! What maps, transactions and snapshots have in common: they are mappings.

use std::{
    ops::Bound as Limit,
    sync::{Arc, OnceLock},
};

use oocmap::{ContainerKind, Copied, Draft, EntryKey, Reader, Room, Span, Stored};
use pyo3::{
    exceptions::{PyKeyError, PyTypeError},
    intern,
    prelude::*,
    types::{PyDict, PyList, PyMapping, PyMemoryView, PyTuple},
};

use crate::{
    access::{Access, Part},
    buffer::{self, Lender},
    bulk::Gathered,
    convert::{decode, encode, key},
    errors::{self, OrRaise, no_key},
    iterators::MapIterator,
    lazy::{self, walk::Part as Give},
    many,
    pairs::{each_pair, optional},
    pending::{seconds, waiting},
    snapshot::Snapshot,
    tasks,
    transaction::Transaction,
    views::{ItemsView, KeysView, MapRange, ValuesView, Viewed},
};

/// The common base of maps, transactions and snapshots.
#[pyclass(frozen, subclass, mapping, weakref, module = "oocmap._oocmap")]
pub(crate) struct Mapping {
    access: OnceLock<Arc<Access>>,
}

impl Mapping {
    /// A mapping that `__init__` still has to open.
    pub(crate) fn unopened() -> Self {
        Self { access: OnceLock::new() }
    }

    pub(crate) fn new(access: Access) -> Self {
        Self { access: OnceLock::from(Arc::new(access)) }
    }

    /// Gives an unopened mapping what it is a view of.
    pub(crate) fn open(&self, access: Access) -> PyResult<()> {
        self.access
            .set(Arc::new(access))
            .map_err(|_| PyTypeError::new_err("the map is open already; make another object"))
    }

    #[inline]
    pub(crate) fn access(&self) -> PyResult<&Arc<Access>> {
        self.access.get().ok_or_else(|| {
            Python::attach(|py| errors::closed(py, "the map was never opened: its __init__ was not called"))
        })
    }

    /// What it is a view of, when it has been opened.
    pub(crate) fn opened(&self) -> Option<&Arc<Access>> {
        self.access.get()
    }

    fn store(&self, py: Python<'_>, key: &EntryKey, draft: Draft) -> PyResult<()> {
        let room = Room::Bytes(draft.size());
        let mut draft = Some(draft);
        self.access()?
            .change(py, room, |scope| {
                let draft = scope.take(&mut draft)?;
                scope.put(key, draft)
            })
            .map(|_| ())
    }

    fn part(&self) -> PyResult<Part> {
        self.access().map(Part::whole)
    }

    /// Stores what `update` is given, in one transaction.
    fn store_all(
        &self,
        py: Python<'_>,
        other: Option<&Bound<'_, PyAny>>,
        more: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let access = self.access()?;
        access.writer(py)?;
        // Everything is collected before anything is changed.
        let mut gathered = Gathered::new();
        let mut drafts = encode::Drafts::new(access);
        each_pair("map", other, more, |key, value| {
            gathered.push(py, access, &key::entry_key(key)?, drafts.draft(value)?)
        })?;
        drop(drafts);
        gathered.store(py, access)
    }
}

#[pymethods]
impl Mapping {
    fn __getitem__<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Some(found) = slf.get().access()?.get(py, key)? {
            return Ok(found);
        }
        // As with subclasses of dict.
        match slf.getattr_opt(intern!(py, "__missing__"))? {
            Some(missing) => missing.call1((key,)),
            None => Err(no_key(key)),
        }
    }

    fn __setitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.access()?.writer(py)?;
        let (key, draft) = (key::entry_key(key)?, encode::draft(value, self.access()?)?);
        self.store(py, &key, draft)
    }

    fn __delitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let access = self.access()?;
        access.writer(py)?;
        let Some(ordered) = key::look_up(key)? else { return Err(no_key(key)) };
        if access.change(py, Room::Frees, |scope| scope.delete(&ordered))? {
            Ok(())
        } else {
            Err(no_key(key))
        }
    }

    fn __contains__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.access()?.contains(py, key)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.part()?.len(py)
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<MapIterator> {
        self.part()?.iterate(py, Give::Items, false)
    }

    fn __reversed__(&self, py: Python<'_>) -> PyResult<MapIterator> {
        self.part()?.iterate(py, Give::Items, true)
    }

    /// Return the value under ``key``, or ``default`` when there is none.
    #[pyo3(signature = (key, default=None, /))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.access()?.get(py, key)?.or(default))
    }

    /// Return the values under many keys, all of one version.
    ///
    /// It is faster than one ``get`` after the other, the more so the more keys there are.
    ///
    /// Parameters
    /// ----------
    /// keys : iterable
    ///     The keys, in any order; some may be there twice.
    /// default : object
    ///     What stands for the value of a key that is missing.
    ///
    /// Returns
    /// -------
    /// list
    ///     The values, in the order of the keys.
    ///
    /// Examples
    /// --------
    /// >>> import oocmap
    /// >>> m = oocmap.OOCMap("many.ooc")
    /// >>> m.update({1: "one", 2: "two"})
    /// >>> m.get_many((2, 3, 1), 0) == list(("two", 0, "one"))
    /// True
    /// >>> m.close()
    #[pyo3(signature = (keys, default=None, /))]
    fn get_many<'py>(
        &self,
        py: Python<'py>,
        keys: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        many::values(py, &self.part()?, keys, default.as_ref())
    }

    /// Return the value under ``key``; when there is none, store and return ``default``, in one transaction.
    #[pyo3(signature = (key, default=None, /))]
    fn setdefault<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let access = self.access()?;
        access.writer(py)?;
        if let Some(found) = access.get(py, key)? {
            return Ok(found);
        }
        let default = default.unwrap_or_else(|| py.None().into_bound(py));
        let (key, draft) = (key::entry_key(key)?, encode::draft(&default, access)?);
        let room = Room::Bytes(draft.size());
        let mut draft = Some(draft);
        let stored = access.change_all(py, room, |scope| {
            let found = scope.get(key.ordered())?;
            if found.is_some() {
                return Ok(found);
            }
            let draft = scope.take(&mut draft)?;
            scope.put(&key, draft)?;
            scope.get(key.ordered())
        })?;
        match stored {
            Some(stored) => decode::copied(py, access, stored, key.ordered()),
            None => Ok(default),
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
        let access = self.access()?;
        access.writer(py)?;
        let popped = match key::look_up(key)? {
            None => None,
            Some(ordered) => access.take(py, &ordered)?,
        };
        match popped {
            Some(value) => Ok(value),
            None => default.ok_or_else(|| no_key(key)),
        }
    }

    /// Delete the last entry and return it as a pair of key and value.
    ///
    /// Raises
    /// ------
    /// KeyError
    ///     When there is no entry.
    fn popitem<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let access = self.access()?;
        access.writer(py)?;
        loop {
            let mut last = self.part()?.iterate(py, Give::Items, true)?;
            let Some(key) = last.first(py)? else {
                return Err(PyKeyError::new_err("popitem(): the map is empty"));
            };
            let Some(ordered) = key::look_up(&key)? else { return Err(no_key(&key)) };
            // Someone may have been faster; then there is another last entry.
            if let Some(value) = access.take(py, &ordered)? {
                return Ok((key, value));
            }
        }
    }

    /// Store all entries of a mapping or of an iterable of pairs, and those of the keywords, in one transaction.
    #[pyo3(signature = (*others, **more), text_signature = "($self, other=(), /, **more)")]
    fn update(
        &self,
        py: Python<'_>,
        others: &Bound<'_, PyTuple>,
        more: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let other = optional("update", 0, others)?;
        self.store_all(py, other.as_ref(), more)
    }

    /// Delete all entries.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method is not general enough a function"
        )]
        self.access()?.change(py, Room::Frees, |scope| scope.clear())
    }
    /// Return a live, set-like view of the keys, in key order.
    fn keys(&self) -> PyResult<KeysView> {
        self.part().map(|part| KeysView(Viewed::Map(part)))
    }

    /// Return a live view of the values, in key order.
    fn values(&self) -> PyResult<ValuesView> {
        self.part().map(|part| ValuesView(Viewed::Map(part)))
    }

    /// Return a live, set-like view of the pairs of key and value, in key order.
    fn items(&self) -> PyResult<ItemsView> {
        self.part().map(|part| ItemsView(Viewed::Map(part)))
    }

    /// Return the part of the mapping from ``start`` to before ``stop``, either of which may be left out.
    #[pyo3(signature = (start=None, stop=None, *, reverse=false))]
    fn range(
        &self,
        start: Option<&Bound<'_, PyAny>>,
        stop: Option<&Bound<'_, PyAny>>,
        reverse: bool,
    ) -> PyResult<MapRange> {
        let limit = |bound: Option<&Bound<'_, PyAny>>| -> PyResult<Option<oocmap::KeyBytes>> {
            let Some(bound) = bound.filter(|bound| !bound.is_none()) else { return Ok(None) };
            match key::look_up(bound)? {
                Some(ordered) => Ok(Some(ordered)),
                // Raises what storing under such a key would raise.
                None => key::entry_key(bound).map(|key| Some(key.ordered().into())),
            }
        };
        let span = Span {
            lower: limit(start)?.map_or(Limit::Unbounded, Limit::Included),
            upper: limit(stop)?.map_or(Limit::Unbounded, Limit::Excluded),
        };
        Ok(MapRange(Part { access: Arc::clone(self.access()?), span, reverse }))
    }

    /// Return the part of the mapping whose keys begin with ``prefix``: a ``str``, ``bytes`` or tuple.
    #[pyo3(signature = (prefix, /, *, reverse=false))]
    fn prefix(&self, prefix: &Bound<'_, PyAny>, reverse: bool) -> PyResult<MapRange> {
        let key = key::look_up_key(prefix)?
            .ok_or_else(|| PyTypeError::new_err("a prefix has to be a str, bytes or a tuple of keys"))?;
        let bounds = key.prefix_bounds().map_err(|error| match error {
            oocmap::Error::InvalidKey(text) => PyTypeError::new_err(text),
            other => errors::to_python(other),
        })?;
        let span = Span { lower: Limit::Included(bounds.start), upper: Limit::Excluded(bounds.end) };
        Ok(MapRange(Part { access: Arc::clone(self.access()?), span, reverse }))
    }

    /// Return a plain dict with all entries, whose nested containers are lazy.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for pair in self.items()?.into_pyobject(py)?.try_iter()? {
            let (key, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair?.extract()?;
            dict.set_item(key, value)?;
        }
        Ok(dict)
    }

    fn __or__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let Ok(other) = other.cast::<PyMapping>() else { return Ok(py.NotImplemented().into_bound(py)) };
        let dict = self.copy(py)?;
        dict.update(other)?;
        Ok(dict.into_any())
    }

    fn __ror__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let Ok(other) = other.cast::<PyMapping>() else { return Ok(py.NotImplemented().into_bound(py)) };
        let dict = PyDict::new(py);
        dict.update(other)?;
        dict.update(self.copy(py)?.as_mapping())?;
        Ok(dict.into_any())
    }

    fn __ior__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.store_all(py, Some(other), None)
    }

    fn __eq__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let Ok(other) = other.cast::<PyMapping>() else { return Ok(py.NotImplemented().into_bound(py)) };
        let equal = slf.is(other) || slf.get().part()?.equals(py, other)?;
        Ok(pyo3::types::PyBool::new(py, equal).to_owned().into_any())
    }

    #[classattr]
    const __hash__: Option<Py<PyAny>> = None;

    /// Return a read-only view of a stored ``bytes`` or ``bytearray``, borrowed from the mapped pages without copying.
    ///
    /// Returns
    /// -------
    /// memoryview
    ///     Of unsigned bytes, valid for as long as it lives; it keeps the version that it was read from. Inside a
    ///     write transaction, whose pages may still move, it is of a copy.
    ///
    /// Raises
    /// ------
    /// KeyError
    ///     When there is no such key.
    /// TypeError
    ///     When something else is stored there.
    #[pyo3(signature = (key, /))]
    fn view<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyMemoryView>> {
        let access = self.access()?;
        let ordered = key::look_up(key)?.ok_or_else(|| no_key(key))?;
        match access.reader(py)? {
            Reader::Version(read) => match read.stored(&ordered).or_raise()?.ok_or_else(|| no_key(key))? {
                Stored::Scalar(encoded) => {
                    let lender = Lender { read: read.clone(), borrows: access.origin().borrows.clone() };
                    return buffer::view(py, Some(lender), encoded);
                }
                Stored::Record(..) | Stored::Object(_) => {}
                Stored::Archive(_) => return Err(lazy::not_viewable()),
            },
            Reader::Transaction(transaction) => match transaction.get(&ordered).or_raise()? {
                Some(Copied::Scalar(encoded)) => return lazy::copied_view(py, &encoded),
                Some(Copied::Record(_) | Copied::Object(_)) => {}
                Some(Copied::Archive(_)) => return Err(lazy::not_viewable()),
                None => return Err(no_key(key)),
            },
        }
        match lazy::of(&access.get(py, key)?.ok_or_else(|| no_key(key))?) {
            Some(handle) if handle.kind() == ContainerKind::ByteArray => {
                lazy::memory::of_byte_array(py, handle)
            }
            _ => Err(lazy::not_viewable()),
        }
    }

    /// Begin a transaction, or a nested one inside this thread's transaction.
    ///
    /// Parameters
    /// ----------
    /// readonly : bool
    ///     Return a snapshot instead.
    /// lock_timeout : float or None
    ///     Seconds to wait for another writer; ``None`` for ever. The map's own when left out.
    ///
    /// Raises
    /// ------
    /// LockTimeoutError
    ///     When another writer kept the map for all that time.
    /// ReadOnlyError
    ///     When nothing may be changed.
    #[pyo3(
        signature = (*, readonly=false, **options),
        text_signature = "($self, *, readonly=False, lock_timeout=...)"
    )]
    fn transaction<'py>(
        &self,
        py: Python<'py>,
        readonly: bool,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let access = self.access()?;
        let mut limit = access.opened().options.lock_timeout;
        for (name, value) in options.into_iter().flatten() {
            if name.extract::<&str>()? != "lock_timeout" {
                return Err(PyTypeError::new_err(format!(
                    "transaction() got an unexpected keyword argument {name}"
                )));
            }
            limit = seconds("lock_timeout", value.extract()?)?;
        }
        if readonly {
            return Ok(self.snapshot(py)?.into_any());
        }
        let (transaction, nested) = if let Some(transaction) = access.writer(py)? {
            let number = transaction.nest().or_raise()?;
            (transaction, Some(number))
        } else {
            let environment = access.opened().environment()?;
            let transaction = waiting(py, limit, |patience| environment.write_shared(patience))?;
            transaction.belong_to(tasks::current(py)?);
            access.opened().note_begun(&transaction);
            (transaction, None)
        };
        Ok(Transaction::new(py, access, transaction, nested)?.into_any())
    }

    /// Return a snapshot: one frozen version of everything, whatever is committed later.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Snapshot>> {
        let access = self.access()?;
        Snapshot::new(py, access, access.committed(py)?)
    }

    /// Verify every record's checksum and structure, every reference and every count, of the last committed version.
    ///
    /// Parameters
    /// ----------
    /// progress : callable or None
    ///     Called now and then with the number of entries that are done and the number of all; what it raises ends
    ///     the check.
    ///
    /// Returns
    /// -------
    /// list of str
    ///     What is wrong, and where; empty when nothing is.
    #[pyo3(signature = (*, progress=None))]
    fn check(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<Vec<String>> {
        let read = self.access()?.committed(py)?;
        let mut raised = None;
        let mut report = |done: u64, total: u64| {
            let told = Python::attach(|py| match &progress {
                Some(progress) => progress.call1(py, (done, total)).map(|_| ()),
                None => py.check_signals(),
            });
            raised = told.err();
            raised.is_none()
        };
        let problems = py.detach(|| read.check(&mut report));
        match raised {
            Some(error) => Err(error),
            None => Ok(problems.or_raise()?.iter().map(ToString::to_string).collect()),
        }
    }

    /// Make sure that everything committed is on the disk.
    fn sync(&self, py: Python<'_>) -> PyResult<()> {
        let access = self.access()?;
        access.check(py)?;
        let environment = access.opened().environment()?;
        py.detach(|| environment.sync()).or_raise()
    }

    /// Return figures about the map.
    ///
    /// Returns
    /// -------
    /// dict
    ///     ``entries``; ``objects``: how many records and parts of long containers stand outside of entries;
    ///     ``file_size`` and ``free_bytes``, in bytes; ``readers``, a list of those in all processes that have a version
    ///     pinned: the ``pid``, the native id of the ``thread`` that pinned it, its ``age`` in seconds, and how many
    ///     versions it is ``behind``; ``version``; ``deletions``: how many entries and elements were deleted or replaced
    ///     since the last vacuum; ``auto_vacuum``: after how many of those one begins by itself, ``None`` for never;
    ///     ``format``.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let access = self.access()?;
        access.check(py)?;
        let environment = access.opened().environment()?;
        let stats = py.detach(|| environment.stats()).or_raise()?;
        let dict = PyDict::new(py);
        dict.set_item("entries", stats.entries)?;
        dict.set_item("objects", stats.objects)?;
        dict.set_item("file_size", stats.file_size)?;
        dict.set_item("free_bytes", stats.free_bytes)?;
        let readers = PyList::empty(py);
        for reader in stats.readers {
            let entry = PyDict::new(py);
            entry.set_item("pid", reader.process)?;
            entry.set_item("thread", reader.thread)?;
            entry.set_item("age", reader.age.map(|age| age.as_secs_f64()))?;
            entry.set_item("behind", reader.behind)?;
            readers.append(entry)?;
        }
        dict.set_item("readers", readers)?;
        dict.set_item("version", stats.version)?;
        dict.set_item("deletions", stats.removals)?;
        dict.set_item("auto_vacuum", Some(stats.auto_vacuum).filter(|threshold| *threshold != 0))?;
        dict.set_item("format", stats.format)?;
        Ok(dict)
    }
}
