//! What is compared.

pub(crate) mod heed;
pub(crate) mod oocmap;

use std::path::Path;

/// Whatever went wrong.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// A store of texts under numbers.
pub(crate) trait Engine: Sized {
    /// What it is called in the results.
    const NAME: &'static str;
    /// Makes an empty store.
    fn open(directory: &Path) -> Result<Self, Failure>;
    /// Stores entries, in one transaction.
    fn load(&mut self, entries: &[(u64, String)]) -> Result<(), Failure>;
    /// Looks keys up and reads their texts; answers how many were there.
    fn get(&self, keys: &[u64]) -> Result<u64, Failure>;
    /// Reads all entries; answers how many there are.
    fn walk(&self) -> Result<u64, Failure>;
}
