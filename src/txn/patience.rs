//! How long a writer waits for its turn, and who may call it off.

use std::time::{Duration, Instant};

use crate::{
    coord::gate::Wait,
    error::{Error, Result},
};

/// How often someone who waits looks whether to go on.
const POLL: Duration = Duration::from_millis(20);
/// How long not to ask again. Asking may be a wait of its own, for Python, which short waits are spared.
const ASK: Duration = Duration::from_millis(10);

/// A wait that ends in time.
pub struct Patience<'a> {
    limit: Option<Duration>,
    begun: Option<Instant>,
    /// When it was asked whether to stop, or when the wait began.
    asked: Option<Instant>,
    interrupted: Option<&'a mut dyn FnMut() -> bool>,
    was_interrupted: bool,
}

impl std::fmt::Debug for Patience<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patience").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<'a> Patience<'a> {
    /// Waits for at most so long, or for ever.
    pub fn new(limit: Option<Duration>) -> Self {
        Self { limit, begun: None, asked: None, interrupted: None, was_interrupted: false }
    }

    /// Asks again and again, some fifty times a second, whether to stop waiting.
    #[must_use]
    pub fn until(mut self, interrupted: &'a mut dyn FnMut() -> bool) -> Self {
        self.interrupted = Some(interrupted);
        self
    }

    /// What to do next while waiting.
    pub(crate) fn next(&mut self) -> Wait {
        let now = Instant::now();
        let begun = *self.begun.get_or_insert(now);
        if self.is_interrupted(now) {
            self.was_interrupted = true;
            return Wait::GiveUp;
        }
        match self.limit {
            None => Wait::For(POLL),
            Some(limit) => match limit.checked_sub(now - begun) {
                Some(left) if !left.is_zero() => Wait::For(left.min(POLL)),
                _ => Wait::GiveUp,
            },
        }
    }

    fn is_interrupted(&mut self, now: Instant) -> bool {
        let Some(interrupted) = &mut self.interrupted else { return false };
        if now - *self.asked.get_or_insert(now) < ASK {
            return false;
        }
        let stops = interrupted();
        self.asked = Some(Instant::now());
        stops
    }

    /// Why the waiting ended without success.
    pub(crate) fn error(&self) -> Error {
        if self.was_interrupted {
            Error::Interrupted
        } else {
            Error::LockTimeout(self.limit.unwrap_or_default())
        }
    }

    /// For how long to wait before the next attempt, or why to give up.
    pub(crate) fn pause(&mut self) -> Result<Duration> {
        match self.next() {
            Wait::For(limit) => Ok(limit),
            Wait::GiveUp => Err(self.error()),
        }
    }
}
