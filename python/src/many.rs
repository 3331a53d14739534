//! Look-ups of many keys at once.

use std::sync::Arc;

use oocmap::{KeyBytes, ReadTransaction, Reader};
use pyo3::{prelude::*, types::PyList};

use crate::{
    access::Access,
    convert::{decode, key},
    errors::OrRaise,
};

/// From so many keys on they are looked up in their order, which finds the pages of the last one in the caches.
const SORTED_FROM: usize = 32;

/// The values under keys, in the order of the keys, all of one version; `default` stands for those that are missing.
pub(crate) fn values<'py>(
    py: Python<'py>,
    access: &Arc<Access>,
    keys: &Bound<'py, PyAny>,
    default: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    access.check(py)?;
    let mut ordered = Vec::with_capacity(keys.len().unwrap_or(0).min(1 << 20));
    for key in keys.try_iter()? {
        ordered.push(key::look_up(&key?)?);
    }
    let missing = || default.map_or_else(|| py.None().into_bound(py), Clone::clone);
    let mut values = Vec::with_capacity(ordered.len());
    // Only now, since the keys may come from code that changes the map.
    match access.reader(py)? {
        Reader::Version(read) => {
            let found = py.detach(|| look_up(&read, &ordered)).or_raise()?;
            for (key, found) in ordered.iter().zip(found) {
                values.push(match (key, found) {
                    (Some(key), Some(raw)) => {
                        decode::stored(py, &read, access, read.open_raw(raw).or_raise()?, key)?
                    }
                    _ => missing(),
                });
            }
        }
        Reader::Transaction(transaction) => {
            let mut copied = Vec::with_capacity(ordered.len());
            for key in &ordered {
                copied.push(match key {
                    Some(key) => transaction.get(key).or_raise()?,
                    None => None,
                });
            }
            for (key, copied) in ordered.iter().zip(copied) {
                values.push(match (key, copied) {
                    (Some(key), Some(copied)) => decode::copied(py, access, copied, key)?,
                    _ => missing(),
                });
            }
        }
    }
    PyList::new(py, values)
}

/// Finds the entries of keys, each of which may be none that could be in a map.
fn look_up<'t>(
    read: &'t ReadTransaction,
    ordered: &[Option<KeyBytes>],
) -> oocmap::Result<Vec<Option<&'t [u8]>>> {
    let find = |key: &Option<KeyBytes>| key.as_deref().map_or(Ok(None), |key| read.raw(key));
    if ordered.len() < SORTED_FROM || ordered.is_sorted() {
        return ordered.iter().map(find).collect();
    }
    let mut order: Vec<u32> = (0..ordered.len() as u32).collect();
    order.sort_unstable_by_key(|place| &ordered[*place as usize]);
    let mut found = vec![None; ordered.len()];
    for place in order {
        found[place as usize] = find(&ordered[place as usize])?;
    }
    Ok(found)
}
