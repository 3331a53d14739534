//! Prints handles as their twins print, shortened when they are long.

use std::fmt::Write;

use oocmap::ContainerKind;
use pyo3::{
    exceptions::PyException,
    prelude::*,
    types::{PyByteArray, PyString},
};

use super::{
    handle::Handle,
    view::View,
    walk::{Part, Walk},
};

/// How many elements are printed.
const SHOWN: usize = 100;
/// How many bytes are printed.
const BYTES: usize = 1000;
/// How many levels are printed; those below stand as an ellipsis.
const DEPTH: usize = 20;

/// The text of a handle; one that can't be read any more says why.
pub(crate) fn repr(py: Python<'_>, handle: &Handle) -> PyResult<String> {
    let mut text = String::new();
    write_handle(py, handle, &mut text, &mut Vec::new())?;
    Ok(text)
}

fn write_handle(
    py: Python<'_>,
    handle: &Handle,
    text: &mut String,
    around: &mut Vec<Handle>,
) -> PyResult<()> {
    let view = match handle.view(py) {
        Ok(view) => view,
        Err(error) if error.is_instance_of::<PyException>(py) => {
            let _ = write!(text, "<Lazy{:?}: {}>", handle.kind(), error.value(py));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    if handle.kind() == ContainerKind::ByteArray {
        return write_bytes(py, &view, text);
    }
    let len = view.len()?;
    let (open, close) = match handle.kind() {
        ContainerKind::List => ("[", "]"),
        ContainerKind::ByteArray | ContainerKind::Instance => ("<", ">"),
        ContainerKind::Tuple if len == 1 => ("(", ",)"),
        ContainerKind::Tuple => ("(", ")"),
        ContainerKind::Set if len == 0 => ("set(", ")"),
        ContainerKind::FrozenSet if len == 0 => ("frozenset(", ")"),
        ContainerKind::FrozenSet => ("frozenset({", "})"),
        _ => ("{", "}"),
    };
    text.push_str(open);
    if around.len() >= DEPTH || around.iter().any(|other| other.is_same(handle)) {
        text.push_str(if len == 0 { "" } else { "..." });
        text.push_str(close.trim_start_matches(','));
        return Ok(());
    }
    let is_dict = handle.kind() == ContainerKind::Dict;
    around.push(handle.clone());
    let mut walk = Walk::new(view, if is_dict { Part::Pairs } else { Part::Items }, false)?;
    for index in 0..len {
        if index > 0 {
            text.push_str(", ");
        }
        if index == SHOWN {
            text.push_str("...");
            break;
        }
        let Some(next) = walk.next(py)? else { break };
        if is_dict {
            let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = next.extract()?;
            element(py, &key, text, around)?;
            text.push_str(": ");
            element(py, &value, text, around)?;
        } else {
            element(py, &next, text, around)?;
        }
    }
    around.pop();
    text.push_str(close);
    Ok(())
}

fn element(
    py: Python<'_>,
    object: &Bound<'_, PyAny>,
    text: &mut String,
    around: &mut Vec<Handle>,
) -> PyResult<()> {
    if let Some(nested) = super::of(object) {
        return write_handle(py, nested, text, around);
    }
    let shown: Bound<'_, PyString> = object.repr()?;
    text.push_str(&shown.to_string_lossy());
    Ok(())
}

fn write_bytes(py: Python<'_>, view: &View, text: &mut String) -> PyResult<()> {
    let len = view.len()?;
    let shown = PyByteArray::new(py, &view.bytes_between(0..len.min(BYTES))?).repr()?;
    let shown = shown.to_string_lossy();
    if len <= BYTES {
        text.push_str(&shown);
    } else {
        text.push_str(shown.trim_end_matches(')'));
        text.push_str("...)");
    }
    Ok(())
}
