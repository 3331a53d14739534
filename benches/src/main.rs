//! Measures the engine beside LMDB used directly, in one run: `cargo run --release --package oocmap-benches`.
//!
//! Every workload runs on all engines in turn, several times; the best time of each counts, and only ratios are
//! printed, since absolute times say more about the machine.

mod engines;
mod workloads;

use std::time::Duration;

use engines::{Engine, heed::Heed, oocmap::Oocmap};
use workloads::{Workload, all};

/// How often every workload runs on every engine.
const ROUNDS: usize = 5;

fn main() -> Result<(), engines::Failure> {
    println!("times as fast as LMDB through heed, in a transaction that is reused:");
    for workload in all() {
        let mut best = [Duration::MAX; 2];
        for _ in 0..ROUNDS {
            best[0] = best[0].min(measure::<Heed>(&workload)?);
            best[1] = best[1].min(measure::<Oocmap>(&workload)?);
        }
        println!("{:<40} {:.2}", workload.name, best[0].as_secs_f64() / best[1].as_secs_f64());
    }
    Ok(())
}

fn measure<E: Engine>(workload: &Workload) -> Result<Duration, engines::Failure> {
    let directory = tempfile::tempdir()?;
    workload.run(&mut E::open(directory.path())?)
}
