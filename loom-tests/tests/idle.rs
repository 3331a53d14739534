//! What is held is let go after it was unused for a whole interval, never before, and the letting go comes to an end.

use std::{sync::Arc, time::Duration};

use loom::thread;
use oocmap_loom_tests::{sync, twin};

#[path = "../../src/coord/idle.rs"]
mod idle;

/// A wait that loom lets end by itself.
const INTERVAL: Duration = Duration::from_millis(100);

fn is_interval(phase: usize) -> bool {
    phase % 2 == 1
}

/// The models, for the watch of one module.
macro_rules! models {
    ($module:ident) => {
        use super::{
            Arc, INTERVAL, is_interval,
            sync::{Mutex, phase},
            thread,
        };
        use $module::{Idle, Step};

        /// Something is held, now or later: it is let go, but not before an interval is over.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn what_is_held_gets_its_interval() {
            loom::model(|| {
                let idle = Arc::new((Idle::default(), Mutex::<bool>::default()));
                let holder = {
                    let idle = Arc::clone(&idle);
                    thread::spawn(move || {
                        *idle.1.lock() = true;
                        idle.0.hold();
                    })
                };
                assert_eq!(idle.0.next(INTERVAL), Step::Release);
                assert!(*idle.1.lock(), "nothing was held");
                assert!(phase() >= 2, "it was let go at once");
                holder.join().unwrap();
            });
        }

        /// Something is used at any moment: it is kept for a whole interval more.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn what_is_used_is_kept() {
            loom::model(|| {
                let idle = Arc::new(Idle::default());
                idle.hold();
                let user = {
                    let idle = Arc::clone(&idle);
                    thread::spawn(move || {
                        let moment = phase();
                        idle.touch();
                        // None when an interval began or ended meanwhile, so that no one can say where the use was.
                        (moment == phase()).then_some(moment)
                    })
                };
                assert_eq!(idle.next(INTERVAL), Step::Release);
                let released = phase();
                assert!(released >= 2, "it was let go at once");
                if let Some(used) = user.join().unwrap()
                    && used < released
                {
                    // The interval that was running, if one was, and a whole one.
                    let whole = if is_interval(used) { 3 } else { 2 };
                    assert!(released >= used + whole, "it was let go in the interval in which it was used");
                }
            });
        }

        /// Each thing is let go once, and then the end comes, whatever else happens at the same time.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn the_end_comes() {
            loom::model(|| {
                let idle = Arc::new(Idle::default());
                let holder = {
                    let idle = Arc::clone(&idle);
                    thread::spawn(move || {
                        idle.hold();
                        idle.end();
                    })
                };
                let mut released = 0;
                while idle.next(INTERVAL) == Step::Release {
                    released += 1;
                    assert!(released < 2, "one thing was let go twice");
                }
                assert_eq!(idle.next(INTERVAL), Step::End, "the end is the end");
                holder.join().unwrap();
            });
        }
    };
}

mod sound {
    use super::idle;
    models!(idle);
}

#[test]
fn what_is_held_gets_its_interval() {
    sound::what_is_held_gets_its_interval();
}

#[test]
fn what_is_used_is_kept() {
    sound::what_is_used_is_kept();
}

#[test]
fn the_end_comes() {
    sound::the_end_comes();
}

twin!(idle, idle_holds_silently, what_is_held_gets_its_interval, "deadlock");
twin!(idle, idle_takes_the_new_for_unused, what_is_held_gets_its_interval, "let go at once");
twin!(idle, idle_releases_what_is_not_held, what_is_held_gets_its_interval, "nothing was held");
twin!(idle, idle_releases_what_is_used, what_is_used_is_kept, "it was let go at once");
twin!(idle, idle_does_not_see_use, what_is_used_is_kept, "in which it was used");
twin!(idle, idle_ends_silently, the_end_comes, "deadlock");
twin!(idle, idle_releases_twice, the_end_comes, "let go twice");
