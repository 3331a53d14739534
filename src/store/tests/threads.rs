//! Threads read whole versions while another one commits.

use std::thread;

use super::{
    super::{ReadTables, Table, WriteKind, WriteTables},
    open,
};
use crate::{
    error::Error,
    sync::{AtomicBool, Ordering},
};

#[test]
fn snapshots_of_many_threads_are_whole() {
    const KEYS: u8 = 60;
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    let write = |number: u32| {
        let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
        for key in 1..=KEYS {
            let len = if key % 10 == 0 { 5000 } else { 100 };
            writer.put(Table::Objects, &[key; 50], &number.to_le_bytes().repeat(len / 4)).unwrap();
        }
        writer.commit(crate::options::Durability::Sync).unwrap();
    };
    write(0);
    let done = AtomicBool::new(false);
    let read = || {
        let snapshot = store.snapshot().unwrap();
        assert!(store.newest_txn_id() >= snapshot.txn_id());
        let first = snapshot.get(Table::Objects, &[1; 50]).unwrap().unwrap()[..4].to_vec();
        for key in 1..=KEYS {
            let value = snapshot.get(Table::Objects, &[key; 50]).unwrap().unwrap();
            assert!(value.chunks(4).all(|part| part == first), "a version is mixed");
        }
        u32::from_le_bytes(first.try_into().unwrap())
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut last = 0;
                loop {
                    let is_last = done.load(Ordering::Acquire);
                    let number = read();
                    assert!(number >= last, "a thread went back in time");
                    last = number;
                    if is_last {
                        assert_eq!(last, 400);
                        break;
                    }
                }
            });
        }
        for number in 1..=400 {
            write(number);
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(store.stats().unwrap().readers.len() as u32, 0);
}

#[test]
fn one_write_transaction_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    let writer = store.begin_write(WriteKind::Normal, None).unwrap();
    assert!(matches!(store.begin_write(WriteKind::Normal, None), Err(Error::Transaction(_))));
    drop(writer);
    let mut writer = store.begin_write(WriteKind::Freeing, None).unwrap();
    writer.put(Table::Entries, b"a", b"b").unwrap();
    drop(writer);
    let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
    assert_eq!(writer.get(Table::Entries, b"a").unwrap(), None);
    writer.put(Table::Entries, b"a", b"c").unwrap();
    writer.commit(crate::options::Durability::Sync).unwrap();
    assert_eq!(store.snapshot().unwrap().get(Table::Entries, b"a").unwrap(), Some(&b"c"[..]));
    store.sync().unwrap();
}

#[test]
fn snapshots_outlive_every_other_handle() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let store = open(&path);
    let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
    writer.put(Table::Entries, b"a", b"b").unwrap();
    writer.commit(crate::options::Durability::Sync).unwrap();
    let snapshot = store.snapshot().unwrap();
    drop(store);
    let snapshot = thread::spawn(move || {
        assert_eq!(snapshot.get(Table::Entries, b"a").unwrap(), Some(&b"b"[..]));
        snapshot
    });
    drop(snapshot.join().unwrap());
    // The last handle closed the file, or else it could not be opened a second time.
    assert_eq!(open(&path).snapshot().unwrap().get(Table::Entries, b"a").unwrap(), Some(&b"b"[..]));
}

#[test]
fn too_many_readers_are_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    let max_readers = store.stats().unwrap().max_readers;
    let mut snapshots: Vec<_> = (0..max_readers).map(|_| store.snapshot().unwrap()).collect();
    assert!(matches!(
        store.snapshot(),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::ResourceBusy
    ));
    snapshots.pop();
    assert_eq!(store.stats().unwrap().readers.len() as u32, max_readers - 1);
    drop(store.snapshot().unwrap());
}
