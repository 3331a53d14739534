//! Read and write transactions over the storage seam.

mod appends;
pub(crate) mod change;
pub(crate) mod changes;
pub(crate) mod commit;
pub(crate) mod copied;
pub(crate) mod core;
pub(crate) mod deferred;
pub(crate) mod entry;
pub(crate) mod ledger;
pub(crate) mod live;
pub(crate) mod long;
pub(crate) mod memory;
pub(crate) mod objects;
mod pace;
pub(crate) mod patience;
pub(crate) mod placing;
pub(crate) mod read;
pub(crate) mod scan;
pub(crate) mod settle;
pub(crate) mod shared_write;
pub(crate) mod sweep;
pub(crate) mod thread;
pub(crate) mod write;

#[cfg(test)]
mod bed;
#[cfg(test)]
mod tests;
