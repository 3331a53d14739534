//! No two values for a key exist at once, and whoever wants one gets one.

use std::{sync::Arc, time::Duration};

use loom::thread;
use oocmap_loom_tests::{sync, twin};
use sync::Mutex;

#[path = "../../src/coord/gate.rs"]
#[allow(dead_code, reason = "it has models of its own")]
mod gate;
#[path = "../../src/coord/registry.rs"]
mod registry;

const FOR_EVER: Duration = Duration::MAX;

/// A value for a key. It exists from when it is made until it is wholly ended, which is some time after the last user
/// has left.
#[derive(Debug)]
struct Value {
    users: Mutex<usize>,
}

/// How many values for the key exist.
#[derive(Debug, Default)]
struct Existing(Mutex<usize>);

impl Existing {
    fn make(&self) -> Arc<Value> {
        let mut existing = self.0.lock();
        *existing += 1;
        assert_eq!(*existing, 1, "two exist at once");
        Arc::new(Value { users: Mutex::new(1) })
    }

    fn end(&self) {
        *self.0.lock() -= 1;
    }
}

/// Becomes one of the users, as long as there is one.
fn share(value: &Arc<Value>) -> Option<Arc<Value>> {
    let mut users = value.users.lock();
    if *users == 0 {
        return None;
    }
    *users += 1;
    Some(Arc::clone(value))
}

/// Whether that was the last user, who has to end the value.
fn is_unused(value: &Value) -> bool {
    let mut users = value.users.lock();
    *users -= 1;
    *users == 0
}

/// Looks at all interleavings with at most three preemptions, which is where the bugs are.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// The models, for the registry of one module.
macro_rules! models {
    ($module:ident) => {
        use super::{Arc, Existing, FOR_EVER, Value, explore, gate::Wait, is_unused, share, thread};
        use $module::{Found, Registry};

        const KEY: u8 = 1;

        /// What the threads share.
        #[derive(Default)]
        struct Process {
            registry: Registry<u8, Arc<Value>>,
            existing: Existing,
        }

        #[allow(dead_code, reason = "each twin is put to one model")]
        impl Process {
            fn open(&self) -> Arc<Value> {
                match self.registry.find(&KEY, share, || Wait::For(FOR_EVER)) {
                    Some(Found::Shared(value)) => value,
                    Some(Found::Absent) => {
                        let value = self.existing.make();
                        self.registry.made(&KEY, Arc::clone(&value));
                        value
                    }
                    None => panic!("no one gave up"),
                }
            }

            fn close(&self, value: &Value) {
                assert_eq!(*self.existing.0.lock(), 1, "it is used after its end");
                if is_unused(value) {
                    self.existing.end();
                    self.registry.gone(&KEY);
                }
            }
        }

        /// Three open and close.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn one_exists_at_a_time() {
            explore(|| {
                let process = Arc::new(Process::default());
                let others = [(); 2].map(|()| {
                    let process = Arc::clone(&process);
                    thread::spawn(move || process.close(&process.open()))
                });
                process.close(&process.open());
                for other in others {
                    other.join().unwrap();
                }
                assert_eq!(*process.existing.0.lock(), 0);
            });
        }

        /// Two open, and neither closes before both have it.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn all_share_one() {
            explore(|| {
                let process = Arc::new(Process::default());
                let other = {
                    let process = Arc::clone(&process);
                    thread::spawn(move || process.open())
                };
                let value = process.open();
                let same = other.join().unwrap();
                assert!(Arc::ptr_eq(&value, &same));
                process.close(&value);
                process.close(&same);
            });
        }

        /// Someone fails to make it: another does it.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn who_fails_holds_up_no_one() {
            explore(|| {
                let process = Arc::new(Process::default());
                let clumsy = {
                    let process = Arc::clone(&process);
                    thread::spawn(move || match process.registry.find(&KEY, share, || Wait::For(FOR_EVER)) {
                        Some(Found::Shared(value)) => process.close(&value),
                        Some(Found::Absent) => process.registry.gone(&KEY),
                        None => panic!("no one gave up"),
                    })
                };
                process.close(&process.open());
                clumsy.join().unwrap();
            });
        }

        /// Who gives up gets nothing and leaves all as it was; other keys are not concerned.
        #[allow(dead_code, reason = "each twin is put to one model")]
        pub(super) fn keys_do_not_wait_for_each_other() {
            loom::model(|| {
                let process = Process::default();
                let find = |key| process.registry.find(&key, share, || Wait::GiveUp);
                assert!(matches!(find(KEY), Some(Found::Absent)), "another key was in the way");
                assert!(find(KEY).is_none(), "two make it at once");
                assert!(matches!(find(2), Some(Found::Absent)), "another key was in the way");
                process.registry.gone(&2);
                assert!(find(KEY).is_none(), "the place was taken away");

                let value = process.existing.make();
                process.registry.made(&KEY, Arc::clone(&value));
                assert!(matches!(find(KEY), Some(Found::Shared(_))));
                assert!(!is_unused(&value));
                assert!(is_unused(&value));
                assert!(find(KEY).is_none(), "it is not gone yet");
                process.registry.gone(&KEY);
                assert!(matches!(find(KEY), Some(Found::Absent)));
            });
        }
    };
}

mod sound {
    use super::registry;
    models!(registry);
}

#[test]
fn one_exists_at_a_time() {
    sound::one_exists_at_a_time();
}

#[test]
fn all_share_one() {
    sound::all_share_one();
}

#[test]
fn who_fails_holds_up_no_one() {
    sound::who_fails_holds_up_no_one();
}

#[test]
fn keys_do_not_wait_for_each_other() {
    sound::keys_do_not_wait_for_each_other();
}

twin!(registry, registry_lets_two_make, one_exists_at_a_time, "two exist at once", beside gate);
twin!(registry, registry_replaces_what_is_ending, one_exists_at_a_time, "two exist at once", beside gate);
twin!(registry, registry_ends_silently, one_exists_at_a_time, "deadlock", beside gate);
twin!(registry, registry_looks_only_before_asking, one_exists_at_a_time, "deadlock", beside gate);
twin!(registry, registry_makes_silently, all_share_one, "deadlock", beside gate);
twin!(registry, registry_mixes_up_keys, keys_do_not_wait_for_each_other, "another key was in the way", beside gate);
twin!(registry, registry_ends_others, keys_do_not_wait_for_each_other, "the place was taken away", beside gate);
