//! What a forked process does with its parent's transactions, locks and environments: nothing at all.
//!
//! A child has its parent's memory, but LMDB's lock file and the locks on it are shared: ending an inherited read
//! transaction would free the slot that pins the parent's version. Locks of open file descriptions are shared too, and
//! would outlive a parent that dies, so a child closes those descriptors before anything else.

use std::{
    cell::RefCell,
    fs::{File, OpenOptions},
    io,
    os::fd::{AsRawFd, IntoRawFd, RawFd},
    path::Path,
    ptr,
};

use crate::sync::{AtomicBool, AtomicPtr, AtomicU64, Mutex, MutexGuard, Ordering};

/// How many forks lie between this process and the one that loaded the library.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// The descriptors that a child closes. Environments are opened and closed with this locked, and so is the process while
/// it forks, so that a child finds none half open. Whatever else a child uses of its parent and finds locked in there was
/// locked with this one locked too, and so is free in the child.
static DESCRIPTORS: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// A number that differs between a process and the children that it forks.
#[inline]
pub(crate) fn generation() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// The process that something belongs to: the one that made it, unless that says otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HomeProcess(u64);

impl Default for HomeProcess {
    fn default() -> Self {
        Self(generation())
    }
}

impl HomeProcess {
    /// Whether this process is a fork of that one.
    #[inline]
    pub(crate) fn is_inherited(self) -> bool {
        self.0 != generation()
    }
}

/// Keeps this process from being forked, and environments from being opened and closed, for as long as the answer lives.
/// Nothing that comes here again may happen meanwhile.
pub(crate) fn hold_off() -> MutexGuard<'static, Vec<RawFd>> {
    watch();
    DESCRIPTORS.lock()
}

/// Begins to count forks.
#[expect(unsafe_code, reason = "the standard library has no hook for forks")]
fn watch() {
    thread_local!(static HELD: RefCell<Option<MutexGuard<'static, Vec<RawFd>>>> = const { RefCell::new(None) });
    extern "C" fn prepare() {
        HELD.with_borrow_mut(|held| {
            held.get_or_insert_with(|| DESCRIPTORS.lock());
        });
    }
    extern "C" fn go_on() {
        HELD.take();
    }
    extern "C" fn forked() {
        FORKS.fetch_add(1, Ordering::Relaxed);
        HELD.with_borrow_mut(|held| {
            for descriptor in held.iter_mut().flat_map(|descriptors| descriptors.drain(..)) {
                // SAFETY: it is open, since `LockFile` removes it before it closes it, and nothing uses it in a child.
                unsafe { libc::close(descriptor) };
            }
        });
        go_on();
    }
    // Several threads may come here at once, or a child whose parent was just here. So nobody waits for anybody, and the
    // handlers do no harm when they are there twice.
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if WATCHED.load(Ordering::Acquire) {
        return;
    }
    // SAFETY: the handlers lock and unlock, add to a number and close descriptors, all of which may be done there.
    let answer = unsafe { libc::pthread_atfork(Some(prepare), Some(go_on), Some(forked)) };
    // It only fails without memory for one more entry.
    assert_eq!(answer, 0, "no memory to watch for forks");
    WATCHED.store(true, Ordering::Release);
}

/// A file that is locked through this descriptor, and which children close.
#[derive(Debug)]
pub(super) struct LockFile {
    /// Empty only while it is dropped.
    file: Option<File>,
    generation: u64,
}

impl LockFile {
    /// Opens a file; a process that is forked in the same moment has it open wholly or not at all.
    pub(super) fn open(path: &Path, options: &OpenOptions) -> io::Result<Self> {
        let mut descriptors = hold_off();
        let file = options.open(path)?;
        descriptors.push(file.as_raw_fd());
        Ok(Self { file: Some(file), generation: generation() })
    }

    /// Whether this process opened it.
    pub(super) fn is_own(&self) -> bool {
        self.generation == generation()
    }

    /// The file, which is closed in a child of the process that opened it.
    pub(super) fn file(&self) -> &File {
        self.file.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        if self.generation != generation() {
            // The number may be that of another file by now.
            let _ = file.into_raw_fd();
            return;
        }
        let mut descriptors = hold_off();
        descriptors.retain(|descriptor| *descriptor != file.as_raw_fd());
        drop(file);
    }
}

/// Something that each process has its own of: a child begins with a new one, and leaves its parent's alone.
pub(crate) struct PerProcess<T>(AtomicPtr<(u64, T)>);

impl<T: Default> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    #[expect(unsafe_code, reason = "a lock might be held by a thread that a child does not have")]
    pub(crate) fn get(&self) -> &T {
        loop {
            let known = self.0.load(Ordering::Acquire);
            // SAFETY: it is null or was leaked below, and is never freed.
            if let Some((generation, value)) = unsafe { known.as_ref() }
                && *generation == self::generation()
            {
                return value;
            }
            let fresh = Box::into_raw(Box::new((generation(), T::default())));
            if self.0.compare_exchange(known, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: it was made above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }
}

/// Something that only the process that made it may end.
#[derive(Debug)]
pub(super) struct Own<T> {
    /// Empty only while it is taken out or dropped.
    value: Option<T>,
    generation: u64,
}

impl<T> Own<T> {
    pub(super) fn new(value: T) -> Self {
        Self { value: Some(value), generation: generation() }
    }

    /// The value, wherever it was made.
    pub(super) fn take_inherited(mut self) -> Option<T> {
        self.value.take()
    }

    /// Whether this process made it.
    pub(super) fn is_own(&self) -> bool {
        self.generation == generation()
    }

    /// The value; `None` in a child of the process that made it, where it stays as it is.
    pub(super) fn take(mut self) -> Option<T> {
        let value = self.value.take();
        if self.generation == generation() {
            return value;
        }
        std::mem::forget(value);
        None
    }
}

impl<T> std::ops::Deref for Own<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is there until it is taken out or dropped")
    }
}

impl<T> std::ops::DerefMut for Own<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("it is there until it is taken out or dropped")
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        if self.generation != generation() {
            std::mem::forget(self.value.take());
        }
    }
}
