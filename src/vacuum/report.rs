//! What a vacuum tells of itself.

use std::time::Duration;

/// What a vacuum did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vacuumed {
    /// How many lists, dicts, sets and byte arrays were deleted that nothing led to.
    pub objects: u64,
    /// How many bytes of the file are free, or gone, that were in use before.
    pub bytes: u64,
    /// The size of the data file before, in bytes.
    pub size_before: u64,
    /// The size of the data file afterwards, in bytes.
    pub size_after: u64,
    /// How long it took.
    pub duration: Duration,
    /// For how long it kept writers waiting without a break, at most.
    pub longest_wait: Duration,
    /// For how long it kept writers waiting when it put the compacted file in the place of the other; zero if it did not.
    pub swap_wait: Duration,
}

/// What a vacuum is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum VacuumStep {
    /// It waits for another one.
    #[default]
    Waiting,
    /// It looks for what nothing leads to.
    Marking,
    /// It deletes that.
    Sweeping,
    /// It copies what is left.
    Compacting,
}

impl VacuumStep {
    pub(super) fn from_number(number: u64) -> Self {
        [Self::Marking, Self::Sweeping, Self::Compacting]
            .into_iter()
            .find(|step| *step as u64 == number)
            .unwrap_or_default()
    }
}

/// How far a vacuum is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VacuumProgress {
    /// What it is doing.
    pub step: VacuumStep,
    /// How much of that is done, in entries and records.
    pub done: u64,
    /// How much there is to do, as far as is known.
    pub total: u64,
}
