//! LMDB through heed: numbers as big-endian bytes, texts as they are.

use std::path::Path;

use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, WithTls, types::Bytes};

use super::{Engine, Failure};

pub(crate) struct Heed(&'static Env<WithTls>, Database<'static, Bytes, Bytes>);

impl Engine for Heed {
    const NAME: &str = "heed";

    fn open(directory: &Path) -> Result<Self, Failure> {
        let mut options = EnvOpenOptions::new();
        options.map_size(1 << 32);
        // SAFETY: the directory was made for this one environment, and no one else knows of it.
        let env = unsafe { options.open(directory)? };
        // A benchmark has few of them, and a database borrows from its environment.
        let env: &'static Env<WithTls> = Box::leak(Box::new(env));
        let database = env
            .create_databases_and_commit(env.write_txn()?, |opener, write| {
                opener.create_database::<Bytes, Bytes>(write, None).map(CommitOrAbort::<_, ()>::Commit)
            })?
            .unwrap_commit();
        Ok(Self(env, database))
    }

    fn load(&mut self, entries: &[(u64, String)]) -> Result<(), Failure> {
        let mut write = self.0.write_txn()?;
        for (key, text) in entries {
            self.1.put(&mut write, &key.to_be_bytes(), text.as_bytes())?;
        }
        write.commit()?;
        Ok(())
    }

    fn get(&self, keys: &[u64]) -> Result<u64, Failure> {
        let read = self.0.read_txn()?;
        let mut found = 0;
        for key in keys {
            if let Some(text) = self.1.get(&read, &key.to_be_bytes())? {
                found += u64::from(!std::str::from_utf8(text)?.is_empty());
            }
        }
        Ok(found)
    }

    fn walk(&self) -> Result<u64, Failure> {
        let read = self.0.read_txn()?;
        let mut found = 0;
        for entry in self.1.iter(&read)? {
            found += u64::from(!std::str::from_utf8(entry?.1)?.is_empty());
        }
        Ok(found)
    }
}
