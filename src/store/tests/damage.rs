//! Damaged bytes give errors or other bytes, and never a crash, a hang or a panic.

use std::{collections::BTreeMap, fs, ops::Bound, path::Path};

use super::{
    super::{
        Direction, ReadTables, Snapshot, Table, WriteKind, WriteTables,
        free::{check_missing_pages, free_pages},
        lmdb::page_size,
        page::{META_BYTES, Meta},
        snapshot::read_trees,
        tree::{Pages, Walk},
    },
    Model, Random, check_whole, open, open_with, options,
};
use crate::error::{Error, Result};

/// Makes a file with trees of several levels, large values and a list of unused pages.
pub(super) fn make(path: &Path, random: &mut Random) -> Model {
    let store = open(path);
    let mut model = Model::new();
    for _ in 0..6 {
        let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
        for _ in 0..40 {
            let (key, value) = (random.key(), random.value());
            writer.put(Table::Entries, &key, &value).unwrap();
            model.insert(key, value);
        }
        let removed: Vec<_> = model.keys().take(12).cloned().collect();
        for key in removed {
            writer.delete(Table::Entries, &key).unwrap();
            model.remove(&key);
        }
        writer.commit(crate::options::Durability::Sync).unwrap();
    }
    model
}

/// Reads everything that can be reached from a meta page, and counts it.
fn read_all(pages: Pages<'_>, meta: &Meta, keys: &[Vec<u8>]) -> Result<usize> {
    let mut met = 0;
    for tree in read_trees(pages, meta)? {
        for direction in [Direction::Forward, Direction::Backward] {
            let mut walk = Walk::new(pages, &tree, Bound::Unbounded, Bound::Unbounded, direction)?;
            while let Some((key, value)) = walk.next(pages)? {
                met += 1 + usize::from(key.len() + value.len() > 1 << 30);
            }
            for key in keys {
                met += usize::from(pages.seek(&tree, Bound::Excluded(key), direction)?.is_some());
                met += usize::from(pages.get(&tree, key)?.is_some());
            }
        }
    }
    free_pages(pages, meta)?;
    check_missing_pages(pages, meta)?;
    Ok(met)
}

/// Reads everything from both meta pages of a file in memory, and says how many of the two were without
/// errors.
fn survivors(bytes: &[u8], keys: &[Vec<u8>]) -> usize {
    let page_size = page_size();
    [0, page_size]
        .into_iter()
        .filter_map(|at| bytes.get(at..)?.first_chunk::<META_BYTES>())
        .filter(|meta| {
            Meta::parse(meta)
                .and_then(|meta| read_all(Pages::in_memory(bytes, page_size), &meta, keys))
                .is_ok()
        })
        .count()
}

/// Damages a few bytes, some of them where it hurts.
pub(super) fn damage(bytes: &mut [u8], random: &mut Random) {
    let page_size = page_size();
    let pages = bytes.len() / page_size;
    for _ in 0..=random.below(4) {
        let page = random.below(pages) * page_size;
        let mut place = page + random.below(page_size);
        match random.below(6) {
            0 => bytes[place] ^= 1 << random.below(8),
            // The header and the offsets of a page.
            1 | 2 => {
                place = page + random.below(64);
                bytes[place] = random.next() as u8;
            }
            // One of the meta pages.
            3 => {
                place = random.below(2) * page_size + 16 + random.below(META_BYTES - 16);
                bytes[place] = [0, 1, 2, 0xff, random.next() as u8][random.below(5)];
            }
            // Another page, also with the number that belongs here.
            4 => {
                let from = random.below(pages) * page_size;
                let keeps_number = random.below(2) * 8;
                bytes.copy_within(from + keeps_number..from + page_size, page + keeps_number);
            }
            _ => {
                let end = (place + random.below(40)).min(bytes.len());
                let filling = random.next() as u8;
                bytes[place..end].fill(filling);
            }
        }
    }
}

#[test]
fn the_walker_survives_any_bytes() {
    let mut random = Random::seeded(11);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let model = make(&path, &mut random);
    let keys: Vec<_> = model.keys().step_by(9).cloned().chain([vec![], vec![0xff; 511]]).collect();
    let whole = fs::read(&path).unwrap();
    let intact = survivors(&whole, &keys);
    assert_eq!(intact, 2, "both versions of an undamaged file can be read");
    let mut outcomes = BTreeMap::new();
    for _ in 0..1500 {
        let mut bytes = whole.clone();
        damage(&mut bytes, &mut random);
        *outcomes.entry(survivors(&bytes, &keys)).or_insert(0) += 1;
    }
    println!("{outcomes:?}");
    // Both happen, or else nothing was damaged or nothing was read.
    assert!(outcomes[&2] > 20 && outcomes[&2] < 1480);
}

fn read_snapshot(snapshot: &Snapshot) -> Result<u64> {
    let mut met = 0;
    for table in [Table::Header, Table::Entries, Table::Objects, Table::Symbols, Table::Shared] {
        for direction in [Direction::Forward, Direction::Backward] {
            let mut cursor = snapshot.cursor(table, Bound::Unbounded, Bound::Unbounded, direction)?;
            while let Some((key, _)) = cursor.next(snapshot)? {
                snapshot.get(table, key)?;
                met += 1;
            }
        }
        snapshot.len(table)?;
    }
    Ok(met)
}

#[test]
fn damaged_files_open_or_are_left_alone() {
    let mut random = Random::seeded(12);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    make(&path, &mut random);
    let whole = fs::read(&path).unwrap();
    let (mut refused, mut opened) = (0, 0);
    for number in 0..250 {
        let mut bytes = whole.clone();
        damage(&mut bytes, &mut random);
        let directory = directory.path().join(number.to_string());
        fs::create_dir(&directory).unwrap();
        let path = directory.join("m.ooc");
        fs::write(&path, &bytes).unwrap();
        match open_with(&path, &options()) {
            Ok(store) => {
                opened += 1;
                match store.snapshot().and_then(|snapshot| read_snapshot(&snapshot)) {
                    Ok(_) | Err(Error::Corrupted(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Err(Error::Corrupted(_) | Error::Format { .. }) => {
                refused += 1;
                assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "a lock file was left");
            }
            Err(error) => panic!("{error}"),
        }
        assert!(fs::read(&path).unwrap() == bytes, "opening changed the file");
    }
    println!("{refused} refused, {opened} opened");
    assert!(refused > 10 && opened > 10);
}

/// Opens the first so many bytes of a file, and says whether that is a map, which then has all entries.
fn is_map_when_cut(whole: &[u8], len: usize, model: &Model) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    fs::write(&path, &whole[..len]).unwrap();
    match open_with(&path, &options()) {
        Ok(store) => {
            let expected = if len == 0 { &Model::new() } else { model };
            check_whole(&store.snapshot().unwrap(), Table::Entries, expected);
            // Writing works as well, across what is missing.
            let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
            for number in 0..20_u8 {
                writer.put(Table::Objects, &[number], &[number; 9000]).unwrap();
            }
            writer.commit(crate::options::Durability::Sync).unwrap();
            let snapshot = store.snapshot().unwrap();
            check_whole(&snapshot, Table::Entries, expected);
            check_whole(&snapshot, Table::Objects, &(0..20).map(|n| (vec![n], vec![n; 9000])).collect());
            true
        }
        Err(Error::Corrupted(_)) => {
            assert!(fs::read(&path).unwrap() == whole[..len], "opening changed the file");
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "a lock file was left");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_file_that_was_cut_off_is_refused_or_whole() {
    let mut random = Random::seeded(13);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let model = make(&path, &mut random);
    let whole = fs::read(&path).unwrap();
    let maps =
        (0..whole.len()).step_by(page_size()).filter(|&len| is_map_when_cut(&whole, len, &model)).count();
    assert!(maps >= 1, "the empty file becomes a map");
    assert!(!is_map_when_cut(&whole, 5000, &model), "cut off within a page");
    assert!(is_map_when_cut(&whole, whole.len(), &model));
}

#[test]
fn a_file_may_lack_unused_pages_at_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let store = open(&path);
    let change = |act: &dyn Fn(&mut super::super::Writer)| {
        let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
        act(&mut writer);
        writer.commit(crate::options::Durability::Sync).unwrap();
    };
    change(&|writer| writer.put(Table::Entries, b"small", b"stays").unwrap());
    change(&|writer| writer.put(Table::Shared, b"large", &vec![1; 100_000]).unwrap());
    change(&|writer| assert!(writer.delete(Table::Shared, b"large").unwrap()));
    // Two more, so that what these commits need comes from before the large value.
    change(&|writer| writer.put(Table::Symbols, b"a", b"b").unwrap());
    change(&|writer| writer.put(Table::Symbols, b"c", b"d").unwrap());
    drop(store);
    let whole = fs::read(&path).unwrap();
    let model = Model::from([(b"small".to_vec(), b"stays".to_vec())]);
    let maps: Vec<_> = (page_size()..=whole.len())
        .step_by(page_size())
        .filter(|&len| is_map_when_cut(&whole, len, &model))
        .collect();
    assert!(maps.len() > 5, "{maps:?} of {}", whole.len());
}

#[test]
fn knots_in_a_tree_end() {
    let mut random = Random::seeded(14);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let store = open(&path);
    let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
    for _ in 0..400 {
        writer.put(Table::Entries, &random.bytes(500), b"").unwrap();
    }
    writer.commit(crate::options::Durability::Sync).unwrap();
    drop(store);
    let page_size = page_size();
    let mut bytes = fs::read(&path).unwrap();
    let meta = Meta::parse(bytes[page_size..].first_chunk().unwrap())
        .into_iter()
        .chain(Meta::parse(bytes.first_chunk().unwrap()))
        .max_by_key(|meta| meta.txn_id)
        .unwrap();
    let tree = read_trees(Pages::in_memory(&bytes, page_size), &meta).unwrap()[Table::Entries.place()];
    assert!(tree.depth >= 3);
    // Let all children of the root be the first one.
    let root = tree.root as usize * page_size;
    let offset = |bytes: &[u8], index: usize| {
        let at = root + 16 + 2 * index;
        root + usize::from(u16::from_ne_bytes([bytes[at], bytes[at + 1]]))
    };
    let children = (usize::from(u16::from_ne_bytes([bytes[root + 12], bytes[root + 13]])) - 16) / 2;
    let first = offset(&bytes, 0);
    for index in 1..children {
        let node = offset(&bytes, index);
        bytes.copy_within(first..first + 6, node);
    }
    let pages = Pages::in_memory(&bytes, page_size);
    let mut walk = Walk::new(pages, &tree, Bound::Unbounded, Bound::Unbounded, Direction::Forward).unwrap();
    let mut met = 0;
    while let Ok(Some(_)) = walk.next(pages) {
        met += 1;
    }
    assert!(met <= tree.entries);
}
