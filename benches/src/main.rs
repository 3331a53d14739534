//! Measures the engine beside LMDB used directly, in one run: `cargo bench --package oocmap-benches`.
//!
//! `make bench WORK=rust` does so and writes the ratios into the report, since absolute times say more about the machine.

mod engines;
mod workloads;

use std::time::Duration;

use criterion::{Criterion, SamplingMode};
use engines::{Failure, heed::Heed, oocmap::Oocmap};

/// How often each is measured. Once is long: all of the entries.
const SAMPLES: usize = 15;

fn main() -> Result<(), Failure> {
    let mut criterion = Criterion::default().sample_size(SAMPLES).configure_from_args();
    for workload in workloads::all() {
        let mut group = criterion.benchmark_group(workload.name);
        group
            .sampling_mode(SamplingMode::Flat)
            .warm_up_time(Duration::from_secs(1))
            .measurement_time(Duration::from_secs(3));
        workload.measure::<Heed>(&mut group)?;
        workload.measure::<Oocmap>(&mut group)?;
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}
