//! Counts the instructions that a thread executes in one module, for `benches/smoke/counting.py`.
//!
//! Neither a profiler nor counters of the processor nor rights to trace are needed.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod stepping;
