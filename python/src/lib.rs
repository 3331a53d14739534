//! The Python classes of oocmap: a thin skin over the engine.

#![deny(unsafe_code)]
#![expect(clippy::doc_markdown, reason = "docs of Python items are Python docstrings, in NumPy's style")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "PyO3 says how the methods of a class take their arguments"
)]

mod access;
mod buffer;
mod bulk;
mod convert;
mod errors;
mod iterators;
mod lazy;
mod many;
mod map;
mod mapping;
mod names;
mod pairs;
mod pending;
mod snapshot;
mod tasks;
mod transaction;
mod vacuum;
mod views;

/// The extension module; `oocmap` exports what users need of it.
// Where there is an interpreter without a lock, it gets one with this: containers are read between two changes of theirs.
#[pyo3::pymodule(gil_used = true)]
mod _oocmap {
    /// The version of the package.
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name that Python packages give it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_export]
    use crate::{
        buffer::PageBuffer,
        bulk::Loader,
        convert::classes::Recipe,
        iterators::MapIterator,
        lazy::{
            bytearray::LazyByteArray, dict::LazyDict, iterators::LazyIterator, list::LazyList,
            set::LazyFrozenSet, set::LazySet, tuple::LazyTuple,
        },
        map::{OOCMap, flush_all, settle_all},
        mapping::Mapping,
        snapshot::{Snapshot, follow},
        transaction::Transaction,
        vacuum::Vacuum,
        views::{ItemsView, KeysView, MapRange, ValuesView},
    };

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        crate::lazy::iterators::hasten(module.py())
    }
}
