//! What was deferred is committed once, after its interval or when someone asks, and the thread comes to an end.

use std::{sync::Arc, time::Duration};

use loom::thread;
use oocmap_loom_tests::{sync, twin};

#[path = "../../src/coord/deferral.rs"]
mod deferral;

/// A wait that loom lets end by itself.
const INTERVAL: Duration = Duration::from_millis(100);

/// The phase when an interval that begins in this phase, or the first one after it, is over.
fn after_a_whole_interval(phase: usize) -> usize {
    if phase % 2 == 1 { phase + 3 } else { phase + 2 }
}

/// The models, for the deferral of one module.
macro_rules! models {
    ($module:ident) => {
        use super::{
            Arc, INTERVAL, after_a_whole_interval,
            sync::{Mutex, phase},
            thread,
        };
        use $module::{Deferral, Step};

        /// What the threads share.
        #[derive(Default)]
        struct Process {
            deferral: Deferral,
            /// The batches that were written and the batches that were committed.
            batches: Mutex<(usize, usize)>,
        }

        #[allow(dead_code, reason = "each twin is put to one model")]
        impl Process {
            fn write(&self) {
                self.batches.lock().0 += 1;
                self.deferral.pend();
            }

            fn commit(&self) {
                if self.deferral.settle() {
                    let mut batches = self.batches.lock();
                    batches.1 += 1;
                    assert!(batches.1 <= batches.0, "a batch is committed twice");
                }
            }

            fn write_and_commit(&self) {
                self.write();
                self.commit();
                self.write();
            }

            fn commit_in_time(&self) {
                while self.deferral.next(INTERVAL) == Step::Flush {
                    self.commit();
                }
            }
        }

        /// Something is deferred and no one asks for it: it is flushed, but not before an interval is over.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn what_is_deferred_is_flushed() {
            loom::model(|| {
                let process = Arc::new(Process::default());
                let writer = {
                    let process = Arc::clone(&process);
                    thread::spawn(move || process.write())
                };
                assert_eq!(process.deferral.next(INTERVAL), Step::Flush);
                assert_eq!(phase(), 2, "it was flushed at once, or late");
                assert!(process.deferral.settle());
                writer.join().unwrap();
                assert!(!process.deferral.settle());
            });
        }

        /// Someone commits and writes again, in an interval or not: the new batch has an interval of its own.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn each_batch_has_its_interval() {
            loom::model(|| {
                let process = Arc::new(Process::default());
                process.write();
                let writer = {
                    let process = Arc::clone(&process);
                    thread::spawn(move || {
                        process.commit();
                        let moment = phase();
                        process.write();
                        // None when an interval began or ended meanwhile, so that no one can say where the write was.
                        (moment == phase()).then_some(moment)
                    })
                };
                assert_eq!(process.deferral.next(INTERVAL), Step::Flush);
                let flushed = phase();
                if let Some(written) = writer.join().unwrap()
                    && written < flushed
                {
                    assert_eq!(flushed, after_a_whole_interval(written), "it was not its own interval");
                }
            });
        }

        /// Someone else commits in the interval: nothing is left to flush.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn what_is_settled_is_not_flushed() {
            loom::model(|| {
                let process = Arc::new(Process::default());
                process.write();
                let owner = {
                    let process = Arc::clone(&process);
                    thread::spawn(move || {
                        process.commit();
                        let moment = phase();
                        process.deferral.end();
                        moment
                    })
                };
                if process.deferral.next(INTERVAL) == Step::Flush {
                    let flushed = phase();
                    assert!(owner.join().unwrap() >= flushed, "nothing was pending");
                } else {
                    owner.join().unwrap();
                }
            });
        }

        /// More is written while something waits: that does not have to wait any longer.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn more_does_not_put_it_off() {
            loom::model(|| {
                let deferral = Arc::new(Deferral::default());
                deferral.pend();
                let writer = {
                    let deferral = Arc::clone(&deferral);
                    thread::spawn(move || deferral.pend())
                };
                assert_eq!(deferral.next(INTERVAL), Step::Flush);
                assert_eq!(phase(), 2, "it was put off");
                writer.join().unwrap();
            });
        }

        /// One writes and asks for the commit, the thread commits in time, and the owner ends: each batch is committed
        /// once.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn each_batch_is_committed_once() {
            loom::model(|| {
                let process = Arc::new(Process::default());
                let [writer, in_time] = [Process::write_and_commit, Process::commit_in_time].map(|part| {
                    let process = Arc::clone(&process);
                    thread::spawn(move || part(&process))
                });
                writer.join().unwrap();
                process.deferral.end();
                process.commit();
                in_time.join().unwrap();
                assert_eq!(*process.batches.lock(), (2, 2), "a batch is not committed");
                assert!(!process.deferral.settle(), "a batch is committed twice");
                assert_eq!(process.deferral.next(INTERVAL), Step::End, "the end is the end");
            });
        }
    };
}

mod sound {
    use super::deferral;
    models!(deferral);
}

#[test]
fn what_is_deferred_is_flushed() {
    sound::what_is_deferred_is_flushed();
}

#[test]
fn each_batch_has_its_interval() {
    sound::each_batch_has_its_interval();
}

#[test]
fn what_is_settled_is_not_flushed() {
    sound::what_is_settled_is_not_flushed();
}

#[test]
fn more_does_not_put_it_off() {
    sound::more_does_not_put_it_off();
}

#[test]
fn each_batch_is_committed_once() {
    sound::each_batch_is_committed_once();
}

twin!(deferral, deferral_pends_silently, what_is_deferred_is_flushed, "deadlock");
twin!(deferral, deferral_flushes_at_once, what_is_deferred_is_flushed, "flushed at once");
twin!(deferral, deferral_counts_no_batches, each_batch_has_its_interval, "not its own interval");
twin!(deferral, deferral_flushes_what_is_settled, what_is_settled_is_not_flushed, "nothing was pending");
twin!(deferral, deferral_is_put_off, more_does_not_put_it_off, "it was put off");
twin!(deferral, deferral_ends_silently, each_batch_is_committed_once, "deadlock");
twin!(deferral, deferral_settles_twice, each_batch_is_committed_once, "committed twice");
