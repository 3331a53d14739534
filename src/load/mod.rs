//! The fast way in: many entries are encoded, sorted outside of memory, and stored in the order of their keys.

mod batch;
pub(crate) mod delimited;
pub(crate) mod json;
mod merge;
mod pool;
mod run;
pub(crate) mod sorter;
mod spill;
pub(crate) mod store;
pub(crate) mod text;
pub(crate) mod waiting;

#[cfg(test)]
mod tests;
