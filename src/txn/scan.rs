//! Walks the entries in key order, both ways and between bounds, long keys in their true places.

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, ops::Bound};

use super::entry::{self, LONGEST, PREFIX, Place, TableKey};
use crate::{
    error::Result,
    format::key::KeyBytes,
    store::{Direction, ReadTables, Snapshot, Table, TreeCursor},
};

/// An entry, as it is stored: the table's key and the value.
pub(crate) type Stored<'t> = (&'t [u8], &'t [u8]);

/// Which entries to walk, and which way.
#[derive(Clone, Debug)]
pub struct Span {
    /// The ordered bytes of the first key.
    pub lower: Bound<KeyBytes>,
    /// The ordered bytes of the last key.
    pub upper: Bound<KeyBytes>,
}

impl Span {
    /// All entries.
    pub fn all() -> Self {
        Self { lower: Bound::Unbounded, upper: Bound::Unbounded }
    }

    /// Whether a key lies between the bounds.
    pub fn contains(&self, ordered: &[u8]) -> bool {
        let above = match &self.lower {
            Bound::Unbounded => true,
            Bound::Included(lower) => ordered >= lower.as_slice(),
            Bound::Excluded(lower) => ordered > lower.as_slice(),
        };
        above
            && match &self.upper {
                Bound::Unbounded => true,
                Bound::Included(upper) => ordered <= upper.as_slice(),
                Bound::Excluded(upper) => ordered < upper.as_slice(),
            }
    }

    /// Bounds that hold for the table's keys: a bound inside a group of long keys takes in the whole group.
    fn table_bounds(&self) -> (Bound<TableKey>, Bound<TableKey>) {
        let lower = match &self.lower {
            Bound::Included(key) | Bound::Excluded(key) if key.len() >= PREFIX => {
                Bound::Included(TableKey::from_slice(&key[..PREFIX]))
            }
            Bound::Included(key) => Bound::Included(TableKey::from_slice(key)),
            Bound::Excluded(key) => Bound::Excluded(TableKey::from_slice(key)),
            Bound::Unbounded => Bound::Unbounded,
        };
        let upper = match &self.upper {
            Bound::Included(key) | Bound::Excluded(key) if key.len() >= PREFIX => {
                // The last of all table keys that begin like this one.
                let mut end = TableKey::from_slice(&key[..PREFIX]);
                end.extend_from_slice(&[0xff; LONGEST - PREFIX]);
                Bound::Included(end)
            }
            Bound::Included(key) => Bound::Included(TableKey::from_slice(key)),
            Bound::Excluded(key) => Bound::Excluded(TableKey::from_slice(key)),
            Bound::Unbounded => Bound::Unbounded,
        };
        (lower, upper)
    }
}

/// One step after another through a table.
trait Steps<'t> {
    fn step(&mut self) -> Result<Option<Stored<'t>>>;
    /// The table's own copy of a key that is there.
    fn key(&self, key: &[u8]) -> Result<Option<Stored<'t>>>;
    /// The entry of an ordered key, which may have moved since it was met.
    fn find(&self, ordered: &[u8]) -> Result<Option<Stored<'t>>>;
}

/// What all scans share: entries whose true order differs from the table's wait in a queue.
#[derive(Debug)]
struct Order {
    span: Span,
    direction: Direction,
    /// The ordered bytes of keys.
    sorted: VecDeque<KeyBytes>,
    /// The beginning of the entries that were sorted last; what is put among them afterwards is not met.
    gathered: Option<TableKey>,
    ahead: Option<TableKey>,
}

impl Order {
    fn new(span: Span, direction: Direction) -> Self {
        Self { span, direction, sorted: VecDeque::new(), gathered: None, ahead: None }
    }

    fn next<'t>(&mut self, steps: &mut impl Steps<'t>) -> Result<Option<Stored<'t>>> {
        loop {
            if let Some(key) = self.sorted.pop_front() {
                // What was deleted since is passed over.
                match steps.find(&key)? {
                    Some(stored) => return Ok(Some(stored)),
                    None => continue,
                }
            }
            let ahead = match self.ahead.take() {
                Some(key) => steps.key(&key)?.filter(|stored| stored.0 == key.as_slice()),
                None => None,
            };
            let Some((key, value)) = ahead.map_or_else(|| steps.step(), |stored| Ok(Some(stored)))? else {
                return Ok(None);
            };
            if key.len() < PREFIX {
                return Ok(Some((key, value)));
            }
            if self.gathered.as_ref().is_some_and(|prefix| key.starts_with(prefix)) {
                continue;
            }
            self.gather(key, value, steps)?;
        }
    }

    /// Sorts all entries that share a long beginning.
    fn gather<'t>(&mut self, key: &'t [u8], value: &'t [u8], steps: &mut impl Steps<'t>) -> Result<()> {
        let prefix = &key[..PREFIX];
        self.gathered = Some(TableKey::from_slice(prefix));
        let mut group = vec![entry::ordered_of(key, value)?];
        while let Some((key, value)) = steps.step()? {
            if !key.starts_with(prefix) {
                self.ahead = Some(TableKey::from_slice(key));
                break;
            }
            group.push(entry::ordered_of(key, value)?);
        }
        group.sort_unstable();
        if self.direction == Direction::Backward {
            group.reverse();
        }
        self.sorted = group.into_iter().filter(|ordered| self.span.contains(ordered)).collect();
        Ok(())
    }
}

/// A walk through the entries of a snapshot.
#[derive(Debug)]
pub(crate) struct SnapshotScan {
    order: Order,
    cursor: TreeCursor,
}

impl SnapshotScan {
    pub(crate) fn new(snapshot: &Snapshot, span: Span, direction: Direction) -> Result<Self> {
        let (lower, upper) = span.table_bounds();
        let cursor = snapshot.cursor(Table::Entries, borrow(&lower), borrow(&upper), direction)?;
        Ok(Self { order: Order::new(span, direction), cursor })
    }

    pub(crate) fn next<'t>(&mut self, snapshot: &'t Snapshot) -> Result<Option<Stored<'t>>> {
        self.order.next(&mut SnapshotSteps { cursor: &mut self.cursor, snapshot })
    }
}

struct SnapshotSteps<'c, 't> {
    cursor: &'c mut TreeCursor,
    snapshot: &'t Snapshot,
}

impl<'t> Steps<'t> for SnapshotSteps<'_, 't> {
    fn step(&mut self) -> Result<Option<Stored<'t>>> {
        self.cursor.next(self.snapshot)
    }

    fn key(&self, key: &[u8]) -> Result<Option<Stored<'t>>> {
        self.snapshot.seek(Table::Entries, Bound::Included(key), Direction::Forward)
    }

    fn find(&self, ordered: &[u8]) -> Result<Option<Stored<'t>>> {
        find(self.snapshot, ordered)
    }
}

/// A walk through the entries of tables that may change between its steps, each of which finds its place anew.
#[derive(Debug)]
pub(crate) struct TableScan {
    order: Order,
    lower: Bound<TableKey>,
    upper: Bound<TableKey>,
}

impl TableScan {
    pub(crate) fn new(span: Span, direction: Direction) -> Self {
        let (lower, upper) = span.table_bounds();
        Self { order: Order::new(span, direction), lower, upper }
    }

    pub(crate) fn next<'t>(&mut self, tables: &'t impl ReadTables) -> Result<Option<Stored<'t>>> {
        let Self { order, lower, upper } = self;
        let direction = order.direction;
        order.next(&mut TableSteps { tables, lower, upper, direction })
    }
}

struct TableSteps<'s, 't, T> {
    tables: &'t T,
    lower: &'s mut Bound<TableKey>,
    upper: &'s mut Bound<TableKey>,
    direction: Direction,
}

impl<'t, T: ReadTables> Steps<'t> for TableSteps<'_, 't, T> {
    fn step(&mut self) -> Result<Option<Stored<'t>>> {
        let from = match self.direction {
            Direction::Forward => &mut *self.lower,
            Direction::Backward => &mut *self.upper,
        };
        let Some((key, value)) = self.tables.seek(Table::Entries, borrow(from), self.direction)? else {
            return Ok(None);
        };
        *from = Bound::Excluded(TableKey::from_slice(key));
        let beyond = match self.direction {
            Direction::Forward => match &*self.upper {
                Bound::Unbounded => false,
                Bound::Included(upper) => key > upper.as_slice(),
                Bound::Excluded(upper) => key >= upper.as_slice(),
            },
            Direction::Backward => match &*self.lower {
                Bound::Unbounded => false,
                Bound::Included(lower) => key < lower.as_slice(),
                Bound::Excluded(lower) => key <= lower.as_slice(),
            },
        };
        Ok((!beyond).then_some((key, value)))
    }

    fn key(&self, key: &[u8]) -> Result<Option<Stored<'t>>> {
        self.tables.seek(Table::Entries, Bound::Included(key), Direction::Forward)
    }

    fn find(&self, ordered: &[u8]) -> Result<Option<Stored<'t>>> {
        find(self.tables, ordered)
    }
}

fn find<'t>(tables: &'t impl ReadTables, ordered: &[u8]) -> Result<Option<Stored<'t>>> {
    match entry::place(tables, ordered)? {
        Place::Found(key) => tables.seek(Table::Entries, Bound::Included(&key), Direction::Forward),
        Place::Free(_) => Ok(None),
    }
}

fn borrow(bound: &Bound<TableKey>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}
