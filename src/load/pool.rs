//! The threads that encode, sort and write runs, while the source is read on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{batch::Batch, run::Run, spill::Spill, text::Text};
use crate::{
    error::{Error, Result},
    sync::{Arc, AtomicBool, Mutex, Ordering, channel},
};

/// What one thread does at a time.
pub(super) enum Work {
    /// Entries that have to be sorted and written.
    Batch(Batch),
    /// Text that has to be read first.
    Text(Text),
}

struct Job {
    /// Its place in the order of the source.
    number: u64,
    work: Work,
}

struct Shared {
    spill: Arc<Spill>,
    /// How large a batch becomes, in bytes.
    limit: usize,
    /// Each with the number of its job and its own within that.
    runs: Mutex<Vec<((u64, usize), Run)>>,
    /// What went wrong first, in the order of the source.
    failure: Mutex<Option<(u64, Error)>>,
    has_failed: AtomicBool,
}

/// Threads that end when this is dropped.
pub(super) struct Pool {
    jobs: Option<channel::Sender<Job>>,
    next: u64,
    threads: Vec<std::thread::JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl Pool {
    pub(super) fn new(spill: Spill, workers: usize, limit: usize) -> Result<Self> {
        let shared = Arc::new(Shared {
            spill: Arc::new(spill),
            limit,
            runs: Mutex::default(),
            failure: Mutex::default(),
            has_failed: AtomicBool::new(false),
        });
        // Whoever gives a job waits until a thread takes it, so that none lies about in memory.
        let (jobs, taken) = channel::bounded(0);
        let mut pool = Self { jobs: Some(jobs), next: 0, threads: Vec::new(), shared };
        for _ in 0..workers {
            let (shared, taken) = (Arc::clone(&pool.shared), taken.clone());
            let thread = std::thread::Builder::new()
                .name("oocmap-load".into())
                .spawn(move || serve(&shared, &taken))
                .map_err(|error| Error::io("starting a thread that sorts", error))?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Gives work to the next thread that is free.
    pub(super) fn give(&mut self, work: Work) -> Result<()> {
        let job = Job { number: self.next, work };
        self.next += 1;
        if !self.shared.has_failed.load(Ordering::Acquire)
            && self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
        {
            return Ok(());
        }
        self.wait();
        Err(self.take_failure().unwrap_or(Error::TransactionClosed))
    }

    /// Waits for all that was given, and answers the runs in the order of the source.
    pub(super) fn finish(mut self) -> Result<(Arc<Spill>, Vec<Run>)> {
        self.wait();
        if let Some(failure) = self.take_failure() {
            return Err(failure);
        }
        let mut runs = std::mem::take(&mut *self.shared.runs.lock());
        runs.sort_unstable_by_key(|(number, _)| *number);
        Ok((Arc::clone(&self.shared.spill), runs.into_iter().map(|(_, run)| run).collect()))
    }

    /// Forgets the threads, of which a fork has none.
    pub(super) fn forget(mut self) {
        std::mem::forget(std::mem::take(&mut self.threads));
        std::mem::forget(self);
    }

    fn take_failure(&self) -> Option<Error> {
        self.shared.failure.lock().take().map(|(_, error)| error)
    }

    fn wait(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.has_failed.store(true, Ordering::Release);
        self.wait();
    }
}

fn serve(shared: &Shared, jobs: &channel::Receiver<Job>) {
    for Job { number, work } in jobs {
        // What comes behind a failure is of no use; what comes before it may have one that has to be told instead.
        let is_useless = || shared.failure.lock().as_ref().is_some_and(|(failed, _)| *failed < number);
        if shared.has_failed.load(Ordering::Acquire) && is_useless() {
            continue;
        }
        let done = catch_unwind(AssertUnwindSafe(|| do_work(shared, number, work)))
            .unwrap_or(Err(Error::Transaction("reading or sorting entries failed half way")));
        if let Err(error) = done {
            let mut failure = shared.failure.lock();
            if failure.as_ref().is_none_or(|(earlier, _)| number < *earlier) {
                *failure = Some((number, error));
            }
            shared.has_failed.store(true, Ordering::Release);
        }
    }
}

fn do_work(shared: &Shared, number: u64, work: Work) -> Result<()> {
    let mut part = 0;
    let mut write = |batch: Batch| {
        let run = Run::write(&shared.spill, batch)?;
        shared.runs.lock().push(((number, part), run));
        part += 1;
        Ok(())
    };
    match work {
        Work::Batch(batch) => write(batch),
        Work::Text(text) => {
            let mut batch = Batch::default();
            text.read(&mut |key, draft| {
                batch.push(key, draft);
                if batch.size() >= shared.limit { write(std::mem::take(&mut batch)) } else { Ok(()) }
            })?;
            drop(text);
            if batch.entries() > 0 { write(batch) } else { Ok(()) }
        }
    }
}
