//! A write transaction happens wholly or not at all, and one at a time, among threads and among processes.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use oocmap::{Environment, Error, Key, Options, Patience, Room, Value};
use tempfile::TempDir;

fn open(path: &Path, lock_timeout: Option<Duration>) -> Environment {
    Environment::open(path, &Options { lock_timeout, ..Options::default() }).unwrap()
}

fn new_map() -> (TempDir, PathBuf, Environment) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let environment = open(&path, None);
    (directory, path, environment)
}

fn value(environment: &Environment, key: &str) -> Option<Value> {
    let read = environment.read().unwrap();
    read.get(&Key::from(key)).unwrap().map(|value| value.to_value().unwrap())
}

fn put(environment: &Environment, key: &str, value: i64) {
    let mut write = environment.write().unwrap();
    write.put(&key.into(), &value.into()).unwrap();
    write.commit().unwrap();
}

#[test]
fn a_commit_is_seen_and_nothing_before_it() {
    let (_directory, _, environment) = new_map();
    let mut write = environment.write().unwrap();
    assert!(write.put(&"a".into(), &1.into()).unwrap());
    assert!(!write.put(&"a".into(), &2.into()).unwrap(), "the key was there already");
    assert_eq!(
        write.get(&"a".into()).unwrap().unwrap().to_value().unwrap(),
        2.into(),
        "by the transaction itself"
    );
    assert_eq!(value(&environment, "a"), None);
    write.commit().unwrap();
    assert_eq!(value(&environment, "a"), Some(2.into()));
}

#[test]
fn what_is_aborted_or_dropped_never_happened() {
    let (_directory, _, environment) = new_map();
    put(&environment, "a", 1);
    for aborted in [true, false] {
        let mut write = environment.write().unwrap();
        write.put(&"a".into(), &2.into()).unwrap();
        write.put(&"b".into(), &2.into()).unwrap();
        if aborted {
            write.abort();
        } else {
            drop(write);
        }
        assert_eq!(value(&environment, "a"), Some(1.into()));
        assert_eq!(value(&environment, "b"), None);
    }
    let mut write = environment.write().unwrap();
    write.clear().unwrap();
    assert!(write.is_empty().unwrap());
    write.abort();
    assert_eq!(environment.read().unwrap().len().unwrap(), 1);
}

#[test]
fn an_update_that_fails_changes_nothing() {
    let (_directory, _, environment) = new_map();
    let failed = environment.update(Room::Unknown, &mut Patience::new(None), |scope| {
        scope.put(&oocmap::EntryKey::new(&"a".into())?, Value::from(1).draft()?)?;
        Err::<(), _>(Error::Unsupported("no".into()))
    });
    assert!(matches!(failed, Err(Error::Unsupported(_))));
    assert_eq!(value(&environment, "a"), None);
    put(&environment, "a", 2);
}

#[test]
fn a_nested_transaction_rolls_back_alone() {
    let (_directory, _, environment) = new_map();
    let mut write = environment.write().unwrap();
    write.put(&"outer".into(), &1.into()).unwrap();
    let failed = write.nested(|write| {
        write.put(&"outer".into(), &2.into())?;
        write.put(&"inner".into(), &2.into())?;
        write.nested(|write| write.put(&"innermost".into(), &3.into()))?;
        Err::<(), _>(Error::Unsupported("no".into()))
    });
    assert!(matches!(failed, Err(Error::Unsupported(_))));
    write.nested(|write| write.put(&"kept".into(), &4.into())).unwrap();
    write.commit().unwrap();
    assert_eq!(value(&environment, "outer"), Some(1.into()));
    assert_eq!(value(&environment, "inner"), None);
    assert_eq!(value(&environment, "innermost"), None);
    assert_eq!(value(&environment, "kept"), Some(4.into()));
}

#[test]
fn a_second_transaction_of_one_thread_is_refused() {
    let (_directory, path, environment) = new_map();
    let write = environment.write().unwrap();
    assert!(matches!(environment.write(), Err(Error::Transaction(_))));
    assert!(matches!(open(&path, None).write(), Err(Error::Transaction(_))), "through another handle");
    let update = environment.update(Room::Unknown, &mut Patience::new(None), |_| Ok(()));
    assert!(matches!(update, Err(Error::Transaction(_))));
    drop(write);
    put(&environment, "a", 1);
}

#[test]
fn another_thread_waits_for_its_turn() {
    let (_directory, _, environment) = new_map();
    let mut write = environment.write().unwrap();
    let (sender, receiver) = mpsc::channel();
    let other = {
        let environment = environment.clone();
        thread::spawn(move || {
            let mut write = environment.write().unwrap();
            sender.send(()).unwrap();
            let seen = write.get(&"a".into()).unwrap().unwrap().to_value().unwrap();
            write.put(&"b".into(), &seen).unwrap();
            write.commit().unwrap();
        })
    };
    assert!(receiver.recv_timeout(Duration::from_millis(100)).is_err(), "it is still waiting");
    write.put(&"a".into(), &1.into()).unwrap();
    write.commit().unwrap();
    other.join().unwrap();
    assert_eq!(value(&environment, "b"), Some(1.into()), "it saw what the first one committed");
}

#[test]
fn increments_from_many_threads_all_count() {
    let (_directory, _, environment) = new_map();
    put(&environment, "n", 0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let mut write = environment.write().unwrap();
                    let old = write.get(&"n".into()).unwrap().unwrap().to_value().unwrap();
                    let Value::Scalar(oocmap::Scalar::Int(old)) = old else { panic!("{old:?}") };
                    write.put(&"n".into(), &(old + 1).into()).unwrap();
                    write.commit().unwrap();
                }
            });
        }
    });
    assert_eq!(value(&environment, "n"), Some(100.into()));
}

#[test]
fn patience_ends_with_its_limit() {
    let (_directory, path, environment) = new_map();
    let write = environment.write().unwrap();
    let limit = Duration::from_millis(80);
    let waited = thread::spawn(move || {
        let begun = Instant::now();
        let refused = open(&path, Some(limit)).write().err().unwrap();
        assert!(matches!(refused, Error::LockTimeout(waited) if waited == limit), "{refused}");
        begun.elapsed()
    });
    let waited = waited.join().unwrap();
    assert!(waited >= limit, "{waited:?}");
    drop(write);
    put(&environment, "a", 1);
}

#[test]
fn waiting_can_be_called_off() {
    let (_directory, _, environment) = new_map();
    let write = environment.write().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut asked = 0;
            let mut interrupted = || {
                asked += 1;
                asked == 3
            };
            let mut patience = Patience::new(None).until(&mut interrupted);
            let update = environment.update(Room::Unknown, &mut patience, |_| Ok(()));
            assert!(matches!(update, Err(Error::Interrupted)));
            assert_eq!(asked, 3);
        });
    });
    drop(write);
    put(&environment, "a", 1);
}

#[test]
fn two_handles_of_one_path_are_one_map() {
    let (directory, path, environment) = new_map();
    let again = open(&path, None);
    let detour =
        directory.path().join(".").join("..").join(directory.path().file_name().unwrap()).join("m.ooc");
    let third = open(&detour, None);
    assert!(environment.is_same(&again) && environment.is_same(&third));
    put(&again, "a", 1);
    drop(again);
    assert_eq!(value(&environment, "a"), Some(1.into()));
    assert_eq!(value(&third, "a"), Some(1.into()));
    let other = open(&directory.path().join("other.ooc"), None);
    assert!(!environment.is_same(&other));
}

#[test]
fn a_map_that_is_read_only_takes_no_writes() {
    let (_directory, path, environment) = new_map();
    put(&environment, "a", 1);
    let readonly = Environment::open(&path, &Options { readonly: true, ..Options::default() }).unwrap();
    assert_eq!(value(&readonly, "a"), Some(1.into()));
    assert!(matches!(readonly.write(), Err(Error::ReadOnly(_))));
    let update = readonly.update(Room::Unknown, &mut Patience::new(None), |_| Ok(()));
    assert!(matches!(update, Err(Error::ReadOnly(_))));
    put(&environment, "b", 2);
    assert_eq!(value(&readonly, "b"), Some(2.into()));
}

#[test]
fn a_transaction_across_calls_is_ended_by_any_thread() {
    let (_directory, _, environment) = new_map();
    let key = oocmap::EntryKey::new(&"a".into()).unwrap();
    let write = environment.write_shared(&mut Patience::new(None)).unwrap();
    assert!(environment.participating().is_some());
    write.update(|scope| scope.put(&key, Value::from(1).draft()?)).unwrap();
    let nested = write.nest().unwrap();
    write.update(|scope| scope.put(&key, Value::from(2).draft()?)).unwrap();
    write.roll_back_nested(nested).unwrap();
    assert!(matches!(write.commit_nested(nested), Err(Error::TransactionClosed)));
    thread::scope(|scope| {
        scope.spawn(|| {
            assert!(environment.participating().is_none(), "it is another thread's");
            write.commit().unwrap();
        });
    });
    assert!(matches!(write.commit(), Err(Error::TransactionClosed)));
    assert!(environment.participating().is_none());
    assert_eq!(value(&environment, "a"), Some(1.into()));
    put(&environment, "a", 3);
}

/// Tells the child process which map it is to write to.
const CHILD: &str = "OOCMAP_TEST_CHILD";

#[test]
#[ignore = "started by the tests below"]
fn child() {
    let path = std::env::var_os(CHILD).unwrap();
    let environment = open(Path::new(&path), Some(Duration::from_secs(30)));
    for _ in 0..50 {
        increment(&environment);
    }
}

fn increment(environment: &Environment) {
    let mut write = environment.write().unwrap();
    let old = match write.get(&"n".into()).unwrap().map(|old| old.to_value().unwrap()) {
        Some(Value::Scalar(oocmap::Scalar::Int(old))) => old,
        _ => 0,
    };
    write.put(&"n".into(), &(old + 1).into()).unwrap();
    write.commit().unwrap();
}

fn spawn_child(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--test-threads=1"])
        .env(CHILD, path)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn two_processes_take_turns() {
    let (_directory, path, environment) = new_map();
    let before = environment.read().unwrap();
    let write = environment.write().unwrap();
    let mut child = spawn_child(&path);
    thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none(), "it waits for this process");
    assert_eq!(value(&environment, "n"), None);
    drop(write);
    for _ in 0..50 {
        increment(&environment);
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(value(&environment, "n"), Some(100.into()), "no increment was lost");
    assert!(before.is_empty().unwrap(), "a read transaction stays as it was");
}

#[test]
fn the_lock_of_a_killed_process_is_free() {
    let (_directory, path, environment) = new_map();
    let write = environment.write().unwrap();
    let mut child = spawn_child(&path);
    drop(write);
    let begun = Instant::now();
    while value(&environment, "n").is_none() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the child never began");
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    increment(&environment);
}
