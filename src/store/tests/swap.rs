//! A compacted copy takes the place of the data file, while everyone goes on.

use std::{
    env, fs,
    io::ErrorKind,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use super::{
    super::{
        CompactCopy, Generations, ReadTables, Store, StoreOptions, Table, WriteKind, WriteTables,
        failpoint::{self, Point},
        open::briefly,
    },
    Ends, open, open_with, options,
};
use crate::{
    coord::generation::enter,
    error::{Error, Result},
    options::Durability,
    sync::{Arc, AtomicBool, AtomicU64, Ordering},
};

/// Where a child process finds the map.
const CHILD_PATH: &str = "OOCMAP_TEST_SWAP_PATH";

/// A copy of the newest version, on the disk.
pub(super) fn copy(store: &Arc<Store>) -> Result<CompactCopy> {
    let mut copy = CompactCopy::begin(store.snapshot()?, &mut briefly())?;
    while !copy.step()?.is_complete {}
    copy.sync()?;
    Ok(copy)
}

/// Lets a copy catch up and puts it in the place of the file, for one who has the right to vacuum.
pub(super) fn publish(store: &Arc<Store>, mut copy: CompactCopy) -> Result<u64> {
    copy.catch_up(store.snapshot()?, &mut || Ok(()))?;
    store.lock_writer(&mut briefly())?;
    let published = (|| {
        let writer = store.begin_write(WriteKind::Normal, None)?;
        let changes = copy.catch_up(store.snapshot()?, &mut || Ok(()))?;
        copy.sync()?;
        store.publish(copy, writer, &mut briefly()).map(|()| changes)
    })();
    store.unlock_writer();
    published
}

/// Puts a compacted copy in the place of the file.
pub(super) fn compact(store: &Arc<Store>) -> Result<()> {
    assert!(store.try_lock_vacuum()?);
    let published = copy(store).and_then(|copy| publish(store, copy));
    store.unlock_vacuum();
    published.map(|_| ())
}

/// Begins a swap and dies in the middle of it, as far as the files tell.
fn die_swapping(store: &Arc<Store>) {
    let file = copy(store).unwrap().close().unwrap();
    store.sequence().fetch_or(1, Ordering::SeqCst);
    std::mem::forget(file);
}

pub(super) fn add(generations: &Generations) -> u64 {
    let store = generations.current();
    store.lock_writer(&mut briefly()).unwrap();
    let next = add_one(generations);
    store.unlock_writer();
    next
}

fn add_one(generations: &Generations) -> u64 {
    let mut writer = generations.begin_write(WriteKind::Normal, None).unwrap();
    let next = number(&writer) + 1;
    writer.put(Table::Entries, b"number", &next.to_be_bytes()).unwrap();
    writer.commit(Durability::NoMetaSync).unwrap();
    next
}

pub(super) fn number(tables: &impl ReadTables) -> u64 {
    let stored = tables.get(Table::Entries, b"number").unwrap();
    stored.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
}

/// What lies in a directory, in order.
pub(super) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What lies beside a map that is open, and nothing else.
pub(super) fn usual_names(path: &Path) -> Vec<String> {
    let inode = fs::metadata(path).unwrap().ino();
    let mut names = vec!["m.ooc".into(), format!("m.ooc-{inode:x}-lock"), "m.ooc-lock".into()];
    names.sort();
    names
}

/// Opens a map that nobody has open, and checks that nothing unusual is left beside it.
pub(super) fn open_tidied(path: &Path) -> Arc<Store> {
    let mut store = open(path);
    // The thread that lets go of unused versions may have had the last share of a generation, for a moment more.
    for _ in 0..200 {
        if names(path.parent().unwrap()) == usual_names(path) {
            break;
        }
        drop(store);
        thread::sleep(Duration::from_millis(10));
        store = open(path);
    }
    assert_eq!(names(path.parent().unwrap()), usual_names(path));
    store
}

fn new_map() -> (tempfile::TempDir, PathBuf, Generations) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let generations = Generations::open(&path, &options(), &mut briefly()).unwrap();
    (directory, path, generations)
}

#[test]
fn nothing_that_was_committed_is_lost_when_files_are_swapped() {
    let (_directory, path, generations) = new_map();
    let (added, acknowledged, ended) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(Ordering::SeqCst) {
                    let number = add(&generations);
                    added.fetch_add(1, Ordering::SeqCst);
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
        scope.spawn(|| {
            let _ends = Ends(&ended);
            for _ in 0..20 {
                let store = generations.snapshot().unwrap().store().clone();
                compact(&store).unwrap();
            }
        });
    });
    let last = acknowledged.load(Ordering::SeqCst);
    assert_eq!(last, added.load(Ordering::SeqCst), "a number was given twice");
    assert!(last >= 20, "{last} commits");
    assert_eq!(number(&generations.snapshot().unwrap()), last);
    drop(generations);
    assert_eq!(number(&open_tidied(&path).snapshot().unwrap()), last);
}

#[test]
fn a_snapshot_of_the_old_file_stays() {
    let (_directory, path, generations) = new_map();
    assert_eq!(add(&generations), 1);
    let old = generations.snapshot().unwrap();
    compact(&generations.current()).unwrap();
    assert!(!old.is_newest());
    assert_eq!(add(&generations), 2);
    assert_ne!(old.store().identity(), generations.current().identity());
    assert_eq!((number(&old), number(&generations.snapshot().unwrap())), (1, 2));
    // Its lock file stays too, and goes when the next one opens the map.
    assert_eq!(names(path.parent().unwrap()).len(), 4);
    compact(&generations.current()).unwrap();
    assert_eq!(number(&old), 1);
    drop((old, generations));
    open_tidied(&path);
}

#[test]
fn a_swap_whose_process_died_is_ended_by_the_next_one() {
    let (_directory, path, generations) = new_map();
    add(&generations);
    die_swapping(&generations.current());
    assert!(path.with_extension("ooc-vac").exists());
    assert!(!generations.current().is_current());
    assert_eq!(number(&generations.snapshot().unwrap()), 1);
    assert!(generations.current().is_current());
    assert!(!path.with_extension("ooc-vac").exists());
    assert_eq!(add(&generations), 2);
    // And also when nobody is left who could see it.
    die_swapping(&generations.current());
    drop(generations);
    assert_eq!(number(&open(&path).snapshot().unwrap()), 2);
    assert!(!path.with_extension("ooc-vac").exists());
}

#[test]
fn what_is_written_while_the_copy_is_made_is_in_it() {
    let (_directory, path, generations) = new_map();
    let store = generations.current();
    let mut writer = generations.begin_write(WriteKind::Normal, None).unwrap();
    for number in 0..20_000_u32 {
        writer.put(Table::Objects, &number.to_be_bytes(), &[1; 50]).unwrap();
    }
    writer.commit(Durability::Sync).unwrap();
    assert!(store.try_lock_vacuum().unwrap());
    let mut copy = CompactCopy::begin(store.snapshot().unwrap(), &mut briefly()).unwrap();
    let mut steps = 0_u32;
    loop {
        let progress = copy.step().unwrap();
        let mut writer = generations.begin_write(WriteKind::Normal, None).unwrap();
        writer.put(Table::Objects, &steps.to_be_bytes(), &[2; 3000]).unwrap();
        writer.delete(Table::Objects, &(19_000 + steps).to_be_bytes()).unwrap();
        writer.put(Table::Shared, &steps.to_be_bytes(), &[3; 9000]).unwrap();
        writer.put(Table::Header, b"state", &steps.to_be_bytes()).unwrap();
        writer.commit(Durability::Sync).unwrap();
        steps += 1;
        assert_eq!(progress.is_complete, progress.copied == progress.total);
        if progress.is_complete {
            break;
        }
    }
    assert!(steps > 3, "{steps} steps");
    assert_eq!(add(&generations), 1);
    let changes = copy.catch_up(store.snapshot().unwrap(), &mut || Ok(())).unwrap();
    assert_eq!(changes, u64::from(3 * steps) + 2);
    assert_eq!(add(&generations), 2);
    assert_eq!(publish(&store, copy).unwrap(), 0, "all was caught up with before the writers had to wait");
    store.unlock_vacuum();
    for snapshot in [generations.snapshot().unwrap(), {
        drop((store, generations));
        open(&path).snapshot().unwrap()
    }] {
        assert_eq!(number(&snapshot), 2);
        assert_eq!(snapshot.len(Table::Objects).unwrap(), u64::from(20_000 - steps));
        assert_eq!(snapshot.len(Table::Shared).unwrap(), u64::from(steps));
        assert_eq!(snapshot.get(Table::Header, b"state").unwrap(), Some(&(steps - 1).to_be_bytes()[..]));
        for step in 0..steps {
            assert_eq!(snapshot.get(Table::Objects, &step.to_be_bytes()).unwrap(), Some(&[2; 3000][..]));
            assert_eq!(snapshot.get(Table::Objects, &(19_000 + step).to_be_bytes()).unwrap(), None);
        }
    }
}

#[test]
#[ignore = "started by another_process_writes_meanwhile"]
fn child_adds() {
    let Ok(path) = env::var(CHILD_PATH) else { return };
    let generations = Generations::open(Path::new(&path), &options(), &mut briefly()).unwrap();
    for _ in 0..300 {
        // Only LMDB's mutex keeps it from the swapper: it waits there while the file is replaced.
        add_one(&generations);
    }
}

#[test]
fn another_process_writes_meanwhile() {
    let (_directory, path, generations) = new_map();
    assert_eq!(add(&generations), 1);
    let old = generations.snapshot().unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "store::tests::swap::child_adds", "--ignored"])
        .env(CHILD_PATH, &path)
        .spawn()
        .unwrap();
    let mut swaps = 0;
    let status = loop {
        let store = generations.snapshot().unwrap().store().clone();
        compact(&store).unwrap();
        swaps += 1;
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
    };
    assert!(status.success());
    assert!(swaps > 3, "{swaps} swaps");
    assert_eq!((number(&old), number(&generations.snapshot().unwrap())), (1, 301));
}

/// Whoever begins may be overtaken by a swap between the look at the number and LMDB's answer.
#[test]
fn what_was_begun_on_a_file_that_was_replaced_meanwhile_does_not_count() {
    let (_directory, _path, generations) = new_map();
    add(&generations);
    let first = generations.current();
    let mut is_swapped = false;
    let entered = enter(
        first.sequence(),
        || (generations.current(), generations.current().seen()),
        |store| {
            if !std::mem::replace(&mut is_swapped, true) {
                compact(store)?;
                add(&generations);
            }
            store.snapshot()
        },
        || generations.snapshot().map(|_| ()),
    );
    let (store, snapshot) = entered.unwrap();
    assert_ne!(store.identity(), first.identity());
    assert_eq!(number(&snapshot), 2);
}

#[test]
fn the_directory_is_on_the_disk_before_anyone_goes_on() {
    let (_directory, _path, generations) = new_map();
    add(&generations);
    let store = generations.current();
    let before = store.seen();
    failpoint::take_done();
    compact(&store).unwrap();
    let done = failpoint::take_done();
    let swap = done.iter().position(|(point, _)| *point == Point::Odd).unwrap();
    assert_eq!(
        done[swap..],
        [
            (Point::Odd, before + 1),
            (Point::Renamed, before + 1),
            (Point::DirectorySyncing, before + 1),
            (Point::Synced, 0),
            (Point::DirectorySynced, before + 1),
            (Point::Even, before + 2),
            (Point::Cleaned, before + 2),
        ]
    );
    // Someone else ends the swap of one who died.
    let store = generations.snapshot().unwrap().store().clone();
    store.sequence().fetch_or(1, Ordering::SeqCst);
    assert_eq!(number(&generations.snapshot().unwrap()), 1);
    let done = failpoint::take_done();
    assert!(
        done.ends_with(&[
            (Point::DirectorySyncing, before + 3),
            (Point::Synced, 0),
            (Point::DirectorySynced, before + 3),
        ]),
        "{done:?}"
    );
    assert_eq!(store.sequence().load(Ordering::SeqCst), before + 4);
}

#[test]
fn while_the_directory_can_not_be_synced_nobody_goes_on() {
    let (_directory, path, generations) = new_map();
    add(&generations);
    let store = generations.current();
    failpoint::refuse(Point::DirectorySyncing, libc::EIO);
    let refused = compact(&store).unwrap_err();
    assert!(matches!(&refused, Error::Io { source, .. } if source.raw_os_error() == Some(libc::EIO)));
    // The new file is there, and neither reads nor writes get to it.
    assert_ne!(fs::metadata(&path).unwrap().ino(), store.identity().1);
    failpoint::refuse(Point::DirectorySyncing, libc::EIO);
    assert!(generations.snapshot().is_err());
    failpoint::refuse(Point::DirectorySyncing, libc::EIO);
    assert!(generations.begin_write(WriteKind::Normal, None).is_err());
    assert_eq!(add(&generations), 2);
    assert_eq!(generations.current().identity().1, fs::metadata(&path).unwrap().ino());
}

#[test]
fn a_file_that_can_not_be_replaced_is_left_alone() {
    let (_directory, path, generations) = new_map();
    add(&generations);
    let store = generations.current();
    let kind = |result: Result<()>| match result.unwrap_err() {
        Error::Io { source, .. } => source.kind(),
        other => panic!("{other:?}"),
    };
    let other = path.with_extension("other");
    fs::hard_link(&path, &other).unwrap();
    assert_eq!(kind(compact(&store)), ErrorKind::Unsupported);
    fs::remove_file(&other).unwrap();
    // Given another name when the copy is there already.
    let copied = copy(&store).unwrap();
    fs::hard_link(&path, &other).unwrap();
    assert_eq!(kind(publish(&store, copied).map(|_| ())), ErrorKind::Unsupported);
    fs::remove_file(&other).unwrap();
    // Replaced by somebody else.
    let copied = copy(&store).unwrap();
    fs::rename(&path, &other).unwrap();
    assert_eq!(kind(publish(&store, copied).map(|_| ())), ErrorKind::NotFound);
    fs::copy(&other, &path).unwrap();
    assert_eq!(kind(compact(&store)), ErrorKind::ResourceBusy);
    fs::rename(&other, &path).unwrap();
    // An older version.
    assert!(store.try_lock_vacuum().unwrap());
    let copied = copy(&store).unwrap();
    add(&generations);
    let writer = store.begin_write(WriteKind::Normal, None).unwrap();
    assert!(matches!(store.publish(copied, writer, &mut briefly()), Err(Error::Transaction(_))));
    store.unlock_vacuum();
    assert_eq!(names(path.parent().unwrap()), usual_names(&path));
    compact(&store).unwrap();
    assert_eq!(number(&generations.snapshot().unwrap()), 2);
    assert!(compact(&store).is_err(), "it is not the current generation any more");
}

/// One who is killed while opening leaves a name of the file, which later nobody would look for, with all its space.
#[test]
fn names_that_an_opener_left_go_before_the_file_is_replaced() {
    let (_directory, path, generations) = new_map();
    let store = generations.current();
    let alias = store.control().unwrap().alias(store.identity().1, 0);
    fs::hard_link(&path, &alias).unwrap();
    let copied = copy(&store).unwrap();
    fs::hard_link(&path, &alias).unwrap();
    publish(&store, copied).unwrap();
    assert!(!alias.exists());
    drop((store, generations));
    open_tidied(&path);
}

#[test]
fn without_hard_links_nothing_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    // The name leaves no room for that of a link.
    let path = directory.path().join("m".repeat(245));
    let store = open(&path);
    assert!(!store.control().unwrap().is_linked());
    assert!(store.try_lock_vacuum().unwrap());
    assert!(!store.try_lock_vacuum().unwrap());
    let refused = copy(&store).map(|_| ());
    assert!(
        matches!(&refused, Err(Error::Io { source, .. }) if source.kind() == ErrorKind::Unsupported),
        "{refused:?}"
    );
    store.unlock_vacuum();
    assert!(store.try_lock_vacuum().unwrap());
    store.unlock_vacuum();
    assert_eq!(names(directory.path()).len(), 2);
}

#[test]
fn the_mode_is_kept_and_so_is_a_cap() {
    let (_directory, path, generations) = new_map();
    add(&generations);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    compact(&generations.current()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    drop(generations);
    let capped = StoreOptions { max_size: Some(256 << 10), ..options() };
    let store = open_with(&path, &capped).unwrap();
    let mut writer = store.begin_write(WriteKind::Normal, Some(256 << 10)).unwrap();
    let filled = (0..100_u8).try_for_each(|key| writer.put(Table::Entries, &[key], &[0; 4000]));
    assert!(matches!(filled, Err(Error::MapFull { .. })), "{filled:?}");
}

#[test]
fn one_vacuums_at_a_time() {
    let (_directory, path, generations) = new_map();
    let store = generations.current();
    assert!(store.try_lock_vacuum().unwrap());
    assert!(!store.try_lock_vacuum().unwrap(), "another thread");
    let child = || {
        Command::new(env::current_exe().unwrap())
            .args(["--exact", "store::tests::swap::child_vacuums", "--ignored"])
            .env(CHILD_PATH, &path)
            .output()
            .unwrap()
            .status
            .success()
    };
    fs::write(path.with_extension("ooc-vac"), b"a copy that is being made").unwrap();
    assert!(!child(), "another process");
    assert!(path.with_extension("ooc-vac").exists(), "it was taken for a dead one's");
    store.unlock_vacuum();
    assert!(child());
    assert!(!path.with_extension("ooc-vac").exists());
}

#[test]
#[ignore = "started by one_vacuums_at_a_time"]
fn child_vacuums() {
    let Ok(path) = env::var(CHILD_PATH) else { return };
    assert!(open(Path::new(&path)).try_lock_vacuum().unwrap());
}
