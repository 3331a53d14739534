//! Handles: what leads to a stored container, wherever it lies by now.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use oocmap::{
    Change, Container, ContainerKind, ContainerView, Draft, Environment, Held, Hold, Location, Long,
    ObjectId, ReadObjects, ReadTransaction, Reader, RecordView, Reference, Room, SharedWrite,
};
use pyo3::{exceptions::PyRuntimeError, prelude::*};

use super::view::{Content, View};
use crate::{
    access::Access,
    errors::{self, OrRaise},
    names::{Source, Texts},
    pending::waiting,
    tasks,
};

/// The ordered bytes of the key that something was last seen under.
pub(crate) type Seen = Option<Arc<[u8]>>;

/// How often an operation is tried again when others change the container meanwhile, before it keeps them out.
pub(super) const TRIES: usize = 16;

/// What leads to a stored container.
#[derive(Clone, Debug)]
pub(crate) enum Handle {
    /// To a tuple or frozenset, which never changes.
    Fixed(Fixed),
    /// To a mutable container.
    Object(Arc<Object>),
}

/// A container that never changes.
#[derive(Clone, Debug)]
pub(crate) struct Fixed {
    source: Source,
    container: Container,
}

/// A mutable container.
pub(crate) struct Object {
    access: Arc<Access>,
    kind: ContainerKind,
    id: ObjectId,
    seen: Seen,
    /// Keeps the object; what belongs to a snapshot needs none.
    hold: Option<Hold>,
    /// The same in a fork of the process that made the handle.
    own_hold: Mutex<Option<Hold>>,
    last: Mutex<Option<Last>>,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Object").field("kind", &self.kind).field("id", &self.id).finish_non_exhaustive()
    }
}

/// Where a container was found last, which needn't be looked for again while nothing has changed.
enum Last {
    /// In a version, of which this keeps nothing.
    Version { version: u64, found: Found },
    /// In a write transaction, after so many changes.
    Transaction { transaction: Weak<SharedWrite>, changes: u64, view: View },
}

/// Where in a version.
#[derive(Clone)]
enum Found {
    Record(Location, Container),
    Long(Arc<Long>),
}

/// A container in a record whose place in the version that is read was known, for a moment.
pub(crate) struct Glance<'a> {
    object: &'a Object,
    access: &'a Arc<Access>,
    read: &'a ReadTransaction,
    location: Location,
    pub(crate) record: RecordView<'a>,
    pub(crate) container: Container,
}

impl Glance<'_> {
    /// What the leaves of the record are made with.
    #[inline]
    pub(crate) fn texts(&self) -> Texts<'_, ReadTransaction> {
        Texts::of(self.read, self.access.origin())
    }

    /// The handle of a mutable container of the record.
    #[inline]
    pub(crate) fn handle(&self, container: Container) -> PyResult<Handle> {
        let seen = self.object.seen.clone();
        Handle::of_place(self.access, self.read, self.location, self.record.id(), container, seen)
    }

    /// The record, kept.
    pub(crate) fn source(&self) -> Source {
        self.object.source(self.read.hold_at(self.location), self.access)
    }
}

impl Found {
    /// Whether it can be found there in the version that is read, which may have come to another file.
    fn is_in(&self, read: &ReadTransaction) -> bool {
        match self {
            Self::Record(location, _) => read.has(*location),
            Self::Long(_) => true,
        }
    }
}

impl Handle {
    /// A container that lies in a record.
    pub(crate) fn of_container(source: &Source, container: Container) -> PyResult<Self> {
        let is_live = !matches!(*source.access, Access::Version { .. });
        let Some(slot) = container.slot() else {
            if !is_live {
                return Ok(Self::Fixed(Fixed { source: source.clone(), container }));
            }
            // What is in a tuple is kept with it.
            let holds = match &source.holds {
                Some(holds) => Arc::clone(holds),
                None => source.held.keep_all(container).or_raise()?.into(),
            };
            let source = Source { holds: Some(holds), ..source.clone() };
            // A copy, so that the version needn't be kept.
            return Ok(Self::Fixed(match source.held.extract(container).or_raise()? {
                None => Fixed { source, container },
                Some((copy, container)) => {
                    Fixed { source: Source { held: Arc::new(copy), ..source }, container }
                }
            }));
        };
        Self::of_slot(&source.access, &source.held, container, slot, source.seen.clone())
    }

    /// A mutable container that lies in a record, in this slot.
    pub(crate) fn of_slot(
        access: &Arc<Access>,
        record: &Held,
        container: Container,
        slot: u32,
        seen: Seen,
    ) -> PyResult<Self> {
        let last = record
            .place()
            .map(|(version, location)| Last::Version { version, found: Found::Record(location, container) });
        let id = ObjectId { record: record.id().or_raise()?, slot };
        let hold = match **access {
            Access::Version { .. } => None,
            // In the map that is open in this process, if it is.
            _ => Some(
                access
                    .opened()
                    .with(|environment| Ok(environment.keep(id)))
                    .unwrap_or_else(|_| record.keep(id)),
            ),
        };
        Ok(Self::Object(Object::new(access, container.kind, id, seen, hold, last)))
    }

    /// A mutable container that lies in a record of a version, whose id this is.
    pub(crate) fn of_place(
        access: &Arc<Access>,
        read: &ReadTransaction,
        location: Location,
        record: u64,
        container: Container,
        seen: Seen,
    ) -> PyResult<Self> {
        let id = container.slot().map(|slot| ObjectId { record, slot });
        let id = id.ok_or_else(|| super::view::damaged("a mutable container has no slot"))?;
        let hold = match **access {
            Access::Version { .. } => None,
            _ => Some(access.opened().with(|environment| Ok(environment.keep(id)))?),
        };
        let last = Last::Version { version: read.version(), found: Found::Record(location, container) };
        Ok(Self::Object(Object::new(access, container.kind, id, seen, hold, Some(last))))
    }

    /// An object that is referred to.
    pub(crate) fn of_reference(access: &Arc<Access>, reference: Reference, seen: Seen) -> PyResult<Self> {
        let hold = match **access {
            Access::Version { .. } => None,
            _ => Some(access.opened().with(|environment| Ok(environment.keep(reference.id)))?),
        };
        Ok(Self::Object(Object::new(access, reference.kind, reference.id, seen, hold, None)))
    }

    /// Looks into the container: at a glance where it was found last, if that is a record of the version that is read now,
    /// and there is no more to it; or else at a view.
    #[inline]
    pub(crate) fn look<R>(
        &self,
        py: Python<'_>,
        glance: impl FnOnce(&Glance<'_>) -> PyResult<Option<R>>,
        view: impl FnOnce(&View) -> PyResult<R>,
    ) -> PyResult<R> {
        match self {
            Self::Object(object) => object.look(py, glance, view),
            Self::Fixed(_) => view(&self.view(py)?),
        }
    }

    /// What the container is.
    pub(crate) fn kind(&self) -> ContainerKind {
        match self {
            Self::Fixed(fixed) => fixed.container.kind,
            Self::Object(object) => object.kind,
        }
    }

    /// The container as it is now: in this thread's transaction, in the newest version, or in its snapshot.
    #[inline]
    pub(crate) fn view(&self, py: Python<'_>) -> PyResult<View> {
        match self {
            Self::Object(object) => object.view(py),
            Self::Fixed(fixed) => {
                let access = current(&fixed.source.access);
                let reader = access.reader(py)?;
                let source = Source { access: Arc::clone(access), ..fixed.source.clone() };
                Ok(View { reader, content: Content::Record(source, fixed.container) })
            }
        }
    }

    /// Whether two handles are of one object.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Object(own), Self::Object(other)) => {
                Arc::ptr_eq(own, other) || own.id == other.id && own.access.is_same_place(&other.access)
            }
            (Self::Fixed(own), Self::Fixed(other)) => {
                own.container == other.container && own.source.held.is_same(&other.source.held)
            }
            _ => false,
        }
    }

    /// The reference that stands for the object in another value of the map that is being written; `None` when it has to
    /// be copied.
    pub(crate) fn reference(&self, into: &Access) -> PyResult<Option<(Reference, Seen)>> {
        match self {
            Self::Object(object) if object.access.is_live_same_map(into) => {
                object.check()?;
                Ok(Some((Reference { kind: object.kind, id: object.id }, object.seen.clone())))
            }
            _ => Ok(None),
        }
    }

    /// Whether the container belongs to the map that is being written, not to a snapshot or another map.
    pub(crate) fn belongs_to(&self, into: &Access) -> bool {
        match self {
            Self::Object(object) => object.access.is_live_same_map(into),
            Self::Fixed(fixed) => fixed.source.access.is_live_same_map(into),
        }
    }

    /// What new elements are encoded for.
    pub(crate) fn access(&self) -> &Arc<Access> {
        match self {
            Self::Object(object) => &object.access,
            Self::Fixed(fixed) => &fixed.source.access,
        }
    }

    /// Raises where nothing may be changed, before anything is done.
    pub(crate) fn check_writable(&self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Object(object) => current(&object.access).writer(py).map(|_| ()),
            Self::Fixed(_) => Err(errors::read_only(py, "tuples and frozensets never change")),
        }
    }

    /// Changes the container, all that is asked or nothing.
    pub(crate) fn change(&self, py: Python<'_>, changes: &[Change]) -> PyResult<()> {
        self.change_if(py, None, changes).map(|_| ())
    }

    /// Adds elements at the end of a list.
    pub(crate) fn append(&self, py: Python<'_>, drafts: Vec<Draft>) -> PyResult<()> {
        let Self::Object(object) = self else {
            return Err(errors::read_only(py, "tuples and frozensets never change"));
        };
        object.check()?;
        let mut drafts = Some(drafts);
        current(&object.access).change_all(py, Room::Unknown, |scope| {
            let drafts = scope.take(&mut drafts)?;
            scope.append(object.id, object.seen.as_ref(), drafts)
        })
    }

    /// Changes the container if it still is what it was in a view; answers whether it was.
    pub(crate) fn change_if(
        &self,
        py: Python<'_>,
        seen: Option<&View>,
        changes: &[Change],
    ) -> PyResult<bool> {
        let Self::Object(object) = self else {
            return Err(errors::read_only(py, "tuples and frozensets never change"));
        };
        object.check()?;
        let stamp = seen.map(View::stamp).transpose()?;
        current(&object.access).change_object(py, object.id, object.seen.as_ref(), stamp, changes)
    }

    /// Changes the container by what `step` makes of how it is. When others change it meanwhile, that is done again; what
    /// user code `step` runs may read and write anything.
    pub(crate) fn update<R>(
        &self,
        py: Python<'_>,
        mut step: impl FnMut(&View) -> PyResult<(Vec<Change>, R)>,
    ) -> PyResult<R> {
        self.check_writable(py)?;
        for _ in 0..TRIES {
            let view = self.view(py)?;
            let (changes, result) = step(&view)?;
            if changes.is_empty() || self.change_if(py, Some(&view), &changes)? {
                return Ok(result);
            }
        }
        self.update_alone(py, step)
    }

    /// As [`Handle::update`], while all others wait: they were faster too often.
    fn update_alone<R>(
        &self,
        py: Python<'_>,
        mut step: impl FnMut(&View) -> PyResult<(Vec<Change>, R)>,
    ) -> PyResult<R> {
        let opened = self.access().opened();
        let environment = opened.environment()?;
        if environment.participating().is_some() {
            return Err(PyRuntimeError::new_err(
                "the container was changed each time that it was about to be changed, by what its elements run when they are compared or encoded",
            ));
        }
        let transaction =
            waiting(py, opened.options.lock_timeout, |patience| environment.write_shared(patience))?;
        transaction.belong_to(tasks::current(py)?);
        opened.note_begun(&transaction);
        let view = self.view(py);
        let worked = view.and_then(|view| step(&view)).and_then(|(changes, result)| {
            if !changes.is_empty() {
                self.change(py, &changes)?;
            }
            Ok(result)
        });
        let is_done = worked.is_ok();
        let ended = py.detach(|| if is_done { transaction.commit() } else { transaction.roll_back() });
        match (worked, ended) {
            (Ok(result), Ok(())) => Ok(result),
            (Err(error), _) => Err(error),
            (Ok(_), Err(error)) => Err(errors::to_python(error)),
        }
    }

    /// The environment, to tell whether this thread has changed something.
    pub(crate) fn environment(&self) -> PyResult<Environment> {
        self.access().opened().environment()
    }
}

impl Object {
    fn new(
        access: &Arc<Access>,
        kind: ContainerKind,
        id: ObjectId,
        seen: Seen,
        hold: Option<Hold>,
        last: Option<Last>,
    ) -> Arc<Self> {
        let access = Arc::clone(access);
        Arc::new(Self { access, kind, id, seen, hold, own_hold: Mutex::new(None), last: Mutex::new(last) })
    }

    /// Raises when the transaction was rolled back that made the object.
    #[inline]
    fn check(&self) -> PyResult<()> {
        match &self.hold {
            None => Ok(()),
            Some(hold) if hold.is_inherited() => self.check_fork(hold),
            Some(hold) => check_hold(hold),
        }
    }

    /// As [`Object::check`], in a fork of the process that made the handle.
    #[cold]
    fn check_fork(&self, inherited: &Hold) -> PyResult<()> {
        let own_hold = || self.own_hold.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = own_hold().as_ref().filter(|own| !own.is_inherited()) {
            return check_hold(own);
        }
        // Not with the lock, since opening the map lets other threads run.
        let own = self.access.opened().with(|environment| environment.hold_again(inherited))?;
        *own_hold() = Some(own);
        Ok(())
    }

    #[inline]
    fn look<R>(
        &self,
        py: Python<'_>,
        glance: impl FnOnce(&Glance<'_>) -> PyResult<Option<R>>,
        view: impl FnOnce(&View) -> PyResult<R>,
    ) -> PyResult<R> {
        self.check()?;
        let access = current(&self.access);
        let reader = access.reader(py)?;
        if let Reader::Version(read) = &reader {
            let found = match &*self.last() {
                Some(Last::Version { version, found }) if *version == read.version() && found.is_in(read) => {
                    Some(found.clone())
                }
                _ => None,
            };
            match found {
                Some(Found::Record(location, container)) => {
                    let record = read.record(location).or_raise()?;
                    let place = Glance { object: self, access, read, location, record, container };
                    if let Some(found) = glance(&place)? {
                        return Ok(found);
                    }
                }
                Some(Found::Long(long)) => {
                    let content = Content::Long(long, Arc::clone(access));
                    return view(&View { reader, content });
                }
                None => {}
            }
        }
        view(&self.view_through(access, reader)?)
    }

    fn last(&self) -> MutexGuard<'_, Option<Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self, py: Python<'_>) -> PyResult<View> {
        self.check()?;
        let access = current(&self.access);
        self.view_through(access, access.reader(py)?)
    }

    fn view_through(&self, access: &Arc<Access>, reader: Reader) -> PyResult<View> {
        if let Reader::Transaction(own) = &reader
            && let Some((held, container)) = own.copied_object(self.id).or_raise()?
        {
            let content = Content::Record(self.source(held, access), container);
            return Ok(View { reader, content });
        }
        match (&reader, &*self.last()) {
            (Reader::Version(read), Some(Last::Version { version, found }))
                if *version == read.version() && found.is_in(read) =>
            {
                let content = match found {
                    Found::Long(long) => Content::Long(Arc::clone(long), Arc::clone(access)),
                    Found::Record(location, container) => {
                        let held = read.hold_at(*location);
                        Content::Record(self.source(held, access), *container)
                    }
                };
                return Ok(View { reader, content });
            }
            (Reader::Transaction(own), Some(Last::Transaction { transaction, changes, view }))
                if transaction.as_ptr() == Arc::as_ptr(own) && own.changes().or_raise()? == *changes =>
            {
                return Ok(view.through(Arc::clone(access)));
            }
            _ => {}
        }
        let found = reader.object(self.id, self.seen.as_deref()).or_raise()?;
        let found = found.ok_or_else(|| errors::to_python(oocmap::Error::Stale))?;
        let content = match found {
            ContainerView::Record(held, container) => Content::Record(self.source(held, access), container),
            ContainerView::Long(long) => Content::Long(Arc::new(long), Arc::clone(access)),
        };
        let view = View { reader, content };
        let last = match (&view.reader, &view.content) {
            (Reader::Version(_), Content::Record(source, container)) => {
                source.held.place().map(|(version, location)| Last::Version {
                    version,
                    found: Found::Record(location, *container),
                })
            }
            (Reader::Version(read), Content::Long(long, _)) => {
                Some(Last::Version { version: read.version(), found: Found::Long(Arc::clone(long)) })
            }
            (Reader::Transaction(transaction), _) => Some(Last::Transaction {
                transaction: Arc::downgrade(transaction),
                changes: transaction.changes().or_raise()?,
                view: view.clone(),
            }),
        };
        *self.last() = last;
        Ok(view)
    }

    fn source(&self, held: Held, access: &Arc<Access>) -> Source {
        Source { held: Arc::new(held), access: Arc::clone(access), seen: self.seen.clone(), holds: None }
    }
}

fn check_hold(hold: &Hold) -> PyResult<()> {
    if hold.is_taken_back() { Err(errors::to_python(oocmap::Error::Stale)) } else { Ok(()) }
}

/// What something is read and written through now: a transaction that has ended, or that this thread takes part in anyway,
/// gives way to the map.
fn current(access: &Arc<Access>) -> &Arc<Access> {
    match &**access {
        Access::Write { live, transaction, .. } if transaction.is_own() || !transaction.is_open(None) => live,
        _ => access,
    }
}
