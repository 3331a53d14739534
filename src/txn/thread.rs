//! The thread on which those write transactions begin and end that live across calls.
//!
//! LMDB's writer lock belongs to the thread that took it. A transaction that Python code keeps open may be ended by
//! any thread, by the garbage collector or at exit, so it begins and ends here; what happens in between runs on the
//! caller's thread.

use std::time::Duration;

use super::{core::Turn, patience::Patience};
use crate::{
    coord::gate::Wait,
    error::{Error, Result},
    options::Durability,
    store::{Generations, Store, WriteKind, Writer},
    sync::{Arc, channel},
};

/// How long a transaction may take to begin that nobody holds back.
const AT_ONCE: Duration = Duration::from_millis(100);

enum Command {
    Begin(Option<u64>, channel::Sender<Result<Writer>>),
    /// Takes back what an earlier `Begin` answers, or has answered, and then lets the next writer in.
    Discard(channel::Receiver<Result<Writer>>, Turn),
    Commit(Writer, Durability, channel::Sender<Result<()>>),
    Abort(Writer, channel::Sender<()>),
}

/// The thread, which ends before this is dropped.
#[derive(Debug)]
pub(crate) struct WriterThread {
    /// `None` only while it is being dropped.
    commands: Option<channel::Sender<Command>>,
    thread: Option<std::thread::JoinHandle<()>>,
    generations: Arc<Generations>,
}

impl WriterThread {
    pub(crate) fn start(generations: Arc<Generations>) -> Result<Self> {
        let (commands, received) = channel::unbounded();
        let served = Arc::clone(&generations);
        let thread = std::thread::Builder::new()
            .name("oocmap-writer".into())
            .spawn(move || serve(&served, &received))
            .map_err(|error| Error::io("starting the writer thread", error))?;
        Ok(Self { commands: Some(commands), thread: Some(thread), generations })
    }

    /// Begins a transaction; the caller gives its turn to write, and gets it back with the transaction.
    pub(crate) fn begin(
        &self,
        max_size: Option<u64>,
        turn: Turn,
        patience: &mut Patience<'_>,
    ) -> Result<(Writer, Turn)> {
        let (reply, answer) = channel::bounded(1);
        self.send(Command::Begin(max_size, reply))?;
        // It takes no time, unless a program that writes without our gate has LMDB's lock: so even this has a limit.
        let mut limit = AT_ONCE;
        loop {
            match answer.recv_timeout(limit) {
                Ok(begun) => return begun.map(|writer| (writer, turn)),
                Err(channel::RecvTimeoutError::Timeout) => {}
                Err(channel::RecvTimeoutError::Disconnected) => return Err(ended()),
            }
            match patience.next() {
                Wait::For(longer) => limit = longer,
                Wait::GiveUp => {
                    // The answer may come at any moment, and only the thread may end what it has begun.
                    self.send(Command::Discard(answer, turn))?;
                    return Err(patience.error());
                }
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
        if self.generations.is_inherited() {
            return Err(Store::inherited());
        }
        self.commands.as_ref().and_then(|commands| commands.send(command).ok()).ok_or_else(ended)
    }
}

impl Drop for WriterThread {
    /// Waits for the end of the thread, which keeps the file open until then.
    fn drop(&mut self) {
        if self.generations.is_inherited() {
            // There is no such thread in a fork.
            std::mem::forget((self.commands.take(), self.thread.take()));
            return;
        }
        self.commands = None;
        match self.thread.take() {
            // A turn that was given up may have been the last to use the map.
            Some(thread) if thread.thread().id() == std::thread::current().id() => {}
            Some(thread) => {
                let _ = thread.join();
            }
            None => {}
        }
    }
}

fn serve(generations: &Arc<Generations>, commands: &channel::Receiver<Command>) {
    for command in commands {
        match command {
            Command::Begin(max_size, reply) => {
                let _ = reply.send(generations.begin_write(WriteKind::Normal, max_size));
            }
            Command::Discard(answer, turn) => {
                if let Ok(Ok(writer)) = answer.try_recv() {
                    writer.abort();
                }
                drop(turn);
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
