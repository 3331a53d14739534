//! A database in versions, for the models of the vacuum: entries, objects that refer to each other, and what a vacuum
//! has there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::sync::Mutex;

/// The name of an object; those of later versions are greater.
pub type Object = u8;

/// One version. `P` is the phase of the vacuum, which each broken twin has a type of its own for.
#[derive(Clone, Debug, Default)]
pub struct Version<P> {
    /// What the vacuum is doing.
    pub phase: P,
    /// What writers began to refer to.
    pub notes: BTreeSet<Object>,
    /// What is condemned.
    pub list: BTreeSet<Object>,
    /// What the entries refer to.
    pub entries: BTreeSet<Object>,
    /// What each object refers to.
    pub objects: BTreeMap<Object, Vec<Object>>,
}

impl<P> Version<P> {
    /// Makes an object that refers to these.
    pub fn create(&mut self, references: Vec<Object>) -> Object {
        let object = self.objects.last_key_value().map_or(0, |(last, _)| *last) + 1;
        self.objects.insert(object, references);
        object
    }

    /// These and all that they lead to.
    ///
    /// # Panics
    ///
    /// When something leads to an object that does not exist.
    pub fn reachable(&self, from: &BTreeSet<Object>) -> BTreeSet<Object> {
        let mut to_visit: Vec<_> = from.iter().copied().collect();
        let mut reachable = BTreeSet::new();
        while let Some(object) = to_visit.pop() {
            let references = self.objects.get(&object).expect("a reference dangles");
            if reachable.insert(object) {
                to_visit.extend(references);
            }
        }
        reachable
    }
}

/// The newest version, which one thread at a time replaces.
#[derive(Debug)]
pub struct Database<P>(Mutex<Arc<Version<P>>>);

impl<P: Clone> Database<P> {
    /// A database of one version.
    pub fn new(version: Version<P>) -> Self {
        Self(Mutex::new(Arc::new(version)))
    }

    /// The newest version, as it will stay.
    pub fn pin(&self) -> Arc<Version<P>> {
        Arc::clone(&self.0.lock())
    }

    /// Changes the newest version in one transaction.
    pub fn write<T>(&self, change: impl FnOnce(&mut Version<P>) -> T) -> T {
        let mut newest = self.0.lock();
        change(Arc::make_mut(&mut newest))
    }
}
