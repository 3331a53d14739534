//! The difference between two versions is what has changed, and costs no more than that.

use std::{fs, ops::Bound};

use proptest::{collection::vec, prelude::*};

use super::{
    super::{
        Snapshot, Store, Table, WriteKind, WriteTables, Writer,
        diff::{Change, Diff},
        lmdb::page_size,
        page::{META_BYTES, Meta},
        snapshot::read_trees,
        tree::Pages,
    },
    Model, Random, check_whole,
    damage::{damage, make},
    open,
};
use crate::{error::Result, options::Durability, sync::Arc};

type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

fn write(store: &Arc<Store>, act: impl FnOnce(&mut Writer)) -> Snapshot {
    let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
    act(&mut writer);
    writer.commit(Durability::NoMetaSync).unwrap();
    store.snapshot().unwrap()
}

/// What the walk finds, and how many pages it looks at.
fn changes(older: &Snapshot, newer: &Snapshot, table: Table) -> (Changes, u64) {
    let mut diff = older.changes_until(newer, table).unwrap();
    let mut changes = Vec::new();
    while let Some(change) = diff.next().unwrap() {
        changes.push(match change {
            Change::Put(key, value) => (key.to_vec(), Some(value.to_vec())),
            Change::Delete(key) => (key.to_vec(), None),
        });
    }
    assert_eq!(diff.next().unwrap(), None);
    (changes, diff.visited())
}

fn expected(older: &Model, newer: &Model) -> Changes {
    let mut changes: Changes = older
        .keys()
        .filter(|key| !newer.contains_key(*key))
        .map(|key| (key.clone(), None))
        .chain(
            newer
                .iter()
                .filter(|(key, value)| older.get(*key) != Some(value))
                .map(|(key, value)| (key.clone(), Some(value.clone()))),
        )
        .collect();
    changes.sort();
    changes
}

/// What one transaction does to a table.
#[derive(Debug, Clone, Copy)]
enum Round {
    Put(usize),
    Overwrite(usize),
    /// Stores what is there already.
    Repeat(usize),
    Delete(usize),
    /// Deletes neighbours, which takes whole pages away.
    DeleteRange(usize),
    Clear,
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let round = prop_oneof![
        4 => (1..400_usize).prop_map(Round::Put),
        2 => (1..20_usize).prop_map(Round::Overwrite),
        1 => (1..50_usize).prop_map(Round::Repeat),
        2 => (1..200_usize).prop_map(Round::Delete),
        2 => (1..400_usize).prop_map(Round::DeleteRange),
        1 => Just(Round::Clear),
    ];
    vec(round, 1..8)
}

fn play(writer: &mut Writer, table: Table, model: &mut Model, round: Round, random: &mut Random) {
    let some = |model: &Model, random: &mut Random| {
        let place = random.below(model.len().max(1));
        model.keys().nth(place).cloned()
    };
    let put = |writer: &mut Writer, model: &mut Model, key: Vec<u8>, value: Vec<u8>| {
        writer.put(table, &key, &value).unwrap();
        model.insert(key, value);
    };
    match round {
        Round::Put(count) => {
            for _ in 0..count {
                let value = if random.below(20) == 0 { random.value() } else { random.bytes(20) };
                put(writer, model, random.key(), value);
            }
        }
        Round::Overwrite(count) => {
            for _ in 0..count {
                if let Some(key) = some(model, random) {
                    put(writer, model, key, random.value());
                }
            }
        }
        Round::Repeat(count) => {
            for _ in 0..count {
                if let Some(key) = some(model, random) {
                    let value = model[&key].clone();
                    put(writer, model, key, value);
                }
            }
        }
        Round::Delete(count) => {
            for _ in 0..count {
                if let Some(key) = some(model, random) {
                    assert!(writer.delete(table, &key).unwrap());
                    model.remove(&key);
                }
            }
        }
        Round::DeleteRange(count) => {
            let from = some(model, random).unwrap_or_default();
            let keys: Vec<_> = model.range(from..).take(count).map(|(key, _)| key.clone()).collect();
            for key in keys {
                assert!(writer.delete(table, &key).unwrap());
                model.remove(&key);
            }
        }
        Round::Clear if table == Table::Header => {}
        Round::Clear => {
            writer.clear(table).unwrap();
            model.clear();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn it_makes_any_older_version_the_newer_one(
        rounds in rounds(),
        seed in any::<u64>(),
        is_header in prop::bool::weighted(0.2),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory.path().join("m.ooc"));
        let table = if is_header { Table::Header } else { Table::Objects };
        let mut random = Random(seed);
        let mut model = Model::new();
        if is_header {
            model.insert(super::HEADER.0.to_vec(), super::HEADER.1.to_vec());
        }
        let mut versions = vec![(store.snapshot().unwrap(), model.clone())];
        for round in rounds {
            let snapshot = write(&store, |writer| play(writer, table, &mut model, round, &mut random));
            check_whole(&snapshot, table, &model);
            versions.push((snapshot, model.clone()));
        }
        for (place, (newer, new_model)) in versions.iter().enumerate() {
            for (older, old_model) in &versions[..=place] {
                prop_assert!(changes(older, newer, table).0 == expected(old_model, new_model));
                // Nothing else was written to.
                prop_assert_eq!(changes(older, newer, Table::Symbols), (vec![], 0));
            }
            prop_assert_eq!(changes(newer, newer, table).1, 0);
        }
    }
}

#[test]
fn it_looks_only_at_pages_that_changed() {
    const ENTRIES: u32 = 100_000;
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    let key = |number: u32| number.to_be_bytes();
    let older = write(&store, |writer| {
        for number in 0..ENTRIES {
            assert!(writer.append(Table::Entries, &key(2 * number), &[7; 24]).unwrap());
        }
    });
    let one = write(&store, |writer| writer.put(Table::Entries, &key(2 * 777), &[8; 24]).unwrap());
    let (found, visited) = changes(&older, &one, Table::Entries);
    assert_eq!(found, [(key(2 * 777).to_vec(), Some(vec![8; 24]))]);
    assert!(visited <= 6, "{visited} pages for one change");

    let mut random = Random::seeded(3);
    let mut model = Model::new();
    let newer = write(&store, |writer| {
        for _ in 0..20 {
            let number = 2 * random.below(ENTRIES as usize) as u32;
            model.insert(key(number).to_vec(), vec![9; 24]);
            writer.put(Table::Entries, &key(number), &[9; 24]).unwrap();
            // A page that splits moves what comes behind it to another place of its branch.
            model.insert(key(number + 1).to_vec(), vec![1; 24]);
            writer.put(Table::Entries, &key(number + 1), &[1; 24]).unwrap();
        }
    });
    let (found, visited) = changes(&one, &newer, Table::Entries);
    assert_eq!(found, model.into_iter().map(|(key, value)| (key, Some(value))).collect::<Changes>());
    assert!(visited < 20 * 14, "{visited} pages for 40 changes");

    // A whole stretch goes, and the pages around it are merged.
    let fewer = write(&store, |writer| {
        for number in 50_000..60_000 {
            writer.delete(Table::Entries, &key(2 * number)).unwrap();
        }
    });
    let (found, visited) = changes(&newer, &fewer, Table::Entries);
    assert_eq!(found.len(), 10_000);
    assert!(visited < 200, "{visited} pages for 10,000 entries in a row");
}

#[test]
fn large_values_in_their_place_are_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    let older = write(&store, |writer| {
        for number in 0..50_u8 {
            writer.put(Table::Shared, &[number], &[number; 10_000]).unwrap();
        }
    });
    let newer = write(&store, |writer| {
        writer.put(Table::Shared, &[7], &[0; 10_000]).unwrap();
        // Rewritten with the same bytes: in another place, but no difference.
        writer.put(Table::Shared, &[8], &[8; 10_000]).unwrap();
    });
    assert_eq!(changes(&older, &newer, Table::Shared).0, [(vec![7], Some(vec![0; 10_000]))]);
}

#[test]
fn versions_of_other_files_and_newer_ones_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    let other = open(&directory.path().join("n.ooc"));
    let older = store.snapshot().unwrap();
    let newer = write(&store, |writer| writer.put(Table::Entries, b"a", b"1").unwrap());
    for (first, second) in [(&newer, &older), (&older, &other.snapshot().unwrap())] {
        let refused = first.changes_until(second, Table::Entries).map(|_| ());
        assert!(matches!(refused, Err(crate::Error::Transaction(_))), "{refused:?}");
    }
}

/// Compares all tables of the versions of both meta pages.
fn compare(bytes: &[u8]) -> Result<usize> {
    let pages = Pages::in_memory(bytes, page_size());
    let mut trees = Vec::new();
    for at in [0, page_size()] {
        let meta: &[u8; META_BYTES] = bytes[at..].first_chunk().unwrap();
        trees.push(read_trees(pages, &Meta::parse(meta)?)?);
    }
    let mut met = 0;
    for (first, second) in trees[0].iter().zip(&trees[1]) {
        for (older, newer) in [(first, second), (second, first)] {
            let mut diff = Diff::new((pages, older), (pages, newer));
            while let Some(change) = diff.next()? {
                met += change.size();
            }
        }
    }
    Ok(met)
}

#[test]
fn damaged_pages_give_errors_or_other_changes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.ooc");
    let mut random = Random::seeded(5);
    make(&path, &mut random);
    let whole = fs::read(&path).unwrap();
    assert!(compare(&whole).unwrap() > 0);
    let mut refused = 0;
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        damage(&mut bytes, &mut random);
        refused += u32::from(compare(&bytes).is_err());
    }
    assert!(refused > 100, "{refused} of 3,000 files refused");
}

#[test]
fn the_estimate_is_about_right() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random::seeded(11);
    for (name, kept, sizes) in
        [("small", 100, 40), ("sparse", 10, 40), ("middling", 60, 900), ("large", 50, 9000)]
    {
        let store = open(&directory.path().join(name));
        let count = if sizes > 1000 { 500 } else { 20_000 };
        for _ in 0..4 {
            write(&store, |writer| {
                for _ in 0..count / 4 {
                    let value = random.below(sizes);
                    let value = random.bytes(value);
                    writer.put(Table::Objects, &random.next().to_be_bytes(), &value).unwrap();
                }
            });
        }
        let all = store.snapshot().unwrap();
        write(&store, |writer| {
            let mut cursor = all
                .cursor(Table::Objects, Bound::Unbounded, Bound::Unbounded, super::Direction::Forward)
                .unwrap();
            while let Some((key, _)) = cursor.next(&all).unwrap() {
                if random.below(100) >= kept {
                    writer.delete(Table::Objects, key).unwrap();
                }
            }
        });
        let kept = store.snapshot().unwrap();
        let path = directory.path().join("fresh");
        let fresh = open(&path);
        write(&fresh, |writer| {
            writer.clear(Table::Objects).unwrap();
            let mut cursor = kept
                .cursor(Table::Objects, Bound::Unbounded, Bound::Unbounded, super::Direction::Forward)
                .unwrap();
            while let Some((key, value)) = cursor.next(&kept).unwrap() {
                assert!(writer.append(Table::Objects, key, value).unwrap());
            }
        });
        drop(fresh);
        let (estimate, real) = (kept.compacted_bytes().unwrap(), fs::metadata(&path).unwrap().len());
        fs::remove_file(&path).unwrap();
        assert!(
            estimate.abs_diff(real) * 100 < real * 15,
            "{name}: {estimate} bytes were estimated, {real} are there"
        );
    }
}
