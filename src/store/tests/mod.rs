//! What the store promises, each promise in a file of its own.

mod capacity;
mod copy;
mod crash;
mod damage;
mod diff;
mod files;
mod model;
mod pins;
mod places;
mod runs;
mod swap;
mod threads;

use std::{collections::BTreeMap, ops::Bound, path::Path};

use super::{Direction, ReadTables, Snapshot, Store, StoreOptions, Table, open::briefly};
use crate::{
    error::Result,
    sync::{Arc, AtomicBool, Ordering},
};

const HEADER: (&[u8], &[u8]) = (b"\x00oocmap", b"format 1");

fn options() -> StoreOptions {
    StoreOptions {
        readonly: false,
        create: true,
        max_size: None,
        initial_header: (HEADER.0.to_vec(), HEADER.1.to_vec()),
        check_header: |header| {
            if header == HEADER.1 { Ok(()) } else { Err("it is of a newer format".into()) }
        },
    }
}

fn open_with(path: &Path, options: &StoreOptions) -> Result<Arc<Store>> {
    Store::open(path, options, &mut briefly())
}

fn open(path: &Path) -> Arc<Store> {
    open_with(path, &options()).unwrap()
}

/// Tells the threads of a test to end, also when it fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Numbers that look random and depend on a seed only (`SplitMix64`).
struct Random(u64);

impl Random {
    /// A generator whose seed is shown when the test fails.
    fn seeded(default: u64) -> Self {
        let seed = std::env::var("OOCMAP_TEST_SEED").map_or(default, |seed| seed.parse().unwrap());
        println!("OOCMAP_TEST_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// A key of 1 to 511 bytes, often one that others begin like.
    fn key(&mut self) -> Vec<u8> {
        let len = match self.below(4) {
            0 => 1 + self.below(3),
            1 => 8,
            2 => 1 + self.below(40),
            _ => 1 + self.below(511),
        };
        let letters = [1, 2, 4, 256][self.below(4)];
        let mut key: Vec<u8> = (0..len).map(|_| self.below(letters) as u8).collect();
        if self.below(3) == 0 {
            key.splice(..0, [7; 16]);
            key.truncate(511);
        }
        key
    }

    /// A value of 0 to 20,000 bytes, often near the size at which it gets pages of its own.
    fn value(&mut self) -> Vec<u8> {
        let len = match self.below(8) {
            0 => 0,
            1..=4 => self.below(100),
            5 => 1500 + self.below(600),
            6 => 4070 + self.below(30),
            _ => self.below(20_001),
        };
        self.bytes(len)
    }
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn borrowed(entry: Option<(&Vec<u8>, &Vec<u8>)>) -> Option<(Vec<u8>, Vec<u8>)> {
    entry.map(|(key, value)| (key.clone(), value.clone()))
}

fn model_seek(model: &Model, from: Bound<&[u8]>, direction: Direction) -> Option<(Vec<u8>, Vec<u8>)> {
    borrowed(match direction {
        Direction::Forward => model.range::<[u8], _>((from, Bound::Unbounded)).next(),
        Direction::Backward => model.range::<[u8], _>((Bound::Unbounded, from)).next_back(),
    })
}

/// All entries between two bounds, from a cursor.
fn drain(
    snapshot: &Snapshot,
    table: Table,
    lower: Bound<&[u8]>,
    upper: Bound<&[u8]>,
    direction: Direction,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut cursor = snapshot.cursor(table, lower, upper, direction)?;
    let mut entries = Vec::new();
    while let Some((key, value)) = cursor.next(snapshot)? {
        entries.push((key.to_vec(), value.to_vec()));
    }
    assert_eq!(cursor.next(snapshot)?, None, "a cursor that has ended stays at its end");
    Ok(entries)
}

/// Compares a whole table of a snapshot with what it should be.
fn check_whole(snapshot: &Snapshot, table: Table, model: &Model) {
    let mut expected: Vec<_> = model.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let all = (Bound::Unbounded, Bound::Unbounded);
    assert_eq!(snapshot.len(table).unwrap(), expected.len() as u64);
    assert!(drain(snapshot, table, all.0, all.1, Direction::Forward).unwrap() == expected, "forward");
    expected.reverse();
    assert!(drain(snapshot, table, all.0, all.1, Direction::Backward).unwrap() == expected, "backward");
}
