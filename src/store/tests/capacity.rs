//! A file with a largest size: full is an error that deleting gets one out of.

use super::{
    super::{ReadTables, Store, StoreOptions, Table, WriteKind, WriteTables},
    Model, check_whole, open, open_with, options,
};
use crate::{error::Error, sync::Arc};

fn put(store: &Arc<Store>, number: u32, value: &[u8]) -> Result<(), Error> {
    let mut writer = store.begin_write(WriteKind::Normal, store.max_size())?;
    writer.put(Table::Entries, &number.to_be_bytes(), value)?;
    writer.commit(crate::options::Durability::Sync)
}

fn delete(store: &Arc<Store>, number: u32) -> bool {
    let mut writer = store.begin_write(WriteKind::Freeing, store.max_size()).unwrap();
    let deleted = writer.delete(Table::Entries, &number.to_be_bytes()).unwrap();
    writer.commit(crate::options::Durability::Sync).unwrap();
    deleted
}

fn fill_and_empty(max_size: u64, len: usize) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let store = open_with(&path, &StoreOptions { max_size: Some(max_size), ..options() }).unwrap();
    let mut model = Model::new();
    for turn in 0..3_u8 {
        let value = vec![turn; len];
        let mut number = model.len() as u32;
        let full = loop {
            match put(&store, number, &value) {
                Ok(()) => model.insert(number.to_be_bytes().to_vec(), value.clone()),
                Err(error) => break error,
            };
            number += 1;
        };
        assert!(matches!(full, Error::MapFull { max_size: told } if told == max_size), "{full}");
        assert!(model.len() as u64 * len as u64 > max_size / 4, "{} entries fill the file", model.len());
        assert!(store.stats().unwrap().file_size <= max_size);
        let snapshot = store.snapshot().unwrap();
        check_whole(&snapshot, Table::Entries, &model);
        // A pinned version keeps its pages, so it lasts through one deletion here, for which LMDB gets
        // another mapping.
        assert!(delete(&store, 0));
        check_whole(&snapshot, Table::Entries, &model);
        drop(snapshot);
        model.remove(&0_u32.to_be_bytes()[..]);
        for number in 1..number {
            assert!(delete(&store, number), "turn {turn}, entry {number}");
            model.remove(&number.to_be_bytes()[..]);
        }
        assert!(store.stats().unwrap().file_size <= max_size);
        check_whole(&store.snapshot().unwrap(), Table::Entries, &model);
        // Pages become free for use two commits after they became unused.
        for _ in 0..2 {
            assert!(!delete(&store, 0));
            put(&store, 0, b"").unwrap();
            assert!(delete(&store, 0));
        }
    }
}

#[test]
fn a_full_file_of_small_values_can_be_emptied_and_filled_again() {
    fill_and_empty(256 << 10, 100);
}

#[test]
fn a_full_file_of_large_values_can_be_emptied_and_filled_again() {
    fill_and_empty(1 << 20, 9000);
}

#[test]
fn a_change_that_does_not_fit_ends_the_transaction_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let store = open_with(&path, &StoreOptions { max_size: Some(256 << 10), ..options() }).unwrap();
    put(&store, 1, b"one").unwrap();
    let mut writer = store.begin_write(WriteKind::Normal, store.max_size()).unwrap();
    assert!(matches!(writer.put(Table::Entries, b"large", &vec![0; 1 << 20]), Err(Error::MapFull { .. })));
    assert!(matches!(writer.put(Table::Entries, b"small", b""), Err(Error::Transaction(_))));
    assert!(matches!(writer.commit(crate::options::Durability::Sync), Err(Error::Transaction(_))));
    put(&store, 2, b"two").unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.get(Table::Entries, b"large").unwrap(), None);
    assert_eq!(snapshot.len(Table::Entries).unwrap(), 2);
}

#[test]
fn a_file_larger_than_its_new_limit_is_readable_and_can_be_emptied() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let store = open(&path);
    let mut model = Model::new();
    for number in 0..200_u32 {
        put(&store, number, &[9; 4000]).unwrap();
        model.insert(number.to_be_bytes().to_vec(), vec![9; 4000]);
    }
    drop(store);
    let store = open_with(&path, &StoreOptions { max_size: Some(256 << 10), ..options() }).unwrap();
    check_whole(&store.snapshot().unwrap(), Table::Entries, &model);
    for number in 0..200 {
        assert!(delete(&store, number));
    }
    put(&store, 0, b"again").unwrap();
    assert_eq!(store.snapshot().unwrap().len(Table::Entries).unwrap(), 1);
}

#[test]
fn a_limit_that_is_too_small_is_refused_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let result = open_with(&path, &StoreOptions { max_size: Some((256 << 10) - 1), ..options() });
    assert!(matches!(result, Err(Error::InvalidOption(_))));
    assert!(!path.exists());
}

#[test]
fn unused_bytes_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    for number in 0..50 {
        put(&store, number, &[1; 8000]).unwrap();
    }
    let before = store.stats().unwrap();
    let mut writer = store.begin_write(WriteKind::Freeing, store.max_size()).unwrap();
    writer.clear(Table::Entries).unwrap();
    writer.commit(crate::options::Durability::Sync).unwrap();
    let after = store.stats().unwrap();
    assert!(after.free_bytes >= before.free_bytes + 50 * 8000, "{before:?} {after:?}");
    assert!(after.free_bytes < after.file_size);
    assert_eq!(u64::from(after.page_size), after.file_size / (after.file_size / u64::from(after.page_size)));
}
