//! The data file in memory, through read-only mappings of our own.
//!
//! LMDB has a mapping too, which only its writers read; it can be replaced between two write transactions
//! without anyone noticing. The mappings here are never changed: a larger one is made when the file has
//! outgrown the last, and the snapshots that use the old one keep it.

use std::{
    fs::File,
    io,
    sync::atomic::{Ordering, fence},
};

use memmap2::{MmapOptions, MmapRaw};

use super::page::{META_BYTES, META_PAGES, META_TXN_ID};
use crate::error::{Error, Result};

const GIB: usize = 1 << 30;

/// The amounts of address space to ask for, until one is granted.
pub(super) const RESERVATIONS: [usize; 5] = [1024 * GIB, 256 * GIB, 64 * GIB, 16 * GIB, 4 * GIB];

/// Opens something with the first of some amounts of address space that is granted.
pub(super) fn open_largest<T>(
    sizes: impl IntoIterator<Item = usize>,
    mut open: impl FnMut(usize) -> Result<T, heed::Error>,
) -> Result<T, heed::Error> {
    let mut refusal = heed::Error::Io(io::ErrorKind::OutOfMemory.into());
    for size in sizes {
        match open(size) {
            // Emulators such as valgrind call too much invalid.
            Err(heed::Error::Io(error))
                if matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::InvalidInput) =>
            {
                refusal = heed::Error::Io(error);
            }
            opened => return opened,
        }
    }
    Err(refusal)
}

/// A range of addresses that shows the file, and what it grows to within the range.
#[derive(Debug)]
pub(super) struct Mapping(MmapRaw);

impl Mapping {
    /// Maps the beginning of the file, which may be shorter than `len`.
    pub(super) fn new(file: &File, len: usize) -> io::Result<Self> {
        MmapOptions::new().len(len).map_raw_read_only(file).map(Self)
    }

    /// Maps at least `needed` bytes, and far more if the system grants that.
    pub(super) fn reserve(file: &File, needed: usize) -> Result<Self> {
        let sizes = RESERVATIONS.into_iter().filter(|&size| size > needed).chain([needed]);
        let mut refusal = None;
        for size in sizes {
            match Self::new(file, size) {
                Ok(mapping) => return Ok(mapping),
                Err(error) => refusal = Some(error),
            }
        }
        let source = refusal.unwrap_or_else(|| io::ErrorKind::OutOfMemory.into());
        Err(Error::io(format!("reserving {needed} bytes of address space for the data file"), source))
    }

    /// The first address.
    pub(super) fn base(&self) -> *const u8 {
        self.0.as_ptr()
    }

    /// The size of the range.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The two meta pages, which a writer may be changing at any moment.
#[derive(Debug)]
pub(super) struct MetaPages {
    mapping: Mapping,
    page_size: usize,
}

impl MetaPages {
    const WORD: usize = size_of::<u64>();

    /// Maps the meta pages of a file that has them.
    pub(super) fn new(file: &File, page_size: usize) -> Result<Self> {
        let mapping = Mapping::new(file, META_PAGES as usize * page_size)
            .map_err(|error| Error::io("mapping the head of the data file", error))?;
        Ok(Self { mapping, page_size })
    }

    /// One aligned word of the meta page that a version with an even or odd number uses.
    #[inline]
    fn word(&self, txn_id: u64, offset: usize) -> u64 {
        debug_assert!(offset.is_multiple_of(Self::WORD) && offset < META_BYTES);
        let address = self.mapping.base().wrapping_add((txn_id & 1) as usize * self.page_size + offset);
        #[expect(clippy::cast_ptr_alignment, reason = "pages and the offsets within are multiples of 8")]
        // SAFETY: the address lies within the mapping of two whole pages, which the file has had since before
        // the mapping was made; it is aligned, and the read is volatile because other processes write there.
        unsafe {
            address.cast::<u64>().read_volatile()
        }
    }

    /// The transaction of the meta page that `txn_id` would use.
    #[inline]
    pub(super) fn txn_id(&self, txn_id: u64) -> u64 {
        let found = self.word(txn_id, META_TXN_ID);
        fence(Ordering::Acquire);
        found
    }

    /// The newest version in the file.
    #[inline]
    pub(super) fn newest(&self) -> u64 {
        self.txn_id(0).max(self.txn_id(1))
    }

    /// A copy of the meta page that `txn_id` would use, perhaps torn.
    pub(super) fn copy(&self, txn_id: u64) -> [u8; META_BYTES] {
        let mut copy = [0; META_BYTES];
        for (index, word) in copy.as_chunks_mut().0.iter_mut().enumerate() {
            *word = self.word(txn_id, index * Self::WORD).to_ne_bytes();
        }
        // Whatever the caller reads next was read after all of the copy.
        fence(Ordering::SeqCst);
        copy
    }
}
