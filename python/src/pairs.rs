//! What the methods of maps and dicts are given: pairs of key and value, and arguments that may be left out.

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyDict, PyTuple},
};

use crate::{lazy::dict::LazyDict, mapping::Mapping};

/// Does something with each pair of a mapping or an iterable of pairs, and of keywords.
///
/// `what` is what they are for, in the texts of errors.
pub(crate) fn each_pair<'py>(
    what: &str,
    other: Option<&Bound<'py, PyAny>>,
    more: Option<&Bound<'py, PyDict>>,
    mut work: impl FnMut(&Bound<'py, PyAny>, &Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    if let Some(other) = other {
        if let Ok(dict) = other.cast_exact::<PyDict>() {
            // Taken out first: what is done may run code that changes the dict.
            for (key, value) in dict.iter().collect::<Vec<_>>() {
                work(&key, &value)?;
            }
        } else if other.is_instance_of::<Mapping>() || other.is_instance_of::<LazyDict>() {
            for pair in other.call_method0("items")?.try_iter()? {
                let (key, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair?.extract()?;
                work(&key, &value)?;
            }
        } else if other.hasattr("keys")? {
            for key in other.call_method0("keys")?.try_iter()? {
                let key = key?;
                work(&key, &other.get_item(&key)?)?;
            }
        } else {
            for (index, pair) in other.try_iter()?.enumerate() {
                let pair = pair?;
                if let Ok(pair) = pair.cast_exact::<PyTuple>()
                    && pair.len() == 2
                {
                    work(&*pair.get_borrowed_item(0)?, &*pair.get_borrowed_item(1)?)?;
                    continue;
                }
                let pair: Vec<Bound<'py, PyAny>> = pair.try_iter()?.collect::<PyResult<_>>()?;
                let [key, value] = pair.as_slice() else {
                    return Err(PyValueError::new_err(format!(
                        "{what} update sequence element #{index} has length {}; 2 is required",
                        pair.len()
                    )));
                };
                work(key, value)?;
            }
        }
    }
    for (key, value) in more.into_iter().flatten() {
        work(&key, &value)?;
    }
    Ok(())
}

/// The last argument of a method, which may be left out; so many come before it.
pub(crate) fn optional<'py>(
    method: &str,
    before: usize,
    last: &Bound<'py, PyTuple>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if last.len() > 1 {
        let most = before + 1;
        let plural = if most == 1 { "" } else { "s" };
        return Err(PyTypeError::new_err(format!(
            "{method} expected at most {most} argument{plural}, got {}",
            before + last.len()
        )));
    }
    Ok(last.get_item(0).ok())
}
