//! A forked child finds nothing locked for ever by threads of its parent, which it does not have.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use super::{live::Live, memory::Memory};
use crate::{Environment, Options, Value, format::record::ObjectId, store::hold_off_forks};

const CHILDREN: u32 = 40;

/// Runs something in a forked child, which is killed when it takes too long.
#[expect(unsafe_code, reason = "the standard library forks no process")]
fn in_child(work: impl FnOnce()) {
    const PATIENCE: u32 = 30;
    // SAFETY: the child has this thread only; what it does with the locks of others is what is tested.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "a process more than there may be");
    if child == 0 {
        // SAFETY: the call takes any number.
        unsafe { libc::alarm(PATIENCE) };
        let worked = catch_unwind(AssertUnwindSafe(work));
        // SAFETY: the call takes any number, and does not return to what the parent's tests still do.
        unsafe { libc::_exit(i32::from(worked.is_err())) };
    }
    let mut status = 0;
    // SAFETY: the place is one for a status.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((ended, status), (child, 0), "the child was killed or failed");
}

/// Forks children that do something, while a thread does something else again and again.
fn fork_during(busy: impl Fn(u32) + Sync, in_each: impl Fn()) {
    let (has_begun, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0.. {
                busy(turn);
                has_begun.store(true, Ordering::Release);
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        while !has_begun.load(Ordering::Acquire) {
            thread::yield_now();
        }
        let forked = catch_unwind(AssertUnwindSafe(|| (0..CHILDREN).for_each(|_| in_child(&in_each))));
        is_over.store(true, Ordering::Relaxed);
        forked.unwrap();
    });
}

#[test]
fn symbols_that_others_learn() {
    let memory = Memory::default();
    fork_during(
        |turn| memory.adopt(turn, &[format!("name {turn}").into()]),
        || {
            assert_eq!(memory.symbol("name 0"), Some(0));
            assert_eq!(memory.name(0).as_deref(), Some("name 0"));
        },
    );
}

#[test]
fn handles_that_others_hold() {
    drop(hold_off_forks());
    let live = Live::default();
    let id = |record| ObjectId { record, slot: 0 };
    fork_during(
        |turn| {
            let token = live.hold(id(u64::from(turn)));
            live.let_go(id(u64::from(turn)), &token);
        },
        || assert!(!live.hold(id(0)).is_taken_back()),
    );
}

#[test]
fn sizes_that_others_change() {
    let directory = tempfile::tempdir().unwrap();
    let environment = Environment::open(&directory.path().join("m.ooc"), &Options::default()).unwrap();
    let core = environment.core();
    let since = core.resized();
    fork_during(
        |turn| core.note_resized(u64::MAX - u64::from(turn % 2), (1, 1)),
        || assert!(!core.is_resized(since) && !core.are_objects_resized(since)),
    );
}

#[test]
fn snapshots_that_others_adopt() {
    let directory = tempfile::tempdir().unwrap();
    let environment = Environment::open(&directory.path().join("m.ooc"), &Options::default()).unwrap();
    let mut write = environment.write().unwrap();
    write.put(&"k".into(), &Value::from(1)).unwrap();
    write.commit().unwrap();
    let read = environment.read().unwrap();
    let look = || assert!(read.get(&"k".into()).unwrap().is_some());
    for pause in 0..CHILDREN {
        in_child(|| {
            thread::scope(|scope| {
                scope.spawn(look);
                thread::sleep(Duration::from_micros(u64::from(pause) * 50));
                in_child(look);
            });
        });
    }
    look();
}
