//! What a version remembers of the places of its entries changes nothing of what is read in it.

use std::{collections::HashMap, thread};

use super::{
    super::{
        ReadTables, Snapshot, Table, WriteKind, WriteTables,
        places::{CELLS, PLACE_BITS, hash},
    },
    Model, Random, open,
};
use crate::options::Durability;

/// Enough look-ups for a table of places, several times over.
const LOOK_UPS: usize = 40_000;

/// Looks keys up at random, of which some are there and others are not.
fn look_up(snapshot: &Snapshot, model: &Model, keys: &[Vec<u8>], seed: u64) {
    let mut random = Random(seed);
    for _ in 0..LOOK_UPS {
        let key = &keys[random.below(keys.len())];
        assert_eq!(snapshot.get(Table::Entries, key).unwrap(), model.get(key).map(Vec::as_slice));
    }
}

#[test]
fn entries_are_found_where_they_were_and_each_version_has_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("map"));
    let mut random = Random::seeded(11);
    // More keys than the smallest table has cells, so that they put each other out; a few values need pages of their own.
    let keys: Vec<Vec<u8>> = (0..6000_u32)
        .map(|number| {
            let len = random.below(20);
            [&number.wrapping_mul(0x9E37_79B1).to_be_bytes()[..], &random.bytes(len)].concat()
        })
        .collect();
    // Others are never there: before and behind all, and between those that are.
    let looked_up: Vec<Vec<u8>> = keys
        .iter()
        .cloned()
        .chain(keys.iter().step_by(3).flat_map(|key| [key[..3].to_vec(), [key, &[0][..]].concat()]))
        .collect();
    let mut model = Model::new();
    let mut versions: Vec<(Snapshot, Model)> = Vec::new();
    for _ in 0..5 {
        let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
        for key in &keys {
            match random.below(4) {
                0 if model.remove(key).is_some() => {
                    writer.delete(Table::Entries, key).unwrap();
                }
                1 | 2 => {
                    let len = if random.below(100) == 0 { 9000 } else { random.below(50) };
                    let value = random.bytes(len);
                    writer.put(Table::Entries, key, &value).unwrap();
                    model.insert(key.clone(), value);
                }
                _ => {}
            }
        }
        writer.commit(Durability::NoMetaSync).unwrap();
        versions.push((store.snapshot().unwrap(), model.clone()));
        for (turn, (snapshot, model)) in versions.iter().enumerate() {
            look_up(snapshot, model, &looked_up, turn as u64);
        }
    }
    // Threads that read one version overwrite each other's cells.
    thread::scope(|scope| {
        for turn in 0..4 {
            let (snapshot, model) = &versions[turn % 2];
            let keys = &looked_up;
            scope.spawn(move || look_up(snapshot, model, keys, 100 + turn as u64));
        }
    });
}

#[test]
fn keys_whose_hashes_agree_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("map"));
    // As much of the hash as the smallest table looks at.
    let seen = |key: &[u8]| (hash(key) >> PLACE_BITS, hash(key) % CELLS.0);
    let mut others = HashMap::new();
    let (one, other) = (0_u64..)
        .map(u64::to_be_bytes)
        .find_map(|key| others.insert(seen(&key), key).map(|other| (key, other)))
        .unwrap();
    for present in [&[one, other][..], &[one], &[other], &[]] {
        let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
        for key in [one, other] {
            writer.delete(Table::Entries, &key).unwrap();
        }
        // Both have neighbours, so that it is between these that they are not there.
        let neighbours =
            [one, other].map(u64::from_be_bytes).map(|key| [key - 1, key + 1].map(u64::to_be_bytes));
        for key in neighbours.concat().iter().chain(present) {
            writer.put(Table::Entries, key, key).unwrap();
        }
        writer.commit(Durability::NoMetaSync).unwrap();
        let snapshot = store.snapshot().unwrap();
        for _ in 0..LOOK_UPS {
            for key in [one, other] {
                let expected = present.contains(&key).then_some(&key[..]);
                assert_eq!(snapshot.get(Table::Entries, &key).unwrap(), expected);
            }
        }
    }
}

#[test]
fn a_table_that_is_empty_or_holds_other_tables_is_looked_up_as_often_as_one_likes() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("map"));
    let snapshot = store.snapshot().unwrap();
    for _ in 0..LOOK_UPS {
        assert_eq!(snapshot.get(Table::Entries, b"none").unwrap(), None);
        // The record of the table, which is no entry of the one that holds it.
        assert_eq!(snapshot.get(Table::Header, Table::Entries.name().as_bytes()).unwrap(), None);
        assert_eq!(snapshot.get(Table::Header, super::HEADER.0).unwrap(), Some(super::HEADER.1));
    }
}
