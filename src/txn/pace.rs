//! How long commits take, and for how long one may wait for others to join it.

use std::time::{Duration, Instant};

use crate::sync::{AtomicU64, Ordering};

/// A shorter wait takes longer than it says, and a commit that short does not wait for a disk.
const SHORTEST: Duration = Duration::from_micros(50);
/// Whoever comes again at once is there by then, however slow the disk is.
const LONGEST: Duration = Duration::from_millis(2);

/// How long the last commits took, about.
#[derive(Debug, Default)]
pub(super) struct Pace {
    nanoseconds: AtomicU64,
}

impl Pace {
    /// Commits, and notes how long that takes.
    pub(super) fn measure<R>(&self, commit: impl FnOnce() -> R) -> R {
        let begun = Instant::now();
        let result = commit();
        self.note(begun.elapsed());
        result
    }

    fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // A single commit that took long says little.
        let last = self.nanoseconds.load(Ordering::Relaxed);
        self.nanoseconds.store(last / 4 * 3 + took / 4, Ordering::Relaxed);
    }

    /// For how long to wait for others before a commit: half of what it takes, if that is worth while at all.
    pub(super) fn patience(&self) -> Option<Duration> {
        let limit = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed) / 2);
        (limit >= SHORTEST).then(|| limit.min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(took: Duration) -> Pace {
        let pace = Pace::default();
        for _ in 0..99 {
            pace.note(took);
        }
        pace
    }

    #[test]
    fn the_first_commit_waits_for_no_one() {
        assert_eq!(Pace::default().patience(), None);
    }

    #[test]
    fn no_one_is_waited_for_in_memory() {
        assert_eq!(pace(Duration::from_micros(20)).patience(), None);
    }

    #[test]
    fn a_wait_is_shorter_than_a_commit() {
        let took = Duration::from_micros(400);
        assert!(pace(took).patience().is_some_and(|limit| limit <= took / 2));
    }

    #[test]
    fn a_slow_disk_makes_no_long_waits() {
        assert_eq!(pace(Duration::from_secs(1)).patience(), Some(LONGEST));
        assert_eq!(pace(Duration::MAX).patience(), Some(LONGEST));
    }

    #[test]
    fn a_single_slow_commit_says_little() {
        let pace = pace(Duration::from_micros(20));
        pace.note(Duration::from_micros(120));
        assert_eq!(pace.patience(), None);
    }
}
