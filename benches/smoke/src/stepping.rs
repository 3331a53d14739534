//! One thread's way through one module, instruction by instruction.
//!
//! While the thread is in the module, the processor's trap flag is set: `SIGTRAP` comes after each instruction. While it
//! is outside, the module's code can't be executed, so that coming back is a `SIGSEGV`; what is outside runs at full
//! speed and unseen. How long the interpreter, the allocator and the C library take depends on their versions and on
//! the processor, and steps are slow: 13 microseconds in a virtual machine.
//!
//! Other threads that come into the module while its code can't be executed wait until the counted thread is back. When
//! that takes long, it may be waiting for them: then they make the code executable, and the count is void, since the
//! counted thread may come back unseen.

use std::{
    ffi::{c_int, c_void},
    io,
    mem::MaybeUninit,
    sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, AtomicUsize, Ordering::SeqCst},
};

use libc::{
    PROT_EXEC, PROT_READ, REG_EFL, REG_ERR, REG_RIP, SIGSEGV, SIGTRAP, greg_t, siginfo_t, ucontext_t,
};

/// The trap flag among the processor's flags.
const TRAP_FLAG: greg_t = 0x100;

/// What a page fault says when an instruction was to be fetched.
const FETCH: greg_t = 0x10;

/// How often another thread looks whether it may go on, and how many nanoseconds there are in between.
const LOOKS: usize = 1000;
const BETWEEN_LOOKS: libc::c_long = 100_000;

/// How many functions that allocate may be told.
const ALLOCATORS: usize = 8;

static START: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);
static ALLOCATES: [AtomicUsize; ALLOCATORS] = [const { AtomicUsize::new(0) }; ALLOCATORS];
static THREAD: AtomicU64 = AtomicU64::new(0);
static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static IS_EXECUTABLE: AtomicBool = AtomicBool::new(true);
static IS_VOID: AtomicBool = AtomicBool::new(false);
static FAILURE: AtomicI32 = AtomicI32::new(0);
static INSTRUCTIONS: AtomicU64 = AtomicU64::new(0);
static EXITS: AtomicU64 = AtomicU64::new(0);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Who handled `SIGSEGV` before; never freed.
static BEFORE: AtomicPtr<libc::sigaction> = AtomicPtr::new(std::ptr::null_mut());

/// What was done in the module.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Counts {
    /// Instructions executed.
    instructions: u64,
    /// How often something outside was called or returned to.
    exits: u64,
    /// How many of these were calls of the allocator.
    allocations: u64,
    /// An `errno` if the code could not be protected; 0 otherwise.
    failure: c_int,
    /// Whether another thread came in between, so that all of it has to be counted again.
    is_void: bool,
}

/// Says where the module's code is, in whole pages, and which functions allocate (unused places are 0), and takes the
/// two signals. Returns 0, or what went wrong as an `errno`.
///
/// # Safety
///
/// There is code from `start` to `end`, which stays for as long as the process. `allocators` are as many addresses as
/// [`ALLOCATORS`]. This is called once in a process, and nothing else in it uses `SIGTRAP`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn smoke_prepare(start: usize, end: usize, allocators: *const usize) -> c_int {
    START.store(start, SeqCst);
    END.store(end, SeqCst);
    for (index, place) in ALLOCATES.iter().enumerate() {
        // SAFETY: the caller has that many.
        let allocator = unsafe { allocators.add(index) };
        // SAFETY: the same.
        place.store(unsafe { *allocator }, SeqCst);
    }
    handle(SIGTRAP, stepped).and_then(|_| handle(SIGSEGV, faulted)).map_or_else(errno, |before| {
        BEFORE.store(Box::leak(Box::new(before)), SeqCst);
        0
    })
}

/// Begins to count what this thread does.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn smoke_begin() {
    for counter in [&INSTRUCTIONS, &EXITS, &ALLOCATIONS] {
        counter.store(0, SeqCst);
    }
    FAILURE.store(0, SeqCst);
    IS_VOID.store(false, SeqCst);
    THREAD.store(this_thread(), SeqCst);
    IS_COUNTING.store(true, SeqCst);
    set_executable(false);
}

/// Ends counting, and returns what was counted.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn smoke_end() -> Counts {
    IS_COUNTING.store(false, SeqCst);
    set_executable(true);
    Counts {
        instructions: INSTRUCTIONS.load(SeqCst),
        exits: EXITS.load(SeqCst),
        allocations: ALLOCATIONS.load(SeqCst),
        failure: FAILURE.load(SeqCst),
        is_void: IS_VOID.load(SeqCst),
    }
}

type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// Takes a signal; returns who had it before.
fn handle(signal: c_int, handler: Handler) -> io::Result<libc::sigaction> {
    // SAFETY: an action of zeros is a valid one.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut before = action;
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: the handler has the signature that SA_SIGINFO asks for, and does only what handlers may.
    let status = unsafe { libc::sigaction(signal, &raw const action, &raw mut before) };
    if status == 0 { Ok(before) } else { Err(io::Error::last_os_error()) }
}

#[expect(clippy::needless_pass_by_value, reason = "it ends here")]
fn errno(error: io::Error) -> c_int {
    error.raw_os_error().unwrap_or(libc::EINVAL)
}

fn this_thread() -> u64 {
    // SAFETY: it reads a register.
    unsafe { libc::pthread_self() }
}

/// Allows or forbids that the module's code is executed.
fn set_executable(is_executable: bool) {
    let protection = if is_executable { PROT_READ | PROT_EXEC } else { PROT_READ };
    if !is_executable {
        IS_EXECUTABLE.store(false, SeqCst);
    }
    let start = START.load(SeqCst);
    // SAFETY: the code is there, as the caller of `smoke_prepare` has promised, and is not written to; who executes it
    // meanwhile gets a signal that is handled.
    if unsafe { libc::mprotect(start as *mut c_void, END.load(SeqCst) - start, protection) } != 0 {
        FAILURE.store(errno(io::Error::last_os_error()), SeqCst);
    }
    if is_executable {
        IS_EXECUTABLE.store(true, SeqCst);
    }
}

fn has(place: usize) -> bool {
    (START.load(SeqCst)..END.load(SeqCst)).contains(&place)
}

/// The registers of what a signal interrupted.
///
/// # Safety
///
/// `context` is what the kernel gave to a handler that has not returned.
unsafe fn registers<'a>(context: *mut c_void) -> &'a mut [greg_t] {
    // SAFETY: the kernel passes such a context, and nobody else has it.
    let context = unsafe { &mut *context.cast::<ucontext_t>() };
    &mut context.uc_mcontext.gregs
}

/// Runs after each instruction in the module, and sees where the thread is about to go on.
extern "C" fn stepped(_signal: c_int, _about: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel calls this.
    let registers = unsafe { registers(context) };
    let place = registers[REG_RIP as usize].cast_unsigned() as usize;
    if has(place) {
        INSTRUCTIONS.fetch_add(1, SeqCst);
        return;
    }
    EXITS.fetch_add(1, SeqCst);
    if ALLOCATES.iter().any(|allocator| allocator.load(SeqCst) == place) {
        ALLOCATIONS.fetch_add(1, SeqCst);
    }
    registers[REG_EFL as usize] &= !TRAP_FLAG;
    set_executable(false);
}

/// Runs when a thread comes into the module while its code can't be executed.
extern "C" fn faulted(_signal: c_int, _about: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel calls this.
    let registers = unsafe { registers(context) };
    if registers[REG_ERR as usize] & FETCH == 0 || !has(registers[REG_RIP as usize].cast_unsigned() as usize)
    {
        // A fault that is not ours comes again, to who had the signal before.
        // SAFETY: `smoke_prepare` stored it, and it is never freed.
        unsafe { libc::sigaction(SIGSEGV, BEFORE.load(SeqCst), std::ptr::null_mut()) };
        return;
    }
    if !IS_COUNTING.load(SeqCst) {
        set_executable(true);
    } else if THREAD.load(SeqCst) == this_thread() {
        set_executable(true);
        INSTRUCTIONS.fetch_add(1, SeqCst);
        registers[REG_EFL as usize] |= TRAP_FLAG;
    } else if !may_go_on() {
        IS_VOID.store(true, SeqCst);
        set_executable(true);
    }
}

/// Waits until the code can be executed; not for ever.
fn may_go_on() -> bool {
    (0..LOOKS).any(|_| {
        let pause = libc::timespec { tv_sec: 0, tv_nsec: BETWEEN_LOOKS };
        // SAFETY: it reads the time to wait, and handlers may wait.
        unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
        IS_EXECUTABLE.load(SeqCst)
    })
}
