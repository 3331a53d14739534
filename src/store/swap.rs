//! How a compacted generation takes the place of the data file, with others alive.
//!
//! Who swaps has the writer's mutex of the old generation, so that nobody commits to it any more, and the gate, so that
//! nobody opens either. While the number of swaps is odd nothing is begun, and whoever gets the gate then knows that the
//! swapper is dead, or failed, and brings the directory to the disk before anyone goes on: otherwise a commit to the new
//! file could be acknowledged that a power failure takes back with the name.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
};

#[cfg(test)]
use super::failpoint::Point;
use super::{
    Waiting,
    control::{Control, Gate},
    copy::CompactCopy,
    identity,
    lmdb::Store,
    writer::Writer,
};
use crate::{
    coord::generation::swap,
    error::{Error, Result},
    sync::Arc,
};

impl Store {
    /// Refuses a file that no other can take the place of.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`]; [`Error::Io`]: with `Unsupported` if the file system has no hard links or the file has several
    /// names, with `ResourceBusy` if this is not the current generation or too many older ones are still open; that of
    /// `waiting`.
    pub(super) fn check_swappable(&self, waiting: &mut Waiting<'_>) -> Result<&Arc<Control>> {
        let control = self.swapping_control()?;
        // Whoever opens the map gives it a second name for a moment.
        let gate = control.gate(waiting)?;
        self.check_alone(control, &gate)?;
        Ok(control)
    }

    /// Puts a copy of the newest version in the place of the data file, for one who has the right to vacuum and to write,
    /// with a write transaction that has changed nothing.
    ///
    /// Afterwards the writer has ended, and this generation is not the current one any more.
    ///
    /// # Errors
    ///
    /// As those of [`CompactCopy::begin`], [`Error::Transaction`] if the copy is of another version or not synced: nothing
    /// has changed. [`Error::Io`] about syncing the directory: the new file is there, maybe not for ever; whoever comes
    /// next, in any process, syncs it before they read or write, and as long as that fails nobody does either.
    pub(crate) fn publish(
        self: &Arc<Self>,
        copy: CompactCopy,
        writer: Writer,
        waiting: &mut Waiting<'_>,
    ) -> Result<()> {
        let published = self.publish_behind(copy, &writer, waiting);
        writer.abort();
        published
    }

    fn publish_behind(
        self: &Arc<Self>,
        copy: CompactCopy,
        writer: &Writer,
        waiting: &mut Waiting<'_>,
    ) -> Result<()> {
        let control = self.swapping_control()?;
        let is_newest = copy.version().store().id() == self.id() && copy.version().is_newest();
        if !is_newest || !Arc::ptr_eq(writer.store(), self) {
            return Err(Error::Transaction("a copy of an older version can't replace the file"));
        }
        let file = copy.close()?;
        #[cfg(test)]
        control.reach(Point::BeforeGate)?;
        let gate = control.gate(waiting)?;
        self.check_alone(control, &gate)?;
        if !control.note_generation(self.identity().1, &gate) {
            return Err(self.not_swapped(io::Error::new(
                ErrorKind::ResourceBusy,
                "too many older generations are still open; end old snapshots",
            )));
        }
        let publish = || {
            #[cfg(test)]
            control.reach(Point::Odd)?;
            control.give_name(file.path(), &gate)?;
            file.keep();
            Ok(())
        };
        // If this fails, to rename the file back would be no surer to last.
        let settle = || {
            #[cfg(test)]
            control.reach(Point::Renamed)?;
            control.sync_directory()
        };
        swap(control.sequence(), publish, settle)?;
        #[cfg(test)]
        control.reach(Point::Even)?;
        // The old generation goes later, with the last one who has it open.
        if let Ok(current) = fs::metadata(control.data_path()) {
            control.remove_old_generations(identity(&current), &gate);
        }
        #[cfg(test)]
        control.reach(Point::Cleaned)?;
        Ok(())
    }

    fn swapping_control(&self) -> Result<&Arc<Control>> {
        if self.is_inherited() {
            return Err(Self::inherited());
        }
        match self.control() {
            _ if self.readonly() => Err(Error::ReadOnly("the data file")),
            Some(control) if control.is_linked() => Ok(control),
            _ => Err(self.not_swapped(io::Error::new(
                ErrorKind::Unsupported,
                "the file system has no hard links, so no other file can take its place",
            ))),
        }
    }

    /// Refuses to swap what is not, or not only, the file that the path leads to.
    fn check_alone(&self, control: &Control, _: &Gate<'_>) -> Result<()> {
        let found = fs::metadata(control.data_path()).map_err(|error| self.not_swapped(error))?;
        if !control.is_in_place() || !self.is_current() || identity(&found) != self.identity() {
            return Err(self.not_swapped(io::Error::new(
                ErrorKind::ResourceBusy,
                "another file has taken its place meanwhile",
            )));
        }
        // One who was killed while opening it may have left a name, which nobody would look for any more.
        control.remove_aliases(self.identity().1).map_err(|error| self.not_swapped(error))?;
        let names = self.file().metadata().map_err(|error| self.not_swapped(error))?.nlink();
        if names == 1 {
            return Ok(());
        }
        Err(self.not_swapped(io::Error::new(
            ErrorKind::Unsupported,
            format!("the file has {names} names (hard links), of which only one would lead to the new file"),
        )))
    }

    fn not_swapped(&self, source: io::Error) -> Error {
        Error::io(format!("compacting {}", self.path().display()), source)
    }
}
