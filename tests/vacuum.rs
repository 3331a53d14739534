//! A vacuum takes nothing away from those who read and write meanwhile, whatever their handles do.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use oocmap::{
    Change, ContainerView, Draft, Durability, Environment, Error, Hold, Key, Node, ObjectId, Options,
    ReadObjects, ReadTransaction, Reference, Value, ValueBuilder, ValueRef,
};

fn map() -> (tempfile::TempDir, Environment) {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { durability: Durability::NoMetaSync, ..Options::default() };
    let environment = Environment::open(&directory.path().join("x.ooc"), &options).unwrap();
    (directory, environment)
}

/// A small source of numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn key(&mut self) -> i64 {
        self.roll(KEYS as u64).cast_signed()
    }
}

fn root(read: &ReadTransaction, key: &Key<'_>) -> Option<Reference> {
    match read.get(key).unwrap()? {
        ValueRef::Object(reference) => Some(reference),
        ValueRef::Container(container) => container.reference(),
        _ => None,
    }
}

fn refer(reference: Reference, key: i64) -> Draft {
    let mut builder = ValueBuilder::new();
    let mut ordered = oocmap::KeyBytes::new();
    oocmap::encode_int(key, &mut ordered);
    let word = builder.object(reference, Some(ordered.as_slice().into())).unwrap();
    builder.finish(word)
}

/// A list that begins with a number of its own, with lists in it that do so too.
fn fresh(number: i64) -> Value {
    Value::List((0..4).map(|inner| Value::List(vec![Value::from(number * 10 + inner)])).collect())
}

/// All that the entries lead to, as the ids of objects and how long they are.
fn everything(read: &ReadTransaction, keys: i64) -> Vec<(ObjectId, u64)> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for key in 0..keys {
        let mut ordered = oocmap::KeyBytes::new();
        oocmap::encode_int(key, &mut ordered);
        let mut pending: Vec<_> = root(read, &key.into()).into_iter().collect();
        while let Some(reference) = pending.pop() {
            if !seen.insert(reference.id) {
                continue;
            }
            let view =
                read.object(reference.id, Some(&ordered)).unwrap().expect("what is referred to is there");
            let ContainerView::Record(held, list) = &view else { panic!("the lists are short") };
            let record = held.record().unwrap();
            found.push((reference.id, list.len() as u64));
            for index in 0..list.len() {
                match record.item(*list, index).unwrap() {
                    Node::Object(child) => pending.push(child),
                    Node::Container(child) => {
                        let id = ObjectId { record: record.id(), slot: child.slot().unwrap() };
                        pending.push(Reference { kind: child.kind, id });
                    }
                    _ => {}
                }
            }
        }
    }
    found
}

const KEYS: i64 = 12;

fn write(environment: &Environment, dice: &mut Dice, kept: &mut Vec<(Hold, Reference, i64)>, number: i64) {
    let (key, other) = (dice.key(), dice.key());
    let read = environment.read().unwrap();
    let found = root(&read, &other.into());
    drop(read);
    let result = (|| {
        let mut write = environment.write()?;
        match (dice.roll(8), found) {
            (0..2, _) | (_, None) => {
                write.put(&key.into(), &fresh(number))?;
            }
            (2, _) => {
                write.delete(&other.into())?;
            }
            (3, Some(found)) => {
                write.put_object(&key.into(), found, Some(&other.into()))?;
            }
            (4, Some(found)) => {
                // Another list, or the same, gets it as an element.
                let Some(into) = root(&environment.read()?, &key.into()) else { return Ok(()) };
                let changes = [Change::Splice { at: 0, remove: 1, insert: vec![refer(found, other)] }];
                write.change(into.id, Some(&key.into()), &changes)?;
            }
            (5, Some(found)) => {
                // One of its elements, by a handle that outlives it.
                let inner = ObjectId { slot: (found.id.slot + 1) % 4, ..found.id };
                let hold = environment.keep(inner);
                kept.push((hold, Reference { id: inner, ..found }, other));
                write.delete(&other.into())?;
            }
            (6, Some(found)) => {
                kept.push((environment.keep(found.id), found, other));
                write.delete(&other.into())?;
            }
            _ if !kept.is_empty() => {
                let (hold, reference, seen) = kept.swap_remove(dice.roll(kept.len() as u64) as usize);
                write.put_object(&key.into(), reference, Some(&seen.into()))?;
                drop(hold);
            }
            _ => {}
        }
        write.commit()
    })();
    match result {
        // Another thread deleted it, which a handle of this one did not keep it from in time.
        Ok(()) | Err(Error::Stale) => {}
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn nothing_is_lost_while_others_write_and_refer_to_things_again() {
    let (_directory, environment) = map();
    let (ended, vacuums, deleted) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let writers: Vec<_> = (1..=3)
            .map(|seed| {
                let environment = &environment;
                scope.spawn(move || {
                    let (mut dice, mut kept) = (Dice(0x9E37_79B9_7F4A_7C15 ^ seed), Vec::new());
                    for number in 0..1_500 {
                        write(environment, &mut dice, &mut kept, number);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                let read = environment.read().unwrap();
                let first = everything(&read, KEYS);
                thread::sleep(Duration::from_millis(3));
                assert_eq!(everything(&read, KEYS), first);
                let problems = read.check(&mut |_, _| true).unwrap();
                assert!(problems.is_empty(), "{problems:?}");
            }
        });
        scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                let vacuum = environment.vacuum(true).unwrap();
                if vacuums.load(Ordering::SeqCst) % 5 == 4 {
                    thread::sleep(Duration::from_millis(1));
                    vacuum.cancel();
                }
                match vacuum.wait(Duration::from_mins(1)).expect("it ends") {
                    Ok(vacuumed) => deleted.fetch_add(vacuumed.objects, Ordering::SeqCst),
                    Err(error) if matches!(*error, Error::Interrupted) => 0,
                    Err(error) => panic!("{error}"),
                };
                vacuums.fetch_add(1, Ordering::SeqCst);
            }
        });
        let written: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        ended.store(true, Ordering::SeqCst);
        assert!(written.iter().all(Result::is_ok), "a writer failed");
    });
    let (vacuums, deleted) = (vacuums.into_inner(), deleted.into_inner());
    assert!(vacuums > 5 && deleted > 100, "{vacuums} vacuums deleted {deleted} objects");
    for key in 0..KEYS {
        let mut write = environment.write().unwrap();
        write.delete(&key.into()).unwrap();
        write.commit().unwrap();
    }
    environment.vacuum(true).unwrap().wait(Duration::from_mins(1)).unwrap().unwrap();
    assert_eq!(environment.stats().unwrap().objects, 0, "all handles are gone");
    assert_eq!(environment.read().unwrap().check(&mut |_, _| true).unwrap(), []);
}

#[test]
fn a_long_list_goes_whole_however_often_the_sweep_stops() {
    let (_directory, environment) = map();
    let mut write = environment.write().unwrap();
    write.put(&"outer".into(), &Value::List(Vec::new())).unwrap();
    write.commit().unwrap();
    let outer = root(&environment.read().unwrap(), &"outer".into()).unwrap();
    // Only the outer list refers to it, which goes before it, and it takes many transactions.
    let long = Value::List((0..1_000_000).map(|n| Value::from(format!("{n:>32}").as_str())).collect());
    let mut write = environment.write().unwrap();
    let append = [Change::Append(vec![long.draft().unwrap()])];
    write.change(outer.id, Some(&"outer".into()), &append).unwrap();
    write.commit().unwrap();
    let mut write = environment.write().unwrap();
    write.put_object(&"alias".into(), outer, Some(&"outer".into())).unwrap();
    write.commit().unwrap();
    for key in ["outer", "alias"] {
        let mut write = environment.write().unwrap();
        assert!(write.delete(&key.into()).unwrap());
        write.commit().unwrap();
    }
    assert!(environment.stats().unwrap().objects > 1_000);
    let vacuumed = environment.vacuum(false).unwrap().wait(Duration::from_mins(1)).unwrap().unwrap();
    assert_eq!(vacuumed.objects, 2);
    assert_eq!(environment.read().unwrap().check(&mut |_, _| true).unwrap(), []);
    assert_eq!(environment.stats().unwrap().objects, 0);
}
