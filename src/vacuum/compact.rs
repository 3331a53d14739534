//! Gives space back to the file system: a copy of what is left takes the place of the data file.

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use super::{
    collector::Supervisor,
    report::{VacuumStep, Vacuumed},
};
use crate::{
    error::{Error, Result},
    store::{CompactCopy, WriteKind},
    sync::{Arc, Weak},
    txn::{
        core::{Core, Terms},
        patience::Patience,
    },
};

/// How often the copy is brought up to date while others write, before they have to wait for it.
const ROUNDS: u32 = 12;
/// So many changes are made while others wait.
const FEW: u64 = 500;
/// How long the swap waits for those who open the map, while everyone waits who writes.
const GATE: Duration = Duration::from_secs(1);
/// A smaller gain, in bytes, is not worth it.
const LEAST: u64 = 64 << 10;

/// When a file is worth to be compacted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bar {
    /// What part of it has to go, as one of so many.
    pub(super) part: u64,
    /// How many bytes.
    pub(super) least: u64,
}

impl Bar {
    /// For those who asked.
    pub(super) const ASKED: Self = Self { part: 20, least: LEAST };
    /// For a vacuum that began by itself.
    pub(super) const AUTOMATIC: Self = Self { part: 4, least: 16 * LEAST };
}

/// Compacts the file if that is worth it, and possible where it lies.
pub(super) fn compact(
    core: &Weak<Core>,
    terms: Terms,
    bar: Bar,
    supervisor: &impl Supervisor,
    report: &mut Vacuumed,
) -> Result<()> {
    let mut is_cancelled = || supervisor.is_cancelled();
    let mut patience = Patience::new(None).until(&mut is_cancelled);
    let version = alive(core)?.generations.snapshot()?;
    let (size, left) = (version.store().file_size()?, version.compacted_bytes()?);
    if size.saturating_sub(left) < bar.least.max(size / bar.part) {
        return Ok(());
    }
    let mut copy = match CompactCopy::begin(version, &mut || patience.pause()) {
        // Space can be used again, but not given back.
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::Unsupported => return Ok(()),
        begun => begun?,
    };
    loop {
        patience.pause()?;
        let progress = copy.step()?;
        supervisor.tell(VacuumStep::Compacting, progress.copied, progress.total);
        if progress.is_complete {
            break;
        }
    }
    // First as near as can be, then to the disk, which takes a while in which others go on writing.
    for to_disk in [false, true] {
        let mut before = u64::MAX;
        for _ in 0..ROUNDS {
            if to_disk {
                copy.sync()?;
            }
            let newest = alive(core)?.generations.snapshot()?;
            let changes = copy.catch_up(newest, &mut || patience.pause().map(drop))?;
            // Others may write faster than this can follow.
            if changes <= FEW || changes > before / 4 * 3 {
                break;
            }
            before = changes;
        }
    }
    let waited = publish(&alive(core)?, terms, copy, &mut patience)?;
    report.swap_wait = waited;
    report.longest_wait = report.longest_wait.max(waited);
    Ok(())
}

/// Lets the copy take the place of the file, and answers for how long others had to wait.
fn publish(
    core: &Arc<Core>,
    terms: Terms,
    mut copy: CompactCopy,
    patience: &mut Patience<'_>,
) -> Result<Duration> {
    let turn = core.take_turn(patience)?;
    let begun = Instant::now();
    let writer = core.generations.begin_write(WriteKind::Freeing, terms.max_size)?;
    // Nobody commits any more, so this is the last version of the file.
    let last = core.generations.snapshot()?;
    let store = Arc::clone(last.store());
    copy.catch_up(last, &mut || patience.pause().map(drop))?;
    copy.sync()?;
    // Whoever opens the map has the gate, and may wait for this writer.
    let mut limited = Patience::new(Some(GATE));
    store.publish(copy, writer, &mut || patience.pause().and(limited.pause()))?;
    drop(turn);
    Ok(begun.elapsed())
}

/// The map, while it is open.
pub(super) fn alive(core: &Weak<Core>) -> Result<Arc<Core>> {
    core.upgrade().ok_or(Error::Closed)
}
