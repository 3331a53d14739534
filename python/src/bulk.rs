//! The fast way in: what `update` and `bulk_load` are given is encoded, sorted, and stored in one transaction.

use std::{
    num::NonZero,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use oocmap::{Draft, EntryKey, Room, SortedEntries, Sorter, TextFormat, TextSource, Waiting};
use pyo3::{
    exceptions::{PyRuntimeError, PyTypeError, PyValueError},
    prelude::*,
    types::PyBytes,
};

use crate::{
    access::Access,
    convert::{encode, key},
    errors::{self, OrRaise},
    mapping::Mapping,
    pairs::each_pair,
    pending::waiting,
};

/// What an entry may take beside its value, in bytes.
const PAGE: usize = 4096;
/// What `update` is given waits in memory up to this size, in bytes; more is sorted outside of memory.
const FEW: usize = 64 << 20;
/// How many bytes of memory `update` uses then, when what has waited is handed on.
const MEMORY: usize = 128 << 20;
/// More threads than this would wait for each other, or for the disk.
const MOST_WORKERS: usize = 8;
/// How often someone is told how far it is, and looks whether Ctrl-C was pressed.
const POLL: Duration = Duration::from_millis(20);
/// How many pairs are taken between two looks at the clock.
const STRIDE: u64 = 256;

/// As many threads as can run at a time.
fn usual_workers() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST_WORKERS)
}

fn sorter(access: &Access, memory: usize, workers: usize) -> Sorter {
    Sorter::new(&access.opened().path, memory, workers)
}

/// Entries that are stored together.
pub(crate) enum Gathered {
    /// As they came.
    Few(Waiting),
    /// Very many.
    Many(Sorter),
}

impl Gathered {
    pub(crate) fn new() -> Self {
        Self::Few(Waiting::default())
    }

    pub(crate) fn push(
        &mut self,
        py: Python<'_>,
        access: &Access,
        key: &EntryKey,
        draft: Draft,
    ) -> PyResult<()> {
        match self {
            Self::Few(entries) => {
                entries.push(key, draft);
                if entries.size() < FEW {
                    return Ok(());
                }
                let mut sorter = sorter(access, MEMORY, usual_workers());
                let entries = std::mem::take(entries);
                entries.give_to(&mut sorter, |sorter| py.detach(|| sorter.spill())).or_raise()?;
                *self = Self::Many(sorter);
                Ok(())
            }
            Self::Many(sorter) => push(py, sorter, key, draft),
        }
    }

    /// Stores all of them in one transaction.
    pub(crate) fn store(self, py: Python<'_>, access: &Access) -> PyResult<()> {
        let mut entries = match self {
            Self::Few(entries) => entries,
            Self::Many(sorter) => {
                let entries = py.detach(|| sorter.finish()).or_raise()?;
                return store(py, access, entries, &mut Progress::new(None)).map(|_| ());
            }
        };
        if entries.is_empty() {
            return Ok(());
        }
        // Neighbours share pages, so that sorted entries are cheaper to store; equal keys stay in their order.
        entries.sort();
        let room = Room::Bytes(entries.size() + entries.len() * PAGE);
        let mut entries = Some(entries);
        access.change_all(py, room, |scope| {
            let entries = scope.take(&mut entries)?;
            scope.put_all(entries)
        })
    }
}

fn push(py: Python<'_>, sorter: &mut Sorter, key: &EntryKey, draft: Draft) -> PyResult<()> {
    if sorter.push(key, draft) {
        return py.detach(|| sorter.spill()).or_raise();
    }
    Ok(())
}

/// Stores sorted entries, in the transaction that the thread has open or in one of their own; answers how many there were.
fn store(py: Python<'_>, access: &Access, entries: SortedEntries, progress: &mut Progress) -> PyResult<u64> {
    let most = entries.most();
    let transaction = access.writer(py)?;
    let environment = access.opened().environment()?;
    let mut raised = None;
    let mut tell = |stored: u64| {
        if stored == most || progress.is_due() {
            raised = Python::attach(|py| progress.tell(py, stored, most)).err();
        }
        raised.is_none()
    };
    let stored = if let Some(transaction) = transaction {
        py.detach(|| transaction.update(|scope| scope.load(entries, &mut tell))).or_raise()
    } else {
        let limit = access.opened().options.lock_timeout;
        waiting(py, limit, |patience| environment.load(entries, patience, &mut tell))
    };
    if let Some(error) = raised {
        return Err(error);
    }
    errors::warn_upkeep(py, &environment)?;
    stored
}

/// Whoever wants to know how far it is.
struct Progress {
    told: Option<Py<PyAny>>,
    last: Instant,
}

impl Progress {
    fn new(told: Option<Py<PyAny>>) -> Self {
        Self { told, last: Instant::now() }
    }

    fn is_due(&self) -> bool {
        self.last.elapsed() >= POLL
    }

    /// Tells, and looks whether Ctrl-C was pressed.
    fn tell(&mut self, py: Python<'_>, done: u64, total: u64) -> PyResult<()> {
        self.last = Instant::now();
        py.check_signals()?;
        match &self.told {
            Some(told) => told.call1(py, (done, total)).map(|_| ()),
            None => Ok(()),
        }
    }
}

/// What ``bulk_load`` gives its source to, piece by piece. It is used by one thread, and once.
#[pyclass(frozen, module = "oocmap._oocmap")]
pub(crate) struct Loader {
    access: Arc<Access>,
    taking: Mutex<Option<Taking>>,
}

/// What was taken so far.
struct Taking {
    sorter: Sorter,
    text: Option<TextSource>,
    progress: Progress,
}

impl Loader {
    /// Does something with what was taken; after an error there is nothing left.
    fn with<R>(&self, work: impl FnOnce(&mut Taking) -> PyResult<R>) -> PyResult<R> {
        let mut taking = self.take()?;
        let result = work(&mut taking)?;
        *self.taking.lock().unwrap_or_else(PoisonError::into_inner) = Some(taking);
        Ok(result)
    }

    fn take(&self) -> PyResult<Taking> {
        let taken = self.taking.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| PyRuntimeError::new_err("the loader has failed, has ended, or is in use"))
    }
}

#[pymethods]
impl Loader {
    #[new]
    #[pyo3(signature = (mapping, memory, workers, progress))]
    fn new(
        mapping: &Bound<'_, PyAny>,
        memory: usize,
        workers: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let py = mapping.py();
        let mapping = mapping.cast::<Mapping>().map_err(|_| {
            PyTypeError::new_err("entries can be loaded into an OOCMap, a transaction, or the path of a map")
        })?;
        if progress.as_ref().is_some_and(|told| !told.bind(py).is_callable()) {
            return Err(PyTypeError::new_err("progress has to be callable, or None"));
        }
        if workers == Some(0) {
            return Err(PyValueError::new_err("workers is 0; give a number from 1 on, or None"));
        }
        let access = Arc::clone(mapping.get().access()?);
        access.writer(py)?;
        let sorter = sorter(&access, memory, workers.unwrap_or_else(usual_workers));
        let taking = Taking { sorter, text: None, progress: Progress::new(progress) };
        Ok(Self { access, taking: Mutex::new(Some(taking)) })
    }

    /// Take the pairs of a mapping or of an iterable of pairs; ``total`` is how many there are, 0 when nobody knows.
    fn pairs(&self, source: &Bound<'_, PyAny>, total: u64) -> PyResult<()> {
        let py = source.py();
        let mut drafts = encode::Drafts::new(&self.access);
        self.with(|Taking { sorter, progress, .. }| {
            each_pair("map", Some(source), None, |key, value| {
                push(py, sorter, &key::entry_key(key)?, drafts.draft(value)?)?;
                let done = sorter.pushed();
                if done.is_multiple_of(STRIDE) && progress.is_due() {
                    progress.tell(py, done, total)?;
                }
                Ok(())
            })
        })
    }

    /// Begin with a file of text: ``name`` is what errors call it, ``delimiter`` that of a table.
    #[pyo3(signature = (name, delimiter, key))]
    fn begin_text(&self, name: &str, delimiter: Option<u8>, key: Option<String>) -> PyResult<()> {
        let format = match delimiter {
            None => TextFormat::JsonLines { key },
            Some(delimiter) => TextFormat::Delimited { delimiter, key },
        };
        self.with(|taking| {
            taking.text = Some(TextSource::new(name, format));
            Ok(())
        })
    }

    /// Take the next bytes of the file, of which so many of all are read then; none at its end.
    fn feed(&self, chunk: &Bound<'_, PyBytes>, done: u64, total: u64) -> PyResult<()> {
        let py = chunk.py();
        let bytes = chunk.as_bytes();
        self.with(|Taking { sorter, text, progress }| {
            py.detach(|| match text {
                Some(text) if !bytes.is_empty() => text.feed(sorter, bytes),
                _ => text.take().map_or(Ok(()), |text| text.end(sorter)),
            })
            .or_raise()?;
            if progress.is_due() { progress.tell(py, done, total) } else { Ok(()) }
        })
    }

    /// Store what was taken, in one transaction, and return how many entries that were.
    fn store(&self, py: Python<'_>) -> PyResult<u64> {
        let Taking { sorter, mut progress, .. } = self.take()?;
        let entries = py.detach(|| sorter.finish()).or_raise()?;
        store(py, &self.access, entries, &mut progress)
    }
}
