//! The file beside a map that sorted runs are written to. It has no name, so that it is gone with those who have it open.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    sync::{AtomicU64, Ordering},
};

/// A file for what does not fit into memory.
#[derive(Debug)]
pub(super) struct Spill {
    file: File,
    end: AtomicU64,
    beside: PathBuf,
}

impl Spill {
    /// Makes the file, in the directory of a map's data file.
    pub(super) fn beside(data_path: &Path) -> Result<Self> {
        let file = nameless(data_path)
            .map_err(|error| Error::io(format!("making a file beside {}", data_path.display()), error))?;
        Ok(Self { file, end: AtomicU64::new(0), beside: data_path.to_owned() })
    }

    /// Another one, in the same directory.
    pub(super) fn another(&self) -> Result<Self> {
        Self::beside(&self.beside)
    }

    /// Sets so many bytes aside; answers where they begin.
    pub(super) fn reserve(&self, bytes: u64) -> u64 {
        self.end.fetch_add(bytes, Ordering::Relaxed)
    }

    pub(super) fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.file.write_all_at(bytes, at).map_err(|error| self.failed("writing", error))
    }

    pub(super) fn read(&self, bytes: &mut [u8], at: u64) -> Result<()> {
        self.file.read_exact_at(bytes, at).map_err(|error| self.failed("reading", error))
    }

    fn failed(&self, doing: &str, error: io::Error) -> Error {
        Error::io(format!("{doing} a sorted run beside {}", self.beside.display()), error)
    }
}

fn nameless(data_path: &Path) -> io::Result<File> {
    let directory = match data_path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.clone().custom_flags(libc::O_TMPFILE).open(directory) {
        // Not every file system can do this; an old kernel takes it for an attempt to write to the directory.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::Unsupported | ErrorKind::IsADirectory | ErrorKind::InvalidInput
            ) => {}
        opened => return opened,
    }
    let mut name = data_path.as_os_str().to_owned();
    name.push("-load");
    named_for_a_moment(options.create_new(true), Path::new(&name))
}

/// Makes a file and takes its name away. Whoever dies in between leaves the name, and the next one removes it; if that
/// belongs to someone else who is just about to remove it, that one has the file all the same.
fn named_for_a_moment(options: &OpenOptions, path: &Path) -> io::Result<File> {
    loop {
        match options.open(path) {
            Ok(file) => {
                remove(path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => remove(path)?,
            Err(error) => return Err(error),
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_no_name_and_what_another_left_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.ooc");
        let names = || fs::read_dir(directory.path()).unwrap().count();
        let spill = Spill::beside(&path).unwrap();
        spill.write(b"run", spill.reserve(3)).unwrap();
        assert_eq!(names(), 0);
        let left = directory.path().join("x.ooc-load");
        fs::write(&left, "left by one who died").unwrap();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let file = named_for_a_moment(&options, &left).unwrap();
        assert_eq!((names(), file.metadata().unwrap().len()), (0, 0));
    }

    #[test]
    fn what_was_written_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let spill = Spill::beside(&directory.path().join("x.ooc")).unwrap();
        let (first, second) = (spill.reserve(2), spill.reserve(3));
        spill.write(b"xyz", second).unwrap();
        spill.write(b"ab", first).unwrap();
        let mut all = [0; 5];
        spill.read(&mut all, 0).unwrap();
        assert_eq!(&all, b"abxyz");
        assert!(spill.read(&mut all, 1).is_err());
    }
}
