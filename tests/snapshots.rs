//! A read transaction stays as it was, and versions are numbered by the commits that changed something.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    collections::BTreeSet,
    thread::{self, ScopedJoinHandle},
};

use oocmap::{Environment, Key, Options, ReadTransaction, Scalar, Span, Value};
use tempfile::TempDir;

fn new_map() -> (TempDir, Environment) {
    let directory = tempfile::tempdir().unwrap();
    let environment = Environment::open(&directory.path().join("m.ooc"), &Options::default()).unwrap();
    (directory, environment)
}

fn key(number: i64) -> Key<'static> {
    Key::Scalar(Scalar::Int(number))
}

/// All entries, in order.
fn contents(read: &ReadTransaction) -> Vec<(Key<'static>, Value)> {
    let mut scan = read.scan(Span::all(), false).unwrap();
    let mut entries = Vec::new();
    while let Some(entry) = scan.next(read).unwrap() {
        let key = entry.key().unwrap().into_owned();
        let value = read.get(&key).unwrap().unwrap().to_value().unwrap();
        entries.push((key, value));
    }
    assert_eq!(read.len().unwrap(), entries.len() as u64);
    entries
}

/// Nested, with a long text that is shared by all who have it, and different in every round.
fn value(round: i64, number: i64) -> Value {
    let text = format!("round {round} of all, ").repeat(20);
    Value::from_iter([("number", number.into()), ("text", Value::from(text.as_str()))])
}

#[test]
fn hundreds_of_commits_leave_a_read_transaction_alone() {
    let (_directory, environment) = new_map();
    let mut snapshots = Vec::new();
    for round in 0..300 {
        let mut write = environment.write().unwrap();
        if round % 50 == 49 {
            write.clear().unwrap();
        }
        for number in (round % 7..200).step_by(7) {
            if (round + number) % 5 == 0 {
                write.delete(&key(number)).unwrap();
            } else {
                write.put(&key(number), &value(round, number)).unwrap();
            }
        }
        write.commit().unwrap();
        if round % 60 == 0 {
            let read = environment.read().unwrap();
            let contents = contents(&read);
            assert!(!contents.is_empty());
            snapshots.push((read, contents));
        }
    }
    for (read, before) in &snapshots {
        assert_eq!(&contents(read), before, "version {}", read.version());
    }
    assert_ne!(contents(&environment.read().unwrap()), snapshots[4].1);
}

#[test]
fn readers_see_whole_commits_while_they_happen() {
    let (_directory, environment) = new_map();
    let put_all = |round| {
        let mut write = environment.write().unwrap();
        for number in 0..20 {
            write.put(&key(number), &value(round, 0)).unwrap();
        }
        write.commit().unwrap();
    };
    put_all(0);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut versions = BTreeSet::new();
                    while versions.len() < 20 {
                        let read = environment.current().unwrap();
                        let contents = contents(&read);
                        assert_eq!(contents.len(), 20);
                        assert!(
                            contents.iter().all(|(_, value)| *value == contents[0].1),
                            "all of one commit"
                        );
                        versions.insert(read.version());
                    }
                })
            })
            .collect();
        for round in 1.. {
            put_all(round);
            if readers.iter().all(ScopedJoinHandle::is_finished) {
                break;
            }
        }
    });
}

#[test]
fn only_a_commit_that_changes_something_makes_a_version() {
    let (_directory, environment) = new_map();
    let version = || environment.read().unwrap().version();
    assert_eq!(version(), 0);
    for expected in 1..=5 {
        let mut write = environment.write().unwrap();
        write.put(&key(1), &expected.into()).unwrap();
        write.put(&key(2), &expected.into()).unwrap();
        write.commit().unwrap();
        assert_eq!(version(), expected.cast_unsigned());

        environment.write().unwrap().commit().unwrap();
        let mut write = environment.write().unwrap();
        assert!(!write.delete(&key(3)).unwrap());
        write.commit().unwrap();
        let mut write = environment.write().unwrap();
        write.put(&key(3), &1.into()).unwrap();
        write.abort();
        assert_eq!(version(), expected.cast_unsigned(), "nothing was changed");
    }
}

#[test]
fn the_current_version_is_shared_until_another_is_committed() {
    let (_directory, environment) = new_map();
    let first = environment.current().unwrap();
    assert!(first.is_same(&environment.current().unwrap()));
    let mut write = environment.write().unwrap();
    write.put(&key(1), &1.into()).unwrap();
    assert_eq!(environment.current().unwrap().version(), first.version(), "nothing is committed yet");
    write.commit().unwrap();
    let second = environment.current().unwrap();
    assert!(!first.is_same(&second));
    assert_eq!((first.len().unwrap(), second.len().unwrap()), (0, 1));
}

#[test]
fn a_read_transaction_outlives_its_environment() {
    let (_directory, environment) = new_map();
    let mut write = environment.write().unwrap();
    write.put(&key(1), &value(1, 1)).unwrap();
    write.commit().unwrap();
    let read = environment.read().unwrap();
    drop(environment);
    assert_eq!(contents(&read), [(key(1), value(1, 1))]);
}
