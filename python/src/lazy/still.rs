//! Whether nothing can have changed since something was read: a few comparisons, so that walks needn't look again.

use std::sync::Arc;

use oocmap::{Moment, Reader, SharedWrite};
use pyo3::prelude::*;

use super::handle::Handle;
use crate::{
    access::{Access, Kept, Opened},
    errors::OrRaise,
};

/// What was the case when something was read.
pub(crate) enum Still {
    /// It was read in the newest version of an open map.
    Newest(Arc<Opened>, Moment),
    /// It was read in this thread's transaction, after so many changes.
    Transaction(Arc<Opened>, Arc<SharedWrite>, u64),
    /// It was read in a snapshot.
    Snapshot(Arc<Kept>),
}

impl Still {
    /// What is the case when something was just read through a handle. `None` when only another look can tell later.
    pub(crate) fn now(handle: &Handle, reader: &Reader) -> PyResult<Option<Self>> {
        Ok(match (&**handle.access(), reader) {
            (Access::Live { opened, .. }, Reader::Version(read)) => {
                read.moment().map(|moment| Self::Newest(Arc::clone(opened), moment))
            }
            (Access::Live { opened, .. }, Reader::Transaction(transaction)) => {
                let changes = transaction.changes().or_raise()?;
                Some(Self::Transaction(Arc::clone(opened), Arc::clone(transaction), changes))
            }
            (Access::Version { kept, .. }, _) => Some(Self::Snapshot(Arc::clone(kept))),
            (Access::Write { .. }, _) => None,
        })
    }

    /// Whether it still is. What was read would be read again then.
    #[inline]
    pub(crate) fn holds(&self) -> bool {
        match self {
            Self::Newest(opened, moment) => opened.is_open() && moment.is_now(),
            Self::Transaction(opened, transaction, changes) => {
                opened.is_open() && transaction.is_as_after(*changes)
            }
            Self::Snapshot(kept) => kept.is_open(),
        }
    }
}
