//! Which process may write, and in which order those who wait do.

use std::time::{Duration, Instant};

use super::{
    super::{
        Waiting,
        lock::{Byte, Kind, unlock},
    },
    Control, POLL,
    page::{NEXT_TICKET_AT, PLACES, Page, TURN_AT},
    poll,
};
use crate::{error::Result, sync::Ordering};

impl Control {
    /// Waits until no other process writes; those who wait go in the order in which they came.
    pub(in super::super) fn lock_writer(&self, waiting: &mut Waiting<'_>) -> Result<()> {
        let Some(page) = self.page() else {
            let longest = Duration::from_millis(2);
            return poll(waiting, longest, || Ok(self.try_lock_writer()?.then_some(())));
        };
        if !page.has_waiters() && self.try_lock_writer()? {
            return Ok(());
        }
        let place = self.queue(page)?;
        let mut free_since = None;
        loop {
            let heard = page.bell().load(Ordering::Acquire);
            if (self.is_first(page, place.as_ref())? || self.is_passed_over(&mut free_since))
                && self.try_lock_writer()?
            {
                return Ok(());
            }
            Page::wait(page.bell(), heard, waiting()?.min(POLL));
        }
    }

    /// Whether whoever is first does not take the lock, though it has been free for long: stopped, or busy elsewhere.
    fn is_passed_over(&self, free_since: &mut Option<Instant>) -> bool {
        const PATIENCE: Duration = Duration::from_millis(100);
        if self.is_writing() {
            *free_since = None;
            return false;
        }
        free_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE
    }

    /// Takes the right to write if nobody has it, whoever waits for it.
    pub(in super::super) fn try_lock_writer(&self) -> Result<bool> {
        // A lock is no obstacle to the descriptor that has it.
        if self.writes.swap(true, Ordering::SeqCst) {
            return Ok(false);
        }
        match self.try_lock(Byte::Writer, Kind::Exclusive) {
            Ok(true) => {}
            refused => {
                self.writes.store(false, Ordering::SeqCst);
                return refused;
            }
        }
        if let Some(page) = self.page() {
            page.begin_turn();
        }
        Ok(true)
    }

    /// Lets the next writer go.
    pub(in super::super) fn unlock_writer(&self) {
        if let Some(page) = self.page() {
            page.end_turn();
        }
        unlock(self.file.file(), Byte::Writer);
        self.writes.store(false, Ordering::SeqCst);
        if let Some(page) = self.page()
            && page.has_waiters()
        {
            page.ring();
        }
    }

    /// Whether a process waits for the right to write.
    pub(in super::super) fn is_awaited(&self) -> bool {
        self.page().is_some_and(Page::has_waiters)
    }

    /// A number for the turn of the present writer; `None` while nobody writes.
    pub(in super::super) fn turn(&self) -> Option<u64> {
        let Some(page) = self.page() else { return self.is_writing().then_some(0) };
        let turn = page.word(TURN_AT).load(Ordering::SeqCst);
        // Someone who died in their turn has not ended it.
        (turn % 2 == 1 && self.is_writing()).then_some(turn)
    }

    fn is_writing(&self) -> bool {
        self.writes.load(Ordering::SeqCst) || self.is_locked(Byte::Writer).unwrap_or(true)
    }

    /// Takes a place in the queue of writers, if there is one left.
    fn queue<'a>(&'a self, page: &'a Page) -> Result<Option<Place<'a>>> {
        for number in 0..PLACES {
            let ticket = page.ticket(number);
            if ticket.load(Ordering::Relaxed) == 0 && self.try_lock(Byte::Waiter(number), Kind::Exclusive)? {
                let own = page.word(NEXT_TICKET_AT).fetch_add(1, Ordering::AcqRel) + 1;
                ticket.store(own, Ordering::Release);
                return Ok(Some(Place { control: self, page, number, ticket: own }));
            }
        }
        Ok(None)
    }

    /// Whether nobody who lives came earlier.
    fn is_first(&self, page: &Page, place: Option<&Place<'_>>) -> Result<bool> {
        let Some(place) = place else { return Ok(true) };
        for number in (0..PLACES).filter(|number| *number != place.number) {
            let other = page.ticket(number);
            let ticket = other.load(Ordering::Acquire);
            if ticket == 0 || ticket > place.ticket {
                continue;
            }
            if self.is_locked(Byte::Waiter(number))? {
                return Ok(false);
            }
            // Whoever it was died while it waited.
            let _ = other.compare_exchange(ticket, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
        Ok(true)
    }
}

/// A place in the queue of writers.
struct Place<'a> {
    control: &'a Control,
    page: &'a Page,
    number: u8,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.control.file.is_own() {
            return;
        }
        self.page.ticket(self.number).store(0, Ordering::Release);
        unlock(self.control.file.file(), Byte::Waiter(self.number));
        // Whoever came next may be the first now.
        self.page.ring();
    }
}
