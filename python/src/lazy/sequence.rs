//! What lists and tuples have in common.

use pyo3::{
    class::basic::CompareOp,
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PySlice, slice::PySliceIndices},
};

use super::{Handle, position};

/// What `[]` was given.
pub(crate) enum Index {
    At(usize),
    Slice(PySliceIndices),
}

/// Reads what `[]` was given.
pub(crate) fn index(object: &Bound<'_, PyAny>, len: usize, what: &str) -> PyResult<Index> {
    if let Ok(slice) = object.cast::<PySlice>() {
        return slice.indices(len.cast_signed()).map(Index::Slice);
    }
    if !object.hasattr(pyo3::intern!(object.py(), "__index__"))? {
        let kind = object.get_type();
        return Err(PyTypeError::new_err(format!(
            "{what} indices must be integers or slices, not {}",
            kind.name()?
        )));
    }
    match object.extract::<isize>() {
        Ok(at) => position(at, len, what).map(Index::At),
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyOverflowError>(object.py()) => {
            Err(pyo3::exceptions::PyIndexError::new_err(format!("{what} index out of range")))
        }
        Err(error) => Err(error),
    }
}

/// The elements of a slice.
pub(crate) fn slice<'py>(
    py: Python<'py>,
    handle: &Handle,
    indices: &PySliceIndices,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    (0..indices.slicelength.cast_signed())
        .map(|step| handle.item(py, (indices.start + step * indices.step).cast_unsigned()))
        .collect()
}

/// The position of the first element that equals a value, between two bounds that may count from the end.
pub(crate) fn find(
    py: Python<'_>,
    handle: &Handle,
    value: &Bound<'_, PyAny>,
    start: Option<isize>,
    stop: Option<isize>,
) -> PyResult<Option<usize>> {
    let len = handle.len();
    let clamp = |bound: isize| {
        let from_start = if bound < 0 { bound.saturating_add_unsigned(len).max(0) } else { bound };
        from_start.cast_unsigned().min(len)
    };
    for index in start.map_or(0, clamp)..stop.map_or(len, clamp) {
        if same_or_equal(&handle.item(py, index)?, value)? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// As [`find`], for `index`, which raises when there is none.
pub(crate) fn index_of(
    py: Python<'_>,
    handle: &Handle,
    value: &Bound<'_, PyAny>,
    start: Option<isize>,
    stop: Option<isize>,
    what: &str,
) -> PyResult<usize> {
    match find(py, handle, value, start, stop)? {
        Some(index) => Ok(index),
        None => Err(PyValueError::new_err(format!("{what}.index(x): x not in {what}"))),
    }
}

/// How many elements equal a value.
pub(crate) fn count(py: Python<'_>, handle: &Handle, value: &Bound<'_, PyAny>) -> PyResult<usize> {
    let mut count = 0;
    for index in 0..handle.len() {
        count += usize::from(same_or_equal(&handle.item(py, index)?, value)?);
    }
    Ok(count)
}

/// Equality as containers see it: an object is always equal to itself.
pub(crate) fn same_or_equal(left: &Bound<'_, PyAny>, right: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(left.is(right) || left.rich_compare(right, CompareOp::Eq)?.is_truthy()?)
}

/// Compares element by element, as lists and tuples do; `other` is one of them, or their lazy twin.
pub(crate) fn compare<'py>(
    py: Python<'py>,
    handle: &Handle,
    other: &Bound<'py, PyAny>,
    operator: CompareOp,
) -> PyResult<Bound<'py, PyAny>> {
    let answer = |ordering: std::cmp::Ordering| {
        Ok(pyo3::types::PyBool::new(py, operator.matches(ordering)).to_owned().into_any())
    };
    if super::of(other).is_some_and(|other| other.is_same(handle)) {
        return answer(std::cmp::Ordering::Equal);
    }
    let len = handle.len();
    if matches!(operator, CompareOp::Eq | CompareOp::Ne) && other.len()? != len {
        return answer(len.cmp(&other.len()?));
    }
    let mut others = other.try_iter()?;
    for index in 0..len {
        let Some(right) = others.next() else { return answer(std::cmp::Ordering::Greater) };
        let (left, right) = (handle.item(py, index)?, right?);
        if same_or_equal(&left, &right)? {
            continue;
        }
        return match operator {
            CompareOp::Eq => Ok(pyo3::types::PyBool::new(py, false).to_owned().into_any()),
            CompareOp::Ne => Ok(pyo3::types::PyBool::new(py, true).to_owned().into_any()),
            _ => left.rich_compare(&right, operator),
        };
    }
    answer(if others.next().is_some() { std::cmp::Ordering::Less } else { std::cmp::Ordering::Equal })
}
