//! A version that someone has pinned can be pinned by others, and never one that nobody has.

use super::{
    super::{ReadTables, Snapshot, Store, Table, WriteKind, WriteTables, open::briefly},
    open,
};
use crate::{error::Error, options::Durability, sync::Arc};

fn put(store: &Arc<Store>, value: u64) {
    store.lock_writer(&mut briefly()).unwrap();
    let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
    for key in 0..50_u64 {
        writer.put(Table::Entries, &key.to_be_bytes(), &[value as u8; 500]).unwrap();
    }
    writer.commit(Durability::NoMetaSync).unwrap();
    store.unlock_writer();
}

fn assert_whole(snapshot: &Snapshot, value: u64) {
    for key in 0..50_u64 {
        let stored = snapshot.get(Table::Entries, &key.to_be_bytes()).unwrap();
        assert_eq!(stored, Some(&[value as u8; 500][..]));
    }
}

/// The first of two versions, while someone writes the third.
fn behind_a_writer() -> (tempfile::TempDir, Arc<Store>, Snapshot) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    put(&store, 1);
    let first = store.snapshot().unwrap();
    put(&store, 2);
    store.lock_writer(&mut briefly()).unwrap();
    (directory, store, first)
}

/// All entries of a version have one value.
fn assert_whole_entry(snapshot: &Snapshot) {
    let value = snapshot.get(Table::Entries, &0_u64.to_be_bytes()).unwrap().unwrap()[0];
    assert_whole(snapshot, u64::from(value));
}

fn versions_behind(store: &Arc<Store>) -> Vec<u64> {
    store.stats().unwrap().readers.iter().map(|reader| reader.behind).collect()
}

#[test]
fn a_version_is_followed_as_long_as_someone_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    put(&store, 1);
    let first = store.snapshot().unwrap();
    let (page, _) = first.origin();
    for value in 2..100 {
        put(&store, value);
    }
    let second = Snapshot::follow(&store, page).unwrap();
    drop(first);
    let third = Snapshot::follow(&store, page).unwrap();
    drop(second);
    for value in 100..200 {
        put(&store, value);
    }
    assert_whole(&third, 1);
    assert_eq!(versions_behind(&store), [198]);
    drop(third);
    assert!(matches!(Snapshot::follow(&store, page), Err(Error::SnapshotExpired)));
    assert!(versions_behind(&store).is_empty());
    assert_whole(&store.snapshot().unwrap(), 199);
}

#[test]
fn a_slot_is_kept_until_the_writer_has_passed_it() {
    let (_directory, store, first) = behind_a_writer();
    let (page, _) = first.origin();
    drop(first);
    // The writer may be looking at the slots now, so it still counts, and can be had again.
    assert_eq!(versions_behind(&store), [1]);
    let again = Snapshot::follow(&store, page).unwrap();
    assert_whole(&again, 1);
    drop(again);
    assert_eq!(versions_behind(&store), [1]);
    store.unlock_writer();
    assert!(versions_behind(&store).is_empty());
    assert!(matches!(Snapshot::follow(&store, page), Err(Error::SnapshotExpired)));
}

#[test]
fn a_slot_that_the_writer_may_not_see_keeps_nothing_for_others() {
    let (_directory, store, first) = behind_a_writer();
    let (page, _) = first.origin();
    // It went to the version of the first one while the writer may have been looking at the slots.
    let second = Snapshot::follow(&store, page).unwrap();
    drop(second);
    drop(first);
    assert!(store.pins_for_sure(1), "the slot that the writer sees is gone");
    store.unlock_writer();
    assert!(versions_behind(&store).is_empty());
}

#[test]
fn a_process_that_does_nothing_else_lets_go() {
    let (_directory, store, first) = behind_a_writer();
    drop(first);
    assert!(!store.tidy());
    // As if it were another process that wrote.
    store.control().unwrap().unlock_writer();
    let begun = std::time::Instant::now();
    while store.lingers() {
        assert!(begun.elapsed() < std::time::Duration::from_mins(1), "nobody lets go of it");
        std::thread::yield_now();
    }
}

#[test]
fn slots_are_not_mixed_up_between_threads() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    put(&store, 1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..3000 {
                    let snapshot = store.snapshot().unwrap();
                    let (page, _) = snapshot.origin();
                    let again = Snapshot::follow(&store, page).unwrap();
                    drop(snapshot);
                    assert_whole_entry(&again);
                }
            });
        }
        for value in 2..60 {
            put(&store, value);
        }
    });
    assert!(versions_behind(&store).is_empty());
}

#[test]
fn what_is_read_tells_who_and_for_how_long() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    let snapshot = store.snapshot().unwrap();
    let readers = store.stats().unwrap().readers;
    let [reader] = readers.as_slice() else { panic!("{readers:?}") };
    assert_eq!((reader.process, reader.behind), (std::process::id(), 0));
    let before = reader.age.unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2));
    assert!(store.stats().unwrap().readers[0].age.unwrap() > before);
    drop(snapshot);
}
