//! The limit: a map over LMDB that does nothing but `mdb_get` and make the string. It says what is left to be won.
//!
//! It is no store to use: it sees no writes but its own, checks nothing, and takes one thread, numbers from 0 on and texts.

/// The extension module.
#[pyo3::pymodule]
mod oocmap_limit {
    use std::cell::RefCell;
    use std::path::PathBuf;

    use heed::{
        CommitOrAbort, Database, Env, EnvOpenOptions, Error, PutFlags, RoTxn, RwTxn, WithoutTls, types::Bytes,
    };
    use pyo3::exceptions::{PyKeyError, PyOSError};
    use pyo3::prelude::*;
    use pyo3::pybacked::PyBackedStr;
    use pyo3::types::PyString;

    /// How much may be stored; it only reserves addresses.
    const MAP_SIZE: usize = 1 << 36;

    /// A map from numbers to texts, in a directory.
    #[pyclass(frozen, unsendable)]
    struct Limit {
        env: &'static Env<WithoutTls>,
        database: Database<'static, Bytes, Bytes>,
        read: RefCell<RoTxn<'static, WithoutTls>>,
    }

    #[pymethods]
    impl Limit {
        /// Open the map in an existing directory.
        #[new]
        fn new(directory: PathBuf) -> PyResult<Self> {
            let mut options = EnvOpenOptions::new().read_txn_without_tls();
            options.map_size(MAP_SIZE);
            // SAFETY: a benchmark opens each of its directories once in a process.
            let env = unsafe { options.open(directory) }.map_err(failed)?;
            // There is one in a process, until it ends, and the transaction that is kept borrows from it.
            let env: &'static Env<WithoutTls> = Box::leak(Box::new(env));
            let write = env.write_txn().map_err(failed)?;
            let database = env
                .create_databases_and_commit(write, |opener, write| {
                    opener.create_database::<Bytes, Bytes>(write, None).map(CommitOrAbort::<_, ()>::Commit)
                })
                .map_err(failed)?
                .unwrap_commit();
            let read = RefCell::new(env.read_txn().map_err(failed)?);
            Ok(Self { env, database, read })
        }

        fn __getitem__<'py>(&self, py: Python<'py>, key: i64) -> PyResult<Bound<'py, PyString>> {
            self.text(py, key)?.ok_or_else(|| PyKeyError::new_err(key))
        }

        fn __contains__(&self, key: i64) -> PyResult<bool> {
            let read = self.read.borrow();
            Ok(self.database.get(&read, &key.to_be_bytes()).map_err(failed)?.is_some())
        }

        /// Return the text of a key, or None.
        fn get<'py>(&self, py: Python<'py>, key: i64) -> PyResult<Option<Bound<'py, PyString>>> {
            self.text(py, key)
        }

        /// Store pairs in one durable transaction; with `ascending`, they come in the order of their keys.
        #[pyo3(signature = (pairs, /, *, ascending = false))]
        fn load(&self, pairs: &Bound<'_, PyAny>, ascending: bool) -> PyResult<()> {
            let flags = if ascending { PutFlags::APPEND } else { PutFlags::empty() };
            let mut write = self.env.write_txn().map_err(failed)?;
            for pair in pairs.try_iter()? {
                let (key, text): (i64, PyBackedStr) = pair?.extract()?;
                self.database
                    .put_with_flags(&mut write, flags, &key.to_be_bytes(), text.as_bytes())
                    .map_err(failed)?;
            }
            self.commit(write)
        }

        /// Store one pair in a durable transaction of its own.
        fn put(&self, key: i64, text: &str) -> PyResult<()> {
            let mut write = self.env.write_txn().map_err(failed)?;
            self.database.put(&mut write, &key.to_be_bytes(), text.as_bytes()).map_err(failed)?;
            self.commit(write)
        }
    }

    impl Limit {
        fn text<'py>(&self, py: Python<'py>, key: i64) -> PyResult<Option<Bound<'py, PyString>>> {
            let read = self.read.borrow();
            match self.database.get(&read, &key.to_be_bytes()).map_err(failed)? {
                Some(text) => PyString::from_bytes(py, text).map(Some),
                None => Ok(None),
            }
        }

        /// Commits, and reads on from there.
        fn commit(&self, write: RwTxn<'_>) -> PyResult<()> {
            write.commit().map_err(failed)?;
            self.read.replace(self.env.read_txn().map_err(failed)?);
            Ok(())
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "this is what map_err hands over")]
    fn failed(error: Error) -> PyErr {
        PyOSError::new_err(error.to_string())
    }
}
