//! Where an entry of the map stands: its ordered key, or for long keys a prefix and a hash.

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    error::{Error, Result},
    format::{
        frame::Frame,
        key::{Key, KeyBytes},
    },
    store::{ReadTables, Table},
};

/// The longest key that the store takes, and the length of every long key's place.
pub(crate) const LONGEST: usize = 511;
/// The longest ordered key that stands as it is.
const SHORT: usize = LONGEST - 1;
/// How much of a long key is kept, so that it stays near its place in the order.
pub(crate) const PREFIX: usize = 494;

/// A key as the entries table has it.
pub(crate) type TableKey = SmallVec<[u8; 64]>;

/// A key, ready to be stored under.
#[derive(Clone, Debug)]
pub struct EntryKey {
    ordered: KeyBytes,
    form: Option<Vec<u8>>,
}

impl EntryKey {
    /// Encodes a key.
    ///
    /// # Errors
    ///
    /// `InvalidKey` for a key that has no place in the order, such as NaN; `TooLarge` for one nested too deeply.
    pub fn new(key: &Key<'_>) -> Result<Self> {
        let mut ordered = KeyBytes::new();
        key.encode(&mut ordered)?;
        let mut form = None;
        if ordered.len() > SHORT || !key.is_default_form() {
            let mut bytes = Vec::new();
            key.encode_form(&mut bytes)?;
            form = Some(bytes);
        }
        Ok(Self { ordered, form })
    }

    /// A key whose ordered bytes say it all, such as a short text or an integer.
    ///
    /// # Errors
    ///
    /// As [`EntryKey::new`].
    pub fn from_ordered(ordered: KeyBytes) -> Result<Self> {
        if ordered.len() > SHORT {
            return Self::new(&Key::decode(&ordered)?);
        }
        Ok(Self { ordered, form: None })
    }

    /// A key that was encoded before.
    pub(crate) fn of_parts(ordered: KeyBytes, form: Option<Vec<u8>>) -> Self {
        Self { ordered, form }
    }

    /// The bytes that sort as the key does.
    pub fn ordered(&self) -> &[u8] {
        &self.ordered
    }

    /// Whether the key stands in the table as it is.
    pub(crate) fn is_short(&self) -> bool {
        is_short(&self.ordered)
    }

    pub(crate) fn into_ordered(self) -> KeyBytes {
        self.ordered
    }

    pub(crate) fn form(&self) -> Option<&[u8]> {
        self.form.as_deref()
    }
}

/// Whether a key with these ordered bytes stands in the table as it is.
pub(crate) fn is_short(ordered: &[u8]) -> bool {
    ordered.len() <= SHORT
}

/// The key that an entry was stored under, from where it was found.
pub(crate) fn decode_key<'a>(table_key: &'a [u8], frame: &Frame<'a>) -> Result<Key<'a>> {
    match frame.form {
        Some(form) => Key::decode_form(form),
        None => Key::decode(table_key),
    }
}

/// The ordered bytes of a key, from where it was found.
pub(crate) fn ordered_of(table_key: &[u8], value: &[u8]) -> Result<KeyBytes> {
    ordered_of_frame(table_key, &Frame::decode(value)?)
}

/// The ordered bytes of a key, from where it was found and what it was found with.
pub(crate) fn ordered_of_frame(table_key: &[u8], frame: &Frame<'_>) -> Result<KeyBytes> {
    if table_key.len() <= SHORT {
        return Ok(KeyBytes::from_slice(table_key));
    }
    let form = frame.form.ok_or_else(|| Error::corrupted("a long key lacks its whole form"))?;
    let mut ordered = KeyBytes::new();
    Key::decode_form(form)?.encode(&mut ordered)?;
    Ok(ordered)
}

/// Hashes what a long key's prefix leaves out.
///
/// The engine's own tests use a hash that collides all the time.
fn long_hash(ordered: &[u8]) -> u128 {
    let hash = xxh3_128(ordered);
    if cfg!(test) { hash & 1 } else { hash }
}

fn long_table_key(ordered: &[u8], probe: u8) -> TableKey {
    let mut key = TableKey::with_capacity(LONGEST);
    key.extend_from_slice(&ordered[..PREFIX]);
    key.extend_from_slice(&long_hash(ordered).to_be_bytes());
    key.push(probe);
    key
}

/// Where an entry is, or where it would go.
pub(crate) enum Place {
    Found(TableKey),
    Free(TableKey),
}

/// Finds an entry's value.
#[inline]
pub(crate) fn get<'t>(tables: &'t impl ReadTables, ordered: &[u8]) -> Result<Option<&'t [u8]>> {
    if ordered.len() <= SHORT {
        return tables.get(Table::Entries, ordered);
    }
    match place(tables, ordered)? {
        Place::Found(key) => tables.get(Table::Entries, &key),
        Place::Free(_) => Ok(None),
    }
}

/// Finds an entry, with its place.
#[inline]
pub(crate) fn find<'t>(tables: &'t impl ReadTables, ordered: &[u8]) -> Result<Option<(TableKey, &'t [u8])>> {
    let key = if ordered.len() <= SHORT {
        TableKey::from_slice(ordered)
    } else if let Place::Found(key) = place(tables, ordered)? {
        key
    } else {
        return Ok(None);
    };
    Ok(tables.get(Table::Entries, &key)?.map(|value| (key, value)))
}

/// Finds the place of an entry; long keys whose prefix and hash agree stand side by side.
pub(crate) fn place(tables: &impl ReadTables, ordered: &[u8]) -> Result<Place> {
    if ordered.len() <= SHORT {
        let key = TableKey::from_slice(ordered);
        return Ok(match tables.get(Table::Entries, ordered)? {
            Some(_) => Place::Found(key),
            None => Place::Free(key),
        });
    }
    for probe in 0..=u8::MAX {
        let key = long_table_key(ordered, probe);
        match tables.get(Table::Entries, &key)? {
            None => return Ok(Place::Free(key)),
            Some(value) if ordered_of(&key, value)?.as_slice() == ordered => return Ok(Place::Found(key)),
            Some(_) => {}
        }
    }
    Err(Error::TooLarge("more than 256 long keys share their beginning and their 128-bit hash".into()))
}

/// The last entry of the row that a long key belongs to, when it is another one: it has to move up when the key goes.
pub(crate) fn last_of_row(tables: &impl ReadTables, table_key: &[u8]) -> Result<Option<TableKey>> {
    let Some((&probe, head)) = table_key.split_last().filter(|_| table_key.len() > SHORT) else {
        return Ok(None);
    };
    let mut last = None;
    for next in probe..u8::MAX {
        let mut key = TableKey::from_slice(head);
        key.push(next + 1);
        if tables.get(Table::Entries, &key)?.is_none() {
            break;
        }
        last = Some(key);
    }
    Ok(last)
}
