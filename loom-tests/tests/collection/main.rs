//! A vacuum deletes what nothing leads to and nothing else, whatever is written meanwhile and wherever it is stopped.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use loom::thread;
use oocmap_loom_tests::{
    twin,
    versions::{Database, Object, Version},
};

#[macro_use]
mod vacuum;

#[path = "../../../src/coord/collection.rs"]
mod collection;

use vacuum::{Handles, STEPS, Stop, Twist};

/// What the entry of [`garbage`] refers to, and what that does.
const KEPT: Object = 1;
const BELOW_KEPT: Object = 4;
/// What [`garbage`] has that nothing leads to refers to this, which is swept first.
const CHILD: Object = 2;
const PARENT: Object = 3;

/// Something that an entry refers to, and a pair of objects that nothing leads to.
fn garbage<P: Default>() -> Version<P> {
    Version {
        entries: BTreeSet::from([KEPT]),
        objects: BTreeMap::from([
            (KEPT, vec![BELOW_KEPT]),
            (BELOW_KEPT, Vec::new()),
            (CHILD, Vec::new()),
            (PARENT, vec![CHILD]),
        ]),
        ..Version::default()
    }
}

/// The models, for the functions of one module.
macro_rules! models {
    ($module:ident) => {
        use super::{
            Arc, BTreeSet, CHILD, Cell, Database, Handles, KEPT, Object, PARENT, STEPS, Stop, Twist, Version,
            garbage, thread,
        };
        use $module::{Collector, Ledger, Outcome, Phase, collect, may_change, refer};

        vacuum!();

        /// What two processes share, one of which has handles.
        struct Shared {
            database: Database<Phase>,
            handles: Handles,
        }

        impl Shared {
            fn new(version: Version<Phase>) -> Arc<Self> {
                Arc::new(Self { database: Database::new(version), handles: Handles::default() })
            }

            /// Takes a handle to what an entry refers to, if it does.
            fn take(&self, object: Object) {
                let mut handles = self.handles.lock();
                if self.database.pin().entries.contains(&object) {
                    handles.insert(object);
                }
            }

            /// Deletes the entry that refers to an object, if there is one.
            fn unlink(&self, object: Object) {
                self.database.write(|version| version.entries.remove(&object));
            }

            /// Refers to an object again from a new one.
            fn relink(&self, object: Object) -> bool {
                self.database.write(|version| {
                    let may_refer =
                        version.objects.contains_key(&object) && refer(version, object) == Ok(true);
                    if may_refer {
                        let parent = version.create(vec![object]);
                        version.entries.insert(parent);
                    }
                    may_refer
                })
            }

            /// Changes an object through a handle, which looks at what is in it.
            fn change(&self, object: Object) {
                self.database.write(|version| {
                    if version.objects.contains_key(&object) && may_change(version, object) == Ok(true) {
                        version.reachable(&BTreeSet::from([object]));
                    }
                });
            }
        }

        /// A process tells of its handles: it can use them, whatever it has deleted, and move what is in them.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn who_tells_of_handles_can_use_them() {
            loom::model(|| {
                let mut version = garbage();
                version.entries.insert(PARENT);
                let shared = Shared::new(version);
                let writer = {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        shared.take(PARENT);
                        shared.unlink(PARENT);
                        assert!(shared.relink(PARENT), "a handle that was told of is refused");
                        shared.database.write(|version| {
                            assert_eq!(refer(version, CHILD), Ok(true), "what is reachable is refused");
                            version.objects.insert(PARENT, Vec::new());
                            version.objects.get_mut(&KEPT).unwrap().push(CHILD);
                        });
                    })
                };
                let ended = vacuum(&shared.database, Some(&shared.handles), Stop::Never, Twist::None);
                assert_eq!(ended, Ok(Outcome::Finished));
                writer.join().unwrap();
                assert_collected(&shared.database);
            });
        }

        /// A process has a handle that it does not tell of, to what is garbage already or becomes it now: what it leads
        /// to stays whole, or the handle is refused.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn untold_handles_with(twist: Twist) {
            for entries in [BTreeSet::from([KEPT]), BTreeSet::from([KEPT, PARENT])] {
                loom::model(move || {
                    let shared = Shared::new(Version { entries: entries.clone(), ..garbage() });
                    let writer = {
                        let shared = Arc::clone(&shared);
                        thread::spawn(move || {
                            shared.unlink(PARENT);
                            shared.change(PARENT);
                            shared.relink(PARENT);
                        })
                    };
                    let ended = vacuum(&shared.database, None, Stop::Never, twist);
                    assert_eq!(ended, Ok(Outcome::Finished));
                    writer.join().unwrap();
                    assert_collected(&shared.database);
                });
            }
        }

        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn untold_handles_are_refused_or_good() {
            untold_handles_with(Twist::None);
        }

        /// A process reads a version from before, at any moment of the vacuum, or fails to keep to that.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn snapshots_with(twist: Twist) {
            loom::model(move || {
                let mut version = garbage();
                version.entries.insert(PARENT);
                let shared = Shared::new(version);
                let reader = {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        let snapshot = shared.database.pin();
                        let first = snapshot.reachable(&snapshot.entries);
                        let later = match twist {
                            Twist::ReadsWhatIsNewest => shared.database.pin(),
                            _ => snapshot.clone(),
                        };
                        let objects: BTreeSet<_> = later.objects.keys().copied().collect();
                        assert!(first.is_subset(&objects), "a snapshot has changed");
                    })
                };
                shared.unlink(PARENT);
                let ended = vacuum(&shared.database, None, Stop::Never, twist);
                assert_eq!(ended, Ok(Outcome::Finished));
                reader.join().unwrap();
                assert_collected(&shared.database);
            });
        }

        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn a_snapshot_stays_what_it_is() {
            snapshots_with(Twist::None);
        }

        /// The same with a vacuum that is stopped, and with another one after it, which is told of the handle.
        fn what_is_left_is_ended(stop: impl Fn(usize) -> Stop) {
            for stop in (0..STEPS).map(stop) {
                loom::model(move || {
                    let shared = Shared::new(garbage());
                    let writer = {
                        let shared = Arc::clone(&shared);
                        thread::spawn(move || {
                            shared.relink(PARENT);
                        })
                    };
                    if vacuum(&shared.database, None, stop, Twist::None) == Ok(Outcome::Cancelled) {
                        assert_ne!(shared.database.pin().phase, Phase::Marking, "writers note for ever");
                    }
                    shared.handles.lock().insert(PARENT);
                    let next = vacuum(&shared.database, Some(&shared.handles), Stop::Never, Twist::None);
                    assert_eq!(next, Ok(Outcome::Finished));
                    writer.join().unwrap();
                    assert_collected(&shared.database);
                });
            }
        }

        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn a_vacuum_can_be_cancelled() {
            what_is_left_is_ended(Stop::Cancel);
        }

        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn a_vacuum_can_die() {
            what_is_left_is_ended(Stop::Death);
        }

        /// A step fails: writers don't go on noting.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn a_step_can_fail() {
            loom::model(|| {
                for step in 1..STEPS {
                    let database = Database::new(garbage());
                    if vacuum(&database, None, Stop::Failure(step), Twist::None).is_err() {
                        assert_ne!(database.pin().phase, Phase::Marking, "writers note for ever");
                    }
                    assert_collected(&database);
                }
            });
        }

        /// Nothing else is going on.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn all_garbage_goes() {
            loom::model(|| {
                let database = Database::new(garbage());
                assert_collected(&database);
                assert!(database.pin().list.is_empty(), "something is still condemned");
            });
        }

        /// Notes are looked for before writers have to wait for that, but not for ever.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn most_notes_hold_up_no_one() {
            loom::model(|| {
                for twist in [Twist::EarlyNote, Twist::EndlessNotes] {
                    let database = Database::new(garbage());
                    assert_eq!(vacuum(&database, None, Stop::Never, twist), Ok(Outcome::Finished));
                }
            });
        }
    };
}

mod sound {
    use super::collection;
    models!(collection);
}

#[test]
fn who_tells_of_handles_can_use_them() {
    sound::who_tells_of_handles_can_use_them();
}

#[test]
fn untold_handles_are_refused_or_good() {
    sound::untold_handles_are_refused_or_good();
}

#[test]
fn a_snapshot_stays_what_it_is() {
    sound::a_snapshot_stays_what_it_is();
}

#[test]
#[should_panic(expected = "a snapshot has changed")]
fn what_is_read_has_to_be_pinned() {
    sound::snapshots_with(Twist::ReadsWhatIsNewest);
}

#[test]
fn a_vacuum_can_be_cancelled() {
    sound::a_vacuum_can_be_cancelled();
}

#[test]
fn a_vacuum_can_die() {
    sound::a_vacuum_can_die();
}

#[test]
fn a_step_can_fail() {
    sound::a_step_can_fail();
}

#[test]
fn all_garbage_goes() {
    sound::all_garbage_goes();
}

#[test]
fn most_notes_hold_up_no_one() {
    sound::most_notes_hold_up_no_one();
}

#[test]
#[should_panic(expected = "a reference dangles")]
fn notes_matter_up_to_the_last() {
    sound::untold_handles_with(Twist::IgnoresLastNotes);
}

#[test]
#[should_panic(expected = "a reference dangles")]
fn the_last_notes_and_the_phase_are_one_transaction() {
    sound::untold_handles_with(Twist::LooksForLastNotesBefore);
}

#[test]
#[should_panic(expected = "a reference dangles")]
fn what_is_new_may_not_be_listed() {
    sound::untold_handles_with(Twist::ListsWhatIsNew);
}

twin!(collection, collection_notes_nothing, untold_handles_are_refused_or_good, "a reference dangles");
twin!(
    collection,
    collection_relinks_the_condemned,
    untold_handles_are_refused_or_good,
    "a reference dangles"
);
twin!(
    collection,
    collection_refuses_what_is_reachable,
    who_tells_of_handles_can_use_them,
    "a handle that was told of is refused"
);
twin!(
    collection,
    collection_changes_the_condemned,
    untold_handles_are_refused_or_good,
    "a reference dangles"
);
twin!(collection, collection_announces_nothing, untold_handles_are_refused_or_good, "a reference dangles");
twin!(
    collection,
    collection_pins_before_it_announces,
    untold_handles_are_refused_or_good,
    "a reference dangles"
);
twin!(
    collection,
    collection_asks_before_it_pins,
    who_tells_of_handles_can_use_them,
    "a handle that was told of is refused"
);
twin!(
    collection,
    collection_asks_no_one,
    who_tells_of_handles_can_use_them,
    "a handle that was told of is refused"
);
twin!(collection, collection_marks_once, all_garbage_goes, "writers wait for what could be marked before");
twin!(collection, collection_condemns_once, all_garbage_goes, "garbage is left");
twin!(collection, collection_sweeps_once, all_garbage_goes, "garbage is left");
twin!(
    collection,
    collection_sweeps_before_it_says_so,
    untold_handles_are_refused_or_good,
    "a reference dangles"
);
twin!(collection, collection_never_ends, all_garbage_goes, "it never ends");
twin!(
    collection,
    collection_never_catches_up,
    most_notes_hold_up_no_one,
    "writers wait for what could be marked before"
);
twin!(collection, collection_catches_up_for_ever, most_notes_hold_up_no_one, "it never ends");
twin!(
    collection,
    collection_does_not_mark_what_it_caught_up_with,
    most_notes_hold_up_no_one,
    "writers wait for what could be marked before"
);
twin!(collection, collection_forgets_what_is_condemned, a_vacuum_can_die, "a reference dangles");
twin!(collection, collection_does_not_look_for_a_sweep, a_vacuum_can_be_cancelled, "a reference dangles");
twin!(collection, collection_withdraws_a_sweep, a_vacuum_can_be_cancelled, "a reference dangles");
twin!(
    collection,
    collection_keeps_marking_when_cancelled,
    a_vacuum_can_be_cancelled,
    "writers note for ever"
);
twin!(collection, collection_keeps_marking_when_it_fails, a_step_can_fail, "writers note for ever");
twin!(
    collection,
    collection_ignores_that_it_is_cancelled,
    a_vacuum_can_be_cancelled,
    "it goes on though it was cancelled"
);
twin!(
    collection,
    collection_begins_though_it_is_cancelled,
    a_vacuum_can_be_cancelled,
    "it goes on though it was cancelled"
);
