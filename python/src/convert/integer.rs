//! Integers of any size, as two's complement in little endian of the least length.

use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyInt},
};

/// The bytes of an integer.
pub(crate) fn to_bytes(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let py = value.py();
    let bits: usize = value.call_method0(intern!(py, "bit_length"))?.extract()?;
    let signed = PyDict::new(py);
    signed.set_item(intern!(py, "signed"), true)?;
    let bytes = value.call_method(intern!(py, "to_bytes"), (bits / 8 + 1, "little"), Some(&signed))?;
    let mut bytes = bytes.cast::<PyBytes>()?.as_bytes().to_vec();
    // The least negative integer of each length needs no byte for its sign.
    if matches!(bytes.as_slice(), [.., high, 0xff] if *high >= 0x80) {
        bytes.pop();
    }
    Ok(bytes)
}

/// The integer of some bytes.
pub(crate) fn from_bytes<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let signed = PyDict::new(py);
    signed.set_item(intern!(py, "signed"), true)?;
    py.get_type::<PyInt>().call_method(
        intern!(py, "from_bytes"),
        (PyBytes::new(py, bytes), "little"),
        Some(&signed),
    )
}
