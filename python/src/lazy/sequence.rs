//! What lists, tuples and byte arrays have in common: positions, slices, searching and comparing.

use std::cmp::Ordering;

use pyo3::{
    class::basic::CompareOp,
    exceptions::{PyIndexError, PyMemoryError, PyOverflowError, PyTypeError, PyValueError},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBool, PyInt, PySlice},
};

use super::{
    handle::Handle,
    view::{Near, View},
    walk::Cursor,
};

/// What `[]` was given.
pub(crate) enum Index {
    At(isize),
    Slice(Cut),
}

impl Index {
    /// Reads what `[]` was given, once: that may run code, which may change what it is for.
    pub(crate) fn of(object: &Bound<'_, PyAny>, what: &str) -> PyResult<Self> {
        if let Ok(slice) = object.cast::<PySlice>() {
            return Cut::of(slice).map(Self::Slice);
        }
        if object.cast_exact::<PyInt>().is_err() && !object.hasattr(intern!(object.py(), "__index__"))? {
            let kind = object.get_type();
            return Err(PyTypeError::new_err(format!(
                "{what} indices must be integers or slices, not {}",
                kind.name()?
            )));
        }
        match object.extract::<isize>() {
            Ok(at) => Ok(Self::At(at)),
            Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => {
                let kind = object.get_type();
                Err(PyIndexError::new_err(format!(
                    "cannot fit '{}' into an index-sized integer",
                    kind.name()?
                )))
            }
            Err(error) => Err(error),
        }
    }
}

/// What a slice says, whatever the length of what it cuts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    start: isize,
    stop: isize,
    step: isize,
}

/// What a slice names of something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picked {
    /// The first position.
    pub(crate) start: usize,
    step: isize,
    /// How many.
    pub(crate) count: usize,
}

impl Cut {
    fn of(slice: &Bound<'_, PySlice>) -> PyResult<Self> {
        let py = slice.py();
        let bound = |name| -> PyResult<Option<isize>> {
            let bound = slice.getattr(name)?;
            if bound.is_none() { Ok(None) } else { clamped(&bound, " or None").map(Some) }
        };
        let step = bound(intern!(py, "step"))?.unwrap_or(1).max(-isize::MAX);
        if step == 0 {
            return Err(PyValueError::new_err("slice step cannot be zero"));
        }
        let (first, last) = if step < 0 { (isize::MAX, isize::MIN) } else { (0, isize::MAX) };
        Ok(Self {
            start: bound(intern!(py, "start"))?.unwrap_or(first),
            stop: bound(intern!(py, "stop"))?.unwrap_or(last),
            step,
        })
    }

    /// Whether it names neighbours, from the first to the last.
    pub(crate) fn is_plain(self) -> bool {
        self.step == 1
    }

    /// What it names of something so long.
    pub(crate) fn over(self, len: usize) -> Picked {
        let len = len.cast_signed();
        let (least, most) = if self.step < 0 { (-1, len - 1) } else { (0, len) };
        let within = |bound: isize| {
            let from_start = if bound < 0 { bound.saturating_add(len) } else { bound };
            from_start.clamp(least, most)
        };
        let (start, end) = (within(self.start), within(self.stop));
        let span = if self.step < 0 { start - end } else { end - start };
        let count = if span <= 0 { 0 } else { (span - 1).cast_unsigned() / self.step.unsigned_abs() + 1 };
        // Where nothing is named, the start may be before the first.
        Picked { start: start.max(0).cast_unsigned(), step: self.step, count }
    }
}

impl Picked {
    /// The positions, in their order.
    pub(crate) fn positions(self) -> impl Iterator<Item = usize> {
        (0..self.count.cast_signed()).map(move |at| self.start.wrapping_add_signed(at * self.step))
    }

    /// The positions, in increasing order.
    pub(crate) fn increasing(self) -> Vec<usize> {
        let mut positions: Vec<_> = self.positions().collect();
        positions.sort_unstable();
        positions
    }

    /// The elements.
    pub(crate) fn items<'py>(self, py: Python<'py>, view: &View) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let mut near = Near::default();
        self.positions().map(|at| view.item_near(py, at, &mut near)).collect()
    }
}

/// A number as slices take it: what lies beyond all bounds is as good as those.
fn clamped(object: &Bound<'_, PyAny>, or: &str) -> PyResult<isize> {
    static INDEX: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    let number = if object.is_exact_instance_of::<PyInt>() {
        object.clone()
    } else if object.hasattr(intern!(py, "__index__"))? {
        INDEX.import(py, "operator", "index")?.call1((object,))?
    } else {
        return Err(PyTypeError::new_err(format!(
            "slice indices must be integers{or} or have an __index__ method"
        )));
    };
    match number.extract::<isize>() {
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => {
            Ok(if number.lt(0)? { isize::MIN } else { isize::MAX })
        }
        extracted => extracted,
    }
}

/// A bound of a search.
pub(crate) struct Limit(isize);

impl Limit {
    pub(crate) const FIRST: Self = Self(0);
    pub(crate) const LAST: Self = Self(isize::MAX);

    fn over(&self, len: usize) -> usize {
        let from_start = if self.0 < 0 { self.0.saturating_add_unsigned(len).max(0) } else { self.0 };
        from_start.cast_unsigned()
    }
}

impl<'py> FromPyObject<'_, 'py> for Limit {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        clamped(&object, "").map(Self)
    }
}

/// A position that may count from the end.
pub(crate) fn position(index: isize, len: usize, error: &str) -> PyResult<usize> {
    let from_start = if index < 0 { index.checked_add_unsigned(len) } else { Some(index) };
    from_start
        .and_then(|index| usize::try_from(index).ok())
        .filter(|index| *index < len)
        .ok_or_else(|| PyIndexError::new_err(error.to_owned()))
}

/// Where `insert` inserts.
pub(crate) fn insertion(index: isize, len: usize) -> usize {
    let from_start = if index < 0 { index.saturating_add_unsigned(len).max(0) } else { index };
    from_start.cast_unsigned().min(len)
}

/// Room for so many times so many elements.
pub(crate) fn room_for<T>(len: usize, times: usize) -> PyResult<Vec<T>> {
    let mut room = Vec::new();
    let count = len.checked_mul(times).ok_or_else(|| PyMemoryError::new_err(()))?;
    room.try_reserve_exact(count).map_err(|_| PyMemoryError::new_err(()))?;
    Ok(room)
}

/// How often `*=` repeats; and the length of the result, which has to be possible.
pub(crate) fn times(object: &Bound<'_, PyAny>) -> PyResult<usize> {
    let py = object.py();
    let kind = || object.get_type().name().map(|name| name.to_string());
    if !object.hasattr(intern!(py, "__index__"))? {
        return Err(PyTypeError::new_err(format!(
            "can't multiply sequence by non-int of type '{}'",
            kind()?
        )));
    }
    match object.extract::<isize>() {
        Ok(times) => Ok(usize::try_from(times).unwrap_or(0)),
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => {
            Err(PyOverflowError::new_err(format!("cannot fit '{}' into an index-sized integer", kind()?)))
        }
        Err(error) => Err(error),
    }
}

/// The position of the first element that equals a value, between two bounds.
pub(crate) fn find(
    py: Python<'_>,
    handle: &Handle,
    value: &Bound<'_, PyAny>,
    start: &Limit,
    stop: &Limit,
) -> PyResult<Option<usize>> {
    let mut cursor = Cursor::new(py, handle)?;
    let len = cursor.len(py)?;
    for index in start.over(len)..stop.over(len) {
        // Comparing may run code that changes the container.
        let Some(item) = cursor.get(py, index)? else { return Ok(None) };
        if same_or_equal(&item, value)? {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// Whether some element equals a value.
pub(crate) fn contains(py: Python<'_>, handle: &Handle, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(find(py, handle, value, &Limit::FIRST, &Limit::LAST)?.is_some())
}

/// As [`find`], for `index`, which raises when there is none.
pub(crate) fn index_of(
    py: Python<'_>,
    handle: &Handle,
    value: &Bound<'_, PyAny>,
    start: &Limit,
    stop: &Limit,
    what: &str,
) -> PyResult<usize> {
    match find(py, handle, value, start, stop)? {
        Some(index) => Ok(index),
        None => Err(PyValueError::new_err(format!("{what}.index(x): x not in {what}"))),
    }
}

/// How many elements equal a value.
pub(crate) fn count(py: Python<'_>, handle: &Handle, value: &Bound<'_, PyAny>) -> PyResult<usize> {
    let mut cursor = Cursor::new(py, handle)?;
    let (mut count, mut index) = (0, 0);
    while let Some(item) = cursor.get(py, index)? {
        count += usize::from(same_or_equal(&item, value)?);
        index += 1;
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
    let answer = |ordering: Ordering| Ok(PyBool::new(py, operator.matches(ordering)).to_owned().into_any());
    let mut cursor = Cursor::new(py, handle)?;
    if super::of(other).is_some_and(|other| other.is_same(handle)) {
        return answer(Ordering::Equal);
    }
    let (len, other_len) = (cursor.len(py)?, other.len()?);
    if matches!(operator, CompareOp::Eq | CompareOp::Ne) && other_len != len {
        return answer(len.cmp(&other_len));
    }
    let mut others = other.try_iter()?;
    let mut index = 0;
    loop {
        let (left, right) = match (cursor.get(py, index)?, others.next().transpose()?) {
            (Some(left), Some(right)) => (left, right),
            (None, Some(_)) => return answer(Ordering::Less),
            (Some(_), None) => return answer(Ordering::Greater),
            (None, None) => return answer(Ordering::Equal),
        };
        index += 1;
        if same_or_equal(&left, &right)? {
            continue;
        }
        return match operator {
            CompareOp::Eq => Ok(PyBool::new(py, false).to_owned().into_any()),
            CompareOp::Ne => Ok(PyBool::new(py, true).to_owned().into_any()),
            _ => left.rich_compare(&right, operator),
        };
    }
}
