//! Whatever is written, every version reads as a `BTreeMap` that got the same changes.

use std::ops::Bound;

use super::{
    super::{Direction, ReadTables, Snapshot, Table, WriteKind, WriteTables},
    HEADER, Model, Random, check_whole, drain, model_seek, open,
};
use crate::error::Error;

const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Backward];

/// A key that may well be in the model, or next to one that is.
fn probe(random: &mut Random, model: &Model) -> Vec<u8> {
    let mut key = match model.len() {
        0 => random.key(),
        len => model.keys().nth(random.below(len)).unwrap().clone(),
    };
    match random.below(5) {
        0 => key = random.key(),
        1 => key.push(0),
        2 => drop(key.pop()),
        _ => {}
    }
    key
}

fn bound<'k>(random: &mut Random, key: &'k [u8]) -> Bound<&'k [u8]> {
    match random.below(7) {
        0 => Bound::Unbounded,
        1..=3 => Bound::Included(key),
        _ => Bound::Excluded(key),
    }
}

/// Looks for single entries, in a snapshot as in a write transaction.
fn check_points(tables: &impl ReadTables, table: Table, model: &Model, random: &mut Random) {
    assert_eq!(tables.len(table).unwrap(), model.len() as u64);
    for _ in 0..60 {
        let key = probe(random, model);
        assert_eq!(tables.get(table, &key).unwrap(), model.get(&key).map(Vec::as_slice), "{key:?}");
        let from = bound(random, &key);
        for direction in DIRECTIONS {
            let found = tables.seek(table, from, direction).unwrap();
            let found = found.map(|(key, value)| (key.to_vec(), value.to_vec()));
            assert!(found == model_seek(model, from, direction), "{from:?} {direction:?}");
        }
    }
}

fn check_ranges(snapshot: &Snapshot, table: Table, model: &Model, random: &mut Random) {
    for _ in 0..20 {
        let (low, high) = (probe(random, model), probe(random, model));
        let (lower, upper) = (bound(random, &low), bound(random, &high));
        // A `BTreeMap` panics for bounds that are the wrong way round, a cursor finds nothing.
        let mut expected: Vec<_> = model
            .iter()
            .filter(|(key, _)| match lower {
                Bound::Included(lower) => key.as_slice() >= lower,
                Bound::Excluded(lower) => key.as_slice() > lower,
                Bound::Unbounded => true,
            })
            .filter(|(key, _)| match upper {
                Bound::Included(upper) => key.as_slice() <= upper,
                Bound::Excluded(upper) => key.as_slice() < upper,
                Bound::Unbounded => true,
            })
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        for direction in DIRECTIONS {
            let found = drain(snapshot, table, lower, upper, direction).unwrap();
            assert!(found == expected, "{lower:?} {upper:?} {direction:?}");
            expected.reverse();
        }
    }
}

fn compare_over_many_commits(seed: u64) {
    let mut random = Random::seeded(seed);
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    let mut models: [Model; Table::NAMED.len()] = Default::default();
    let mut kept: Vec<(Snapshot, [Model; Table::NAMED.len()])> = Vec::new();
    for round in 0..50 {
        let before = models.clone();
        let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
        for _ in 0..random.below(120) {
            let place = random.below(models.len());
            let (table, model) = (Table::NAMED[place], &mut models[place]);
            let key = probe(&mut random, model);
            if key.is_empty() || key.len() > 511 {
                assert!(matches!(writer.put(table, &key, b""), Err(Error::TooLarge(_))));
                continue;
            }
            match random.below(9) {
                0 | 1 => assert_eq!(writer.delete(table, &key).unwrap(), model.remove(&key).is_some()),
                2 => {
                    let value = random.value();
                    assert_eq!(writer.put_new(table, &key, &value).unwrap(), model.get(&key).cloned());
                    model.entry(key).or_insert(value);
                }
                _ => {
                    let key = if random.below(2) == 0 { random.key() } else { key };
                    let value = random.value();
                    writer.put(table, &key, &value).unwrap();
                    model.insert(key, value);
                }
            }
        }
        if random.below(15) == 0 {
            let place = random.below(models.len());
            writer.clear(Table::NAMED[place]).unwrap();
            models[place].clear();
        }
        for (table, model) in Table::NAMED.into_iter().zip(&models) {
            check_points(&writer, table, model, &mut random);
        }
        if random.below(10) == 0 {
            writer.abort();
            models = before;
        } else {
            writer.commit(crate::options::Durability::Sync).unwrap();
        }
        let snapshot = store.snapshot().unwrap();
        assert_eq!(snapshot.txn_id(), store.newest_txn_id());
        for (table, model) in Table::NAMED.into_iter().zip(&models) {
            check_points(&snapshot, table, model, &mut random);
            check_ranges(&snapshot, table, model, &mut random);
            check_whole(&snapshot, table, model);
        }
        if round % 10 == 0 {
            kept.push((snapshot, models.clone()));
        }
    }
    for (snapshot, models) in &kept {
        for (table, model) in Table::NAMED.into_iter().zip(models) {
            check_whole(snapshot, table, model);
        }
    }
}

#[test]
fn every_version_is_what_was_written() {
    for seed in 1..=4 {
        compare_over_many_commits(seed);
    }
}

#[test]
fn old_versions_stay_while_hundreds_of_new_ones_come() {
    let mut random = Random::seeded(5);
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    let mut model = Model::new();
    let mut kept = Vec::new();
    for round in 0..303 {
        let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
        for _ in 0..6 {
            let key = vec![b'k', random.below(200) as u8];
            let value = random.value();
            writer.put(Table::Objects, &key, &value).unwrap();
            model.insert(key, value);
        }
        writer.commit(crate::options::Durability::Sync).unwrap();
        if round < 3 {
            kept.push((store.snapshot().unwrap(), model.clone()));
        }
    }
    for (snapshot, model) in &kept {
        check_whole(snapshot, Table::Objects, model);
    }
    check_whole(&store.snapshot().unwrap(), Table::Objects, &model);
}

#[test]
fn wide_trees_read_in_both_directions() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
    let mut model = Model::new();
    for number in 0..30_000_u32 {
        let key = number.wrapping_mul(2_654_435_761).to_be_bytes().to_vec();
        writer.put(Table::Entries, &key, &number.to_le_bytes()).unwrap();
        model.insert(key, number.to_le_bytes().to_vec());
    }
    writer.commit(crate::options::Durability::Sync).unwrap();
    let snapshot = store.snapshot().unwrap();
    check_whole(&snapshot, Table::Entries, &model);
    check_whole(&snapshot, Table::Objects, &Model::new());
    for (key, value) in &model {
        assert_eq!(snapshot.get(Table::Entries, key).unwrap(), Some(value.as_slice()));
    }
}

#[test]
fn the_header_shows_no_records_of_other_tables() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
    let mut model = Model::from([(HEADER.0.to_vec(), HEADER.1.to_vec())]);
    for key in [&b"a"[..], b"entries\0", b"f", b"zzz", b"shared!"] {
        writer.put(Table::Header, key, b"value").unwrap();
        model.insert(key.to_vec(), b"value".to_vec());
    }
    let mut random = Random::seeded(6);
    check_points(&writer, Table::Header, &model, &mut random);
    for name in Table::NAMED.map(Table::name) {
        assert!(matches!(writer.put(Table::Header, name.as_bytes(), b""), Err(Error::InvalidKey(_))));
        assert_eq!(writer.get(Table::Header, name.as_bytes()).unwrap(), None);
        assert!(!writer.delete(Table::Header, name.as_bytes()).unwrap());
    }
    assert!(matches!(writer.clear(Table::Header), Err(Error::Transaction(_))));
    writer.commit(crate::options::Durability::Sync).unwrap();
    let snapshot = store.snapshot().unwrap();
    check_points(&snapshot, Table::Header, &model, &mut random);
    check_ranges(&snapshot, Table::Header, &model, &mut random);
    check_whole(&snapshot, Table::Header, &model);
    for name in Table::NAMED.map(Table::name) {
        assert_eq!(snapshot.get(Table::Header, name.as_bytes()).unwrap(), None);
    }
}

#[test]
fn places_find_the_same_bytes_again_in_their_version_only() {
    let mut random = Random::seeded(7);
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    let write = |model: &Model| {
        let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
        for (key, value) in model {
            writer.put(Table::Objects, key, value).unwrap();
        }
        writer.commit(crate::options::Durability::Sync).unwrap();
    };
    let model: Model = (0..300).map(|_| (random.key(), random.value())).collect();
    write(&model);
    let snapshot = store.snapshot().unwrap();
    let twin = store.snapshot().unwrap();
    let mut places = Vec::new();
    for (key, value) in &model {
        let found = snapshot.get(Table::Objects, key).unwrap().unwrap();
        let place = snapshot.locate(found).unwrap();
        assert_eq!((place.len(), place.is_empty()), (value.len(), value.is_empty()));
        assert_eq!(snapshot.at(place).unwrap(), value);
        assert_eq!(twin.at(place).unwrap(), value);
        places.push(place);
    }
    assert_eq!(snapshot.locate(&[1, 2, 3].repeat(2)), None);
    write(&Model::from([(vec![1], vec![2])]));
    let later = store.snapshot().unwrap();
    assert!(matches!(later.at(places[0]), Err(Error::Transaction(_))));
    let mut cursor =
        snapshot.cursor(Table::Objects, Bound::Unbounded, Bound::Unbounded, Direction::Forward).unwrap();
    assert!(matches!(cursor.next(&later), Err(Error::Transaction(_))));
    assert!(cursor.next(&snapshot).unwrap().is_some());
}
