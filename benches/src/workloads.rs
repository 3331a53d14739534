//! The workloads, the same for every engine.

use criterion::{BatchSize, BenchmarkGroup, measurement::WallTime};
use tempfile::TempDir;

use crate::engines::{Engine, Failure};

/// How many entries there are.
const ENTRIES: u64 = 200_000;

/// What is measured.
#[derive(Clone, Copy)]
enum Measured {
    Load,
    Get,
    Missing,
    Walk,
}

/// One measurement.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    measured: Measured,
    random: bool,
}

/// All measurements; `benches/python/rust.py` says in words what they are.
pub(crate) fn all() -> [Workload; 5] {
    [
        Workload { name: "load-sorted", measured: Measured::Load, random: false },
        Workload { name: "load-random", measured: Measured::Load, random: true },
        Workload { name: "get", measured: Measured::Get, random: true },
        Workload { name: "get-missing", measured: Measured::Missing, random: true },
        Workload { name: "walk", measured: Measured::Walk, random: false },
    ]
}

impl Workload {
    /// Measures an engine, after it has shown that it finds what it has to find.
    pub(crate) fn measure<E: Engine>(&self, group: &mut BenchmarkGroup<'_, WallTime>) -> Result<(), Failure> {
        let keys: Vec<u64> = (0..ENTRIES).map(|key| if self.random { shuffled(key) } else { key }).collect();
        let entries: Vec<(u64, String)> =
            keys.iter().map(|key| (*key, format!("value number {key}"))).collect();
        let missing: Vec<u64> = keys.iter().map(|key| key + ENTRIES).collect();
        let (_directory, mut engine) = opened::<E>()?;
        engine.load(&entries)?;
        for (found, expected) in
            [(engine.get(&keys)?, ENTRIES), (engine.get(&missing)?, 0), (engine.walk()?, ENTRIES)]
        {
            if found != expected {
                return Err(format!("{} found {found} entries of {expected}", E::NAME).into());
            }
        }
        group.bench_function(E::NAME, |bencher| match self.measured {
            Measured::Load => bencher.iter_batched_ref(
                || opened::<E>().expect("an empty directory takes a store"),
                |(_directory, engine)| engine.load(&entries).expect("entries can be stored"),
                BatchSize::PerIteration,
            ),
            Measured::Get => bencher.iter(|| engine.get(&keys).expect("keys can be looked up")),
            Measured::Missing => bencher.iter(|| engine.get(&missing).expect("keys can be looked up")),
            Measured::Walk => bencher.iter(|| engine.walk().expect("entries can be read")),
        });
        Ok(())
    }
}

fn opened<E: Engine>() -> Result<(TempDir, E), Failure> {
    let directory = tempfile::tempdir()?;
    let engine = E::open(directory.path())?;
    Ok((directory, engine))
}

/// A permutation of the keys: their number is made up of 2s and 5s, and the factor is a multiple of neither.
fn shuffled(key: u64) -> u64 {
    key * 7_654_321 % ENTRIES
}
