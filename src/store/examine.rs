//! What a file is, found out before LMDB, which trusts its files, opens it.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use super::{
    free::check_missing_pages,
    map::Mapping,
    page::{META_BYTES, META_PAGES, Meta, NO_PAGE, Stamp, Tree, looks_like_page, raw_txn_id},
    snapshot::read_trees,
    table::Table,
    tree::Pages,
};
use crate::error::{Error, Result};

/// How often to look again at a file that is being written.
const ATTEMPTS: u32 = 100;

/// How many pages are searched for a sign that a file without meta pages was once LMDB's.
const SEARCHED_PAGES: u64 = 8;

/// What a file is that may become or be a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    /// Nothing: it is empty, or its creator did not come far.
    Blank,
    /// A map.
    Map,
}

/// How to recognise our files.
pub(super) struct Expected<'a> {
    /// The key of the record that says so.
    pub(super) header_key: &'a [u8],
    /// Says what is wrong with that record.
    pub(super) check_header: fn(&[u8]) -> Result<(), String>,
}

/// Reads enough of a file to know what it is, and changes nothing.
pub(super) fn examine(
    file: &File,
    path: &Path,
    page_size: usize,
    expected: &Expected<'_>,
) -> Result<Contents> {
    let mut verdict = Ok(Contents::Blank);
    for _ in 0..ATTEMPTS {
        let head = Head::read(file, path, page_size)?;
        verdict = Candidate { file, path, page_size, head: &head }.judge(expected);
        // The pages of a version stay until two commits later, so what was found is so if the meta pages
        // stayed.
        if verdict.is_ok() || Head::read(file, path, page_size)? == head {
            break;
        }
    }
    verdict
}

/// Whether a file is so short that its creator may still be at work.
pub(super) fn is_young(file: &File, page_size: usize) -> io::Result<bool> {
    Ok(file.metadata()?.len() <= META_PAGES * page_size as u64)
}

/// The beginning of a file.
#[derive(PartialEq, Eq)]
struct Head {
    len: u64,
    metas: [Option<[u8; META_BYTES]>; META_PAGES as usize],
}

impl Head {
    fn read(file: &File, path: &Path, page_size: usize) -> Result<Self> {
        let failed = |error| Error::io(format!("reading {}", path.display()), error);
        let mut metas = [None; META_PAGES as usize];
        for (index, meta) in metas.iter_mut().enumerate() {
            *meta = read_bytes(file, (index * page_size) as u64).map_err(failed)?;
        }
        Ok(Self { len: file.metadata().map_err(failed)?.len(), metas })
    }
}

/// So many bytes of a file, if it has them.
fn read_bytes<const N: usize>(file: &File, offset: u64) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

struct Candidate<'a> {
    file: &'a File,
    path: &'a Path,
    page_size: usize,
    head: &'a Head,
}

impl Candidate<'_> {
    fn foreign(&self, reason: impl Into<String>) -> Error {
        Error::Format { path: self.path.to_owned(), reason: reason.into() }
    }

    fn judge(&self, expected: &Expected<'_>) -> Result<Contents> {
        if self.head.len == 0 {
            return Ok(Contents::Blank);
        }
        let meta = self.newest_meta()?;
        if meta.page_size as usize != self.page_size {
            return Err(self.foreign(format!(
                "it was made with pages of {} bytes and this machine has pages of {}; copy the entries over instead",
                meta.page_size, self.page_size
            )));
        }
        if !meta.has_plain_trees() {
            return Err(self.foreign("it is an LMDB file of another program"));
        }
        if meta.is_pristine() {
            return Ok(Contents::Blank);
        }
        let page_count = (meta.last_page + 1).min(self.head.len / self.page_size as u64);
        let mapping = Mapping::new(self.file, page_count as usize * self.page_size)
            .map_err(|error| Error::io(format!("mapping {}", self.path.display()), error))?;
        // SAFETY: the file was long enough for these pages a moment ago, and maps never get shorter. A writer
        // may change pages of this version two commits later; `examine` then throws the result away.
        let pages = unsafe { Pages::new(mapping.base(), page_count, self.page_size) };
        self.judge_pages(pages, &meta, expected).map(|()| Contents::Map)
    }

    fn judge_pages(&self, pages: Pages<'_>, meta: &Meta, expected: &Expected<'_>) -> Result<()> {
        let trees = read_trees(pages, meta)?;
        let Some(header) = pages.get(&trees[Table::Header.place()], expected.header_key)? else {
            return Err(self.foreign("it is an LMDB file of another program"));
        };
        (expected.check_header)(header).map_err(|reason| self.foreign(reason))?;
        for table in Table::NAMED {
            match trees[table.place()] {
                Tree { flags: 0, .. } if pages.table(&meta.main, table.name())?.is_some() => {}
                Tree { flags: 0, .. } => {
                    return Err(Error::corrupted(format!("the {} table is missing", table.name())));
                }
                Tree { flags, .. } => {
                    return Err(self.foreign(format!(
                        "its {} table has the flags {flags:#x} of another program",
                        table.name()
                    )));
                }
            }
        }
        if meta.free.root == NO_PAGE && meta.last_page < pages.count() {
            return Ok(());
        }
        check_missing_pages(pages, meta)
    }

    /// The meta page that LMDB would go by.
    fn newest_meta(&self) -> Result<Meta> {
        let stamps = self.head.metas.each_ref().map(|meta| meta.as_ref().map(Stamp::of));
        for stamp in stamps.into_iter().flatten() {
            match stamp {
                Stamp::OtherByteOrder => {
                    return Err(self.foreign("it was made on a machine with the other byte order"));
                }
                Stamp::Version(version) => {
                    return Err(self.foreign(format!("it is an LMDB file of the unknown version {version}")));
                }
                Stamp::Readable | Stamp::Missing => {}
            }
        }
        match &self.head.metas {
            [Some(first), Some(second)] if stamps == [Some(Stamp::Readable); 2] => {
                let newer = if raw_txn_id(second) > raw_txn_id(first) { second } else { first };
                Meta::parse(newer)
            }
            [Some(first), _] if self.has_other_pages(first) => Meta::parse(first),
            _ if stamps.contains(&Some(Stamp::Readable)) => Err(Error::corrupted(if self.is_cut_short() {
                "it was cut off within its first two pages"
            } else {
                "one of its two meta pages is overwritten"
            })),
            _ if self.has_tree_pages()? => Err(Error::corrupted("both of its meta pages are overwritten")),
            _ => Err(self.foreign("it is not a file of this program")),
        }
    }

    /// Whether the first meta page is good and says that the second is somewhere else than on this machine.
    fn has_other_pages(&self, first: &[u8; META_BYTES]) -> bool {
        Meta::parse(first).is_ok_and(|meta| meta.page_size as usize != self.page_size)
    }

    fn is_cut_short(&self) -> bool {
        self.head.len < META_PAGES * self.page_size as u64
    }

    fn has_tree_pages(&self) -> Result<bool> {
        for number in 1..SEARCHED_PAGES {
            let bytes = read_bytes::<16>(self.file, number * self.page_size as u64)
                .map_err(|error| Error::io(format!("reading {}", self.path.display()), error))?;
            if bytes.is_some_and(|bytes| looks_like_page(&bytes, number)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
