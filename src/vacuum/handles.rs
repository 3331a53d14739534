//! Tells the vacuums of other processes what this one has handles to.

use std::time::Duration;

use crate::{
    coord::collection::{Ledger, Phase},
    error::Result,
    format::record::ObjectId,
    store::{Holder, ReadTables, Snapshot, Table},
    sync::{Arc, Weak},
    txn::{core::Core, ledger::Note, patience::Patience},
};

/// How often the thread looks whether the map is still open, when nobody tells it.
const LOOK: Duration = Duration::from_secs(1);
/// How many objects are noted in one transaction.
const MOST: usize = 1_000;

/// Has this process know of the handles of others, and its own told to them as soon as it gets the first one.
pub(crate) fn exchange(core: &Arc<Core>) {
    let weak = Arc::downgrade(core);
    core.memory.live.ask_of_others(Box::new(move || {
        // When in doubt they do, which only takes longer.
        weak.upgrade().is_some_and(|core| core.generations.current().has_other_holders().unwrap_or(true))
    }));
    let weak = Arc::downgrade(core);
    core.memory.live.on_first(Box::new(move || {
        let core = Weak::clone(&weak);
        // Without the thread nobody knows of the handles but this process.
        let _ = std::thread::Builder::new().name("oocmap-handles".into()).spawn(move || answer(&core));
    }));
}

fn answer(weak: &Weak<Core>) {
    let Some(Ok(Some(holder))) = weak.upgrade().map(|core| core.generations.current().hold()) else { return };
    while weak.strong_count() > 0 {
        let Some(question) = holder.question(LOOK) else { continue };
        let Some(core) = weak.upgrade() else { return };
        // Who asked waits for a while, and does without the answer then.
        if tell(&core, &holder, question).is_err() {
            drop(core);
            std::thread::sleep(LOOK);
        }
    }
}

/// Notes in the data file what only the handles of this process may lead to.
fn tell(core: &Arc<Core>, holder: &Holder, question: u32) -> Result<()> {
    let newest = core.pin_committed()?;
    if newest.header().phase == Phase::Marking && !core.generations.current().readonly() {
        for some in worth_telling(core, newest.snapshot())?.chunks(MOST) {
            // The wait may be long, and must not keep the map open.
            let mut is_closed = || Arc::strong_count(core) == 1;
            core.write_alone(core.upkeep(), &mut Patience::new(None).until(&mut is_closed), |state| {
                if state.phase() == Phase::Marking {
                    some.iter().try_for_each(|id| state.note_as(Note { id: *id, is_held: true }))
                } else {
                    Ok(())
                }
            })?;
        }
    }
    holder.answer(question);
    Ok(())
}

/// The objects with handles that may have nothing else: those in the objects table, and those that an entry doesn't need.
fn worth_telling(core: &Core, newest: &Snapshot) -> Result<Vec<ObjectId>> {
    let mut objects = core.memory.live.orphans();
    for id in core.memory.live.objects() {
        if newest.get(Table::Objects, &id.record.to_be_bytes())?.is_some() {
            objects.push(id);
        }
    }
    objects.sort_unstable();
    objects.dedup();
    Ok(objects)
}
