//! Asks the processes that have handles to objects which objects these are, before a vacuum deletes what nothing leads to.
//!
//! Each of them has a place, with a lock that goes when it dies and the number of the last question that it has answered.
//! They sleep on the number of the last one that was asked. The answers themselves go into the data file.

use std::time::Duration;

use super::{
    super::lock::{Byte, Kind, unlock},
    Control,
    page::{HOLDERS, Page},
};
use crate::{
    error::Result,
    sync::{Arc, Ordering},
};

/// The place of this process among those that have handles.
#[derive(Debug)]
pub(crate) struct Holder {
    control: Arc<Control>,
    place: u8,
}

impl Control {
    /// Takes a place among those that have handles. `None` when there is none left, or nothing to share: then nobody asks,
    /// and what only handles of this process lead to may go with a vacuum of another one.
    pub(in super::super) fn hold(self: &Arc<Self>) -> Result<Option<Holder>> {
        let Some(page) = self.page() else { return Ok(None) };
        for place in 0..HOLDERS {
            if self.try_lock(Byte::Holder(place), Kind::Exclusive)? {
                // The last question is asked of this one too: it may have come a moment ago.
                let last = page.asked().load(Ordering::SeqCst);
                page.answer(place).store(u64::from(last.wrapping_sub(1)), Ordering::SeqCst);
                return Ok(Some(Holder { control: Arc::clone(self), place }));
            }
        }
        Ok(None)
    }

    /// Asks the others; answers with the number of the question.
    pub(in super::super) fn ask(&self) -> u32 {
        let Some(page) = self.page() else { return 0 };
        let question = page.asked().fetch_add(1, Ordering::SeqCst) + 1;
        Page::wake(page.asked());
        question
    }

    /// Whether all others who live have answered a question.
    pub(in super::super) fn is_answered(&self, question: u32) -> Result<bool> {
        let Some(page) = self.page() else { return Ok(true) };
        for place in 0..HOLDERS {
            let answered = page.answer(place).load(Ordering::SeqCst) == u64::from(question);
            // One's own lock doesn't show.
            if !answered && self.is_locked(Byte::Holder(place))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether another process may have handles.
    pub(in super::super) fn has_other_holders(&self) -> Result<bool> {
        if self.page().is_none() {
            return Ok(true);
        }
        for place in 0..HOLDERS {
            // One's own lock doesn't show.
            if self.is_locked(Byte::Holder(place))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Wakes those who wait for a question, so that they look whether to go on.
    pub(in super::super) fn rouse(&self) {
        if let Some(page) = self.page() {
            Page::wake(page.asked());
        }
    }
}

impl Holder {
    /// Waits for a question that is not answered yet, for at most so long.
    pub(crate) fn question(&self, limit: Duration) -> Option<u32> {
        let page = self.control.page()?;
        let answered = page.answer(self.place).load(Ordering::SeqCst) as u32;
        if page.asked().load(Ordering::SeqCst) == answered {
            Page::wait(page.asked(), answered, limit);
        }
        Some(page.asked().load(Ordering::SeqCst)).filter(|question| *question != answered)
    }

    /// Says that a question is answered.
    pub(crate) fn answer(&self, question: u32) {
        if let Some(page) = self.control.page() {
            page.answer(self.place).store(u64::from(question), Ordering::SeqCst);
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if self.control.file.is_own() {
            unlock(self.control.file.file(), Byte::Holder(self.place));
        }
    }
}
