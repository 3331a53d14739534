//! Each job is run once and its result goes to whoever submitted it; who gives up knows whether it was run.

use std::{sync::Arc, time::Duration};

use loom::thread;
use oocmap_loom_tests::{sync, twin};

#[path = "../../src/coord/gate.rs"]
#[allow(dead_code, reason = "it has models of its own")]
mod gate;
#[path = "../../src/coord/group.rs"]
mod group;

const FOR_EVER: Duration = Duration::MAX;

/// Looks at all interleavings with at most three preemptions, which is where the bugs are.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// The models, for the group of one module.
macro_rules! models {
    ($module:ident) => {
        use super::{
            Arc, FOR_EVER, explore,
            gate::{Entry, Gate, Wait},
            sync::Mutex,
            thread,
        };
        use $module::{Group, Ticket, Withdrawn};

        /// What the threads share. A job is a number, and its result ten times that.
        #[derive(Default)]
        struct Process {
            gate: Gate,
            group: Group<u64, u64>,
            ran: Mutex<Vec<u64>>,
        }

        #[allow(dead_code, reason = "each twin is put to one model")]
        impl Process {
            /// Runs jobs, no more than two at a time, until that one is done. The caller is inside the gate.
            fn serve(&self, ticket: Ticket) {
                while !self.group.is_done(ticket) {
                    let jobs = self.group.take(2, |_| true);
                    assert!(!jobs.is_empty(), "a job is lost");
                    for (ticket, job) in jobs {
                        self.ran.lock().push(job);
                        self.group.finish(ticket, job * 10);
                    }
                }
            }

            /// Runs a job or has it run; answers whether it was.
            fn run(&self, job: u64, mut patient: bool) -> bool {
                let ticket = self.group.submit(job);
                loop {
                    let wait = || {
                        if !patient || self.group.is_done(ticket) {
                            Wait::GiveUp
                        } else {
                            Wait::For(FOR_EVER)
                        }
                    };
                    let entry = self.gate.enter(job, wait);
                    if entry == Entry::Entered {
                        self.serve(ticket);
                        self.gate.leave();
                    }
                    match self.group.withdraw(ticket) {
                        Withdrawn::Done(result) => {
                            assert_eq!(result, job * 10, "it is the result of another job");
                            return true;
                        }
                        Withdrawn::Job(withdrawn) => {
                            assert_eq!(withdrawn, job, "it is the job of another");
                            assert!(!patient, "it gave up for nothing");
                            return false;
                        }
                        // It is too late to give up.
                        Withdrawn::Running => patient = true,
                    }
                }
            }
        }

        /// Three have a job each.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn each_job_is_run_once() {
            explore(|| {
                let process = Arc::new(Process::default());
                let others = [1, 2].map(|job| {
                    let process = Arc::clone(&process);
                    thread::spawn(move || assert!(process.run(job, true)))
                });
                assert!(process.run(3, true));
                for other in others {
                    other.join().unwrap();
                }
                let mut ran = process.ran.lock();
                ran.sort_unstable();
                assert_eq!(*ran, [1, 2, 3]);
            });
        }

        /// Two of three have no time: their jobs are run or not, and they know it.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn who_gives_up_knows_what_became_of_it() {
            explore(|| {
                let process = Arc::new(Process::default());
                let others = [1, 2].map(|job| {
                    let process = Arc::clone(&process);
                    thread::spawn(move || process.run(job, false).then_some(job))
                });
                assert!(process.run(3, true));
                let mut expected = vec![3];
                for other in others {
                    expected.extend(other.join().unwrap());
                }
                expected.sort_unstable();
                let mut ran = process.ran.lock();
                ran.sort_unstable();
                assert_eq!(*ran, expected, "what was given up was run, or the other way round");
            });
        }

        /// Jobs are taken as they came, up to the first that does not suit, and can be withdrawn until then.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn jobs_keep_their_order() {
            loom::model(|| {
                let group = Group::<u64, u64>::default();
                let tickets = [1, 2, 3, 4, 5].map(|job| group.submit(job));
                let take = |most, limit| {
                    let taken = group.take(most, |job| *job < limit);
                    taken.into_iter().map(|(_, job)| job).collect::<Vec<_>>()
                };
                assert_eq!(take(1, 4), [1], "only one was wanted, the first");
                assert!(matches!(group.withdraw(tickets[1]), Withdrawn::Job(2)));
                assert_eq!(take(9, 4), [3], "the next one does not suit");
                assert_eq!(take(9, 9), [4, 5], "something is missing");

                assert!(matches!(group.withdraw(tickets[0]), Withdrawn::Running));
                assert!(!group.is_done(tickets[0]));
                group.finish(tickets[0], 10);
                assert!(group.is_done(tickets[0]), "it is done");
                assert!(!group.is_done(tickets[2]), "another one is done");
                assert!(matches!(group.withdraw(tickets[0]), Withdrawn::Done(10)));
                assert!(!group.is_done(tickets[0]), "the result was fetched");
            });
        }
    };
}

mod sound {
    use super::group;
    models!(group);
}

#[test]
fn each_job_is_run_once() {
    sound::each_job_is_run_once();
}

#[test]
fn who_gives_up_knows_what_became_of_it() {
    sound::who_gives_up_knows_what_became_of_it();
}

#[test]
fn jobs_keep_their_order() {
    sound::jobs_keep_their_order();
}

twin!(group, group_numbers_none, each_job_is_run_once, "the result of another job");
twin!(group, group_mixes_up_results, each_job_is_run_once, "the result of another job");
twin!(group, group_forgets_results, each_job_is_run_once, "a job is lost");
twin!(group, group_takes_an_earlier_one_for_it, each_job_is_run_once, "gave up for nothing");
twin!(group, group_withdraws_another, who_gives_up_knows_what_became_of_it, "the job of another");
twin!(group, group_takes_the_last_first, jobs_keep_their_order, "only one was wanted, the first");
twin!(group, group_takes_too_many, jobs_keep_their_order, "only one was wanted, the first");
twin!(group, group_takes_what_does_not_suit, jobs_keep_their_order, "does not suit");
twin!(group, group_drops_what_does_not_suit, jobs_keep_their_order, "something is missing");
twin!(group, group_takes_a_later_one_for_it, jobs_keep_their_order, "it is done");
