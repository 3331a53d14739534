//! What changes lists: arguments are read first, then what becomes of the elements, and then all of it happens at once.

use oocmap::{Change, Draft, Reader};
use pyo3::{
    exceptions::{PyIndexError, PyTypeError, PyValueError},
    intern,
    prelude::*,
    types::{PyDict, PyList},
};

use super::{
    handle::{Handle, TRIES},
    sequence::{self, Index, Limit, insertion, position},
    view::View,
};
use crate::convert::encode;

/// All that an iterable gives, ready to be stored.
fn drafts(handle: &Handle, iterable: &Bound<'_, PyAny>) -> PyResult<Vec<Draft>> {
    iterable.try_iter()?.map(|object| encode::draft(&object?, handle.access())).collect()
}

pub(super) fn append(py: Python<'_>, handle: &Handle, object: &Bound<'_, PyAny>) -> PyResult<()> {
    handle.check_writable(py)?;
    let draft = encode::draft(object, handle.access())?;
    handle.append(py, vec![draft])
}

pub(super) fn extend(py: Python<'_>, handle: &Handle, iterable: &Bound<'_, PyAny>) -> PyResult<()> {
    handle.check_writable(py)?;
    let drafts = drafts(handle, iterable)?;
    if drafts.is_empty() {
        return Ok(());
    }
    handle.append(py, drafts)
}

pub(super) fn insert(
    py: Python<'_>,
    handle: &Handle,
    index: isize,
    object: &Bound<'_, PyAny>,
) -> PyResult<()> {
    handle.check_writable(py)?;
    let draft = encode::draft(object, handle.access())?;
    handle.update(py, |view| {
        let at = insertion(index, view.len()?);
        Ok((vec![Change::Splice { at, remove: 0, insert: vec![draft.clone()] }], ()))
    })
}

pub(super) fn pop<'py>(py: Python<'py>, handle: &Handle, index: isize) -> PyResult<Bound<'py, PyAny>> {
    handle.update(py, |view| {
        let len = view.len()?;
        if len == 0 {
            return Err(PyIndexError::new_err("pop from empty list"));
        }
        let at = position(index, len, "pop index out of range")?;
        // Made before it goes, so that a container lives on.
        let item = view.item(py, at)?;
        Ok((vec![Change::Splice { at, remove: 1, insert: Vec::new() }], item))
    })
}

pub(super) fn remove(py: Python<'_>, handle: &Handle, value: &Bound<'_, PyAny>) -> PyResult<()> {
    handle.update(py, |_| match sequence::find(py, handle, value, &Limit::FIRST, &Limit::LAST)? {
        Some(at) => Ok((vec![Change::Splice { at, remove: 1, insert: Vec::new() }], ())),
        None => Err(PyValueError::new_err("list.remove(x): x not in list")),
    })
}

pub(super) fn reverse(py: Python<'_>, handle: &Handle) -> PyResult<()> {
    handle.update(py, |view| {
        let len = view.len()? as u64;
        Ok((if len < 2 { Vec::new() } else { vec![Change::Permute((0..len).rev().collect())] }, ()))
    })
}

pub(super) fn assign(
    py: Python<'_>,
    handle: &Handle,
    index: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    handle.check_writable(py)?;
    let cut = match Index::of(index, "list")? {
        Index::At(at) => {
            let draft = encode::draft(value, handle.access())?;
            return handle.update(py, |view| {
                let at = position(at, view.len()?, "list assignment index out of range")?;
                Ok((vec![Change::Assign(vec![(at, draft.clone())])], ()))
            });
        }
        Index::Slice(cut) => cut,
    };
    if value.try_iter().is_err_and(|error| error.is_instance_of::<PyTypeError>(py)) {
        let text = if cut.is_plain() {
            "can only assign an iterable"
        } else {
            "must assign iterable to extended slice"
        };
        return Err(PyTypeError::new_err(text));
    }
    let drafts = drafts(handle, value)?;
    handle.update(py, |view| {
        let picked = cut.over(view.len()?);
        let change = if cut.is_plain() {
            Change::Splice { at: picked.start, remove: picked.count, insert: drafts.clone() }
        } else if drafts.len() == picked.count {
            Change::Assign(picked.positions().zip(drafts.iter().cloned()).collect())
        } else {
            return Err(PyValueError::new_err(format!(
                "attempt to assign sequence of size {} to extended slice of size {}",
                drafts.len(),
                picked.count
            )));
        };
        let is_nothing = drafts.is_empty() && picked.count == 0;
        Ok((if is_nothing { Vec::new() } else { vec![change] }, ()))
    })
}

pub(super) fn delete(py: Python<'_>, handle: &Handle, index: &Bound<'_, PyAny>) -> PyResult<()> {
    handle.check_writable(py)?;
    let index = Index::of(index, "list")?;
    handle.update(py, |view| {
        let len = view.len()?;
        let change = match &index {
            Index::At(at) => {
                let at = position(*at, len, "list assignment index out of range")?;
                Change::Splice { at, remove: 1, insert: Vec::new() }
            }
            Index::Slice(cut) => {
                let picked = cut.over(len);
                if picked.count == 0 {
                    return Ok((Vec::new(), ()));
                }
                if cut.is_plain() {
                    Change::Splice { at: picked.start, remove: picked.count, insert: Vec::new() }
                } else {
                    Change::Delete(picked.increasing())
                }
            }
        };
        Ok((vec![change], ()))
    })
}

pub(super) fn repeat(py: Python<'_>, handle: &Handle, times: &Bound<'_, PyAny>) -> PyResult<()> {
    handle.check_writable(py)?;
    let times = sequence::times(times)?;
    handle.update(py, |view| {
        let len = view.len()?;
        if times == 0 {
            return Ok((vec![Change::Clear], ()));
        }
        let mut more = sequence::room_for(len, times - 1)?;
        if len == 0 || times == 1 {
            return Ok((Vec::new(), ()));
        }
        // Containers become references: what is repeated are the same objects.
        let items = view.items(py, 0..len)?;
        let once =
            items.iter().map(|item| encode::draft(item, handle.access())).collect::<PyResult<Vec<_>>>()?;
        for _ in 1..times {
            more.extend_from_slice(&once);
        }
        Ok((vec![Change::Append(more)], ()))
    })
}

pub(super) fn sort(
    py: Python<'_>,
    handle: &Handle,
    key: Option<&Bound<'_, PyAny>>,
    reverse: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    handle.check_writable(py)?;
    let environment = handle.environment()?;
    for _ in 0..TRIES {
        let resized = environment.resized();
        let view = handle.view(py)?;
        let items = PyList::new(py, view.items(py, 0..view.len()?)?)?;
        let order = order(&items, key, reverse)?;
        let is_sorted = order.iter().zip(0..).all(|(at, index)| *at == index);
        let changes = [Change::Permute(order)];
        // What the comparisons ran may have changed the very list, or something that is stored together with it.
        let mut now = handle.view(py)?;
        while now.stamp()? == view.stamp()? || is_same(py, &now, &items)? {
            if is_sorted || handle.change_if(py, Some(&now), &changes)? {
                return Ok(());
            }
            now = handle.view(py)?;
        }
        if matches!(now.reader, Reader::Transaction(_)) || environment.are_objects_resized(&resized) {
            break;
        }
    }
    Err(PyValueError::new_err("list modified during sort"))
}

/// The position from which the element at each position comes.
fn order(
    items: &Bound<'_, PyList>,
    key: Option<&Bound<'_, PyAny>>,
    reverse: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<u64>> {
    let py = items.py();
    let keys = match key {
        Some(key) => {
            PyList::new(py, items.iter().map(|item| key.call1((item,))).collect::<PyResult<Vec<_>>>()?)?
        }
        None => items.clone(),
    };
    let order = PyList::new(py, 0..items.len())?;
    let options = PyDict::new(py);
    options.set_item(intern!(py, "key"), keys.getattr(intern!(py, "__getitem__"))?)?;
    if let Some(reverse) = reverse {
        options.set_item(intern!(py, "reverse"), reverse)?;
    }
    order.call_method(intern!(py, "sort"), (), Some(&options))?;
    order.extract()
}

/// Whether a list still has the elements that it had.
fn is_same(py: Python<'_>, view: &View, items: &Bound<'_, PyList>) -> PyResult<bool> {
    if view.len()? != items.len() {
        return Ok(false);
    }
    for (now, before) in view.items(py, 0..items.len())?.iter().zip(items.iter()) {
        let same = if let (Some(now @ Handle::Object(_)), Some(before)) = (super::of(now), super::of(&before))
        {
            now.is_same(before)
        } else {
            let is_nan = |value: &Bound<'_, PyAny>| value.ne(value);
            now.get_type().is(before.get_type()) && (now.eq(&before)? || is_nan(now)? && is_nan(&before)?)
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}
