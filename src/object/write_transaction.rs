//! Write transactions: all or nothing, one at a time.

use std::marker::PhantomData;

use super::{
    scope::{Scope, open, symbol_name},
    shared_transaction::Copied,
    value::Value,
    value_ref::ValueRef,
};
use crate::{
    error::{Error, Result},
    format::{
        builder::{Draft, DraftKind, ValueBuilder},
        frame::Frame,
        key::{Key, KeyBytes},
        record::{ObjectId, Reference},
    },
    store::{WriteKind, Writer},
    sync::Arc,
    txn::{
        change::{Change, Stamp},
        core::{Core, Terms, Turn, thread_token},
        entry::EntryKey,
        live::Seen,
        patience::Patience,
        write::{WriteState, shared_value},
    },
};

/// What can be done inside a write transaction.
pub struct WriteScope<'a> {
    pub(crate) state: &'a mut WriteState<Writer>,
    is_only: bool,
}

impl<'a> WriteScope<'a> {
    pub(crate) fn new(state: &'a mut WriteState<Writer>, is_only: bool) -> Self {
        Self { state, is_only }
    }

    /// What is to be stored: itself if this runs only once, or else a copy.
    ///
    /// # Errors
    ///
    /// `TransactionClosed` when it was taken before.
    pub fn take<T: Clone>(&self, kept: &mut Option<T>) -> Result<T> {
        let taken = if self.is_only { kept.take() } else { kept.clone() };
        taken.ok_or(Error::TransactionClosed)
    }

    /// Stores a value; answers whether the key is new. The form in which a key was first given stays.
    ///
    /// # Errors
    ///
    /// `MapFull` or `Io` when there is no room; `TooLarge` when the value can't be archived.
    pub fn put(&mut self, key: &EntryKey, draft: Draft) -> Result<bool> {
        self.settled()?.put(key, draft)
    }

    /// Changes a container, all that is asked or nothing; `seen` are the ordered bytes of the key that it was last seen
    /// under. Answers `false`, having done nothing, when it is no longer what it was when it was given this stamp.
    ///
    /// # Errors
    ///
    /// `Stale` when the object is gone; `InvalidKey` for positions past its end; `MapFull` or `Io` when there is no room.
    pub fn change(
        &mut self,
        id: ObjectId,
        seen: Option<&Arc<[u8]>>,
        expected: Option<Stamp>,
        changes: &[Change],
    ) -> Result<bool> {
        self.settled()?.change(id, &seen.cloned(), expected, changes)
    }

    /// As [`WriteScope::change`], by a single step that does nothing when it fails; `None`, having done nothing, when that
    /// takes more than to put leaves in the place of others.
    pub(super) fn patch(
        &mut self,
        id: ObjectId,
        seen: Option<&[u8]>,
        expected: Option<Stamp>,
        changes: &[Change],
    ) -> Result<Option<bool>> {
        self.settled()?.patch(id, seen, expected, changes)
    }

    /// As [`WriteScope::change`], where a record that the container lies in is written anew.
    pub(super) fn change_anew(
        &mut self,
        id: ObjectId,
        seen: Option<&Arc<[u8]>>,
        expected: Option<Stamp>,
        changes: &[Change],
    ) -> Result<bool> {
        self.settled()?.change_anew(id, &seen.cloned(), expected, changes)
    }

    /// Deletes an entry by the ordered bytes of its key; answers whether it was there.
    ///
    /// # Errors
    ///
    /// `MapFull` or `Io` when there is no room to write what is left.
    pub fn delete(&mut self, ordered: &[u8]) -> Result<bool> {
        self.settled()?.delete(ordered)
    }

    /// Deletes all entries.
    ///
    /// # Errors
    ///
    /// `MapFull` or `Io` when there is no room to write what is left.
    pub fn clear(&mut self) -> Result<()> {
        self.settled()?.clear()
    }

    /// A copy of the value under the ordered bytes of a key.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged.
    pub fn get(&mut self, ordered: &[u8]) -> Result<Option<Copied>> {
        Copied::of_entry(self.settled()?, ordered)
    }

    /// Deletes an entry if it still is as it was read; answers whether it was.
    ///
    /// # Errors
    ///
    /// `MapFull` or `Io` when there is no room to write what is left.
    pub fn delete_unchanged(&mut self, ordered: &[u8], raw: &[u8]) -> Result<bool> {
        let state = self.settled()?;
        if state.entry(ordered)? != Some(raw) {
            return Ok(false);
        }
        state.delete(ordered)
    }

    /// Adds elements at the end of a list; `seen` are the ordered bytes of the key that it was last seen under.
    ///
    /// # Errors
    ///
    /// `Stale` when the object is gone; `MapFull` or `Io` when there is no room, which may show later.
    pub fn append(&mut self, id: ObjectId, seen: Option<&Arc<[u8]>>, drafts: Vec<Draft>) -> Result<()> {
        self.state.append_elements(id, &seen.cloned(), drafts)
    }

    /// The state, with all that was appended.
    pub(crate) fn settled(&mut self) -> Result<&mut WriteState<Writer>> {
        self.state.settle_appends()?;
        Ok(self.state)
    }
}

/// A write transaction of one thread.
///
/// It is rolled back when it is dropped. What was read from it is borrowed, and gone with the next change:
///
/// ```compile_fail,E0502
/// # fn main() -> Result<(), oocmap::Error> {
/// # let environment = oocmap::Environment::open("x.ooc".as_ref(), &oocmap::Options::default())?;
/// let mut write = environment.write()?;
/// let value = write.get(&"key".into())?;
/// write.put(&"key".into(), &1.into())?; // the page that the value was on may move
/// assert!(value.is_some());
/// # Ok(())
/// # }
/// ```
///
/// It belongs to the thread that began it:
///
/// ```compile_fail,E0277
/// # fn main() -> Result<(), oocmap::Error> {
/// # let environment = oocmap::Environment::open("x.ooc".as_ref(), &oocmap::Options::default())?;
/// let write = environment.write()?;
/// std::thread::spawn(move || write.commit());
/// # Ok(())
/// # }
/// ```
pub struct WriteTransaction {
    // Dropped before the turn, so that the next writer finds the store free.
    state: Option<WriteState<Writer>>,
    core: Arc<Core>,
    terms: Terms,
    _turn: Turn,
    thread: PhantomData<*const ()>,
}

impl std::fmt::Debug for WriteTransaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteTransaction").field("core", &self.core).finish_non_exhaustive()
    }
}

impl WriteTransaction {
    pub(crate) fn begin(core: &Arc<Core>, terms: Terms, patience: &mut Patience<'_>) -> Result<Self> {
        let turn = core.take_turn(patience)?;
        let writer = core.generations.begin_write(WriteKind::Normal, terms.max_size)?;
        let state = WriteState::new(writer, Arc::clone(&core.memory)).map_err(|(error, _)| error)?;
        Ok(Self { state: Some(state), core: Arc::clone(core), terms, _turn: turn, thread: PhantomData })
    }

    /// Stores a value; answers whether the key is new. The form in which a key was first given stays.
    ///
    /// # Errors
    ///
    /// `InvalidKey` for a key that can't be one; `TooLarge`; `MapFull` or `Io` when there is no room, after which the
    /// transaction can only be aborted.
    pub fn put(&mut self, key: &Key<'_>, value: &Value) -> Result<bool> {
        let (key, draft) = (EntryKey::new(key)?, value.draft()?);
        self.state_mut()?.put(&key, draft)
    }

    /// Stores anything that derives rkyv's `Archive`, to be read back with
    /// [`get_archived`](super::read_transaction::ReadTransaction::get_archived).
    ///
    /// # Errors
    ///
    /// As [`WriteTransaction::put`]; `Unsupported` when the value can't be archived.
    ///
    /// # Examples
    ///
    /// ```
    /// use rkyv::{Archive, Serialize};
    ///
    /// #[derive(Archive, Serialize)]
    /// struct Point {
    ///     x: f64,
    ///     y: f64,
    /// }
    ///
    /// # fn main() -> Result<(), oocmap::Error> {
    /// # let directory = tempfile::tempdir().expect("a temporary directory");
    /// # let path = directory.path().join("points.ooc");
    /// let environment = oocmap::Environment::open(&path, &oocmap::Options::default())?;
    /// let mut write = environment.write()?;
    /// write.put_archived(&"origin".into(), &Point { x: 0.0, y: -1.5 })?;
    /// write.commit()?;
    ///
    /// let read = environment.read()?;
    /// let point = read.get_archived::<Point>(&"origin".into())?.expect("it was just stored");
    /// assert_eq!(point.y, -1.5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn put_archived<T>(&mut self, key: &Key<'_>, value: &T) -> Result<bool>
    where
        T: for<'a> rkyv::Serialize<
                rkyv::api::high::HighSerializer<
                    Vec<u8>,
                    rkyv::ser::allocator::ArenaHandle<'a>,
                    rkyv::rancor::BoxedError,
                >,
            >,
    {
        let key = EntryKey::new(key)?;
        let bytes = rkyv::api::high::to_bytes_in::<_, rkyv::rancor::BoxedError>(value, Vec::new())
            .map_err(|error| Error::Unsupported(format!("the value can't be archived: {error}")))?;
        self.state_mut()?.put(&key, Draft(DraftKind::Archive(bytes)))
    }

    /// The value under a key, as it stands in this transaction.
    ///
    /// # Errors
    ///
    /// As [`ReadTransaction::get`](super::read_transaction::ReadTransaction::get).
    pub fn get(&self, key: &Key<'_>) -> Result<Option<ValueRef<'_>>> {
        let mut ordered = KeyBytes::new();
        key.encode(&mut ordered)?;
        let tables = self.state()?.tables();
        match self.state()?.entry(&ordered)? {
            Some(value) => ValueRef::new(self, open(tables, &Frame::decode(value)?)?).map(Some),
            None => Ok(None),
        }
    }

    /// As [`WriteTransaction::put`], for a value that was built piece by piece.
    ///
    /// # Errors
    ///
    /// As [`WriteTransaction::put`].
    pub fn put_draft(&mut self, key: &Key<'_>, draft: Draft) -> Result<bool> {
        let key = EntryKey::new(key)?;
        self.state_mut()?.put(&key, draft)
    }

    /// Stores a reference to an object that is in the map already; `seen` is the key that it was last seen under.
    ///
    /// # Errors
    ///
    /// `Stale` when the object is gone; as [`WriteTransaction::put`].
    pub fn put_object(&mut self, key: &Key<'_>, object: Reference, seen: Option<&Key<'_>>) -> Result<bool> {
        let mut builder = ValueBuilder::new();
        let root = builder.object(object, seen_under(seen)?)?;
        let key = EntryKey::new(key)?;
        self.state_mut()?.put(&key, builder.finish(root))
    }

    /// Changes a container, all that is asked or nothing; `seen` is the key that it was last seen under.
    ///
    /// # Errors
    ///
    /// `Stale` when the object is gone; `InvalidKey` for positions past its end; `MapFull` or `Io` when there is no
    /// room, after which the transaction can only be aborted.
    pub fn change(&mut self, id: ObjectId, seen: Option<&Key<'_>>, changes: &[Change]) -> Result<()> {
        let seen = seen_under(seen)?;
        self.nested(|own| own.state_mut()?.change(id, &seen, None, changes).map(|_| ()))
    }

    /// Deletes an entry; answers whether it was there.
    ///
    /// # Errors
    ///
    /// As [`WriteTransaction::put`].
    pub fn delete(&mut self, key: &Key<'_>) -> Result<bool> {
        let mut ordered = KeyBytes::new();
        key.encode(&mut ordered)?;
        self.state_mut()?.delete(&ordered)
    }

    /// Deletes all entries.
    ///
    /// # Errors
    ///
    /// As [`WriteTransaction::put`].
    pub fn clear(&mut self) -> Result<()> {
        self.state_mut()?.clear()
    }

    /// How many entries there are.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged.
    pub fn len(&self) -> Result<u64> {
        self.state()?.entries()
    }

    /// Whether there is no entry.
    ///
    /// # Errors
    ///
    /// `Corrupted` when the file is damaged.
    pub fn is_empty(&self) -> Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// Does something wholly or not at all: what it changed is taken back when it fails.
    ///
    /// # Errors
    ///
    /// That of `work`; any error of the storage while taking back.
    pub fn nested<R>(&mut self, work: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let savepoint = self.state_mut()?.savepoint();
        let result = work(self);
        match &result {
            Ok(_) => self.state_mut()?.release_savepoint(),
            Err(_) => self.state_mut()?.roll_back_to(savepoint)?,
        }
        result
    }

    /// Makes everything durable and visible to all.
    ///
    /// # Errors
    ///
    /// `MapFull` or `Io`, after which nothing of it has happened; `CommitOutcomeUnknown`.
    pub fn commit(mut self) -> Result<()> {
        let state = self.state.take().ok_or(Error::TransactionClosed)?;
        let durability = self.terms.durability;
        let ((), resized) = Core::end(state, Ok(()), |tables| tables.commit(durability), Writer::abort)?;
        self.core.note_resized(thread_token(), resized);
        Ok(())
    }

    /// Takes everything back.
    pub fn abort(self) {
        drop(self);
    }

    pub(super) fn state(&self) -> Result<&WriteState<Writer>> {
        self.state.as_ref().ok_or(Error::TransactionClosed)
    }

    fn state_mut(&mut self) -> Result<&mut WriteState<Writer>> {
        self.state.as_mut().ok_or(Error::TransactionClosed)
    }
}

/// The ordered bytes of a key that something was seen under.
fn seen_under(key: Option<&Key<'_>>) -> Result<Seen> {
    let Some(key) = key else { return Ok(None) };
    let mut ordered = KeyBytes::new();
    key.encode(&mut ordered)?;
    Ok(Some(ordered.as_slice().into()))
}

impl Drop for WriteTransaction {
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            state.take_back().abort();
        }
    }
}

impl Scope for WriteTransaction {
    fn symbol(&self, symbol: u32) -> Result<Arc<str>> {
        symbol_name(&self.core.memory, self.state()?.tables(), symbol)
    }

    fn symbol_of(&self, name: &str) -> Option<u32> {
        self.state.as_ref()?.known_symbol(name)
    }

    fn shared(&self, id: u64) -> Result<&[u8]> {
        shared_value(self.state()?.tables(), id)
    }
}
