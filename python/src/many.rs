//! Look-ups of many keys at once.

use std::sync::Arc;

use oocmap::{ReadTransaction, Reader, SharedWrite};
use pyo3::{prelude::*, types::PyList};

use crate::{
    access::{Access, Part},
    convert::{decode, key},
    errors::OrRaise,
};

/// From so many keys on they are looked up in their order, in which neighbours need the same pages.
const SORTED_FROM: usize = 64;
/// So many keys are looked up before their values are made, while these still are in the caches.
const PIECE: usize = 1024;

/// The values under keys of a part, in the order of the keys, all of one version; `default` stands for those that are
/// missing.
pub(crate) fn values<'py>(
    py: Python<'py>,
    part: &Part,
    keys: &Bound<'py, PyAny>,
    default: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    let access = &part.access;
    access.check(py)?;
    let mut wanted = Wanted::default();
    for key in keys.try_iter()? {
        wanted.push(key::look_up(&key?)?.as_deref().filter(|key| part.span.contains(key)));
    }
    // Only now, since the keys may come from code that changes the map.
    let mut values = match access.reader(py)? {
        Reader::Version(read) => of_version(py, access, &read, &wanted)?,
        Reader::Transaction(transaction) => of_transaction(py, access, &transaction, &wanted)?,
    };
    let missing = default.map_or_else(|| py.None().into_bound(py), Clone::clone);
    PyList::new(py, values.iter_mut().map(|value| value.take().unwrap_or_else(|| missing.clone())))
}

/// The keys that are looked up.
#[derive(Default)]
struct Wanted {
    /// Their ordered bytes, one behind the other.
    bytes: Vec<u8>,
    /// Where each ends; one that could be in no map has none.
    ends: Vec<usize>,
}

impl Wanted {
    fn push(&mut self, ordered: Option<&[u8]>) {
        self.bytes.extend_from_slice(ordered.unwrap_or_default());
        self.ends.push(self.bytes.len());
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    /// The ordered bytes of a key; empty for one that could be in no map.
    fn key(&self, place: usize) -> &[u8] {
        let from = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.bytes[from..self.ends[place]]
    }

    /// The places of the keys in about their order. Only eight bytes of each are compared, those in which they begin to
    /// differ, since all that depends on the order is the speed.
    fn order(&self) -> Vec<usize> {
        let places = 0..self.len();
        if self.len() < SORTED_FROM {
            return places.collect();
        }
        let first = self.key(0);
        let common = places.clone().fold(first.len(), |common, place| {
            let key = self.key(place);
            if key.get(..common) == Some(&first[..common]) {
                return common;
            }
            first.iter().zip(key).take_while(|(left, right)| left == right).count()
        });
        let mut order: Vec<(u64, usize)> = places
            .map(|place| {
                let rest = self.key(place).get(common..).unwrap_or_default();
                let mut bytes = [0; 8];
                let taken = rest.len().min(8);
                bytes[..taken].copy_from_slice(&rest[..taken]);
                (u64::from_be_bytes(bytes), place)
            })
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(_, place)| place).collect()
    }
}

type Values<'py> = Vec<Option<Bound<'py, PyAny>>>;

fn of_version<'py>(
    py: Python<'py>,
    access: &Arc<Access>,
    read: &ReadTransaction,
    wanted: &Wanted,
) -> PyResult<Values<'py>> {
    let mut values = vec![None; wanted.len()];
    for piece in py.detach(|| wanted.order()).chunks(PIECE) {
        // No entry has the empty key, which stands for those that could be in no map.
        let look_up = || read.raw_of_many(piece.iter().map(|place| wanted.key(*place)));
        // Where it takes the longest, others may run.
        let found = if piece.len() < SORTED_FROM { look_up() } else { py.detach(look_up) };
        for (place, raw) in piece.iter().zip(found.or_raise()?) {
            if let Some(raw) = raw {
                let stored = read.open_raw(raw).or_raise()?;
                values[*place] = Some(decode::stored(py, read, access, stored, wanted.key(*place))?);
            }
        }
    }
    Ok(values)
}

fn of_transaction<'py>(
    py: Python<'py>,
    access: &Arc<Access>,
    transaction: &SharedWrite,
    wanted: &Wanted,
) -> PyResult<Values<'py>> {
    // All before the first value is made, which may run code that changes the map.
    let mut copied = Vec::with_capacity(wanted.len());
    for place in 0..wanted.len() {
        copied.push(match wanted.key(place) {
            [] => None,
            key => transaction.get(key).or_raise()?,
        });
    }
    let make = |(place, copied): (usize, Option<_>)| {
        copied.map(|copied| decode::copied(py, access, copied, wanted.key(place))).transpose()
    };
    copied.into_iter().enumerate().map(make).collect()
}
