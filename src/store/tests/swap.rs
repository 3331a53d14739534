//! A compacted copy takes the place of the data file, while everyone goes on.

use std::{fs, path::Path, thread};

use heed::{CommitOrAbort, CompactionOption, EnvFlags, EnvOpenOptions, types::Bytes};

use super::{
    super::{Generations, ReadTables, Store, Table, WriteKind, WriteTables, open::briefly},
    open, options,
};
use crate::{
    coord::generation::swap,
    options::Durability,
    sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering},
};

/// Puts a compacted copy in the place of the file, unless the swapper dies before that with the number odd.
fn compact(store: &Arc<Store>, path: &Path, dies: bool) {
    let copy = path.with_extension("ooc-vac");
    store.lock_writer(&mut briefly()).unwrap();
    let writer = store.begin_write(WriteKind::Normal, None).unwrap();
    store.environment().env().copy_to_path(&copy, CompactionOption::Enabled).unwrap();
    // Both meta pages have to be good before anyone sees the file.
    let mut env_options = EnvOpenOptions::new();
    env_options.max_dbs(8);
    // SAFETY: the flag gives up nothing.
    unsafe { env_options.flags(EnvFlags::NO_SUB_DIR) };
    // SAFETY: nobody else knows of the file.
    let env = unsafe { env_options.open(&copy) }.unwrap();
    let txn = env.write_txn().unwrap();
    env.create_databases_and_commit(txn, |opener, txn| {
        let header = opener.create_database::<Bytes, Bytes>(txn, None)?;
        header.put(txn, b"swapped", b"")?;
        heed::Result::Ok(CommitOrAbort::<_, ()>::Commit(()))
    })
    .unwrap()
    .unwrap_commit();
    drop(env);
    fs::remove_file(path.with_extension("ooc-vac-lock")).unwrap();
    let control = store.control().unwrap();
    let gate = control.gate(&mut briefly()).unwrap();
    if dies {
        control.sequence().fetch_or(1, Ordering::SeqCst);
    } else {
        swap(control.sequence(), || fs::rename(&copy, path)).unwrap();
    }
    drop(gate);
    writer.abort();
    store.unlock_writer();
}

fn add(generations: &Generations, turn: &Mutex<()>) -> u64 {
    let _turn = turn.lock();
    let store = generations.current();
    store.lock_writer(&mut briefly()).unwrap();
    let mut writer = generations.begin_write(WriteKind::Normal, None).unwrap();
    let next = number(&writer) + 1;
    writer.put(Table::Entries, b"number", &next.to_be_bytes()).unwrap();
    writer.commit(Durability::NoMetaSync).unwrap();
    store.unlock_writer();
    next
}

fn number(tables: &impl ReadTables) -> u64 {
    let stored = tables.get(Table::Entries, b"number").unwrap();
    stored.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
}

#[test]
fn nothing_that_was_committed_is_lost_when_files_are_swapped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let generations = Generations::open(&path, &options(), &mut briefly()).unwrap();
    let (turn, acknowledged, ended) = (Mutex::new(()), AtomicU64::new(0), AtomicBool::new(false));
    let swaps = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..300 {
                    let number = add(&generations, &turn);
                    acknowledged.fetch_max(number, Ordering::SeqCst);
                }
            });
        }
        scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                let least = acknowledged.load(Ordering::SeqCst);
                let snapshot = generations.snapshot().unwrap();
                let first = number(&snapshot);
                assert!(first >= least, "{first} was read after {least} had been committed");
                thread::yield_now();
                assert_eq!(number(&snapshot), first);
            }
        });
        let swapper = scope.spawn(|| {
            let mut swaps = 0;
            while acknowledged.load(Ordering::SeqCst) < 600 {
                let _turn = turn.lock();
                let store = generations.snapshot().unwrap().store().clone();
                compact(&store, &path, false);
                swaps += 1;
            }
            ended.store(true, Ordering::SeqCst);
            swaps
        });
        swapper.join().unwrap()
    });
    assert!(swaps > 3, "{swaps} swaps");
    assert_eq!(number(&generations.snapshot().unwrap()), 600);
    drop(generations);
    assert_eq!(number(&open(&path).snapshot().unwrap()), 600);
}

#[test]
fn a_snapshot_of_the_old_file_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let generations = Generations::open(&path, &options(), &mut briefly()).unwrap();
    let turn = Mutex::new(());
    assert_eq!(add(&generations, &turn), 1);
    let old = generations.snapshot().unwrap();
    compact(&generations.current(), &path, false);
    assert!(!old.is_newest());
    assert_eq!(add(&generations, &turn), 2);
    assert_ne!(old.store().identity(), generations.current().identity());
    assert_eq!((number(&old), number(&generations.snapshot().unwrap())), (1, 2));
}

#[test]
fn a_swap_whose_process_died_is_ended_by_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let generations = Generations::open(&path, &options(), &mut briefly()).unwrap();
    let turn = Mutex::new(());
    add(&generations, &turn);
    compact(&generations.current(), &path, true);
    assert!(path.with_extension("ooc-vac").exists());
    assert!(!generations.current().is_current());
    assert_eq!(number(&generations.snapshot().unwrap()), 1);
    assert!(generations.current().is_current());
    assert!(!path.with_extension("ooc-vac").exists());
    assert_eq!(add(&generations, &turn), 2);
    // And also when nobody is left who could see it.
    compact(&generations.current(), &path, true);
    drop(generations);
    assert_eq!(number(&open(&path).snapshot().unwrap()), 2);
    assert!(!path.with_extension("ooc-vac").exists());
}
