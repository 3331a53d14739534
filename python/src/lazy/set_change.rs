//! What changes sets: arguments are read first, then what becomes of the members, and then all of it happens at once.

use oocmap::{Change, Key};
use pyo3::{exceptions::PyKeyError, prelude::*, types::PySet};

use super::{
    handle::Handle,
    set::{as_member, of},
    walk::Part,
};
use crate::convert::key;

fn own_key(member: &Bound<'_, PyAny>) -> PyResult<Key<'static>> {
    key::key(member).map(Key::into_owned)
}

fn is_itself(handle: &Handle, other: &Bound<'_, PyAny>) -> bool {
    of(other).is_some_and(|other| other.is_same(handle))
}

pub(super) fn add(py: Python<'_>, handle: &Handle, member: &Bound<'_, PyAny>) -> PyResult<()> {
    handle.check_writable(py)?;
    let key = own_key(member)?;
    handle.change(py, &[Change::Add(vec![key])])
}

/// Deletes a member; answers whether it was there.
pub(super) fn discard(py: Python<'_>, handle: &Handle, member: &Bound<'_, PyAny>) -> PyResult<bool> {
    handle.check_writable(py)?;
    let member = as_member(member)?;
    handle.update(py, |view| {
        let place = view.find(&member)?;
        let found = place.is_some();
        Ok((place.map(|place| Change::RemoveAt(place.position())).into_iter().collect(), found))
    })
}

pub(super) fn remove(py: Python<'_>, handle: &Handle, member: &Bound<'_, PyAny>) -> PyResult<()> {
    if discard(py, handle, member)? { Ok(()) } else { Err(PyKeyError::new_err((member.clone().unbind(),))) }
}

pub(super) fn pop<'py>(py: Python<'py>, handle: &Handle) -> PyResult<Bound<'py, PyAny>> {
    handle.update(py, |view| match view.last()? {
        Some(place) => Ok((vec![Change::RemoveAt(place.position())], view.key_at(py, &place)?)),
        None => Err(PyKeyError::new_err("pop from an empty set")),
    })
}

pub(super) fn update(py: Python<'_>, handle: &Handle, others: &[Bound<'_, PyAny>]) -> PyResult<()> {
    handle.check_writable(py)?;
    let mut keys = Vec::new();
    for other in others {
        for member in other.try_iter()? {
            keys.push(own_key(&member?)?);
        }
    }
    if keys.is_empty() { Ok(()) } else { handle.change(py, &[Change::Add(keys)]) }
}

pub(super) fn subtract(py: Python<'_>, handle: &Handle, others: &[Bound<'_, PyAny>]) -> PyResult<()> {
    handle.check_writable(py)?;
    let mut keys = Vec::new();
    for other in others {
        // Not even what equals nothing stays.
        if is_itself(handle, other) {
            return handle.change(py, &[Change::Clear]);
        }
        for member in other.try_iter()? {
            keys.extend(key::look_up_key(&member?)?.map(Key::into_owned));
        }
    }
    if keys.is_empty() { Ok(()) } else { handle.change(py, &[Change::Remove(keys)]) }
}

pub(super) fn intersect(py: Python<'_>, handle: &Handle, others: &[Bound<'_, PyAny>]) -> PyResult<()> {
    handle.check_writable(py)?;
    let others = others
        .iter()
        .filter(|other| !is_itself(handle, other))
        .map(|other| PySet::new(py, other.try_iter()?.collect::<PyResult<Vec<_>>>()?))
        .collect::<PyResult<Vec<_>>>()?;
    handle.update(py, |view| {
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        let mut is_found_again = true;
        for member in view.members(py, Part::Items)? {
            let mut stays = true;
            for other in &others {
                stays = stays && other.contains(&member)?;
            }
            if stays { kept.push(member) } else { gone.push(member) }
        }
        for member in &gone {
            is_found_again = is_found_again && view.find(member)?.is_some();
        }
        let keys = |members: &[Bound<'_, PyAny>]| members.iter().map(own_key).collect::<PyResult<Vec<_>>>();
        let changes = match (gone.is_empty(), kept.is_empty()) {
            (true, _) => Vec::new(),
            (false, true) => vec![Change::Clear],
            (false, false) if is_found_again => vec![Change::Remove(keys(&gone)?)],
            // What equals nothing can't be deleted by what it is.
            (false, false) => vec![Change::Clear, Change::Add(keys(&kept)?)],
        };
        Ok((changes, ()))
    })
}

pub(super) fn toggle(py: Python<'_>, handle: &Handle, other: &Bound<'_, PyAny>) -> PyResult<()> {
    handle.check_writable(py)?;
    if is_itself(handle, other) {
        return handle.change(py, &[Change::Clear]);
    }
    let members = PySet::new(py, other.try_iter()?.collect::<PyResult<Vec<_>>>()?)?;
    let keys = members.iter().map(|member| own_key(&member)).collect::<PyResult<Vec<_>>>()?;
    handle.update(py, |view| {
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        for (member, key) in members.iter().zip(&keys) {
            if view.find(&member)?.is_some() { &mut gone } else { &mut new }.push(key.clone());
        }
        let changes = [Change::Remove(gone), Change::Add(new)];
        let is_needed = |change: &Change| match change {
            Change::Remove(keys) | Change::Add(keys) => !keys.is_empty(),
            _ => true,
        };
        Ok((changes.into_iter().filter(is_needed).collect(), ()))
    })
}
