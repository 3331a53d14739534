//! Each task is run once or handed back, those who wait for it are told, and there is a worker while there is a task.

use std::{mem::ManuallyDrop, sync::Arc, time::Duration};

use loom::thread::{self, JoinHandle};
use oocmap_loom_tests::{sync, twin};

#[path = "../../src/coord/tasks.rs"]
mod tasks;

const FOR_EVER: Duration = Duration::MAX;

/// A wait that loom lets end by itself.
const SHORT: Duration = Duration::from_millis(100);

/// Looks at all interleavings with at most three preemptions, which is where the bugs are.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// The models, for the tasks of one module.
macro_rules! models {
    ($module:ident) => {
        use super::{
            Arc, Duration, FOR_EVER, JoinHandle, ManuallyDrop, SHORT, explore,
            sync::{Mutex, phase},
            thread,
        };
        use $module::{Ended, Submitted, Task, Tasks, Ticket, Worker};

        /// What the threads share. A job is a number, and its result ten times that.
        #[derive(Default)]
        struct Process {
            tasks: Arc<Tasks<u64, u64>>,
            ran: Mutex<Vec<u64>>,
            /// How many are running tasks.
            busy: Mutex<usize>,
        }

        #[allow(dead_code, reason = "each twin is put to one model")]
        impl Process {
            /// Queues a task, and starts a worker if there has to be one.
            fn submit(
                self: &Arc<Self>,
                job: u64,
                idle_limit: Duration,
            ) -> (Ticket<u64>, Option<JoinHandle<()>>) {
                let Submitted { ticket, worker } = self.tasks.submit(job).expect("the end has not come");
                (ticket, worker.map(|worker| self.start(worker, idle_limit)))
            }

            fn start(self: &Arc<Self>, worker: Worker<u64, u64>, idle_limit: Duration) -> JoinHandle<()> {
                let process = Arc::clone(self);
                // Once loom has found something, nothing can be locked any more: what does so when it is dropped is only
                // dropped when all is well.
                let mut worker = ManuallyDrop::new(worker);
                thread::spawn(move || {
                    while let Some(task) = worker.next(idle_limit) {
                        process.run(task);
                    }
                    drop(ManuallyDrop::into_inner(worker));
                })
            }

            fn run(&self, task: Task<u64, u64>) {
                let task = ManuallyDrop::new(task);
                let is_alone = {
                    let mut busy = self.busy.lock();
                    *busy += 1;
                    *busy == 1
                };
                assert!(is_alone, "two work at once");
                self.ran.lock().push(task.job);
                *self.busy.lock() -= 1;
                let result = task.job * 10;
                ManuallyDrop::into_inner(task).finish(result);
            }

            fn has_run(&self, job: u64) -> bool {
                self.ran.lock().contains(&job)
            }
        }

        /// A second task comes when the worker may be about to leave.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn who_leaves_strands_no_task() {
            explore(|| {
                let process = Arc::new(Process::default());
                let (first, worker) = process.submit(1, SHORT);
                let (second, other) = process.submit(2, SHORT);
                assert!(worker.is_some(), "there is no worker");
                assert_eq!(first.wait(FOR_EVER), Some(Ended::Done(10)));
                assert_eq!(second.wait(FOR_EVER), Some(Ended::Done(20)));
                for worker in [worker, other].into_iter().flatten() {
                    worker.join().unwrap();
                }
                assert_eq!(*process.ran.lock(), [1, 2], "each is run once, in order");
            });
        }

        /// A worker waits for a second task, and for the end, for as long as that takes.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn who_waits_for_tasks_is_woken() {
            explore(|| {
                let process = Arc::new(Process::default());
                let (first, worker) = process.submit(1, FOR_EVER);
                assert_eq!(first.wait(FOR_EVER), Some(Ended::Done(10)));
                let (second, other) = process.submit(2, FOR_EVER);
                assert!(other.is_none(), "there is a worker");
                assert_eq!(second.wait(FOR_EVER), Some(Ended::Done(20)));
                process.tasks.end();
                while !process.tasks.worker_left(FOR_EVER) {}
                worker.unwrap().join().unwrap();
            });
        }

        /// Two wait for a task, one of whom cancels it: both are told the same, and it is the truth.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn a_task_ends_once() {
            explore(|| {
                let process = Arc::new(Process::default());
                let (ticket, worker) = process.submit(1, SHORT);
                let other = {
                    let ticket = ticket.clone();
                    thread::spawn(move || {
                        ticket.cancel();
                        ticket.wait(FOR_EVER)
                    })
                };
                let ended = ticket.wait(FOR_EVER).unwrap();
                assert_eq!(other.join().unwrap().as_ref(), Some(&ended), "two are told different things");
                worker.unwrap().join().unwrap();
                let expected = if process.has_run(1) { Ended::Done(10) } else { Ended::Cancelled };
                assert_eq!(ended, expected, "it is not what has become of it");
            });
        }

        /// The end comes while one submits and another works: what was submitted is run or cancelled.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn the_end_leaves_no_one_waiting() {
            explore(|| {
                let process = Arc::new(Process::default());
                let (first, worker) = process.submit(1, FOR_EVER);
                let submitter = {
                    let process = Arc::clone(&process);
                    thread::spawn(move || {
                        let Some(Submitted { ticket, worker }) = process.tasks.submit(2) else { return };
                        assert!(worker.is_none(), "there is a worker");
                        let ended = ticket.wait(FOR_EVER).unwrap();
                        let expected = if process.has_run(2) { Ended::Done(20) } else { Ended::Cancelled };
                        assert_eq!(ended, expected, "it is not what has become of it");
                    })
                };
                process.tasks.end();
                assert!(process.tasks.submit(3).is_none(), "a task is taken after the end");
                assert_ne!(first.wait(FOR_EVER), Some(Ended::Abandoned));
                while !process.tasks.worker_left(FOR_EVER) {}
                submitter.join().unwrap();
                worker.unwrap().join().unwrap();
            });
        }

        /// The end comes at any moment of a task, which may be waiting for something else: it can know.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn who_works_is_told_of_the_end() {
            explore(|| {
                let tasks = Arc::new(Tasks::<u64, u64>::default());
                let has_ended = Arc::new(Mutex::<bool>::default());
                let Submitted { worker, .. } = tasks.submit(1).unwrap();
                let mut worker = ManuallyDrop::new(worker.unwrap());
                let worker = {
                    let has_ended = Arc::clone(&has_ended);
                    thread::spawn(move || {
                        if let Some(task) = worker.next(FOR_EVER) {
                            let task = ManuallyDrop::new(task);
                            let has_ended = *has_ended.lock();
                            assert!(!has_ended || task.is_cancelled(), "no one tells who works");
                            ManuallyDrop::into_inner(task).finish(10);
                        }
                        drop(ManuallyDrop::into_inner(worker));
                    })
                };
                tasks.end();
                *has_ended.lock() = true;
                worker.join().unwrap();
            });
        }

        /// A worker dies with a task, and so can't begin another: no one waits for it.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn the_dead_hold_up_no_one() {
            explore(|| {
                let tasks = Arc::new(Tasks::<u64, u64>::default());
                let Submitted { ticket, worker } = tasks.submit(1).unwrap();
                let mut worker = ManuallyDrop::new(worker.unwrap());
                let dying = thread::spawn(move || {
                    drop(worker.next(FOR_EVER));
                    drop(ManuallyDrop::into_inner(worker));
                });
                let second = tasks.submit(2).unwrap();
                // This one can't be started.
                drop(second.worker);
                while !tasks.worker_left(FOR_EVER) {}
                assert_eq!(ticket.wait(FOR_EVER), Some(Ended::Abandoned));
                assert_eq!(second.ticket.wait(FOR_EVER), Some(Ended::Abandoned));
                dying.join().unwrap();
            });
        }

        /// One after another: what is told, in which order tasks are run, and what the end does.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn nothing_is_told_too_early() {
            loom::model(|| {
                let tasks = Arc::new(Tasks::<u64, u64>::default());
                let mut worker = ManuallyDrop::new(tasks.remind(1).expect("there is no worker"));
                assert!(tasks.remind(2).is_none());
                let Submitted { ticket, .. } = tasks.submit(3).unwrap();
                assert_eq!(ticket.wait(SHORT), None, "it has not ended");
                let mut next = || worker.next(SHORT).map(ManuallyDrop::new);

                let first = next().unwrap();
                assert_eq!(first.job, 1, "it is not the first");
                assert!(tasks.remind(4).is_none());
                let second = next().unwrap();
                assert_eq!(second.job, 3, "the same is queued twice");
                second.tell([1, 2, 3]);
                assert_eq!(ticket.progress(), [1, 2, 3]);
                assert!(!second.is_cancelled(), "no one has cancelled it");
                ticket.cancel();
                assert!(second.is_cancelled(), "it was cancelled");
                assert_eq!(ticket.wait(SHORT), None, "it has not ended");
                assert_eq!(next().expect("it was not queued again").job, 4);
                let before = phase();
                assert!(next().is_none());
                assert_eq!(phase(), before + 2, "it left at once");
                assert!(tasks.worker_left(SHORT));

                let waiting = [5, 6].map(|job| tasks.submit(job).map(ManuallyDrop::new).unwrap());
                assert!(!tasks.worker_left(SHORT));
                tasks.end();
                for submitted in &waiting {
                    assert_eq!(submitted.ticket.wait(SHORT), Some(Ended::Cancelled), "it is not handed back");
                }
                assert!(tasks.remind(7).is_none(), "a task is taken after the end");
                let [first, _] = waiting.map(ManuallyDrop::into_inner);
                let mut worker = ManuallyDrop::new(first.worker.unwrap());
                assert!(worker.next(FOR_EVER).is_none(), "something is begun after the end");
            });
        }
    };
}

mod sound {
    use super::tasks;
    models!(tasks);
}

#[test]
fn who_leaves_strands_no_task() {
    sound::who_leaves_strands_no_task();
}

#[test]
fn who_waits_for_tasks_is_woken() {
    sound::who_waits_for_tasks_is_woken();
}

#[test]
fn a_task_ends_once() {
    sound::a_task_ends_once();
}

#[test]
fn the_end_leaves_no_one_waiting() {
    sound::the_end_leaves_no_one_waiting();
}

#[test]
fn who_works_is_told_of_the_end() {
    sound::who_works_is_told_of_the_end();
}

#[test]
fn the_dead_hold_up_no_one() {
    sound::the_dead_hold_up_no_one();
}

#[test]
fn nothing_is_told_too_early() {
    sound::nothing_is_told_too_early();
}

twin!(tasks, tasks_ends_tasks_silently, a_task_ends_once, "deadlock");
twin!(tasks, tasks_cancels_what_runs, a_task_ends_once, "it is not what has become of it");
twin!(tasks, tasks_begins_what_is_cancelled, a_task_ends_once, "it is not what has become of it");
twin!(tasks, tasks_ends_twice, who_waits_for_tasks_is_woken, "Abandoned");
twin!(tasks, tasks_cancels_silently, nothing_is_told_too_early, "it was cancelled");
twin!(tasks, tasks_forgets_who_dies, the_dead_hold_up_no_one, "deadlock");
twin!(tasks, tasks_abandons_no_one, the_dead_hold_up_no_one, "deadlock");
twin!(tasks, tasks_abandons_half, the_dead_hold_up_no_one, "deadlock");
twin!(tasks, tasks_takes_the_dead_for_alive, the_dead_hold_up_no_one, "deadlock");
twin!(tasks, tasks_dies_silently, the_dead_hold_up_no_one, "deadlock");
twin!(tasks, tasks_takes_who_left_for_there, who_leaves_strands_no_task, "deadlock");
twin!(tasks, tasks_leaves_after_it_looked, who_leaves_strands_no_task, "deadlock");
twin!(tasks, tasks_leaves_silently, the_end_leaves_no_one_waiting, "deadlock");
twin!(tasks, tasks_leaves_twice, who_leaves_strands_no_task, "Abandoned");
twin!(tasks, tasks_never_leaves, nothing_is_told_too_early, "maximum number of branches");
twin!(tasks, tasks_leaves_at_once, nothing_is_told_too_early, "it left at once");
twin!(tasks, tasks_works_after_the_end, nothing_is_told_too_early, "deadlock");
twin!(tasks, tasks_queues_silently, who_waits_for_tasks_is_woken, "deadlock");
twin!(tasks, tasks_starts_two, who_leaves_strands_no_task, "two work at once");
twin!(tasks, tasks_starts_none, who_leaves_strands_no_task, "there is no worker");
twin!(tasks, tasks_takes_tasks_after_the_end, the_end_leaves_no_one_waiting, "a task is taken after the end");
twin!(tasks, tasks_reminds_after_the_end, nothing_is_told_too_early, "something is begun after the end");
twin!(tasks, tasks_reminds_twice, nothing_is_told_too_early, "the same is queued twice");
twin!(tasks, tasks_takes_any_for_a_reminder, nothing_is_told_too_early, "it was not queued again");
twin!(tasks, tasks_ends_silently, who_waits_for_tasks_is_woken, "deadlock");
twin!(tasks, tasks_keeps_what_waits, nothing_is_told_too_early, "it is not handed back");
twin!(tasks, tasks_does_not_tell_who_works, who_works_is_told_of_the_end, "no one tells who works");
twin!(tasks, tasks_takes_the_last_first, nothing_is_told_too_early, "it is not the first");
twin!(tasks, tasks_does_not_wait, a_task_ends_once, "None");
