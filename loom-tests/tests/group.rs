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
            Arc, Duration, FOR_EVER, explore,
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
                    let errands: Vec<u64> = jobs.iter().map(|(ticket, _)| ticket.number()).collect();
                    self.group.expect(jobs.len());
                    for (ticket, job) in jobs {
                        self.ran.lock().push(job);
                        self.group.finish(ticket, job * 10);
                    }
                    self.gate.dismiss(&errands);
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
                    let entry = self.gate.enter_for(job, Some(ticket.number()), wait);
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

        /// A group of so many is done.
        #[allow(dead_code, reason = "each twin is put to one model")]
        fn run_group(group: &Group<u64, u64>, jobs: u64) {
            let tickets: Vec<Ticket> = (0..jobs).map(|job| group.submit(job)).collect();
            group.expect(group.take(9, |_| true).len());
            for ticket in tickets {
                group.finish(ticket, 0);
                assert!(matches!(group.withdraw(ticket), Withdrawn::Done(0)));
            }
        }

        /// A single writer comes again and again.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn who_is_alone_waits_for_no_one() {
            loom::model(|| {
                let group = Group::<u64, u64>::default();
                for _ in 0..2 {
                    group.submit(1);
                    group.gather(FOR_EVER);
                    group.expect(group.take(9, |_| true).len());
                }
            });
        }

        /// Two were done together while a third waited; one of them comes again, and so does the other.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn those_who_come_again_are_waited_for() {
            explore(|| {
                let group = Arc::new(Group::<u64, u64>::default());
                let tickets = [1, 2].map(|job| group.submit(job));
                let taken = group.take(2, |_| true);
                group.submit(3);
                group.expect(taken.len());
                for ticket in tickets {
                    group.finish(ticket, 0);
                }
                let other = {
                    let group = Arc::clone(&group);
                    thread::spawn(move || group.submit(1))
                };
                group.submit(2);
                group.gather(FOR_EVER);
                assert_eq!(group.take(9, |_| true).len(), 3, "it did not wait for all");
                other.join().unwrap();
            });
        }

        /// One of two never comes again: that is waited for in vain, and left out for a while then.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn who_stays_away_holds_up_no_one() {
            explore(|| {
                let group = Group::<u64, u64>::default();
                run_group(&group, 2);
                group.submit(1);
                group.gather(Duration::ZERO);
                assert_eq!(group.take(9, |_| true).len(), 1);
                group.expect(2);
                group.submit(1);
                group.gather(FOR_EVER);
                assert_eq!(group.take(9, |_| true).len(), 1);
            });
        }

        /// They come late once, but are waited for again later.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn who_was_late_is_waited_for_again() {
            explore(|| {
                let group = Arc::new(Group::<u64, u64>::default());
                run_group(&group, 2);
                group.submit(1);
                group.gather(Duration::ZERO);
                group.gather(FOR_EVER);
                let other = {
                    let group = Arc::clone(&group);
                    thread::spawn(move || group.submit(2))
                };
                group.gather(FOR_EVER);
                assert_eq!(group.take(9, |_| true).len(), 2, "it did not wait any more");
                other.join().unwrap();
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

#[test]
fn who_is_alone_waits_for_no_one() {
    sound::who_is_alone_waits_for_no_one();
}

#[test]
fn those_who_come_again_are_waited_for() {
    sound::those_who_come_again_are_waited_for();
}

#[test]
fn who_stays_away_holds_up_no_one() {
    sound::who_stays_away_holds_up_no_one();
}

#[test]
fn who_was_late_is_waited_for_again() {
    sound::who_was_late_is_waited_for_again();
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
twin!(group, group_gathers_more_than_expected, who_is_alone_waits_for_no_one, "deadlock");
twin!(group, group_gathers_only_who_was_done, those_who_come_again_are_waited_for, "did not wait for all");
twin!(group, group_joins_silently, those_who_come_again_are_waited_for, "deadlock");
twin!(group, group_waits_for_who_is_there, those_who_come_again_are_waited_for, "deadlock");
twin!(group, group_waits_in_vain_again, who_stays_away_holds_up_no_one, "deadlock");
twin!(group, group_waits_never_again, who_was_late_is_waited_for_again, "did not wait any more");
