//! Stores sorted entries in a write transaction.

use super::sorter::SortedEntries;
use crate::{
    error::{Error, Result},
    format::{builder::Unpacked, key::KeyBytes},
    object::write_transaction::WriteScope,
    store::WriteTables,
    txn::{entry::EntryKey, write::WriteState},
};

/// How many entries are stored between two questions whether to go on.
const STRIDE: u64 = 1024;

/// Is told now and then how many entries are stored, in the end the most that there could be, and answers whether to go on.
pub type Tell<'a> = dyn FnMut(u64) -> bool + Send + 'a;

impl SortedEntries {
    /// Stores all entries; answers how many there were.
    pub(crate) fn store<T: WriteTables>(
        mut self,
        state: &mut WriteState<T>,
        tell: &mut Tell<'_>,
    ) -> Result<u64> {
        let most = self.most();
        let mut stored = 0;
        let mut next = || -> Result<Option<(EntryKey, Unpacked<'static>)>> {
            if stored > 0 && stored % STRIDE == 0 && !tell(stored) {
                return Err(Error::Interrupted);
            }
            let Some(entry) = self.0.next()? else { return Ok(None) };
            stored += 1;
            let key = EntryKey::of_parts(KeyBytes::from_slice(entry.key), entry.form.map(<[u8]>::to_vec));
            Ok(Some((key, Unpacked::new(entry.draft)?.into_owned())))
        };
        state.put_all(std::iter::from_fn(|| next().transpose()))?;
        tell(most).then_some(stored).ok_or(Error::Interrupted)
    }
}

impl WriteScope<'_> {
    /// Stores sorted entries; answers how many there were. `tell` is told now and then how many are stored.
    ///
    /// # Errors
    ///
    /// As [`WriteScope::put`]; `Interrupted` when `tell` said so.
    pub fn load(&mut self, entries: SortedEntries, tell: &mut Tell<'_>) -> Result<u64> {
        entries.store(self.settled()?, tell)
    }
}
