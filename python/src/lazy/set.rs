//! Sets and frozensets.

use pyo3::{
    class::basic::CompareOp,
    prelude::*,
    types::{PyFrozenSet, PySet, PyType},
};

use super::{Handle, dict::position};
use crate::iterators::{LazyIterator, Part};

/// A stored set, read as far as it is used.
///
/// It compares, combines and prints as a ``set`` does; the results of its operators are plain sets.
#[pyclass(frozen, weakref, module = "oocmap")]
pub(crate) struct LazySet(pub(crate) Handle);

/// A stored frozenset, read as far as it is used.
///
/// It compares, hashes, combines and prints as a ``frozenset`` does; the results of its operators are plain.
#[pyclass(frozen, weakref, module = "oocmap")]
pub(crate) struct LazyFrozenSet(pub(crate) Handle);

/// The plain set of something that sets can be combined with.
fn plain<'py>(other: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if other.is_instance_of::<LazySet>() || other.is_instance_of::<LazyFrozenSet>() {
        return super::of(other).map(|handle| handle.eager(other.py(), false)).transpose();
    }
    let is_set = other.is_instance_of::<PySet>() || other.is_instance_of::<PyFrozenSet>();
    // Views of keys are sets too; their own operators take over.
    Ok(is_set.then(|| other.clone()))
}

/// The methods and operators that take another set, on the plain twin.
macro_rules! set_methods {
    ($class:ident, $twin:ty, { $($own:tt)* }) => {
        impl $class {
            fn combine<'py>(
                &self,
                other: &Bound<'py, PyAny>,
                operator: impl FnOnce(Bound<'py, PyAny>, Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let py = other.py();
                match plain(other)? {
                    Some(other) => operator(self.0.eager(py, false)?, other),
                    None => Ok(py.NotImplemented().into_bound(py)),
                }
            }
        }

        #[pymethods]
        impl $class {
            fn __len__(&self) -> usize {
                self.0.len()
            }

            fn __contains__(&self, member: &Bound<'_, PyAny>) -> PyResult<bool> {
                // As with builtin sets, a set is looked for as the frozenset that it equals.
                if member.is_instance_of::<PySet>() || member.is_instance_of::<LazySet>() {
                    let members = member.try_iter()?.collect::<PyResult<Vec<_>>>()?;
                    let frozen = PyFrozenSet::new(member.py(), members)?;
                    return Ok(position(&self.0, &frozen)?.is_some());
                }
                Ok(position(&self.0, member)?.is_some())
            }

            fn __iter__(&self) -> LazyIterator {
                LazyIterator::forward(self.0.clone(), Part::Items)
            }

            fn __richcmp__<'py>(
                &self,
                py: Python<'py>,
                other: &Bound<'py, PyAny>,
                operator: CompareOp,
            ) -> PyResult<Bound<'py, PyAny>> {
                match plain(other)? {
                    Some(other) => self.0.eager(py, false)?.rich_compare(other, operator),
                    None => Ok(py.NotImplemented().into_bound(py)),
                }
            }

            fn __and__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.combine(other, |own, other| own.bitand(other))
            }

            fn __rand__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.combine(other, |own, other| other.bitand(own))
            }

            fn __or__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.combine(other, |own, other| own.bitor(other))
            }

            fn __ror__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.combine(other, |own, other| other.bitor(own))
            }

            fn __xor__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.combine(other, |own, other| own.bitxor(other))
            }

            fn __rxor__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.combine(other, |own, other| other.bitxor(own))
            }

            fn __sub__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.combine(other, |own, other| own.sub(other))
            }

            fn __rsub__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.combine(other, |own, other| other.sub(own))
            }

            /// Return whether the set has no member in common with ``other``.
            #[pyo3(signature = (other, /))]
            fn isdisjoint<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.0.eager(py, false)?.call_method1("isdisjoint", (other,))
            }

            /// Return whether ``other`` has every member of the set.
            #[pyo3(signature = (other, /))]
            fn issubset<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.0.eager(py, false)?.call_method1("issubset", (other,))
            }

            /// Return whether the set has every member of ``other``.
            #[pyo3(signature = (other, /))]
            fn issuperset<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.0.eager(py, false)?.call_method1("issuperset", (other,))
            }

            /// Return a plain set of the members of the set and of all ``others``.
            #[pyo3(signature = (*others))]
            fn union<'py>(
                &self,
                py: Python<'py>,
                others: &Bound<'py, pyo3::types::PyTuple>,
            ) -> PyResult<Bound<'py, PyAny>> {
                self.0.eager(py, false)?.call_method1("union", others)
            }

            /// Return a plain set of the members that the set and all ``others`` have.
            #[pyo3(signature = (*others))]
            fn intersection<'py>(
                &self,
                py: Python<'py>,
                others: &Bound<'py, pyo3::types::PyTuple>,
            ) -> PyResult<Bound<'py, PyAny>> {
                self.0.eager(py, false)?.call_method1("intersection", others)
            }

            /// Return a plain set of the members that none of ``others`` has.
            #[pyo3(signature = (*others))]
            fn difference<'py>(
                &self,
                py: Python<'py>,
                others: &Bound<'py, pyo3::types::PyTuple>,
            ) -> PyResult<Bound<'py, PyAny>> {
                self.0.eager(py, false)?.call_method1("difference", others)
            }

            /// Return a plain set of the members that either the set or ``other`` has.
            #[pyo3(signature = (other, /))]
            fn symmetric_difference<'py>(
                &self,
                py: Python<'py>,
                other: &Bound<'py, PyAny>,
            ) -> PyResult<Bound<'py, PyAny>> {
                self.0.eager(py, false)?.call_method1("symmetric_difference", (other,))
            }

            /// Return the plain set.
            fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.0.eager(py, false)
            }

            /// Return the plain set, one level deep or, with ``deep``, all the way down.
            #[pyo3(signature = (*, deep=false))]
            fn eager<'py>(&self, py: Python<'py>, deep: bool) -> PyResult<Bound<'py, PyAny>> {
                self.0.eager(py, deep)
            }

            /// Tell whether ``other`` is a handle to the very same stored object.
            #[pyo3(signature = (other, /))]
            fn same_as(&self, other: &Bound<'_, PyAny>) -> bool {
                super::of(other).is_some_and(|other| other.is_same(&self.0))
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                super::repr::repr(py, &self.0)
            }

            fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyType>, (Bound<'py, PyAny>,))> {
                Ok((py.get_type::<$twin>(), (self.0.eager(py, true)?,)))
            }

            $($own)*
        }
    };
}

set_methods!(LazySet, PySet, {
    #[classattr]
    const __hash__: Option<Py<PyAny>> = None;
});

set_methods!(LazyFrozenSet, PyFrozenSet, {
    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        super::hash(py, &self.0)
    }
});
