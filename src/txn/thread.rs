//! The thread on which those write transactions begin and end that live across calls.
//!
//! LMDB's writer lock belongs to the thread that took it. A transaction that Python code keeps open may be ended by
//! any thread, by the garbage collector or at exit, so it begins and ends here; what happens in between runs on the
//! caller's thread.

use super::patience::Patience;
use crate::{
    coord::gate::Wait,
    error::{Error, Result},
    options::Durability,
    store::{Store, WriteKind, Writer},
    sync::{Arc, channel},
};

enum Command {
    Begin(Option<u64>, channel::Sender<Result<Writer>>),
    Commit(Writer, Durability, channel::Sender<Result<()>>),
    Abort(Writer, channel::Sender<()>),
}

/// The thread, which ends before this is dropped.
#[derive(Debug)]
pub(crate) struct WriterThread {
    /// `None` only while it is being dropped.
    commands: Option<channel::Sender<Command>>,
    thread: Option<std::thread::JoinHandle<()>>,
    store: Arc<Store>,
}

impl WriterThread {
    pub(crate) fn start(store: Arc<Store>) -> Result<Self> {
        let (commands, received) = channel::unbounded();
        let served = Arc::clone(&store);
        let thread = std::thread::Builder::new()
            .name("oocmap-writer".into())
            .spawn(move || serve(&served, &received))
            .map_err(|error| Error::io("starting the writer thread", error))?;
        Ok(Self { commands: Some(commands), thread: Some(thread), store })
    }

    /// Begins a transaction; the caller has the turn to write.
    pub(crate) fn begin(&self, max_size: Option<u64>, patience: &mut Patience<'_>) -> Result<Writer> {
        let (reply, answer) = channel::bounded(1);
        self.send(Command::Begin(max_size, reply))?;
        // Programs that write to the file without our gate may hold LMDB's lock, so even this wait has a limit.
        loop {
            match patience.next() {
                Wait::For(limit) => match answer.recv_timeout(limit) {
                    Ok(begun) => return begun,
                    Err(channel::RecvTimeoutError::Timeout) => {}
                    Err(channel::RecvTimeoutError::Disconnected) => return Err(ended()),
                },
                Wait::GiveUp => return Err(patience.error()),
            }
        }
    }

    pub(crate) fn commit(&self, writer: Writer, durability: Durability) -> Result<()> {
        let (reply, answer) = channel::bounded(1);
        self.send(Command::Commit(writer, durability, reply))?;
        answer.recv().map_err(|_| ended())?
    }

    pub(crate) fn abort(&self, writer: Writer) {
        let (reply, answer) = channel::bounded(1);
        if self.send(Command::Abort(writer, reply)).is_ok() {
            let _ = answer.recv();
        }
    }

    fn send(&self, command: Command) -> Result<()> {
        if self.store.is_inherited() {
            return Err(Store::inherited());
        }
        self.commands.as_ref().and_then(|commands| commands.send(command).ok()).ok_or_else(ended)
    }
}

impl Drop for WriterThread {
    /// Waits for the end of the thread, which keeps the store open until then.
    fn drop(&mut self) {
        if self.store.is_inherited() {
            // There is no such thread in a fork.
            std::mem::forget((self.commands.take(), self.thread.take()));
            return;
        }
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(store: &Arc<Store>, commands: &channel::Receiver<Command>) {
    for command in commands {
        match command {
            Command::Begin(max_size, reply) => {
                // Whoever gave up in the meantime gets it back to be aborted, on this thread.
                if let Err(channel::SendError(Ok(writer))) =
                    reply.send(store.begin_write(WriteKind::Normal, max_size))
                {
                    writer.abort();
                }
            }
            Command::Commit(writer, durability, reply) => {
                let _ = reply.send(writer.commit(durability));
            }
            Command::Abort(writer, reply) => {
                writer.abort();
                let _ = reply.send(());
            }
        }
    }
}

fn ended() -> Error {
    Error::Transaction("the writer thread has ended; open the map again")
}
