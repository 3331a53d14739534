//! A process that is killed at any step of a swap leaves a map that all others go on with.

use std::{
    env, fs,
    os::unix::{fs::MetadataExt, process::ExitStatusExt},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use super::{
    super::{
        Generations, ReadTables, Table, WriteKind, WriteTables,
        failpoint::{DIES_AT, Point},
        open::briefly,
    },
    Ends, options,
    swap::{add, compact, number, open_tidied},
};
use crate::{
    options::Durability,
    sync::{AtomicBool, AtomicU64, Ordering},
};

/// Where a child process finds the map.
const CHILD_PATH: &str = "OOCMAP_TEST_CRASH_PATH";
const OBJECTS: u32 = 4000;

fn check_objects(tables: &impl ReadTables) {
    assert_eq!(tables.len(Table::Objects).unwrap(), u64::from(OBJECTS));
    for object in (0..OBJECTS).step_by(97) {
        let value = tables.get(Table::Objects, &object.to_be_bytes()).unwrap();
        assert_eq!(value, Some(&[object as u8; 150][..]));
    }
}

#[test]
#[ignore = "started by what_a_dead_swapper_leaves_harms_nobody"]
fn child_compacts() {
    let Ok(path) = env::var(CHILD_PATH) else { return };
    let generations = Generations::open(Path::new(&path), &options(), &mut briefly()).unwrap();
    compact(&generations.current()).unwrap();
}

/// Kills a swapper at a step while this process reads, writes and has an old snapshot.
fn kill_at(point: Point) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let generations = Generations::open(&path, &options(), &mut briefly()).unwrap();
    let mut writer = generations.begin_write(WriteKind::Normal, None).unwrap();
    for object in 0..OBJECTS {
        writer.put(Table::Objects, &object.to_be_bytes(), &[object as u8; 150]).unwrap();
    }
    writer.commit(Durability::Sync).unwrap();
    assert_eq!(add(&generations), 1);
    let old = generations.snapshot().unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    let (acknowledged, ended) = (AtomicU64::new(1), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                let number = add(&generations);
                assert_eq!(number, acknowledged.fetch_add(1, Ordering::SeqCst) + 1, "at {point:?}");
            }
        });
        scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                assert_eq!(number(&old), 1);
                let least = acknowledged.load(Ordering::SeqCst);
                let snapshot = generations.snapshot().unwrap();
                assert!(number(&snapshot) >= least, "at {point:?}");
                check_objects(&snapshot);
                thread::sleep(Duration::from_millis(1));
            }
        });
        let ends = Ends(&ended);
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", "store::tests::crash::child_compacts", "--ignored"])
            .env(CHILD_PATH, &path)
            .env(DIES_AT, format!("{point:?}"))
            .output()
            .unwrap();
        let then = acknowledged.load(Ordering::SeqCst);
        let begun = std::time::Instant::now();
        while acknowledged.load(Ordering::SeqCst) < then + 5 && begun.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(1));
        }
        drop(ends);
        assert_eq!(output.status.signal(), Some(libc::SIGKILL), "at {point:?}: {output:?}");
        assert!(acknowledged.load(Ordering::SeqCst) >= then + 5, "nobody goes on after {point:?}");
    });
    let is_replaced = fs::metadata(&path).unwrap().ino() != inode;
    let renamed =
        [Point::Renamed, Point::DirectorySyncing, Point::DirectorySynced, Point::Even, Point::Cleaned];
    assert_eq!(is_replaced, renamed.contains(&point), "at {point:?}");
    let last = acknowledged.load(Ordering::SeqCst);
    assert_eq!((number(&old), add(&generations)), (1, last + 1), "at {point:?}");
    check_objects(&old);
    drop((old, generations));
    println!("{point:?}");
    let store = open_tidied(&path);
    let snapshot = store.snapshot().unwrap();
    assert_eq!(number(&snapshot), last + 1);
    check_objects(&snapshot);
}

#[test]
fn what_a_dead_swapper_leaves_harms_nobody() {
    for point in Point::ALL {
        kill_at(point);
    }
}
