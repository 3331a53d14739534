//! Small writes of threads that wait together are committed together, and each happens or not for itself.

#![allow(clippy::unwrap_used, clippy::cast_possible_wrap, reason = "a panic is how a test fails")]

use std::{
    path::Path,
    sync::{Barrier, Mutex},
    thread,
    time::Duration,
};

use oocmap::{
    Draft, Durability, EntryKey, Environment, Error, Options, Patience, Room, Scalar, Value, ValueRef,
};

const THREADS: usize = 8;
const TURNS: usize = 40;

fn open(directory: &Path, options: &Options) -> Environment {
    Environment::open(&directory.join("m.ooc"), options).unwrap()
}

fn key(text: &str) -> EntryKey {
    EntryKey::new(&text.into()).unwrap()
}

fn number(number: i64) -> Draft {
    Draft::scalar(&Scalar::Int(number))
}

fn put(environment: &Environment, name: &str, value: i64) -> Result<bool, Error> {
    let key = key(name);
    environment.update(Room::Bytes(100), &mut Patience::new(None), |scope| scope.put(&key, number(value)))
}

fn get(environment: &Environment, name: &str) -> Option<Value> {
    let read = environment.read().unwrap();
    read.get(&name.into()).unwrap().map(|value| value.to_value().unwrap())
}

/// Lets all threads begin each turn at once.
fn together(work: impl Fn(usize, usize) + Sync) {
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                for turn in 0..TURNS {
                    barrier.wait();
                    work(number, turn);
                }
            });
        }
    });
}

#[test]
fn those_who_wait_together_share_a_commit() {
    let directory = tempfile::tempdir().unwrap();
    let environment = open(directory.path(), &Options::default());
    together(|number, turn| {
        assert!(put(&environment, &format!("{number} {turn}"), turn as i64).unwrap());
    });
    let version = environment.read().unwrap().version();
    assert!((TURNS as u64..=(TURNS * THREADS * 3 / 4) as u64).contains(&version), "{version} commits");
    for number in 0..THREADS {
        for turn in 0..TURNS {
            assert_eq!(get(&environment, &format!("{number} {turn}")), Some(Value::from(turn as i64)));
        }
    }
    assert_eq!(environment.read().unwrap().check(&mut |_, _| true).unwrap(), []);
}

/// Each commit expects those of the last one again: a thread less with every turn, and in the end one alone.
#[test]
fn those_who_stay_away_hold_up_no_one() {
    let directory = tempfile::tempdir().unwrap();
    let environment = open(directory.path(), &Options::default());
    thread::scope(|scope| {
        for number in 0..THREADS {
            let environment = &environment;
            scope.spawn(move || {
                for turn in 0..TURNS * (number + 1) {
                    assert!(put(environment, &format!("{number} {turn}"), turn as i64).unwrap());
                }
            });
        }
    });
    for number in 0..THREADS {
        let last = TURNS * (number + 1) - 1;
        assert_eq!(get(&environment, &format!("{number} {last}")), Some(Value::from(last as i64)));
    }
    let alone = environment.read().unwrap().version();
    for turn in 0..TURNS {
        assert!(put(&environment, &format!("alone {turn}"), 0).unwrap());
    }
    assert_eq!(environment.read().unwrap().version(), alone + TURNS as u64, "each is a commit of its own");
}

#[test]
fn none_is_lost_and_none_is_done_twice() {
    let directory = tempfile::tempdir().unwrap();
    let environment = open(directory.path(), &Options::default());
    put(&environment, "sum", 0).unwrap();
    let sum = key("sum");
    together(|_, _| {
        environment
            .update(Room::Bytes(100), &mut Patience::new(None), |scope| {
                let Some(oocmap::Copied::Scalar(encoded)) = scope.get(sum.ordered())? else { panic!() };
                let Scalar::Int(before) = Scalar::decode(&encoded)? else { panic!() };
                scope.put(&sum, number(before + 1))
            })
            .unwrap();
    });
    assert_eq!(get(&environment, "sum"), Some(Value::from((THREADS * TURNS) as i64)));
}

#[test]
fn one_that_fails_takes_nothing_else_back() {
    let directory = tempfile::tempdir().unwrap();
    let environment = open(directory.path(), &Options::default());
    together(|number, turn| {
        let name = format!("{number} {turn}");
        let key = key(&name);
        let result = environment.update(Room::Unknown, &mut Patience::new(None), |scope| {
            scope.put(&key, self::number(turn as i64))?;
            if number == 3 { Err(Error::Unsupported("on purpose".into())) } else { Ok(()) }
        });
        assert_eq!(result.is_err(), number == 3);
        assert_eq!(get(&environment, &name).is_some(), number != 3);
    });
    assert_eq!(environment.read().unwrap().len().unwrap(), (TURNS * (THREADS - 1)) as u64);
}

#[test]
fn one_that_does_not_fit_takes_nothing_else_back() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { max_size: Some(2 << 20), ..Options::default() };
    let environment = open(directory.path(), &options);
    let large = key("large");
    together(|number, turn| {
        if number == 3 {
            let result = environment.update(Room::Unknown, &mut Patience::new(None), |scope| {
                scope.put(&large, Draft::scalar(&Scalar::Bytes(vec![7; 4 << 20].into())))
            });
            assert!(matches!(result, Err(Error::MapFull { .. })), "{result:?}");
        } else {
            put(&environment, &format!("{number} {turn}"), turn as i64).unwrap();
        }
    });
    assert_eq!(environment.read().unwrap().len().unwrap(), (TURNS * (THREADS - 1)) as u64);
    assert_eq!(get(&environment, "large"), None);
}

#[test]
fn a_panic_reaches_one_caller_as_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let environment = open(directory.path(), &Options::default());
    together(|number, turn| {
        let result = environment.update(Room::Unknown, &mut Patience::new(None), |scope| {
            assert!(number != 3, "on purpose");
            scope.put(&key(&format!("{number} {turn}")), self::number(0))
        });
        assert_eq!(matches!(result, Err(Error::Transaction(_))), number == 3);
    });
    assert_eq!(environment.read().unwrap().len().unwrap(), (TURNS * (THREADS - 1)) as u64);
}

#[test]
fn who_has_no_patience_is_done_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let environment = open(directory.path(), &Options::default());
    let done = Mutex::new(Vec::new());
    together(|number, turn| {
        let name = format!("{number} {turn}");
        let limit = Duration::from_micros((number * 150) as u64);
        let key = key(&name);
        match environment
            .update(Room::Unknown, &mut Patience::new(Some(limit)), |scope| scope.put(&key, self::number(0)))
        {
            Ok(is_new) => {
                assert!(is_new);
                done.lock().unwrap().push(name);
            }
            Err(error) => {
                assert!(matches!(error, Error::LockTimeout(_)), "{error}");
                assert_eq!(get(&environment, &name), None);
            }
        }
    });
    let done = done.into_inner().unwrap();
    assert_eq!(environment.read().unwrap().len().unwrap(), done.len() as u64);
}

#[test]
fn deferred_writes_are_read_at_once_and_committed_once() {
    let directory = tempfile::tempdir().unwrap();
    let deferred = Options {
        durability: Durability::Deferred,
        flush_interval: Duration::from_hours(1),
        ..Options::default()
    };
    let environment = open(directory.path(), &deferred);
    let before = environment.read().unwrap().version();
    for turn in 0..100 {
        put(&environment, &format!("{turn}"), turn).unwrap();
    }
    assert!(environment.has_deferred());
    let read = environment.read().unwrap();
    assert_eq!((read.version(), read.len().unwrap()), (before + 1, 100));
    assert!(!environment.has_deferred());
    let value = read.get(&"7".into()).unwrap();
    assert!(matches!(value, Some(ValueRef::Leaf(_))));
}

#[test]
fn a_deferred_write_does_not_wait_for_its_own_thread() {
    let directory = tempfile::tempdir().unwrap();
    let deferred = Options { durability: Durability::Deferred, ..Options::default() };
    let environment = open(directory.path(), &deferred);
    put(&environment, "before", 0).unwrap();
    let mut write = environment.write().unwrap();
    write.put(&"inside".into(), &Value::from(1)).unwrap();
    assert!(matches!(put(&environment, "waiting", 2), Err(Error::Transaction(_))));
    write.commit().unwrap();
    put(&environment, "after", 3).unwrap();
    assert_eq!(environment.read().unwrap().len().unwrap(), 3);
}
