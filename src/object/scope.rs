//! What a record needs besides itself to be read: the names of symbols and the values that are stored once for all.

use crate::{
    error::{Error, Result},
    format::{
        frame::{Frame, Kind},
        key::Key,
        record::{Container, RecordView, Reference},
    },
    store::ReadTables,
    sync::Arc,
    txn::{
        memory::Memory,
        write::{shared_id, shared_value},
    },
};

/// Where symbols and shared values are looked up.
pub trait Scope {
    /// The name of a symbol.
    ///
    /// # Errors
    ///
    /// `Corrupted` when there is no such symbol.
    fn symbol(&self, symbol: u32) -> Result<Arc<str>>;

    /// The symbol of a name, when it has one.
    fn symbol_of(&self, name: &str) -> Option<u32>;

    /// The encoding of a shared value.
    ///
    /// # Errors
    ///
    /// `Corrupted` when there is no such value.
    fn shared(&self, id: u64) -> Result<&[u8]>;
}

/// The place of a key or member in a dict or set.
///
/// # Errors
///
/// `InvalidKey` or `TooLarge` for a key that can't be a member of anything; `Corrupted` when the record is damaged.
pub fn find(
    scope: &(impl Scope + ?Sized),
    record: RecordView<'_>,
    container: Container,
    member: &Key<'_>,
) -> Result<Option<usize>> {
    record.find_member(container, member, |name| scope.symbol_of(name))
}

/// A stored value, borrowed from where it lies.
#[derive(Clone, Copy)]
pub enum Stored<'t> {
    /// A leaf, encoded.
    Scalar(&'t [u8]),
    /// A whole nested value, with the bytes of its archive.
    Record(RecordView<'t>, &'t [u8]),
    /// A Rust user's own archive.
    Archive(&'t [u8]),
    /// A mutable container that lies elsewhere.
    Object(Reference),
}

/// A stored value, taken out of its frame.
#[inline]
pub(crate) fn open<'t>(tables: &'t impl ReadTables, frame: &Frame<'t>) -> Result<Stored<'t>> {
    Ok(match frame.kind {
        Kind::Scalar => Stored::Scalar(frame.payload),
        Kind::Shared => Stored::Scalar(shared_value(tables, shared_id(frame.payload)?)?),
        Kind::Record => Stored::Record(RecordView::access(frame.payload)?, frame.payload),
        Kind::Archive => Stored::Archive(frame.payload),
        Kind::Object => Stored::Object(Reference::decode(frame.payload)?),
        other => return Err(Error::corrupted(format!("a value is a part of a container, {other:?}"))),
    })
}

/// The name of a symbol, from memory or from the tables.
pub(crate) fn symbol_name(memory: &Memory, tables: &impl ReadTables, symbol: u32) -> Result<Arc<str>> {
    match memory.name(symbol) {
        Some(name) => Ok(name),
        None => crate::txn::memory::stored_symbol(tables, symbol).map(Into::into),
    }
}

pub(crate) fn missing_symbol(symbol: u32) -> Error {
    Error::corrupted(format!("symbol {symbol} is missing"))
}
