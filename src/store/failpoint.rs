//! The steps at which tests kill a process, let the system refuse something, or note what has been done.

use std::{cell::RefCell, env, io};

/// The name of the step at which a process that a test started is to die.
pub(super) const DIES_AT: &str = "OOCMAP_TEST_DIES_AT";

/// A step that was just done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    /// A copy was made, with nothing in it.
    CopyBegun,
    /// Some entries were copied, but not all.
    CopyHalfDone,
    /// All of the copy is on the disk.
    CopySynced,
    /// The copy was closed, and the gate comes next.
    BeforeGate,
    /// The number of swaps is odd.
    Odd,
    /// The copy has the name of the data file.
    Renamed,
    /// The directory is about to be synced.
    DirectorySyncing,
    /// The directory is on the disk.
    DirectorySynced,
    /// The swap is over.
    Even,
    /// What older generations left was removed.
    Cleaned,
    /// The data file has a second name, for LMDB to open it under.
    Linked,
    /// The system was told to bring a directory to the disk, and did.
    Synced,
}

impl Point {
    /// The steps at which a process may die.
    pub(super) const ALL: [Self; 11] = [
        Self::CopyBegun,
        Self::CopyHalfDone,
        Self::CopySynced,
        Self::BeforeGate,
        Self::Odd,
        Self::Renamed,
        Self::DirectorySyncing,
        Self::DirectorySynced,
        Self::Even,
        Self::Cleaned,
        Self::Linked,
    ];
}

thread_local! {
    /// The steps that this thread has done, each with the number of swaps at that moment.
    static DONE: RefCell<Vec<(Point, u64)>> = const { RefCell::new(Vec::new()) };
    /// The step at which the system is to refuse something once, and with which error.
    static REFUSED: RefCell<Option<(Point, i32)>> = const { RefCell::new(None) };
}

/// Notes that a step was done, and answers as the system would.
pub(super) fn reach(point: Point, sequence: u64) -> io::Result<()> {
    DONE.with_borrow_mut(|done| done.push((point, sequence)));
    if env::var(DIES_AT).is_ok_and(|name| name == format!("{point:?}")) {
        die();
    }
    match REFUSED.take() {
        Some((refused, error)) if refused == point => Err(io::Error::from_raw_os_error(error)),
        other => {
            REFUSED.set(other);
            Ok(())
        }
    }
}

/// Takes the place of the system's function of that name for all of the test's process, so that no wait for the disk
/// can be left out unnoticed.
#[expect(unsafe_code, reason = "the linker goes by the name")]
#[unsafe(no_mangle)]
extern "C" fn fsync(descriptor: libc::c_int) -> libc::c_int {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the buffer has the size that the call fills, whatever the descriptor is.
    let looked = unsafe { libc::fstat(descriptor, stat.as_mut_ptr()) };
    // SAFETY: the call takes any number.
    let answer = unsafe { libc::syscall(libc::SYS_fsync, descriptor) };
    if looked == 0 && answer == 0 {
        // SAFETY: the call succeeded, so it filled the buffer.
        let stat = unsafe { stat.assume_init() };
        if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
            DONE.with_borrow_mut(|done| done.push((Point::Synced, 0)));
        }
    }
    answer as libc::c_int
}

/// Ends the process as the system would without memory, with nothing tidied up.
#[expect(unsafe_code, reason = "the standard library kills no process but children")]
fn die() -> ! {
    // SAFETY: the call takes any numbers.
    unsafe { libc::kill(std::process::id().cast_signed(), libc::SIGKILL) };
    loop {
        std::thread::park();
    }
}

/// Has the system refuse what comes at a step of this thread, once.
pub(super) fn refuse(point: Point, error: i32) {
    REFUSED.set(Some((point, error)));
}

/// What this thread has done since it was asked last.
pub(super) fn take_done() -> Vec<(Point, u64)> {
    DONE.take()
}
