//! The workloads, the same for every engine.

use std::time::{Duration, Instant};

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

/// All measurements.
pub(crate) fn all() -> Vec<Workload> {
    vec![
        Workload { name: "load, sorted, one transaction", measured: Measured::Load, random: false },
        Workload { name: "load, random order, one transaction", measured: Measured::Load, random: true },
        Workload { name: "get, random order", measured: Measured::Get, random: true },
        Workload { name: "get, missing keys", measured: Measured::Missing, random: true },
        Workload { name: "walk through all entries", measured: Measured::Walk, random: false },
    ]
}

impl Workload {
    /// Runs the workload on an engine that holds nothing, and tells how long what is measured took.
    pub(crate) fn run(&self, engine: &mut impl Engine) -> Result<Duration, Failure> {
        let keys: Vec<u64> = (0..ENTRIES).map(|key| if self.random { shuffled(key) } else { key }).collect();
        let entries: Vec<(u64, String)> =
            keys.iter().map(|key| (*key, format!("value number {key}"))).collect();
        let begun = Instant::now();
        engine.load(&entries)?;
        if let Measured::Load = self.measured {
            return Ok(begun.elapsed());
        }
        let missing: Vec<u64> = keys.iter().map(|key| key + ENTRIES).collect();
        let begun = Instant::now();
        let found = match self.measured {
            Measured::Load | Measured::Get => engine.get(&keys)?,
            Measured::Missing => engine.get(&missing)?,
            Measured::Walk => engine.walk()?,
        };
        let took = begun.elapsed();
        let expected = if let Measured::Missing = self.measured { 0 } else { ENTRIES };
        if found == expected {
            Ok(took)
        } else {
            Err(format!("{}: {found} entries found, of {expected}", self.name).into())
        }
    }
}

/// A permutation of the keys: their number is made up of 2s and 5s, and the factor is a multiple of neither.
fn shuffled(key: u64) -> u64 {
    key * 7_654_321 % ENTRIES
}
