//! The gate admits one at a time, in the order of arrival, and no one waits in vain.

use std::{sync::Arc, time::Duration};

use loom::thread;
use oocmap_loom_tests::{sync, twin};

#[path = "../../src/coord/gate.rs"]
mod gate;

const FOR_EVER: Duration = Duration::MAX;

/// Looks at all interleavings with at most three preemptions, which is where the bugs are.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// The models, for the gate of one module.
macro_rules! models {
    ($module:ident) => {
        use super::{Arc, FOR_EVER, explore, sync::Mutex, thread};
        use $module::{Entry, Gate, Wait};

        /// Three owners go in and out; all get in, and no two are inside together.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn all_get_in_alone() {
            explore(|| {
                let gate = Arc::new((Gate::default(), Mutex::<Option<u64>>::default()));
                let visit = |owner| {
                    let gate = Arc::clone(&gate);
                    move || {
                        assert_eq!(gate.0.enter(owner, || Wait::For(FOR_EVER)), Entry::Entered);
                        assert_eq!(gate.1.lock().replace(owner), None, "two are inside");
                        assert_eq!(gate.1.lock().take(), Some(owner), "two are inside");
                        gate.0.leave();
                    }
                };
                let others = [thread::spawn(visit(1)), thread::spawn(visit(2))];
                visit(3)();
                for other in others {
                    other.join().unwrap();
                }
            });
        }

        /// Someone comes while another waits already: they go in one after the other.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn first_come_first_served() {
            explore(|| {
                let shared = Arc::new((Gate::default(), Mutex::<Vec<u64>>::default()));
                assert_eq!(shared.0.enter(1, || Wait::GiveUp), Entry::Entered);
                let first = {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        let mut second = None;
                        // Whoever is asked how long to wait has its place in the queue.
                        let entry = shared.0.enter(2, || {
                            second.get_or_insert_with(|| {
                                let shared = Arc::clone(&shared);
                                thread::spawn(move || {
                                    assert_eq!(shared.0.enter(3, || Wait::For(FOR_EVER)), Entry::Entered);
                                    shared.1.lock().push(3);
                                    shared.0.leave();
                                })
                            });
                            Wait::For(FOR_EVER)
                        });
                        assert_eq!(entry, Entry::Entered);
                        shared.1.lock().push(2);
                        shared.0.leave();
                        second
                    })
                };
                shared.0.leave();
                if let Some(second) = first.join().unwrap() {
                    second.join().unwrap();
                    assert_eq!(*shared.1.lock(), [2, 3], "someone was overtaken");
                }
            });
        }

        /// The one at the head of the queue gives up, and the next one still gets in.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn who_gives_up_holds_up_no_one() {
            explore(|| {
                let gate = Arc::new(Gate::default());
                assert_eq!(gate.enter(1, || Wait::GiveUp), Entry::Entered);
                let impatient = {
                    let gate = Arc::clone(&gate);
                    thread::spawn(move || match gate.enter(2, || Wait::GiveUp) {
                        Entry::Entered => gate.leave(),
                        entry => assert_eq!(entry, Entry::GaveUp),
                    })
                };
                let patient = passing(&gate, 3);
                gate.leave();
                impatient.join().unwrap();
                patient.join().unwrap();
                assert_eq!(gate.enter(4, || Wait::GiveUp), Entry::Entered, "the gate is free in the end");
                assert!(gate.has(4), "whoever entered is inside");
                assert!(!gate.is_awaited() && !gate.has(3), "no one is left in the queue");
            });
        }

        /// A thread that goes in and leaves again.
        #[allow(dead_code, reason = "each twin is put to one model")]
        fn passing(gate: &Arc<Gate>, owner: u64) -> thread::JoinHandle<()> {
            let gate = Arc::clone(gate);
            thread::spawn(move || {
                assert_eq!(gate.enter(owner, || Wait::For(FOR_EVER)), Entry::Entered);
                gate.leave();
            })
        }

        /// Waiting for oneself would never end, so it is refused, and whoever is inside stays there.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn no_one_waits_for_itself() {
            explore(|| {
                let gate = Arc::new(Gate::default());
                let other = passing(&gate, 1);
                assert_eq!(gate.enter(2, || Wait::For(FOR_EVER)), Entry::Entered);
                assert_eq!(gate.enter(2, || Wait::For(FOR_EVER)), Entry::AlreadyInside);
                gate.leave();
                other.join().unwrap();
            });
        }

        /// A signal handler runs while its thread waits: it must not queue behind that.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn who_waits_does_not_wait_twice() {
            explore(|| {
                let gate = Arc::new(Gate::default());
                let other = passing(&gate, 1);
                let handler = || {
                    assert_eq!(gate.enter(2, || Wait::For(FOR_EVER)), Entry::AlreadyInside);
                    Wait::For(FOR_EVER)
                };
                assert_eq!(gate.enter(2, handler), Entry::Entered);
                gate.leave();
                other.join().unwrap();
            });
        }

        /// One of two who wait is dismissed; the other goes in when the gate is free.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn who_is_dismissed_goes_away() {
            explore(|| {
                let gate = Arc::new(Gate::default());
                let done = Arc::new(Mutex::<bool>::default());
                assert_eq!(gate.enter(1, || Wait::GiveUp), Entry::Entered);
                let dismissed = {
                    let (gate, done) = (Arc::clone(&gate), Arc::clone(&done));
                    thread::spawn(move || {
                        let wait = || if *done.lock() { Wait::GiveUp } else { Wait::For(FOR_EVER) };
                        match gate.enter_for(2, Some(20), wait) {
                            Entry::Entered => {
                                // It came when all was over.
                                assert!(*done.lock(), "it went in with an errand that was to be done");
                                gate.leave();
                            }
                            entry => assert_eq!(entry, Entry::GaveUp),
                        }
                    })
                };
                let other = {
                    let gate = Arc::clone(&gate);
                    thread::spawn(move || {
                        let entry = gate.enter_for(3, Some(30), || Wait::For(FOR_EVER));
                        assert_eq!(entry, Entry::Entered, "someone else was sent away");
                        gate.leave();
                    })
                };
                *done.lock() = true;
                gate.dismiss(&[10, 20]);
                dismissed.join().unwrap();
                gate.leave();
                other.join().unwrap();
            });
        }
    };
}

mod sound {
    use super::gate;
    models!(gate);
}

#[test]
fn all_get_in_alone() {
    sound::all_get_in_alone();
}

#[test]
fn first_come_first_served() {
    sound::first_come_first_served();
}

#[test]
fn who_gives_up_holds_up_no_one() {
    sound::who_gives_up_holds_up_no_one();
}

#[test]
fn no_one_waits_for_itself() {
    sound::no_one_waits_for_itself();
}

#[test]
fn who_waits_does_not_wait_twice() {
    sound::who_waits_does_not_wait_twice();
}

#[test]
fn who_is_dismissed_goes_away() {
    sound::who_is_dismissed_goes_away();
}

twin!(gate, gate_leaves_silently, all_get_in_alone, "deadlock");
twin!(gate, gate_looks_only_before_asking, all_get_in_alone, "deadlock");
twin!(gate, gate_lets_two_in, all_get_in_alone, "two are inside");
twin!(gate, gate_lets_newcomers_overtake, first_come_first_served, "someone was overtaken");
twin!(gate, gate_gives_up_silently, who_gives_up_holds_up_no_one, "deadlock");
twin!(gate, gate_keeps_the_place, who_gives_up_holds_up_no_one, "the gate is free in the end");
twin!(gate, gate_forgets_its_owner, no_one_waits_for_itself, "deadlock");
twin!(gate, gate_forgets_who_waits, who_waits_does_not_wait_twice, "deadlock");
twin!(gate, gate_calls_another, all_get_in_alone, "deadlock");
twin!(gate, gate_dismisses_silently, who_is_dismissed_goes_away, "deadlock");
twin!(gate, gate_does_not_see_a_dismissal, who_is_dismissed_goes_away, "deadlock");
twin!(gate, gate_dismisses_no_one, who_is_dismissed_goes_away, "deadlock");
twin!(gate, gate_dismisses_all, who_is_dismissed_goes_away, "someone else was sent away");
