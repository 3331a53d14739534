//! Leaves: Python's immutable objects without parts that are objects of the map.

use std::borrow::Cow;

use oocmap::Scalar;
use pyo3::{
    exceptions::PyMemoryError,
    ffi, intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBool, PyBytes, PyComplex, PyEllipsis, PyFloat, PyInt, PyRange, PySlice, PyString, PyType},
};

use super::{integer, temporal};
use crate::errors::{self, OrRaise};

/// A class of a module that is imported when the first object needs it.
fn class<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyType>>,
    module: &str,
    name: &str,
) -> PyResult<Bound<'py, PyType>> {
    cell.import(py, module, name).cloned()
}

static DECIMAL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static FRACTION: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static UUID: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// The leaf that an object is, when its class is exactly one of those that are stored.
pub(crate) fn from_python<'a>(object: &'a Bound<'_, PyAny>) -> PyResult<Option<Scalar<'a>>> {
    let py = object.py();
    if object.is_none() {
        return Ok(Some(Scalar::None));
    }
    if let Ok(text) = object.cast_exact::<PyString>() {
        return from_text(text).map(Some);
    }
    if let Ok(value) = object.cast_exact::<PyInt>() {
        return from_int(value).map(Some);
    }
    if let Ok(value) = object.cast_exact::<PyFloat>() {
        return Ok(Some(Scalar::Float(value.value())));
    }
    if let Ok(value) = object.cast_exact::<PyBool>() {
        return Ok(Some(Scalar::Bool(value.is_true())));
    }
    if let Ok(value) = object.cast_exact::<PyBytes>() {
        return Ok(Some(Scalar::Bytes(Cow::Borrowed(value.as_bytes()))));
    }
    if let Ok(value) = object.cast_exact::<PyComplex>() {
        return Ok(Some(Scalar::Complex { re: value.real(), im: value.imag() }));
    }
    if object.is_exact_instance_of::<PyEllipsis>() {
        return Ok(Some(Scalar::Ellipsis));
    }
    if object.is_exact_instance_of::<PyRange>() {
        return parts(object).map(|parts| parts.map(Scalar::Range));
    }
    if object.is_exact_instance_of::<PySlice>() {
        return parts(object).map(|parts| parts.map(Scalar::Slice));
    }
    if let Some(scalar) = temporal::from_python(object)? {
        return Ok(Some(scalar));
    }
    let kind = object.get_type();
    // Anyone may give a class a module that is no text.
    let (Ok(module), Ok(name)) = (kind.module(), kind.name()) else { return Ok(None) };
    match (module.to_str()?, name.to_str()?) {
        ("decimal", "Decimal") if kind.is(&class(py, &DECIMAL, "decimal", "Decimal")?) => {
            Ok(Some(Scalar::Decimal(Cow::Owned(object.str()?.to_str()?.to_owned()))))
        }
        ("fractions", "Fraction") if kind.is(&class(py, &FRACTION, "fractions", "Fraction")?) => {
            let part = |name| -> PyResult<Cow<'static, [u8]>> {
                Ok(Cow::Owned(integer::to_bytes(&object.getattr(name)?)?))
            };
            Ok(Some(Scalar::Fraction {
                numerator: part(intern!(py, "numerator"))?,
                denominator: part(intern!(py, "denominator"))?,
            }))
        }
        ("uuid", "UUID") if kind.is(&class(py, &UUID, "uuid", "UUID")?) => {
            Ok(Some(Scalar::Uuid(object.getattr(intern!(py, "bytes"))?.extract()?)))
        }
        _ => Ok(None),
    }
}

/// The leaf that an instance of a subclass of `str`, `int`, `float`, `complex` or `bytes` is equal to.
pub(crate) fn from_subclass<'a>(object: &'a Bound<'_, PyAny>) -> PyResult<Option<Scalar<'a>>> {
    if let Ok(text) = object.cast::<PyString>() {
        return from_text(text).map(Some);
    }
    if let Ok(value) = object.cast::<PyInt>() {
        return from_int(value).map(Some);
    }
    if let Ok(value) = object.cast::<PyFloat>() {
        return Ok(Some(Scalar::Float(value.value())));
    }
    if let Ok(value) = object.cast::<PyComplex>() {
        return Ok(Some(Scalar::Complex { re: value.real(), im: value.imag() }));
    }
    if let Ok(value) = object.cast::<PyBytes>() {
        return Ok(Some(Scalar::Bytes(Cow::Borrowed(value.as_bytes()))));
    }
    Ok(None)
}

fn from_text<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Scalar<'a>> {
    if let Ok(text) = text.to_str() {
        return Ok(Scalar::Str(Cow::Borrowed(text)));
    }
    let py = text.py();
    let encoded = text.call_method1(intern!(py, "encode"), ("utf-8", "surrogatepass"))?;
    Ok(Scalar::SurrogateStr(Cow::Owned(encoded.cast::<PyBytes>()?.as_bytes().to_vec())))
}

fn from_int(value: &Bound<'_, PyInt>) -> PyResult<Scalar<'static>> {
    match value.extract::<i64>() {
        Ok(value) => Ok(Scalar::Int(value)),
        Err(_) => Ok(Scalar::BigInt(Cow::Owned(integer::to_bytes(value)?))),
    }
}

/// Start, stop and step; `None` when one of them is no leaf.
fn parts(object: &Bound<'_, PyAny>) -> PyResult<Option<Box<[Scalar<'static>; 3]>>> {
    let py = object.py();
    let part = |name: &Bound<'_, PyString>| -> PyResult<Option<Scalar<'static>>> {
        let part = object.getattr(name)?;
        // Ranges and slices of slices nest; the engine limits how deep, and so does this.
        if part.is_exact_instance_of::<PySlice>() {
            return Ok(None);
        }
        Ok(from_python(&part)?.map(Scalar::into_owned))
    };
    match (part(intern!(py, "start"))?, part(intern!(py, "stop"))?, part(intern!(py, "step"))?) {
        (Some(from), Some(to), Some(by)) => Ok(Some(Box::new([from, to, by]))),
        _ => Ok(None),
    }
}

/// The exception for an object that has no native form.
pub(crate) fn unsupported(object: &Bound<'_, PyAny>, role: &str) -> PyErr {
    let kind = object.get_type();
    let name =
        kind.fully_qualified_name().map_or_else(|_| "an unnamed class".into(), |name| name.to_string());
    errors::unsupported(
        object.py(),
        format!(
            "{name} can't be stored as {role}; convert it to a builtin type, such as a str, a tuple or a dict"
        ),
    )
}

/// A leaf as the Python object that it was.
pub(crate) fn to_python_object<'py>(py: Python<'py>, scalar: &Scalar<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match scalar {
        Scalar::None => py.None().into_bound(py),
        Scalar::Ellipsis => PyEllipsis::get(py).to_owned().into_any(),
        Scalar::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Scalar::Int(value) => value.into_pyobject(py)?.into_any(),
        Scalar::BigInt(bytes) => integer::from_bytes(py, bytes)?,
        Scalar::Float(value) => PyFloat::new(py, *value).into_any(),
        Scalar::Complex { re, im } => PyComplex::from_doubles(py, *re, *im).into_any(),
        Scalar::Str(text) => PyString::new(py, text).into_any(),
        Scalar::SurrogateStr(bytes) => {
            PyBytes::new(py, bytes).call_method1(intern!(py, "decode"), ("utf-8", "surrogatepass"))?
        }
        Scalar::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Scalar::Decimal(text) => class(py, &DECIMAL, "decimal", "Decimal")?.call1((text.as_ref(),))?,
        Scalar::Fraction { numerator, denominator } => class(py, &FRACTION, "fractions", "Fraction")?
            .call1((integer::from_bytes(py, numerator)?, integer::from_bytes(py, denominator)?))?,
        Scalar::Uuid(bytes) => {
            let arguments = pyo3::types::PyDict::new(py);
            arguments.set_item(intern!(py, "bytes"), PyBytes::new(py, bytes))?;
            class(py, &UUID, "uuid", "UUID")?.call((), Some(&arguments))?
        }
        Scalar::Range(parts) => py.get_type::<PyRange>().call1(part_objects(py, parts)?)?,
        Scalar::Slice(parts) => py.get_type::<PySlice>().call1(part_objects(py, parts)?)?,
        Scalar::Date(_)
        | Scalar::Time { .. }
        | Scalar::DateTime { .. }
        | Scalar::TimeDelta { .. }
        | Scalar::Zone(_) => temporal::to_python_object(py, scalar)?,
    })
}

type Parts<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

fn part_objects<'py>(py: Python<'py>, [from, to, by]: &[Scalar<'_>; 3]) -> PyResult<Parts<'py>> {
    Ok((to_python_object(py, from)?, to_python_object(py, to)?, to_python_object(py, by)?))
}

/// A text as a Python object; what is no UTF-8 is damage.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the caller makes dozens of them, and an error takes much room")]
pub(crate) fn text<'py>(py: Python<'py>, utf8: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    if utf8.len() > 1 && utf8.is_ascii() {
        return ascii(py, utf8);
    }
    other_text(py, utf8)
}

#[inline(never)]
#[expect(unsafe_code, reason = "PyO3 has nothing for it")]
fn other_text<'py>(py: Python<'py>, utf8: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // Of these, Python has one object for each.
    if let [character @ ..0x80] = utf8 {
        // SAFETY: the interpreter is attached.
        let text = unsafe { ffi::PyUnicode_FromOrdinal((*character).into()) };
        // SAFETY: it is a new reference, or null with an exception set.
        return unsafe { Bound::from_owned_ptr_or_err(py, text) };
    }
    match PyString::from_bytes(py, utf8) {
        Ok(text) => Ok(text.into_any()),
        Err(error) if error.is_instance_of::<PyMemoryError>(py) => Err(error),
        Err(_) => Err(errors::to_python(oocmap::Error::Corrupted("a text is not UTF-8".into()))),
    }
}

/// What `PyUnicode_FromStringAndSize` does for ASCII, without looking at each character again.
#[inline]
#[expect(unsafe_code, reason = "a new string is filled in place")]
fn ascii<'py>(py: Python<'py>, ascii: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    const MOST: u32 = 127;
    // SAFETY: the interpreter is attached; a length of a slice fits.
    let text = unsafe { ffi::PyUnicode_New(ascii.len().cast_signed(), MOST) };
    // SAFETY: it is a new reference, or null with an exception set.
    let text = unsafe { Bound::from_owned_ptr_or_err(py, text) }?;
    // SAFETY: it was made of characters of one byte, and nobody else has it yet.
    let data = unsafe { ffi::PyUnicode_1BYTE_DATA(text.as_ptr()) };
    // SAFETY: there is room for so many characters, all of which are ASCII; what ends the string is there already.
    unsafe { std::ptr::copy_nonoverlapping(ascii.as_ptr(), data, ascii.len()) };
    Ok(text)
}

/// An encoded leaf as a Python object.
#[inline]
pub(crate) fn decode<'py>(py: Python<'py>, encoded: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    if let Some(utf8) = Scalar::text(encoded) {
        return text(py, utf8);
    }
    to_python_object(py, &Scalar::decode(encoded).or_raise()?)
}
