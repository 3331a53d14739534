//! Walks through containers: as they are at one moment, or looking again at each step.

use std::{ops::Range, sync::Arc};

use oocmap::{
    Container, ContainerKind, Environment, Members, Node, Position, ReadObjects, Reader, Resized, SharedWrite,
};
use pyo3::{exceptions::PyRuntimeError, prelude::*};

use super::{
    handle::Handle,
    still::Still,
    view::{Content, Near, Place, View, damaged, part, with_record_node},
};
use crate::{access::Access, convert::decode, errors::OrRaise, names::Source};

/// What a walk gives of each item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Elements, members or keys.
    Items,
    /// The values of a dict.
    Values,
    /// Pairs of key and value.
    Pairs,
}

/// A place in a list, tuple or byte array that is looked at anew each time, as others may change it meanwhile.
pub(crate) struct Cursor {
    handle: Handle,
    near: Near,
    /// For how long what is near needn't be looked for again.
    still: Option<Still>,
    /// What never changes needs to be looked at once only.
    fixed: Option<(Source, Container)>,
}

impl Cursor {
    pub(crate) fn new(py: Python<'_>, handle: &Handle) -> PyResult<Self> {
        let view = handle.view(py)?;
        let fixed = match (handle, view.content) {
            (Handle::Fixed(_), Content::Record(source, container)) => Some((source, container)),
            _ => None,
        };
        Ok(Self { handle: handle.clone(), near: Near::default(), still: None, fixed })
    }

    /// How many elements there are now.
    pub(crate) fn len(&self, py: Python<'_>) -> PyResult<usize> {
        match &self.fixed {
            Some((_, container)) => Ok(container.len()),
            None => self.handle.view(py)?.len(),
        }
    }

    /// The integer that is at a position now, when it is one that was read already.
    #[inline]
    pub(crate) fn int(&self, index: usize) -> Option<i64> {
        let int = self.near.int(index)?;
        self.still.as_ref().is_some_and(Still::holds).then_some(int)
    }

    /// The element that is at a position now, if there is one.
    #[inline]
    pub(crate) fn get<'py>(&mut self, py: Python<'py>, index: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.still.as_ref().is_some_and(Still::holds)
            && let Some(item) = self.near.get(py, index)
        {
            return item.map(Some);
        }
        self.look(py, index)
    }

    #[inline(never)]
    fn look<'py>(&mut self, py: Python<'py>, index: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        let node = |source: &Source, node: Node<'_>| decode::node(py, source, node).map(Some);
        if let Some((source, container)) = &self.fixed {
            if index >= container.len() {
                return Ok(None);
            }
            return with_record_node(source, *container, index, false, node);
        }
        let view = self.handle.view(py)?;
        if index >= view.len()? {
            return Ok(None);
        }
        if let Content::Long(..) = view.content {
            self.still = Still::now(&self.handle, &view.reader)?;
        }
        view.item_near(py, index, &mut self.near).map(Some)
    }
}

/// A walk through all elements, items or members of a view.
pub(crate) struct Walk {
    over: Over,
    part: Part,
    /// What is left, by the number of the element.
    left: Range<usize>,
    backward: bool,
    near: Neighbours,
}

/// What is walked through.
enum Over {
    View(View),
    Record(Source, Container),
}

/// What was read of a long container and is not given out yet.
enum Neighbours {
    /// Elements of a sequence.
    Run(Near),
    /// Neighbours in a dict or set, what they are read from, and the one that comes next.
    Members(Members, Source, usize),
    /// Dict or set: where to go on.
    From(u64),
    /// Dict or set: there is nothing more.
    Nothing,
}

impl Walk {
    pub(crate) fn new(view: View, part: Part, backward: bool) -> PyResult<Self> {
        let near = match view.kind() {
            ContainerKind::Dict | ContainerKind::Set => {
                Neighbours::From(if backward { i64::MAX as u64 } else { 0 })
            }
            _ => Neighbours::Run(Near::default()),
        };
        Ok(Self { left: 0..view.len()?, over: Over::View(view), part, backward, near })
    }

    /// A walk through a dict or set that may last, and keeps no version for what lies in a small record.
    fn lasting(view: View, part: Part, backward: bool) -> PyResult<Self> {
        let mut walk = Self::new(view, part, backward)?;
        if let Over::View(View { content: Content::Record(source, container), .. }) = &walk.over {
            let mut source = source.clone();
            if let Some(held) = source.held.detached().or_raise()? {
                source.held = Arc::new(held);
            }
            walk.over = Over::Record(source, *container);
        }
        Ok(walk)
    }

    /// How many are left.
    pub(crate) fn left(&self) -> usize {
        self.left.len()
    }

    /// The next one.
    pub(crate) fn next<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let next = if self.backward { self.left.next_back() } else { self.left.next() };
        let Some(index) = next else { return Ok(None) };
        let view = match &self.over {
            Over::View(view) => view,
            Over::Record(source, container) => {
                let node = |source: &Source, node: Node<'_>| decode::node(py, source, node);
                let at = |value| with_record_node(source, *container, index, value, node);
                return give(py, self.part, at).map(Some);
            }
        };
        if let Neighbours::Run(near) = &mut self.near {
            return view.item_near(py, index, near).map(Some);
        }
        let Content::Long(long, access) = &view.content else {
            let place = Place::Record(index);
            return give(py, self.part, |value| view.node_at(py, &place, value)).map(Some);
        };
        if let Neighbours::From(from) = self.near {
            match view.reader.members(long, from, self.backward).or_raise()? {
                Some((members, at)) => {
                    let source = part(Arc::clone(members.held()), access);
                    self.near = Neighbours::Members(members, source, at);
                }
                // Inside a transaction some may have gone since, and others have come.
                None if matches!(view.reader, Reader::Transaction(_)) => self.near = Neighbours::Nothing,
                None => return Err(damaged("a long dict or set ends early")),
            }
        }
        let Neighbours::Members(members, source, at) = &mut self.near else { return Ok(None) };
        let now = *at;
        let given = give(py, self.part, |value| {
            let node = if value { members.value(now) } else { members.key(now) };
            decode::node(py, source, node.or_raise()?)
        })?;
        let next = if self.backward {
            now.checked_sub(1)
        } else {
            Some(now + 1).filter(|next| *next < members.len())
        };
        if let Some(next) = next {
            *at = next;
            return Ok(Some(given));
        }
        let Position::Sequence(here) = members.position(now) else { return Ok(None) };
        self.near = if self.backward {
            here.checked_sub(1).map_or(Neighbours::Nothing, Neighbours::From)
        } else {
            Neighbours::From(here + 1)
        };
        Ok(Some(given))
    }
}

fn give<'py>(
    py: Python<'py>,
    part: Part,
    node: impl Fn(bool) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match part {
        Part::Items => node(false),
        Part::Values => node(true),
        Part::Pairs => Ok((node(false)?, node(true)?).into_pyobject(py)?.into_any()),
    }
}

/// A walk through a dict or set that notices when this thread changes its size meanwhile.
pub(crate) struct Watched {
    walk: Walk,
    watch: Option<Watch>,
}

struct Watch {
    handle: Handle,
    len: usize,
    since: Since,
}

/// When it was looked last whether this thread had changed the size of some container.
enum Since {
    Committed(Environment, Resized),
    Transaction(Arc<SharedWrite>, u64),
}

impl Watched {
    pub(crate) fn new(py: Python<'_>, handle: &Handle, part: Part, backward: bool) -> PyResult<Self> {
        let can_change =
            matches!(handle, Handle::Object(_)) && !matches!(**handle.access(), Access::Version { .. });
        let view = handle.view(py)?;
        let watch = if can_change {
            let since = Since::now(handle, &view)?;
            Some(Watch { handle: handle.clone(), len: view.len()?, since })
        } else {
            None
        };
        Ok(Self { walk: Walk::lasting(view, part, backward)?, watch })
    }

    /// How many are left.
    pub(crate) fn left(&self) -> usize {
        self.walk.left()
    }

    /// The next one.
    ///
    /// Raises `RuntimeError` when this thread has changed the size.
    pub(crate) fn next<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if let Some(watch) = &mut self.watch {
            watch.check(py)?;
        }
        self.walk.next(py)
    }
}

impl Watch {
    fn check(&mut self, py: Python<'_>) -> PyResult<()> {
        let resized = match &self.since {
            Since::Committed(environment, resized) => environment.are_objects_resized(resized),
            // Of a transaction that has ended nobody can tell any more.
            Since::Transaction(transaction, count) => {
                transaction.objects_resized().is_ok_and(|now| now != *count)
            }
        };
        if !resized {
            return Ok(());
        }
        let view = self.handle.view(py)?;
        if view.len()? != self.len {
            let what = if view.kind() == ContainerKind::Dict { "dictionary" } else { "Set" };
            return Err(PyRuntimeError::new_err(format!("{what} changed size during iteration")));
        }
        self.since = Since::now(&self.handle, &view)?;
        Ok(())
    }
}

impl Since {
    fn now(handle: &Handle, view: &View) -> PyResult<Self> {
        match &view.reader {
            Reader::Transaction(transaction) => {
                Ok(Self::Transaction(Arc::clone(transaction), transaction.objects_resized().or_raise()?))
            }
            Reader::Version(_) => {
                let environment = handle.environment()?;
                let resized = environment.resized();
                Ok(Self::Committed(environment, resized))
            }
        }
    }
}
