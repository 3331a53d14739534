//! A copy that is being made is compact, and when it fails or is dropped nothing has happened.

use std::{env, fs, path::Path, process::Command};

use super::{
    super::{
        CompactCopy, Direction, Generations, ReadTables, Store, Table, WriteKind, WriteTables,
        failpoint::{self, Point},
        open::briefly,
    },
    Model, Random, check_whole, open, options,
    swap::{compact, copy, names, publish, usual_names},
};
use crate::{error::Error, options::Durability, sync::Arc};

fn fill(store: &Arc<Store>, entries: &Model) {
    let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
    for (key, value) in entries {
        assert!(writer.append(Table::Objects, key, value).unwrap());
    }
    writer.commit(Durability::Sync).unwrap();
}

#[test]
fn after_many_deletions_the_file_is_as_small_as_one_that_was_just_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let generations = Generations::open(&path, &options(), &mut briefly()).unwrap();
    let mut random = Random::seeded(17);
    let mut model = Model::new();
    let mut writer = generations.begin_write(WriteKind::Normal, None).unwrap();
    while model.len() < 50_000 {
        let len = 10 + random.below(40);
        let (key, value) = (random.next().to_be_bytes(), random.bytes(len));
        writer.put(Table::Objects, &key, &value).unwrap();
        model.insert(key.to_vec(), value);
    }
    writer.commit(Durability::Sync).unwrap();
    let mut writer = generations.begin_write(WriteKind::Freeing, None).unwrap();
    model.retain(|key, _| {
        let is_kept = random.below(10) == 0;
        assert!(is_kept || writer.delete(Table::Objects, key).unwrap());
        is_kept
    });
    writer.commit(Durability::Sync).unwrap();
    let before = fs::metadata(&path).unwrap().len();
    compact(&generations.current()).unwrap();
    let snapshot = generations.snapshot().unwrap();
    check_whole(&snapshot, Table::Objects, &model);

    let fresh = directory.path().join("fresh.ooc");
    fill(&open(&fresh), &model);
    let (compacted, fresh) = (fs::metadata(&path).unwrap().len(), fs::metadata(&fresh).unwrap().len());
    assert!(compacted * 10 <= fresh * 11, "{before} bytes became {compacted}, of which {fresh} would do");
}

/// A map with several pieces of entries, and what it holds.
fn example(directory: &Path) -> (Generations, Model) {
    let generations = Generations::open(&directory.join("m.ooc"), &options(), &mut briefly()).unwrap();
    let mut random = Random::seeded(19);
    let model: Model = (0..400).map(|_| (random.key(), random.value())).collect();
    fill(&generations.current(), &model);
    (generations, model)
}

fn check_unchanged(directory: &Path, generations: &Generations, model: &Model) {
    assert_eq!(names(directory), usual_names(&directory.join("m.ooc")));
    check_whole(&generations.snapshot().unwrap(), Table::Objects, model);
    // And nothing keeps the next one from it.
    compact(&generations.current()).unwrap();
    check_whole(&generations.snapshot().unwrap(), Table::Objects, model);
}

#[test]
fn a_copy_that_is_given_up_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (generations, model) = example(directory.path());
    let store = generations.current();
    let mut copy = CompactCopy::begin(store.snapshot().unwrap(), &mut briefly()).unwrap();
    assert!(!copy.step().unwrap().is_complete);
    assert!(matches!(copy.sync(), Err(Error::Transaction(_))), "it is not complete");
    assert!(matches!(copy.step(), Err(Error::Transaction(_))), "a step has failed");
    assert!(directory.path().join("m.ooc-vac").exists());
    drop(copy);
    check_unchanged(directory.path(), &generations, &model);
}

#[test]
fn one_that_was_told_to_stop_can_not_be_used() {
    let directory = tempfile::tempdir().unwrap();
    let (generations, mut model) = example(directory.path());
    let store = generations.current();
    let mut copied = copy(&store).unwrap();
    let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
    for key in 0..200_u8 {
        writer.put(Table::Objects, &[key, 0], &[key; 3000]).unwrap();
        model.insert(vec![key, 0], vec![key; 3000]);
    }
    writer.commit(Durability::Sync).unwrap();
    let mut asked = 0;
    let mut go_on = || {
        asked += 1;
        if asked > 1 { Err(Error::Interrupted) } else { Ok(()) }
    };
    let stopped = copied.catch_up(store.snapshot().unwrap(), &mut go_on);
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    // A part of what changed is in it, so that nothing tells what is missing.
    assert!(matches!(publish(&store, copied), Err(Error::Transaction(_))));
    check_unchanged(directory.path(), &generations, &model);
}

#[test]
fn a_failure_at_any_step_leaves_the_map_as_it_was() {
    for point in [Point::CopyBegun, Point::CopyHalfDone, Point::CopySynced, Point::BeforeGate, Point::Odd] {
        let directory = tempfile::tempdir().unwrap();
        let (generations, model) = example(directory.path());
        failpoint::refuse(point, libc::ENOSPC);
        let failed = compact(&generations.current()).unwrap_err();
        assert!(
            matches!(&failed, Error::Io { source, .. } if source.raw_os_error() == Some(libc::ENOSPC)),
            "{failed}"
        );
        check_unchanged(directory.path(), &generations, &model);
    }
}

#[test]
fn what_lies_there_of_a_dead_vacuum_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (generations, model) = example(directory.path());
    fs::write(directory.path().join("m.ooc-vac"), b"half a copy").unwrap();
    compact(&generations.current()).unwrap();
    check_whole(&generations.snapshot().unwrap(), Table::Objects, &model);
    assert!(!directory.path().join("m.ooc-vac").exists());
}

/// In a fork of a process that made a copy, heed takes the environment of that name for open for ever.
#[test]
fn an_environment_that_was_inherited_takes_no_name_away() {
    let directory = tempfile::tempdir().unwrap();
    let (generations, model) = example(directory.path());
    let store = generations.current();
    let mut inherited = CompactCopy::begin(store.snapshot().unwrap(), &mut briefly()).unwrap();
    inherited.step().unwrap();
    std::mem::forget(inherited);
    let second = copy(&store).unwrap();
    assert!(directory.path().join("m.ooc-vac").exists());
    assert!(!directory.path().join("m.ooc-vac+1").exists());
    publish(&store, second).unwrap();
    check_whole(&generations.snapshot().unwrap(), Table::Objects, &model);
    assert!(!directory.path().join("m.ooc-vac").exists());
}

const CHILD_PATH: &str = "OOCMAP_TEST_LIMIT_PATH";

/// A process whose files may only have so many bytes meets the end of them at ever other places of a copy.
#[test]
#[ignore = "started by a_disk_that_is_full_leaves_the_map_as_it_was"]
#[expect(unsafe_code, reason = "the standard library sets no limits")]
fn child_compacts_within_limits() {
    let Ok(path) = env::var(CHILD_PATH) else { return };
    let (generations, model) = example(Path::new(&path));
    // SAFETY: the signal is one that may be ignored.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    let limit = |bytes: u64| {
        let limit = libc::rlimit { rlim_cur: bytes, ..unlimited };
        // SAFETY: the limit is a whole `rlimit` that is only read.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
    };
    let mut failures = 0;
    for bytes in (0..40).map(|step| step * 40_000) {
        limit(bytes);
        let failed = copy(&generations.current()).err();
        limit(libc::RLIM_INFINITY);
        assert_eq!(names(Path::new(&path)), usual_names(&Path::new(&path).join("m.ooc")));
        match failed {
            Some(Error::Io { .. }) => failures += 1,
            Some(other) => panic!("{other:?}"),
            None => break,
        }
    }
    assert!(failures > 5, "{failures} failures");
    check_unchanged(Path::new(&path), &generations, &model);
}

#[test]
fn a_disk_that_is_full_leaves_the_map_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "store::tests::copy::child_compacts_within_limits", "--ignored"])
        .env(CHILD_PATH, directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn every_table_is_copied_in_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let (generations, _) = example(directory.path());
    let mut random = Random::seeded(23);
    let mut writer = generations.begin_write(WriteKind::Normal, None).unwrap();
    let mut models = vec![(Table::Header, Model::new())];
    models[0].1.insert(super::HEADER.0.to_vec(), super::HEADER.1.to_vec());
    for table in [Table::Header, Table::Entries, Table::Symbols, Table::Shared] {
        let mut model =
            models.pop_if(|(known, _)| *known == table).map_or_else(Model::new, |(_, model)| model);
        for _ in 0..random.below(300) {
            let (key, value) = (random.key(), random.value());
            writer.put(table, &key, &value).unwrap();
            model.insert(key, value);
        }
        models.push((table, model));
    }
    writer.commit(Durability::Sync).unwrap();
    compact(&generations.current()).unwrap();
    let snapshot = generations.snapshot().unwrap();
    for (table, model) in &models {
        check_whole(&snapshot, *table, model);
    }
    let first = snapshot.seek(Table::Header, std::ops::Bound::Unbounded, Direction::Forward).unwrap();
    assert!(first.is_some());
}
