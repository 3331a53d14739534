//! The words of the control file, which all processes share.

use std::{fs::File, io, time::Duration};

use memmap2::{MmapOptions, MmapRaw};

use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

pub(super) const SIZE: usize = 4096;
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"oocmap\0C");
pub(super) const FORMAT: u64 = 1;
/// How many processes can queue; more than that wait without a place.
pub(super) const PLACES: u8 = 64;
/// How many processes are asked for their handles.
pub(super) const HOLDERS: u8 = 128;

/// How many older generations can be open somewhere.
pub(super) const OLD_GENERATIONS: usize = 64;

// Where the words are, each of 64 bits.
pub(super) const MAGIC_AT: usize = 0;
pub(super) const FORMAT_AT: usize = 1;
pub(super) const NAMESPACE_AT: usize = 2;
pub(super) const SEQUENCE_AT: usize = 3;
const BELL_AT: usize = 4;
pub(super) const NEXT_TICKET_AT: usize = 5;
pub(super) const TURN_AT: usize = 6;
const TICKETS_AT: usize = 8;
pub(super) const OLD_AT: usize = TICKETS_AT + PLACES as usize;
const ASKED_AT: usize = OLD_AT + OLD_GENERATIONS;
const ANSWERS_AT: usize = ASKED_AT + 1;

/// The mapped file.
#[derive(Debug)]
pub(super) struct Page(MmapRaw);

impl Page {
    pub(super) fn map(file: &File) -> io::Result<Self> {
        MmapOptions::new().len(SIZE).map_raw(file).map(Self)
    }

    #[inline]
    #[expect(unsafe_code, clippy::cast_ptr_alignment, reason = "other processes have the same words")]
    pub(super) fn word(&self, at: usize) -> &AtomicU64 {
        debug_assert!(8 * at < SIZE);
        // SAFETY: the mapping begins a page, so its words are aligned; it is as long as `self`, and everyone who maps the
        // file uses its words through atomic operations only.
        unsafe { AtomicU64::from_ptr(self.0.as_mut_ptr().cast::<u64>().wrapping_add(at)) }
    }

    /// The ticket of whoever waits in a place of the queue, or 0.
    pub(super) fn ticket(&self, place: u8) -> &AtomicU64 {
        self.word(TICKETS_AT + usize::from(place))
    }

    /// The inodes of older generations whose lock files may be there still; 0 where there is none.
    pub(super) fn old_generations(&self) -> impl Iterator<Item = &AtomicU64> {
        (OLD_AT..OLD_AT + OLD_GENERATIONS).map(|at| self.word(at))
    }

    /// The half word that those who wait to write sleep on.
    pub(super) fn bell(&self) -> &AtomicU32 {
        self.half_word(BELL_AT)
    }

    /// The number of the last question for handles, which those who have some sleep on.
    pub(super) fn asked(&self) -> &AtomicU32 {
        self.half_word(ASKED_AT)
    }

    /// The number of the last question that was answered in a place.
    pub(super) fn answer(&self, place: u8) -> &AtomicU64 {
        self.word(ANSWERS_AT + usize::from(place))
    }

    #[expect(unsafe_code, clippy::cast_ptr_alignment, reason = "other processes have the same words")]
    fn half_word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: as for `word`; nobody uses these as a whole.
        unsafe { AtomicU32::from_ptr(self.0.as_mut_ptr().cast::<u64>().wrapping_add(at).cast()) }
    }

    /// Makes the number of the turn odd, and another one than any before; only for the one that may write.
    pub(super) fn begin_turn(&self) {
        let turn = self.word(TURN_AT);
        turn.store((turn.load(Ordering::Relaxed) | 1) + 2, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    pub(super) fn end_turn(&self) {
        self.word(TURN_AT).fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn has_waiters(&self) -> bool {
        (0..PLACES).any(|place| self.ticket(place).load(Ordering::Acquire) != 0)
    }

    /// Wakes all who wait to write.
    pub(super) fn ring(&self) {
        self.bell().fetch_add(1, Ordering::AcqRel);
        Self::wake(self.bell());
    }

    /// Wakes all who sleep on a half word.
    pub(super) fn wake(word: &AtomicU32) {
        #[cfg(target_os = "linux")]
        {
            #[expect(unsafe_code, reason = "the standard library has no locks between processes")]
            // SAFETY: the address is that of an aligned word, which the reference keeps.
            let _ = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = word;
    }

    /// Sleeps while a half word is what it was, until someone wakes all, or for so long.
    pub(super) fn wait(word: &AtomicU32, heard: u32, limit: Duration) {
        #[cfg(target_os = "linux")]
        {
            let limit = libc::timespec {
                tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: libc::c_long::from(limit.subsec_nanos()),
            };
            #[expect(unsafe_code, reason = "the standard library has no locks between processes")]
            // SAFETY: as for `wake`; the limit is a whole `timespec` that is only read.
            let _ = unsafe {
                libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, heard, &raw const limit)
            };
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (word, heard);
            std::thread::sleep(limit.min(Duration::from_millis(1)));
        }
    }
}
