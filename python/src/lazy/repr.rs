//! Prints handles as their twins print, shortened when they are long.

use pyo3::{prelude::*, types::PyString};

use super::Handle;
use oocmap::ContainerKind;

/// How many elements are printed.
const SHOWN: usize = 100;
/// How many levels are printed; those below stand as an ellipsis.
const DEPTH: usize = 20;

/// The text of a handle.
pub(crate) fn repr(py: Python<'_>, handle: &Handle) -> PyResult<String> {
    let mut text = String::new();
    write(py, handle, &mut text, 0)?;
    Ok(text)
}

fn write(py: Python<'_>, handle: &Handle, text: &mut String, depth: usize) -> PyResult<()> {
    let len = handle.len();
    let (open, close) = match handle.container.kind {
        ContainerKind::List => ("[", "]"),
        ContainerKind::Tuple if len == 1 => ("(", ",)"),
        ContainerKind::Tuple => ("(", ")"),
        ContainerKind::Set if len == 0 => ("set(", ")"),
        ContainerKind::Set | ContainerKind::Dict => ("{", "}"),
        ContainerKind::FrozenSet if len == 0 => ("frozenset(", ")"),
        ContainerKind::FrozenSet => ("frozenset({", "})"),
    };
    text.push_str(open);
    let shown = if depth >= DEPTH { 0 } else { len.min(SHOWN) };
    for index in 0..shown {
        if index > 0 {
            text.push_str(", ");
        }
        element(py, &handle.item(py, index)?, text, depth)?;
        if handle.container.kind == ContainerKind::Dict {
            text.push_str(": ");
            element(py, &handle.value(py, index)?, text, depth)?;
        }
    }
    if shown < len {
        text.push_str(if shown == 0 { "..." } else { ", ..." });
    }
    text.push_str(close);
    Ok(())
}

fn element(py: Python<'_>, object: &Bound<'_, PyAny>, text: &mut String, depth: usize) -> PyResult<()> {
    if let Some(nested) = super::of(object) {
        return write(py, nested, text, depth + 1);
    }
    let shown: Bound<'_, PyString> = object.repr()?;
    text.push_str(&shown.to_string_lossy());
    Ok(())
}
