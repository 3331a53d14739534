//! No commit and no snapshot goes to a generation that another has replaced, whenever that happens, and a swap that
//! was begun but not ended holds up no one.

use std::{
    cell::Cell,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use loom::thread;
use oocmap_loom_tests::{sync, twin};
use sync::{AtomicU64, Mutex, MutexGuard, Ordering};

#[path = "../../src/coord/generation.rs"]
mod generation;

/// What the processes share.
struct Disk {
    sequence: AtomicU64,
    gate: Mutex<()>,
    /// The content of each generation; the lock is its writer lock.
    generations: [Mutex<Vec<u64>>; 2],
    /// Which one is published.
    path: Mutex<usize>,
    acknowledged: Mutex<Vec<u64>>,
}

impl Disk {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            sequence: AtomicU64::new(0),
            gate: Mutex::default(),
            generations: <[Mutex<_>; 2]>::default(),
            path: Mutex::default(),
            acknowledged: Mutex::default(),
        })
    }

    /// Finds what is published and when; the gate is not needed when the number is read first.
    fn look(&self) -> (usize, u64) {
        let sequence = self.sequence.load(Ordering::SeqCst);
        (*self.path.lock(), sequence)
    }

    /// What every commit that was acknowledged has to be found in.
    fn assert_nothing_is_lost(&self) {
        let published = self.generations[*self.path.lock()].lock();
        for commit in &*self.acknowledged.lock() {
            assert!(published.contains(commit), "a commit is lost");
        }
    }
}

/// Looks at all interleavings with at most three preemptions, which is where the bugs are.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// The models, for the functions of one module.
macro_rules! models {
    ($module:ident) => {
        use super::{
            Arc, AssertUnwindSafe, AtomicU64, Cell, Disk, Infallible, MutexGuard, Ordering, catch_unwind,
            explore, resume_unwind, thread,
        };
        use $module::{enter, is_stable, recover, swap};

        /// One process and the generation that it has open.
        struct Process {
            disk: Arc<Disk>,
            current: Cell<(usize, u64)>,
        }

        #[allow(dead_code, reason = "each twin is put to one model")]
        impl Process {
            fn open(disk: &Arc<Disk>) -> Self {
                Self { disk: Arc::clone(disk), current: Cell::new(disk.look()) }
            }

            /// Opens what is published while no one else opens or swaps, as all do who have not opened it yet.
            fn open_alone(disk: &Arc<Disk>) -> Self {
                let process = Self::open(disk);
                let Ok(()) = process.refresh();
                assert!(is_stable(process.current.get().1), "it opens during a swap");
                process
            }

            fn recover(&self) {
                let Ok(()) = recover::<Infallible>(&self.disk.sequence, || Ok(()));
            }

            fn refresh(&self) -> Result<(), Infallible> {
                let _gate = self.disk.gate.lock();
                self.recover();
                self.current.set(self.disk.look());
                Ok(())
            }

            /// Refreshes, but finds out when there is no end to it: there is no more than one swap.
            fn refresh_twice_at_most(&self) -> impl FnMut() -> Result<(), Infallible> {
                let mut refreshed = 0;
                move || {
                    refreshed += 1;
                    assert!(refreshed <= 2, "it never ends");
                    self.refresh()
                }
            }

            fn commit(&self, commit: u64) {
                {
                    let lock = |generation: &usize| Ok(self.disk.generations[*generation].lock());
                    let Ok((_, mut content)) =
                        enter(&self.disk.sequence, || self.current.get(), lock, self.refresh_twice_at_most());
                    content.push(commit);
                }
                self.disk.acknowledged.lock().push(commit);
            }

            /// Every commit that was acknowledged before is in the snapshot.
            fn snapshot(&self) {
                let acknowledged = self.disk.acknowledged.lock().clone();
                let pin = |generation: &usize| Ok(self.disk.generations[*generation].lock().clone());
                let Ok((_, snapshot)) =
                    enter(&self.disk.sequence, || self.current.get(), pin, self.refresh_twice_at_most());
                for commit in acknowledged {
                    assert!(snapshot.contains(&commit), "the snapshot lacks a commit");
                }
            }

            fn publish(&self, content: &MutexGuard<'_, Vec<u64>>) {
                self.disk.generations[1].lock().clone_from(content);
                *self.disk.path.lock() = 1;
            }

            fn swap(&self) {
                let _gate = self.disk.gate.lock();
                self.recover();
                let content = self.disk.generations[0].lock();
                let publish = || {
                    self.publish(&content);
                    Ok(())
                };
                let Ok(()) = swap::<Infallible>(&self.disk.sequence, publish, || Ok(()));
            }

            /// Dies during the swap, which lets go of its locks.
            fn die(&self, published: bool) {
                let gate = self.disk.gate.lock();
                let content = self.disk.generations[0].lock();
                let locks = Cell::new(Some((content, gate)));
                let dies = || -> Result<(), Infallible> {
                    drop(locks.take());
                    resume_unwind(Box::new(()))
                };
                let publish = || {
                    if !published {
                        dies()?;
                    }
                    let held = locks.take();
                    if let Some((content, _)) = &held {
                        self.publish(content);
                    }
                    locks.set(held);
                    Ok(())
                };
                let swap = || swap::<Infallible>(&self.disk.sequence, publish, dies);
                let death = catch_unwind(AssertUnwindSafe(swap));
                assert!(death.is_err());
            }
        }

        /// Two processes commit while a third swaps.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn no_commit_is_lost() {
            explore(|| {
                let disk = Disk::new();
                let writers = [1, 2].map(|commit| {
                    let writer = Process::open(&disk);
                    thread::spawn(move || writer.commit(commit))
                });
                Process::open(&disk).swap();
                for writer in writers {
                    writer.join().unwrap();
                }
                disk.assert_nothing_is_lost();
                assert_eq!(disk.acknowledged.lock().len(), 2);
            });
        }

        /// One process swaps and commits, another takes a snapshot.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn snapshots_have_what_was_acknowledged() {
            explore(|| {
                let disk = Disk::new();
                let reader = Process::open(&disk);
                let writer = Process::open(&disk);
                let writer = thread::spawn(move || {
                    writer.commit(1);
                    writer.swap();
                    let Ok(()) = writer.refresh();
                    writer.commit(2);
                });
                reader.snapshot();
                writer.join().unwrap();
                reader.snapshot();
            });
        }

        /// A process dies during the swap: those who waited for it do not commit to what it replaced.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn the_dead_hold_up_no_one() {
            for published in [true, false] {
                explore(move || {
                    let disk = Disk::new();
                    let swapper = Process::open(&disk);
                    let swapper = thread::spawn(move || swapper.die(published));
                    let writer = Process::open(&disk);
                    let other = thread::spawn(move || writer.commit(1));
                    // This one may open at any moment of the swap.
                    Process::open(&disk).commit(2);
                    other.join().unwrap();
                    swapper.join().unwrap();
                    disk.assert_nothing_is_lost();
                });
            }
        }

        /// A process opens the map while another swaps, or dies in it: neither it nor those who had it open before commit
        /// to what is replaced.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn who_opens_does_not_undo_a_swap() {
            for dies in [false, true] {
                explore(move || {
                    let disk = Disk::new();
                    let [swapper, writer] = [(); 2].map(|()| Process::open(&disk));
                    let swapper =
                        thread::spawn(move || if dies { swapper.die(true) } else { swapper.swap() });
                    let opener = {
                        let disk = Arc::clone(&disk);
                        thread::spawn(move || Process::open_alone(&disk).commit(1))
                    };
                    writer.commit(2);
                    swapper.join().unwrap();
                    opener.join().unwrap();
                    disk.assert_nothing_is_lost();
                });
            }
        }

        /// Nothing begins in a generation that is known to be replaced.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn nothing_begins_in_what_is_replaced() {
            explore(|| {
                let disk = Disk::new();
                let writer = Process::open(&disk);
                Process::open(&disk).swap();
                let Ok((generation, ())) = enter(
                    &disk.sequence,
                    || writer.current.get(),
                    |generation| {
                        assert_eq!(*generation, 1, "it begins in what is replaced");
                        Ok(())
                    },
                    || writer.refresh(),
                );
                assert_eq!(generation, 1);
            });
        }

        /// The swap comes while a writer begins: it lets go before it waits for the gate.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn nothing_is_held_while_refreshing() {
            explore(|| {
                let disk = Disk::new();
                let writer = Process::open(&disk);
                let mut swapped = false;
                let Ok((generation, _)) = enter(
                    &disk.sequence,
                    || writer.current.get(),
                    |_| {
                        if !swapped {
                            Process::open(&disk).swap();
                            swapped = true;
                        }
                        Ok(Arc::clone(&disk))
                    },
                    || {
                        assert_eq!(Arc::strong_count(&disk), 2, "it refreshes what it holds");
                        writer.refresh()
                    },
                );
                assert_eq!(generation, 1);
            });
        }

        /// Failures are passed on; that of a swap ends it, that of a recovery does not.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn failures_leave_what_can_be_recovered() {
            loom::model(|| {
                let sequence = AtomicU64::new(0);
                let now = || sequence.load(Ordering::SeqCst);
                let fails = || {
                    assert!(!is_stable(now()), "it is stable during a swap");
                    Err("failed")
                };
                assert_eq!(swap(&sequence, fails, || panic!("nothing is there to last")), Err("failed"));
                assert!(is_stable(now()), "no one can go on");
                assert_ne!(now(), 0, "no one looks what is published");

                let swapped = swap(&sequence, || Ok(()), fails);
                assert!(!is_stable(now()), "it may not last");
                assert_eq!(swapped, Err("failed"));
                assert_eq!(recover::<&str>(&sequence, || Ok(())), Ok(()));

                assert_eq!(recover(&sequence, || Err("settled")), Ok(()), "there was nothing to recover");
                sequence.fetch_add(1, Ordering::SeqCst);
                assert_eq!(recover(&sequence, fails), Err("failed"));
                assert!(!is_stable(now()), "stable during a swap");
                assert_eq!(enter(&sequence, || ((), now()), |()| Ok(()), fails), Err("failed"));

                assert_eq!(recover::<&str>(&sequence, || Ok(())), Ok(()));
                assert_eq!(enter(&sequence, || ((), now()), |()| Err::<(), _>("begun"), fails), Err("begun"));
            });
        }
    };
}

mod sound {
    use super::generation;
    models!(generation);
}

#[test]
fn no_commit_is_lost() {
    sound::no_commit_is_lost();
}

#[test]
fn snapshots_have_what_was_acknowledged() {
    sound::snapshots_have_what_was_acknowledged();
}

#[test]
fn the_dead_hold_up_no_one() {
    sound::the_dead_hold_up_no_one();
}

#[test]
fn who_opens_does_not_undo_a_swap() {
    sound::who_opens_does_not_undo_a_swap();
}

#[test]
fn nothing_begins_in_what_is_replaced() {
    sound::nothing_begins_in_what_is_replaced();
}

#[test]
fn nothing_is_held_while_refreshing() {
    sound::nothing_is_held_while_refreshing();
}

#[test]
fn failures_leave_what_can_be_recovered() {
    sound::failures_leave_what_can_be_recovered();
}

twin!(generation, generation_does_not_look_again, no_commit_is_lost, "a commit is lost");
twin!(
    generation,
    generation_never_looks,
    snapshots_have_what_was_acknowledged,
    "the snapshot lacks a commit"
);
twin!(
    generation,
    generation_looks_only_afterwards,
    nothing_begins_in_what_is_replaced,
    "begins in what is replaced"
);
twin!(
    generation,
    generation_refreshes_what_it_holds,
    nothing_is_held_while_refreshing,
    "refreshes what it holds"
);
twin!(generation, generation_swaps_in_secret, the_dead_hold_up_no_one, "a commit is lost");
twin!(
    generation,
    generation_settles_what_is_not_published,
    failures_leave_what_can_be_recovered,
    "there to last"
);
twin!(
    generation,
    generation_takes_what_may_not_last_for_settled,
    failures_leave_what_can_be_recovered,
    "may not last"
);
twin!(generation, generation_swaps_by_two, the_dead_hold_up_no_one, "a commit is lost");
twin!(generation, generation_takes_a_swap_for_stable, the_dead_hold_up_no_one, "a commit is lost");
twin!(generation, generation_recovers_to_the_old_number, who_opens_does_not_undo_a_swap, "a commit is lost");
twin!(
    generation,
    generation_leaves_the_swap_of_the_dead,
    who_opens_does_not_undo_a_swap,
    "it opens during a swap"
);
twin!(generation, generation_recovers_for_ever, the_dead_hold_up_no_one, "it never ends");
twin!(
    generation,
    generation_stays_odd_after_a_failure,
    failures_leave_what_can_be_recovered,
    "no one can go on"
);
twin!(
    generation,
    generation_recovers_before_it_settles,
    failures_leave_what_can_be_recovered,
    "stable during a swap"
);
twin!(
    generation,
    generation_recovers_what_is_stable,
    failures_leave_what_can_be_recovered,
    "nothing to recover"
);
