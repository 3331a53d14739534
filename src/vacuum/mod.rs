//! Vacuum: what nothing leads to is found, deleted, and its space given back, while everyone goes on.

mod collector;
mod compact;
pub(crate) mod handles;
mod mark;
pub(crate) mod report;
pub(crate) mod worker;

#[cfg(test)]
mod tests;
