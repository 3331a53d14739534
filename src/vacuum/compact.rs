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
/// How often others are let go on because that would take too long, and after how long.
const ATTEMPTS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(25);
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
    match copy_and_swap(core, terms, bar, supervisor, report) {
        // Space can be used again, but not given back.
        Err(Error::Io { source, .. })
            if matches!(source.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) =>
        {
            Ok(())
        }
        done => done,
    }
}

fn copy_and_swap(
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
    let mut copy = CompactCopy::begin(version, &mut || patience.pause())?;
    loop {
        patience.pause()?;
        let progress = copy.step()?;
        supervisor.tell(VacuumStep::Compacting, progress.copied, progress.total);
        if progress.is_complete {
            break;
        }
    }
    let mut before = u64::MAX;
    for _ in 0..ROUNDS {
        let newest = alive(core)?.generations.snapshot()?;
        let changes = copy.catch_up(newest, &mut || patience.pause().map(drop))?;
        // Others may write faster than this can follow.
        if changes <= FEW || changes > before / 4 * 3 {
            break;
        }
        before = changes;
    }
    for attempt in 1.. {
        copy.sync()?;
        let limit = if attempt < ATTEMPTS { Some(PAUSE) } else { None };
        let (unfinished, waited) = publish(&alive(core)?, terms, copy, limit, &mut patience)?;
        report.longest_wait = report.longest_wait.max(waited);
        let Some(unfinished) = unfinished else {
            report.swap_wait = waited;
            break;
        };
        copy = unfinished;
    }
    Ok(())
}

/// Lets the copy take the place of the file, and answers for how long others had to wait; with the copy, when to bring it up
/// to date before took longer than a limit, so that they were let go on.
fn publish(
    core: &Arc<Core>,
    terms: Terms,
    mut copy: CompactCopy,
    limit: Option<Duration>,
    patience: &mut Patience<'_>,
) -> Result<(Option<CompactCopy>, Duration)> {
    let turn = core.take_turn_for_others(patience)?;
    let begun = Instant::now();
    let writer = core.generations.begin_write(WriteKind::Freeing, terms.max_size)?;
    // Nobody commits any more, so this is the last version of the file.
    let last = core.generations.snapshot()?;
    let store = Arc::clone(last.store());
    let mut held = Some((writer, turn));
    let mut waited = Duration::ZERO;
    let mut go_on = || {
        if limit.is_some_and(|limit| held.is_some() && begun.elapsed() > limit) {
            held = None;
            waited = begun.elapsed();
        }
        patience.pause().map(drop)
    };
    copy.catch_up(last, &mut go_on)?;
    let Some((writer, turn)) = held else { return Ok((Some(copy), waited)) };
    copy.sync()?;
    // Whoever opens the map has the gate, and may wait for this writer.
    let mut limited = Patience::new(Some(GATE));
    store.publish(copy, writer, &mut || patience.pause().and(limited.pause()))?;
    drop(turn);
    Ok((None, begun.elapsed()))
}

/// The map, while it is open.
pub(super) fn alive(core: &Weak<Core>) -> Result<Arc<Core>> {
    core.upgrade().ok_or(Error::Closed)
}
