//! Workloads that are the same for every engine.
