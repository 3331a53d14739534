//! What changes byte arrays. A plain bytearray reads the arguments, so that it is that which says what is wrong with them.

use oocmap::Change;
use pyo3::{
    exceptions::{PyIndexError, PyValueError},
    prelude::*,
    types::{PyByteArray, PySlice},
};

use super::{
    handle::Handle,
    sequence::{self, Index, insertion, position},
};

const OUTSIDE: &str = "bytearray index out of range";

/// What a plain, empty bytearray becomes by something.
fn read(py: Python<'_>, work: impl FnOnce(&Bound<'_, PyByteArray>) -> PyResult<()>) -> PyResult<Vec<u8>> {
    let scratch = PyByteArray::new(py, b"");
    work(&scratch)?;
    Ok(scratch.to_vec())
}

fn byte(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    read(value.py(), |scratch| scratch.call_method1("append", (value,)).map(|_| ()))
}

fn splice(at: usize, remove: usize, insert: Vec<u8>) -> Vec<Change> {
    if remove == 0 && insert.is_empty() {
        return Vec::new();
    }
    vec![Change::SpliceBytes { at, remove, insert }]
}

fn add(py: Python<'_>, handle: &Handle, bytes: &[u8]) -> PyResult<()> {
    handle.update(py, |view| Ok((splice(view.len()?, 0, bytes.to_vec()), ())))
}

pub(super) fn append(py: Python<'_>, handle: &Handle, value: &Bound<'_, PyAny>) -> PyResult<()> {
    handle.check_writable(py)?;
    add(py, handle, &byte(value)?)
}

pub(super) fn extend(py: Python<'_>, handle: &Handle, values: &Bound<'_, PyAny>) -> PyResult<()> {
    handle.check_writable(py)?;
    add(py, handle, &read(py, |scratch| scratch.call_method1("extend", (values,)).map(|_| ()))?)
}

pub(super) fn concat(py: Python<'_>, handle: &Handle, other: &Bound<'_, PyAny>) -> PyResult<()> {
    handle.check_writable(py)?;
    add(py, handle, &read(py, |scratch| scratch.call_method1("__iadd__", (other,)).map(|_| ()))?)
}

pub(super) fn insert(
    py: Python<'_>,
    handle: &Handle,
    index: isize,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    handle.check_writable(py)?;
    let byte = byte(value)?;
    handle.update(py, |view| Ok((splice(insertion(index, view.len()?), 0, byte.clone()), ())))
}

pub(super) fn pop(py: Python<'_>, handle: &Handle, index: isize) -> PyResult<u8> {
    handle.update(py, |view| {
        let len = view.len()?;
        if len == 0 {
            return Err(PyIndexError::new_err("pop from empty bytearray"));
        }
        let at = position(index, len, "pop index out of range")?;
        let byte = view.bytes_between(at..at + 1)?;
        Ok((splice(at, 1, Vec::new()), byte[0]))
    })
}

pub(super) fn remove(py: Python<'_>, handle: &Handle, value: &Bound<'_, PyAny>) -> PyResult<()> {
    handle.check_writable(py)?;
    let byte = byte(value)?;
    handle.update(py, |view| match view.bytes()?.iter().position(|other| byte == [*other]) {
        Some(at) => Ok((splice(at, 1, Vec::new()), ())),
        None => Err(PyValueError::new_err("value not found in bytearray")),
    })
}

pub(super) fn reverse(py: Python<'_>, handle: &Handle) -> PyResult<()> {
    handle.update(py, |view| {
        let mut bytes = view.bytes()?;
        bytes.reverse();
        Ok((splice(0, bytes.len(), bytes), ()))
    })
}

pub(super) fn repeat(py: Python<'_>, handle: &Handle, times: &Bound<'_, PyAny>) -> PyResult<()> {
    handle.check_writable(py)?;
    let times = sequence::times(times)?;
    handle.update(py, |view| {
        let len = view.len()?;
        if times == 0 {
            return Ok((splice(0, len, Vec::new()), ()));
        }
        let mut more = sequence::room_for(len, times - 1)?;
        if len > 0 && times > 1 {
            let once = view.bytes()?;
            for _ in 1..times {
                more.extend_from_slice(&once);
            }
        }
        Ok((splice(len, 0, more), ()))
    })
}

pub(super) fn resize(py: Python<'_>, handle: &Handle, size: isize) -> PyResult<()> {
    handle.check_writable(py)?;
    let size = usize::try_from(size).map_err(|_| {
        PyValueError::new_err(format!("bytearray.resize(): new size must be >= 0, got {size}"))
    })?;
    handle.update(py, |view| {
        let len = view.len()?;
        let mut more = sequence::room_for(size.saturating_sub(len), 1)?;
        more.resize(size.saturating_sub(len), 0);
        Ok((splice(len.min(size), len.saturating_sub(size), more), ()))
    })
}

/// Assigns to what `[]` names, or deletes it.
pub(super) fn assign(
    py: Python<'_>,
    handle: &Handle,
    index: &Bound<'_, PyAny>,
    values: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    handle.check_writable(py)?;
    let cut = match Index::of(index, "bytearray")? {
        Index::At(at) => {
            let byte = values.map_or(Ok(Vec::new()), byte)?;
            return handle
                .update(py, |view| Ok((splice(position(at, view.len()?, OUTSIDE)?, 1, byte.clone()), ())));
        }
        Index::Slice(cut) => cut,
    };
    let new = match values {
        None => Vec::new(),
        Some(values) => read(py, |scratch| scratch.set_item(PySlice::full(py), values))?,
    };
    handle.update(py, |view| {
        let picked = cut.over(view.len()?);
        if cut.is_plain() {
            return Ok((splice(picked.start, picked.count, new.clone()), ()));
        }
        if !new.is_empty() && new.len() != picked.count {
            return Err(PyValueError::new_err(format!(
                "attempt to assign bytes of size {} to extended slice of size {}",
                new.len(),
                picked.count
            )));
        }
        let positions = picked.increasing();
        let (Some(first), Some(last)) = (positions.first(), positions.last()) else {
            return Ok((Vec::new(), ()));
        };
        let mut bytes = view.bytes_between(*first..last + 1)?;
        if new.is_empty() {
            let mut gone = positions.iter().peekable();
            let mut at = *first..;
            bytes.retain(|_| at.next().is_some_and(|at| gone.next_if_eq(&&at).is_none()));
        } else {
            for (at, byte) in picked.positions().zip(&new) {
                bytes[at - first] = *byte;
            }
        }
        Ok((splice(*first, last + 1 - first, bytes), ()))
    })
}
