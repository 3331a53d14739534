//! Keys: Python's hashable, immutable objects.

use oocmap::{EntryKey, Error, Key, KeyBytes, Scalar};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyFrozenSet, PyInt, PyString, PyTuple},
};

use super::scalar;
use crate::{
    errors::{OrRaise, to_python},
    lazy::{set::LazyFrozenSet, tuple::LazyTuple},
};

/// How deep keys may nest; the engine's own limit is lower, this one keeps the way there from overflowing.
const DEPTH: usize = 300;
/// How many parts a key may have below its own. Parts that are shared count each time, since a key's bytes hold
/// them each time: thirty frozensets that hold each other twice would be a billion.
const NESTED_PARTS: usize = 1 << 20;

/// The key to store something under.
pub(crate) fn entry_key(object: &Bound<'_, PyAny>) -> PyResult<EntryKey> {
    let mut ordered = KeyBytes::new();
    if put_common(object, &mut ordered) {
        return EntryKey::from_ordered(ordered).or_raise();
    }
    EntryKey::new(&key(object)?).or_raise()
}

/// Writes the ordered bytes of one of the most common keys, which say all of it.
#[inline]
fn put_common(object: &Bound<'_, PyAny>, ordered: &mut KeyBytes) -> bool {
    if let Ok(text) = object.cast_exact::<PyString>()
        && let Ok(text) = text.to_str()
    {
        oocmap::encode_str(text, ordered);
        return true;
    }
    if let Ok(number) = object.cast_exact::<PyInt>()
        && let Ok(number) = number.extract::<i64>()
    {
        oocmap::encode_int(number, ordered);
        return true;
    }
    false
}

/// The ordered bytes to look something up by; `None` when no such key can be in a map.
///
/// Raises `TypeError` for objects that are not hashable, as `dict` does.
#[inline]
pub(crate) fn look_up(object: &Bound<'_, PyAny>) -> PyResult<Option<KeyBytes>> {
    let mut ordered = KeyBytes::new();
    if put_common(object, &mut ordered) {
        return Ok(Some(ordered));
    }
    let Some(key) = look_up_key(object)? else { return Ok(None) };
    match key.encode(&mut ordered) {
        Ok(()) => Ok(Some(ordered)),
        Err(Error::InvalidKey(_) | Error::TooLarge(_)) => Ok(None),
        Err(error) => Err(to_python(error)),
    }
}

/// A member of a dict or set to look up; `None` when no such thing can be in one.
pub(crate) fn look_up_key<'a>(object: &'a Bound<'_, PyAny>) -> PyResult<Option<Key<'a>>> {
    match convert(object, 0, true, &mut 0) {
        Ok(key) => Ok(Some(key)),
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyTypeError>(object.py()) => {
            // Not hashable: the exception that `dict` raises. Hashable: not one of our types, so not in here.
            object.hash()?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A key, of exactly the types that are stored.
pub(crate) fn key<'a>(object: &'a Bound<'_, PyAny>) -> PyResult<Key<'a>> {
    convert(object, 0, false, &mut 0)
}

/// `lenient` takes instances of subclasses for what they are equal to, which is right for look-ups only.
fn convert<'a>(
    object: &'a Bound<'_, PyAny>,
    depth: usize,
    lenient: bool,
    nested: &mut usize,
) -> PyResult<Key<'a>> {
    if depth > 1 {
        *nested += 1;
        if *nested > NESTED_PARTS {
            let text = format!("a key has more than {NESTED_PARTS} parts inside its parts");
            return Err(to_python(Error::TooLarge(text)));
        }
    }
    if depth > DEPTH {
        return Err(to_python(Error::TooLarge("a key nests too deeply; 256 levels are possible".into())));
    }
    let mut parts = |parts: &Bound<'_, PyAny>| -> PyResult<Vec<Key<'static>>> {
        parts.try_iter()?.map(|part| Ok(convert(&part?, depth + 1, lenient, nested)?.into_owned())).collect()
    };
    if let Some(scalar) = scalar::from_python(object)? {
        if matches!(scalar, Scalar::Slice(_)) {
            object.hash()?;
        }
        return Ok(Key::Scalar(scalar));
    }
    if object.is_exact_instance_of::<PyTuple>() || object.is_exact_instance_of::<LazyTuple>() {
        return Ok(Key::Tuple(parts(object)?));
    }
    if object.is_exact_instance_of::<PyFrozenSet>() || object.is_exact_instance_of::<LazyFrozenSet>() {
        return Ok(Key::FrozenSet(parts(object)?));
    }
    if lenient {
        if let Some(scalar) = scalar::from_subclass(object)? {
            return Ok(Key::Scalar(scalar));
        }
        if object.is_instance_of::<PyTuple>() {
            return Ok(Key::Tuple(parts(object)?));
        }
        if object.is_instance_of::<PyFrozenSet>() {
            return Ok(Key::FrozenSet(parts(object)?));
        }
    }
    object.hash()?;
    Err(scalar::unsupported(object, "a key"))
}

/// A key as the Python object that it was.
pub(crate) fn to_python_object<'py>(py: Python<'py>, key: &Key<'_>) -> PyResult<Bound<'py, PyAny>> {
    match key {
        Key::Scalar(Scalar::Str(text)) => Ok(PyString::new(py, text).into_any()),
        Key::Scalar(Scalar::Int(value)) => Ok(value.into_pyobject(py)?.into_any()),
        Key::Scalar(Scalar::Bytes(bytes)) => Ok(PyBytes::new(py, bytes).into_any()),
        Key::Scalar(scalar) => scalar::to_python_object(py, scalar),
        Key::Tuple(parts) => {
            let parts: Vec<_> =
                parts.iter().map(|part| to_python_object(py, part)).collect::<PyResult<_>>()?;
            Ok(PyTuple::new(py, parts)?.into_any())
        }
        Key::FrozenSet(parts) => {
            let parts: Vec<_> =
                parts.iter().map(|part| to_python_object(py, part)).collect::<PyResult<_>>()?;
            Ok(PyFrozenSet::new(py, parts)?.into_any())
        }
    }
}
