//! What a mapping reads and writes: the live map, one transaction, or one version.

use std::{
    ops::Bound as Limit,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use oocmap::{
    Change, Environment, Error, ObjectId, Options, ReadTransaction, Reader, Room, SharedScan, SharedWrite,
    Span, Stamp, WriteScope,
};
use pyo3::{prelude::*, types::PyMapping};

use crate::{
    convert::{decode, key},
    errors::{self, OrRaise},
    iterators::{MapIterator, Walk},
    lazy::{sequence::same_or_equal, walk::Part as Give},
    names::Origin,
    pending::waiting,
    tasks,
};

/// A map that is open, shared by its handle and by all that came from it.
pub(crate) struct Opened {
    environment: RwLock<Option<Environment>>,
    /// Whether there is none any more; who looks at it needs no lock.
    is_closed: AtomicBool,
    /// The last transaction that was begun through this handle; there is never more than one that is open.
    begun: Mutex<Weak<SharedWrite>>,
    pub(crate) options: Options,
    pub(crate) path: PathBuf,
}

impl Opened {
    pub(crate) fn new(environment: Environment) -> Self {
        let (options, path) = (environment.options().clone(), environment.path());
        Self {
            environment: RwLock::new(Some(environment)),
            is_closed: AtomicBool::new(false),
            begun: Mutex::default(),
            options,
            path,
        }
    }

    /// Whether the handle is open.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        !self.is_closed.load(Ordering::Acquire)
    }

    /// Does something with the environment; raises when the map is closed.
    #[inline]
    pub(crate) fn with<R>(&self, work: impl FnOnce(&Environment) -> oocmap::Result<R>) -> PyResult<R> {
        match &*self.environment.read().unwrap_or_else(PoisonError::into_inner) {
            Some(environment) if !environment.is_inherited() => return work(environment).or_raise(),
            Some(_) => {}
            None => return Err(errors::to_python(Error::Closed)),
        }
        self.reopen()?;
        self.with(work)
    }

    /// Opens the map again, in a fork of the process that opened it.
    #[cold]
    fn reopen(&self) -> PyResult<()> {
        let inherited = self.environment.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(inherited) = inherited.filter(Environment::is_inherited) else { return Ok(()) };
        let limit = self.options.lock_timeout;
        let own = Python::attach(|py| waiting(py, limit, |patience| inherited.reopen(patience)))?;
        let mut environment = self.environment.write().unwrap_or_else(PoisonError::into_inner);
        // It may have been closed in between, or opened by another thread.
        if environment.as_ref().is_some_and(Environment::is_inherited) {
            *environment = Some(own);
        }
        Ok(())
    }

    /// The environment; raises when the map is closed.
    pub(crate) fn environment(&self) -> PyResult<Environment> {
        self.with(|environment| Ok(environment.clone()))
    }

    /// Commits what this process deferred, so that its readers see it.
    #[inline]
    pub(crate) fn settle(&self, py: Python<'_>) -> PyResult<()> {
        match self.with(|environment| Ok(environment.deferred().map(|_| environment.clone())))? {
            None => Ok(()),
            Some(environment) => py.detach(|| environment.flush()).or_raise(),
        }
    }

    /// Remembers a transaction, which closing the handle rolls back.
    pub(crate) fn note_begun(&self, transaction: &Arc<SharedWrite>) {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(transaction);
    }

    /// The transaction that was begun through this handle last, if it still exists.
    pub(crate) fn begun(&self) -> Option<Arc<SharedWrite>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// Closes the handle; answers the environment when it was open.
    pub(crate) fn close(&self) -> Option<Environment> {
        self.is_closed.store(true, Ordering::Release);
        self.environment.write().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A version that a snapshot keeps until it is closed.
pub(crate) struct Kept {
    read: RwLock<Option<ReadTransaction>>,
    /// Whether it is kept no more; who looks at it needs no lock.
    is_closed: AtomicBool,
}

impl Kept {
    pub(crate) fn new(read: ReadTransaction) -> Self {
        Self { read: RwLock::new(Some(read)), is_closed: AtomicBool::new(false) }
    }

    #[inline]
    pub(crate) fn read(&self, py: Python<'_>) -> PyResult<ReadTransaction> {
        match &*self.read.read().unwrap_or_else(PoisonError::into_inner) {
            Some(read) => Ok(read.clone()),
            None => Err(errors::closed(py, "the snapshot is closed; take another one")),
        }
    }

    /// Whether it is kept.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        !self.is_closed.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        let read = self.read.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(read);
    }
}

/// What a mapping is a view of.
#[derive(Clone)]
pub(crate) enum Access {
    /// The newest committed version, or this thread's transaction while it has one.
    Live { opened: Arc<Opened>, origin: Arc<Origin> },
    /// One transaction, and the live map that it is of.
    Write { live: Arc<Access>, transaction: Arc<SharedWrite>, nested: Option<u64> },
    /// One version.
    Version { opened: Arc<Opened>, origin: Arc<Origin>, kept: Arc<Kept> },
}

/// What a live map is read through at one moment.
enum Now {
    /// The transaction that this thread has open.
    Own(Arc<SharedWrite>),
    /// The newest version, when this process has not deferred anything.
    Version(ReadTransaction),
    /// What this process deferred, if that is not committed by now.
    Deferred(Option<Arc<SharedWrite>>),
}

/// What an entry is looked up in.
enum LookedUp {
    In(Reader),
    /// The writes of this process that wait for their commit.
    Deferred(Arc<SharedWrite>),
}

impl Now {
    #[inline]
    fn of(environment: &Environment) -> oocmap::Result<Self> {
        match environment.participating() {
            Some(transaction) => Ok(Self::Own(transaction)),
            None if environment.has_deferred() => Ok(Self::Deferred(environment.deferred())),
            None => environment.current().map(Self::Version),
        }
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Live { .. } => "Live",
            Self::Write { .. } => "Write",
            Self::Version { .. } => "Version",
        })
    }
}

impl Access {
    pub(crate) fn opened(&self) -> &Arc<Opened> {
        match self {
            Self::Live { opened, .. } | Self::Version { opened, .. } => opened,
            Self::Write { live, .. } => live.opened(),
        }
    }

    pub(crate) fn origin(&self) -> &Arc<Origin> {
        match self {
            Self::Live { origin, .. } | Self::Version { origin, .. } => origin,
            Self::Write { live, .. } => live.origin(),
        }
    }

    /// What a transaction is of; any other one itself.
    pub(crate) fn live(self: &Arc<Self>) -> &Arc<Self> {
        if let Self::Write { live, .. } = &**self { live } else { self }
    }

    /// Whether two of these are of one map, and of one version if they are of a snapshot's.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Version { kept, .. }, Self::Version { kept: other, .. }) => Arc::ptr_eq(kept, other),
            (Self::Version { .. }, _) | (_, Self::Version { .. }) => false,
            _ => self.is_same_map(other),
        }
    }

    /// Whether two of these are of one map, and neither of a snapshot.
    pub(crate) fn is_live_same_map(&self, other: &Self) -> bool {
        !matches!(self, Self::Version { .. })
            && !matches!(other, Self::Version { .. })
            && self.is_same_map(other)
    }

    fn is_same_map(&self, other: &Self) -> bool {
        let (own, other) = (self.opened(), other.opened());
        if Arc::ptr_eq(own, other) {
            return true;
        }
        match (own.environment(), other.environment()) {
            (Ok(own), Ok(other)) => own.is_same(&other),
            _ => false,
        }
    }

    /// Raises when the mapping was closed or has ended.
    pub(crate) fn check(&self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Live { opened, .. } => opened.with(|_| Ok(())),
            Self::Version { kept, .. } => kept.read(py).map(|_| ()),
            Self::Write { transaction, nested, .. } => {
                if transaction.is_open(*nested) {
                    Ok(())
                } else {
                    Err(errors::to_python(Error::TransactionClosed))
                }
            }
        }
    }

    /// What is read through now; what this process deferred is committed first.
    #[inline]
    pub(crate) fn reader(&self, py: Python<'_>) -> PyResult<Reader> {
        match self.looked_up(py)? {
            LookedUp::In(reader) => Ok(reader),
            LookedUp::Deferred(_) => self.settled(py).map(Reader::Version),
        }
    }

    /// As [`Access::reader`], where a look-up of an entry is all that is wanted.
    #[inline]
    fn looked_up(&self, py: Python<'_>) -> PyResult<LookedUp> {
        Ok(LookedUp::In(match self {
            Self::Live { opened, .. } => match opened.with(Now::of)? {
                Now::Version(read) => Reader::Version(read),
                Now::Deferred(Some(transaction)) => return Ok(LookedUp::Deferred(transaction)),
                Now::Own(transaction) if tasks::takes_part(py, &transaction)? => {
                    Reader::Transaction(transaction)
                }
                Now::Own(_) | Now::Deferred(None) => Reader::Version(self.settled(py)?),
            },
            Self::Write { transaction, .. } => {
                self.check(py)?;
                Reader::Transaction(Arc::clone(transaction))
            }
            Self::Version { kept, .. } => Reader::Version(kept.read(py)?),
        }))
    }

    /// The newest version, with what this process deferred.
    #[cold]
    fn settled(&self, py: Python<'_>) -> PyResult<ReadTransaction> {
        self.opened().settle(py)?;
        self.opened().with(Environment::current)
    }

    /// The version of a snapshot, or else the newest committed one.
    pub(crate) fn committed(&self, py: Python<'_>) -> PyResult<ReadTransaction> {
        if let Self::Version { kept, .. } = self {
            return kept.read(py);
        }
        self.check(py)?;
        self.settled(py)
    }

    /// The transaction that a change takes part in, when there is one; raises where nothing may be changed.
    pub(crate) fn writer(&self, py: Python<'_>) -> PyResult<Option<Arc<SharedWrite>>> {
        match self {
            Self::Live { opened, .. } => {
                let own = opened.with(|environment| Ok(environment.participating()))?;
                if opened.options.readonly {
                    return Err(errors::read_only(py, "the map was opened with readonly=True"));
                }
                match own {
                    Some(transaction) if !tasks::takes_part(py, &transaction)? => Err(errors::transaction(
                        py,
                        "another task of this thread has a write transaction open, and can't go on while this one waits; let an asyncio.Lock keep them apart",
                    )),
                    transaction => Ok(transaction),
                }
            }
            // What may be written through is open.
            Self::Write { transaction, nested, .. } if transaction.is_innermost(*nested) => {
                Ok(Some(Arc::clone(transaction)))
            }
            Self::Write { .. } => {
                self.check(py)?;
                Err(errors::transaction(
                    py,
                    "a nested transaction is open; write through that one or through the map, or end it first",
                ))
            }
            Self::Version { .. } => {
                self.check(py)?;
                Err(errors::read_only(py, "a snapshot can't be changed; change the map that it is of"))
            }
        }
    }

    pub(crate) fn get<'py>(
        self: &Arc<Self>,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(ordered) = key::look_up(key)? else {
            self.check(py)?;
            return Ok(None);
        };
        self.get_ordered(py, &ordered)
    }

    fn get_ordered<'py>(
        self: &Arc<Self>,
        py: Python<'py>,
        ordered: &[u8],
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let reader = match self.looked_up(py)? {
            LookedUp::In(reader) => reader,
            LookedUp::Deferred(deferred) => match deferred.get(ordered) {
                // It was committed in between.
                Err(Error::TransactionClosed) => Reader::Version(self.settled(py)?),
                found => {
                    let found = found.or_raise()?;
                    return found.map(|copied| decode::copied(py, self, copied, ordered)).transpose();
                }
            },
        };
        match reader {
            Reader::Version(read) => match read.stored(ordered).or_raise()? {
                Some(stored) => decode::stored(py, &read, self, stored, ordered).map(Some),
                None => Ok(None),
            },
            Reader::Transaction(transaction) => match transaction.get(ordered).or_raise()? {
                Some(copied) => decode::copied(py, self, copied, ordered).map(Some),
                None => Ok(None),
            },
        }
    }

    pub(crate) fn contains(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let ordered = key::look_up(key)?;
        let Some(ordered) = ordered else { return self.check(py).map(|()| false) };
        let reader = match self.looked_up(py)? {
            LookedUp::In(reader) => reader,
            LookedUp::Deferred(deferred) => match deferred.contains(&ordered) {
                Err(Error::TransactionClosed) => Reader::Version(self.settled(py)?),
                found => return found.or_raise(),
            },
        };
        match reader {
            Reader::Version(read) => read.contains(&ordered),
            Reader::Transaction(transaction) => transaction.contains(&ordered),
        }
        .or_raise()
    }

    /// Deletes an entry and answers its value, which is made first: if that fails, nothing is deleted.
    pub(crate) fn take<'py>(
        self: &Arc<Self>,
        py: Python<'py>,
        ordered: &[u8],
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        loop {
            match self.reader(py)? {
                Reader::Transaction(transaction) => {
                    let Some(copied) = transaction.get(ordered).or_raise()? else { return Ok(None) };
                    let value = decode::copied(py, self, copied, ordered)?;
                    let taken = self.change(py, Room::Frees, |scope| scope.delete(ordered))?;
                    return Ok(taken.then_some(value));
                }
                Reader::Version(read) => {
                    let Some(raw) = read.raw(ordered).or_raise()? else { return Ok(None) };
                    let Some(stored) = read.stored(ordered).or_raise()? else { return Ok(None) };
                    let value = decode::stored(py, &read, self, stored, ordered)?;
                    // Whoever changed it meanwhile was first, and this one takes what they left.
                    if self.change(py, Room::Frees, |scope| scope.delete_unchanged(ordered, raw))? {
                        return Ok(Some(value));
                    }
                }
            }
        }
    }

    /// Changes something by a single step.
    pub(crate) fn change<R: Send>(
        &self,
        py: Python<'_>,
        room: Room,
        work: impl FnMut(&mut WriteScope<'_>) -> oocmap::Result<R> + Send,
    ) -> PyResult<R> {
        match self.writer(py)? {
            Some(transaction) => transaction.update_one(work).or_raise(),
            None => self.commit_alone(py, room, work),
        }
    }

    /// Changes something by several steps that happen together or not at all.
    pub(crate) fn change_all<R: Send>(
        &self,
        py: Python<'_>,
        room: Room,
        work: impl FnMut(&mut WriteScope<'_>) -> oocmap::Result<R> + Send,
    ) -> PyResult<R> {
        match self.writer(py)? {
            Some(transaction) => transaction.update(work).or_raise(),
            None => self.commit_alone(py, room, work),
        }
    }

    /// Changes a container, all that is asked or nothing; answers `false`, having done nothing, when it is no longer what
    /// it was when it was given this stamp.
    pub(crate) fn change_object(
        &self,
        py: Python<'_>,
        id: ObjectId,
        seen: Option<&Arc<[u8]>>,
        stamp: Option<Stamp>,
        changes: &[Change],
    ) -> PyResult<bool> {
        match self.writer(py)? {
            Some(transaction) => transaction.change(id, seen, stamp, changes).or_raise(),
            None => self.commit_alone(py, Room::Unknown, |scope| scope.change(id, seen, stamp, changes)),
        }
    }

    fn commit_alone<R: Send>(
        &self,
        py: Python<'_>,
        room: Room,
        work: impl FnMut(&mut WriteScope<'_>) -> oocmap::Result<R> + Send,
    ) -> PyResult<R> {
        let environment = self.opened().environment()?;
        let limit = environment.options().lock_timeout;
        let done = waiting(py, limit, |patience| environment.update(room, patience, work))?;
        errors::warn_upkeep(py, &environment)?;
        Ok(done)
    }
}

/// A mapping's entries between two bounds, forward or backward.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) access: Arc<Access>,
    pub(crate) span: Span,
    pub(crate) reverse: bool,
}

impl Part {
    pub(crate) fn whole(access: &Arc<Access>) -> Self {
        Self { access: Arc::clone(access), span: Span::all(), reverse: false }
    }

    pub(crate) fn len(&self, py: Python<'_>) -> PyResult<usize> {
        let whole = matches!((&self.span.lower, &self.span.upper), (Limit::Unbounded, Limit::Unbounded));
        let count = match self.access.reader(py)? {
            Reader::Version(read) => py.detach(|| read.count(&self.span)).or_raise()?,
            Reader::Transaction(transaction) if whole => transaction.len().or_raise()?,
            Reader::Transaction(transaction) => {
                let mut scan = SharedScan::new(self.span.clone(), false);
                let mut count = 0;
                while transaction.next(&mut scan, false).or_raise()?.is_some() {
                    count += 1;
                }
                count
            }
        };
        Ok(count as usize)
    }

    pub(crate) fn iterate(&self, py: Python<'_>, part: Give, backward: bool) -> PyResult<MapIterator> {
        let (span, backward) = (self.span.clone(), backward != self.reverse);
        let walk = match self.access.reader(py)? {
            Reader::Version(read) => {
                let live = match &*self.access {
                    Access::Live { opened, .. } => {
                        let environment = opened.environment()?;
                        let resized = environment.resized();
                        Some((environment, resized))
                    }
                    _ => None,
                };
                Walk::Version { scan: read.scan(span, backward).or_raise()?, read, live }
            }
            Reader::Transaction(transaction) => {
                let resized = transaction.resized().or_raise()?;
                Walk::Transaction { transaction, scan: SharedScan::new(span, backward), resized }
            }
        };
        Ok(MapIterator::new(walk, part, Arc::clone(&self.access)))
    }

    pub(crate) fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.spans(key)? { self.access.get(py, key) } else { Ok(None) }
    }

    pub(crate) fn contains(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.spans(key)? && self.access.contains(py, key)?)
    }

    /// Whether a mapping has the same entries.
    pub(crate) fn equals(&self, py: Python<'_>, other: &Bound<'_, PyMapping>) -> PyResult<bool> {
        if self.len(py)? != other.len()? {
            return Ok(false);
        }
        for pair in Bound::new(py, self.iterate(py, Give::Pairs, false)?)?.try_iter()? {
            let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair?.extract()?;
            if !other.contains(&key)? || !same_or_equal(&value, &other.get_item(&key)?)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn spans(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(key::look_up(key)?.is_some_and(|ordered| self.span.contains(&ordered)))
    }
}
