//! Sets and frozensets.

use oocmap::Change;
use pyo3::{
    class::basic::CompareOp,
    exceptions::PyTypeError,
    prelude::*,
    types::{PyBool, PyFrozenSet, PySet, PyTuple},
};

use super::{dict::contains, handle::Handle, iterators::LazyIterator, set_change as change, walk::Part};

/// A stored set, read as far as it is used; what changes it changes what is stored.
///
/// It has the whole interface of ``set``; copies and the results of operators are plain sets.
#[pyclass(frozen, weakref, module = "oocmap")]
pub(crate) struct LazySet(pub(crate) Handle);

/// A stored frozenset, read as far as it is used.
///
/// It has the whole interface of ``frozenset``, and compares, hashes and prints as one; the results of operators are
/// plain.
#[pyclass(frozen, weakref, module = "oocmap")]
pub(crate) struct LazyFrozenSet(pub(crate) Handle);

/// The handle of a lazy set.
pub(super) fn of<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a Handle> {
    super::of(object)
        .filter(|_| object.is_instance_of::<LazySet>() || object.is_instance_of::<LazyFrozenSet>())
}

/// What operators of sets take. Views of keys are sets too; their own operators take over.
pub(super) struct AnySet<'py>(pub(super) Bound<'py, PyAny>);

impl<'py> FromPyObject<'_, 'py> for AnySet<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let is_set = object.is_instance_of::<PySet>()
            || object.is_instance_of::<PyFrozenSet>()
            || object.is_instance_of::<LazySet>()
            || object.is_instance_of::<LazyFrozenSet>();
        if is_set { Ok(Self(object.to_owned())) } else { Err(PyTypeError::new_err("not a set")) }
    }
}

impl<'py> AnySet<'py> {
    /// The plain set.
    fn plain(self) -> PyResult<Bound<'py, PyAny>> {
        match of(&self.0) {
            Some(handle) => super::eager(self.0.py(), handle, false),
            None => Ok(self.0),
        }
    }
}

/// What is looked for as a member: a set as the frozenset that it equals, as with builtin sets.
pub(super) fn as_member<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if object.is_instance_of::<PySet>() || object.is_instance_of::<LazySet>() {
        let members = object.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        return Ok(PyFrozenSet::new(object.py(), members)?.into_any());
    }
    Ok(object.clone())
}

/// The methods that both kinds of sets have.
macro_rules! set_class {
    ($class:ident, $twin:literal, { $($own:tt)* }) => {
        lazy_class!($class, $twin, {
            fn __contains__(&self, py: Python<'_>, member: &Bound<'_, PyAny>) -> PyResult<bool> {
                contains(py, &self.0, &as_member(member)?)
            }

            fn __iter__(&self, py: Python<'_>) -> PyResult<LazyIterator> {
                LazyIterator::of_members(py, &self.0, Part::Items, false)
            }

            fn __richcmp__<'py>(
                &self,
                py: Python<'py>,
                other: AnySet<'py>,
                operator: CompareOp,
            ) -> PyResult<Bound<'py, PyAny>> {
                let is_equality = matches!(operator, CompareOp::Eq | CompareOp::Ne);
                if is_equality && other.0.len()? != self.0.view(py)?.len()? {
                    return Ok(PyBool::new(py, matches!(operator, CompareOp::Ne)).to_owned().into_any());
                }
                super::eager(py, &self.0, false)?.rich_compare(other.plain()?, operator)
            }

            fn __and__<'py>(&self, py: Python<'py>, other: AnySet<'py>) -> PyResult<Bound<'py, PyAny>> {
                super::eager(py, &self.0, false)?.bitand(other.plain()?)
            }

            fn __rand__<'py>(&self, py: Python<'py>, other: AnySet<'py>) -> PyResult<Bound<'py, PyAny>> {
                other.plain()?.bitand(super::eager(py, &self.0, false)?)
            }

            fn __or__<'py>(&self, py: Python<'py>, other: AnySet<'py>) -> PyResult<Bound<'py, PyAny>> {
                super::eager(py, &self.0, false)?.bitor(other.plain()?)
            }

            fn __ror__<'py>(&self, py: Python<'py>, other: AnySet<'py>) -> PyResult<Bound<'py, PyAny>> {
                other.plain()?.bitor(super::eager(py, &self.0, false)?)
            }

            fn __xor__<'py>(&self, py: Python<'py>, other: AnySet<'py>) -> PyResult<Bound<'py, PyAny>> {
                super::eager(py, &self.0, false)?.bitxor(other.plain()?)
            }

            fn __rxor__<'py>(&self, py: Python<'py>, other: AnySet<'py>) -> PyResult<Bound<'py, PyAny>> {
                other.plain()?.bitxor(super::eager(py, &self.0, false)?)
            }

            fn __sub__<'py>(&self, py: Python<'py>, other: AnySet<'py>) -> PyResult<Bound<'py, PyAny>> {
                super::eager(py, &self.0, false)?.sub(other.plain()?)
            }

            fn __rsub__<'py>(&self, py: Python<'py>, other: AnySet<'py>) -> PyResult<Bound<'py, PyAny>> {
                other.plain()?.sub(super::eager(py, &self.0, false)?)
            }

            /// Return whether the set has no member in common with ``other``.
            #[pyo3(signature = (other, /))]
            fn isdisjoint(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
                for member in other.try_iter()? {
                    if contains(py, &self.0, &member?)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }

            /// Return whether ``other`` has every member of the set.
            #[pyo3(signature = (other, /))]
            fn issubset<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                super::eager(py, &self.0, false)?.call_method1("issubset", (other,))
            }

            /// Return whether the set has every member of ``other``.
            #[pyo3(signature = (other, /))]
            fn issuperset(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
                for member in other.try_iter()? {
                    if !contains(py, &self.0, &member?)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }

            /// Return a plain set of the members of the set and of all ``others``.
            #[pyo3(signature = (*others))]
            fn union<'py>(&self, py: Python<'py>, others: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
                super::eager(py, &self.0, false)?.call_method1("union", others)
            }

            /// Return a plain set of the members that the set and all ``others`` have.
            #[pyo3(signature = (*others))]
            fn intersection<'py>(
                &self,
                py: Python<'py>,
                others: &Bound<'py, PyTuple>,
            ) -> PyResult<Bound<'py, PyAny>> {
                super::eager(py, &self.0, false)?.call_method1("intersection", others)
            }

            /// Return a plain set of the members that none of ``others`` has.
            #[pyo3(signature = (*others))]
            fn difference<'py>(
                &self,
                py: Python<'py>,
                others: &Bound<'py, PyTuple>,
            ) -> PyResult<Bound<'py, PyAny>> {
                super::eager(py, &self.0, false)?.call_method1("difference", others)
            }

            /// Return a plain set of the members that either the set or ``other`` has.
            #[pyo3(signature = (other, /))]
            fn symmetric_difference<'py>(
                &self,
                py: Python<'py>,
                other: &Bound<'py, PyAny>,
            ) -> PyResult<Bound<'py, PyAny>> {
                super::eager(py, &self.0, false)?.call_method1("symmetric_difference", (other,))
            }

            /// Return the plain set.
            fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                super::eager(py, &self.0, false)
            }

            $($own)*
        });
    };
}

set_class!(LazySet, "set", {
    /// Add a member, if it is not there already.
    #[pyo3(signature = (member, /))]
    fn add(&self, py: Python<'_>, member: &Bound<'_, PyAny>) -> PyResult<()> {
        change::add(py, &self.0, member)
    }

    /// Delete a member, if it is there.
    #[pyo3(signature = (member, /))]
    fn discard(&self, py: Python<'_>, member: &Bound<'_, PyAny>) -> PyResult<()> {
        change::discard(py, &self.0, member).map(|_| ())
    }

    /// Delete a member.
    ///
    /// Raises
    /// ------
    /// KeyError
    ///     When it is not there.
    #[pyo3(signature = (member, /))]
    fn remove(&self, py: Python<'_>, member: &Bound<'_, PyAny>) -> PyResult<()> {
        change::remove(py, &self.0, member)
    }

    /// Delete some member and return it.
    ///
    /// Raises
    /// ------
    /// KeyError
    ///     When there is none.
    fn pop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        change::pop(py, &self.0)
    }

    /// Delete all members.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.0.change(py, &[Change::Clear])
    }

    /// Add the members of all ``others``, in one transaction.
    #[pyo3(signature = (*others))]
    fn update(&self, py: Python<'_>, others: &Bound<'_, PyTuple>) -> PyResult<()> {
        change::update(py, &self.0, &others.iter().collect::<Vec<_>>())
    }

    /// Keep only the members that all ``others`` have, too.
    #[pyo3(signature = (*others))]
    fn intersection_update(&self, py: Python<'_>, others: &Bound<'_, PyTuple>) -> PyResult<()> {
        change::intersect(py, &self.0, &others.iter().collect::<Vec<_>>())
    }

    /// Delete the members of all ``others``.
    #[pyo3(signature = (*others))]
    fn difference_update(&self, py: Python<'_>, others: &Bound<'_, PyTuple>) -> PyResult<()> {
        change::subtract(py, &self.0, &others.iter().collect::<Vec<_>>())
    }

    /// Delete the members of ``other`` that are there, and add those that are not.
    #[pyo3(signature = (other, /))]
    fn symmetric_difference_update(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        change::toggle(py, &self.0, other)
    }

    fn __ior__(&self, py: Python<'_>, other: AnySet<'_>) -> PyResult<()> {
        change::update(py, &self.0, &[other.0])
    }

    fn __iand__(&self, py: Python<'_>, other: AnySet<'_>) -> PyResult<()> {
        change::intersect(py, &self.0, &[other.0])
    }

    fn __isub__(&self, py: Python<'_>, other: AnySet<'_>) -> PyResult<()> {
        change::subtract(py, &self.0, &[other.0])
    }

    fn __ixor__(&self, py: Python<'_>, other: AnySet<'_>) -> PyResult<()> {
        change::toggle(py, &self.0, &other.0)
    }

    #[classattr]
    const __hash__: Option<Py<PyAny>> = None;
});

set_class!(LazyFrozenSet, "frozenset", {
    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        super::hash(py, &self.0)
    }
});
