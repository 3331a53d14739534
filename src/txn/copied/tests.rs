//! What is kept of the record that was read or changed last, against a twin of the transaction that keeps nothing.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    Change, Key, Scalar, Value,
    format::{
        builder::{Draft, ValueBuilder},
        frame::Kind,
        record::{ContainerKind, Reference},
    },
    store::{ReadTables, Table},
    txn::{
        bed::{State, commit, new_state},
        entry::{EntryKey, TableKey, find},
        live::Seen,
        write::Savepoint,
    },
};

const KEYS: usize = 4;

fn int(number: usize) -> i64 {
    i64::try_from(number).unwrap()
}

fn key(number: usize) -> EntryKey {
    EntryKey::new(&Key::Scalar(Scalar::Int(int(number)))).unwrap()
}

/// A dict with a list in it, both with a leaf that may change; odd ones name a value that is stored once for all.
fn document(seed: i64) -> Value {
    let text = if seed % 2 == 0 { "short".into() } else { "long enough to be shared ".repeat(40) };
    Value::from_iter([
        ("leaf", Value::from(seed)),
        ("text", Value::from(text.as_str())),
        ("list", Value::List(vec![Value::from(seed), Value::from(text.as_str())])),
    ])
}

fn leaf(seed: i64) -> Draft {
    match seed % 3 {
        0 => Draft::text(&"t".repeat(usize::try_from(seed).unwrap())),
        1 => Draft::scalar(&Scalar::Float(0.5)),
        _ => Draft::scalar(&Scalar::Int(seed << 30)),
    }
}

/// Reads the record under a key, as a look-up by a program does.
fn read(state: &State, number: usize) -> Option<Arc<RecordCopy>> {
    let key = key(number);
    if let Some(copy) = state.copied_under(key.ordered()) {
        return Some(copy);
    }
    let stored = state.entry(key.ordered()).unwrap()?;
    let is_record = Frame::decode(stored).unwrap().kind == Kind::Record;
    let home = Home::Entry(TableKey::from_slice(key.ordered()));
    is_record.then(|| state.copy(stored, Some(home)).unwrap())
}

/// What is kept is what is stored.
fn check(state: &State) {
    let last = state.last_copied.borrow();
    let Some(last) = last.as_ref().filter(|last| last.changes == state.changes()) else { return };
    let record = last.copy.record().to_be_bytes();
    let stored = match last.home.as_ref().unwrap() {
        Home::Entry(key) => state.get(Table::Entries, key),
        Home::Objects => state.get(Table::Objects, &record),
    };
    assert_eq!(stored.unwrap(), Some(last.copy.stored()));
    let named = RecordView::access(last.copy.payload()).unwrap().named().unwrap().shared;
    for id in named {
        assert_eq!(last.copy.shared.get(&id).map(AsRef::as_ref), Some(shared_value(state, id).unwrap()));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Read(usize),
    /// Changes a container that was read before, by the key and the slot.
    Change(usize, u32, i64),
    Put(usize, i64),
    /// Puts a reference to a container that was read before under another key.
    Refer(usize, u32, usize),
    Delete(usize),
    Clear,
    Savepoint,
    Release,
    RollBack,
    Commit,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (key, slot) = (0..KEYS, 0..2_u32);
    let step = prop_oneof![
        8 => key.clone().prop_map(Step::Read),
        12 => (key.clone(), slot.clone(), 0..40_i64)
            .prop_map(|(key, slot, seed)| Step::Change(key, slot, seed)),
        4 => (key.clone(), 0..9_i64).prop_map(|(key, seed)| Step::Put(key, seed)),
        2 => (key.clone(), slot, key.clone()).prop_map(|(from, slot, to)| Step::Refer(from, slot, to)),
        2 => key.prop_map(Step::Delete),
        1 => Just(Step::Clear),
        3 => Just(Step::Savepoint),
        1 => Just(Step::Release),
        3 => Just(Step::RollBack),
        1 => Just(Step::Commit),
    ];
    vec(step, 1..60)
}

/// A record that a program has read.
struct Known {
    copy: Arc<RecordCopy>,
    /// What it was like then.
    stored: Vec<u8>,
    root: u32,
}

/// A transaction, and what its program knows.
struct Run {
    state: State,
    keeps: bool,
    known: [Option<Known>; KEYS],
    savepoints: Vec<Savepoint>,
}

impl Run {
    fn new(keeps: bool) -> Self {
        let mut state = new_state();
        for number in 0..KEYS {
            state.put(&key(number), document(int(number)).draft().unwrap()).unwrap();
        }
        Self { state: commit(state), keeps, known: Default::default(), savepoints: Vec::new() }
    }

    /// The container of a slot that a program may know, and the key that it was seen under.
    fn container(&self, number: usize, slot: u32) -> Option<(Reference, Seen)> {
        let known = self.known[number].as_ref()?;
        let kind = if slot == known.root { ContainerKind::Dict } else { ContainerKind::List };
        let id = ObjectId { record: known.copy.record(), slot };
        Some((Reference { kind, id }, Some(key(number).ordered().into())))
    }

    /// Does something, and answers what a program sees of that.
    fn step(&mut self, step: &Step) -> Result<bool> {
        if !self.keeps {
            self.state.last_copied.take();
        }
        match *step {
            Step::Read(number) => {
                let copy = read(&self.state, number);
                self.known[number] = copy.map(|copy| Known {
                    stored: copy.stored().to_vec(),
                    root: RecordView::access(copy.payload()).unwrap().root_slot().unwrap().unwrap(),
                    copy,
                });
                Ok(self.known[number].is_some())
            }
            Step::Change(number, slot, value) => {
                let Some((Reference { kind, id }, seen)) = self.container(number, slot) else {
                    return Ok(false);
                };
                let change = match kind {
                    ContainerKind::Dict => {
                        Change::Put(vec![(Key::Scalar(Scalar::Str("leaf".into())), leaf(value))])
                    }
                    _ => Change::Assign(vec![(0, leaf(value))]),
                };
                self.state.change(id, &seen, None, &[change])
            }
            Step::Put(number, seed) => self.state.put(&key(number), document(seed).draft()?),
            Step::Refer(from, slot, to) => {
                let Some((reference, seen)) = self.container(from, slot) else { return Ok(false) };
                let mut builder = ValueBuilder::new();
                let root = builder.object(reference, seen)?;
                self.state.put(&key(to), builder.finish(root))
            }
            Step::Delete(number) => self.state.delete(key(number).ordered()),
            Step::Clear => self.state.clear().map(|()| true),
            Step::Savepoint => {
                self.savepoints.push(self.state.savepoint());
                Ok(true)
            }
            Step::Release => {
                let savepoint = self.savepoints.pop();
                savepoint.is_some().then(|| self.state.release_savepoint());
                Ok(savepoint.is_some())
            }
            Step::RollBack => {
                let Some(savepoint) = self.savepoints.pop() else { return Ok(false) };
                self.state.roll_back_to(savepoint).map(|()| true)
            }
            Step::Commit => {
                self.savepoints.drain(..).for_each(|_| self.state.release_savepoint());
                let state = std::mem::replace(&mut self.state, new_state());
                self.state = commit(state);
                Ok(true)
            }
        }
    }

    fn check(&self) {
        check(&self.state);
        for known in self.known.iter().flatten() {
            assert_eq!(known.copy.stored(), known.stored, "what was read stays what it was");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn what_is_kept_makes_no_difference(steps in steps()) {
        let (mut keeping, mut twin) = (Run::new(true), Run::new(false));
        for step in steps.iter().chain([&Step::Commit]) {
            let (answer, expected) = (keeping.step(step), twin.step(step));
            prop_assert_eq!(answer.ok(), expected.ok(), "{:?}", step);
            keeping.check();
            for (known, same) in keeping.known.iter().zip(&twin.known) {
                let stored = |known: &Option<Known>| known.as_ref().map(|known| known.stored.clone());
                prop_assert_eq!(stored(known), stored(same), "what is read after {:?}", step);
            }
            for table in [Table::Header, Table::Entries, Table::Objects, Table::Symbols, Table::Shared] {
                prop_assert_eq!(
                    keeping.state.tables().rows(table),
                    twin.state.tables().rows(table),
                    "{:?} after {:?}", table, step
                );
            }
        }
    }
}

#[test]
fn a_field_that_was_read_is_changed_without_another_look_up() {
    let mut run = Run::new(true);
    let gets = |run: &Run| run.state.tables().gets(Table::Entries);
    let before = gets(&run);
    assert!(run.step(&Step::Read(2)).unwrap());
    for seed in 1..20 {
        assert!(run.step(&Step::Change(2, 0, seed)).unwrap());
        assert!(run.step(&Step::Change(2, 1, seed)).unwrap());
        assert!(run.step(&Step::Read(2)).unwrap());
    }
    assert_eq!(gets(&run), before + 1);
    assert_eq!(run.state.tables().gets(Table::Objects), 0);
    run.check();
}

#[test]
fn the_place_of_a_long_key_is_not_taken_for_a_key() {
    let mut state = new_state();
    let key = EntryKey::new(&Key::Scalar(Scalar::Str("long".repeat(200).into()))).unwrap();
    state.put(&key, document(0).draft().unwrap()).unwrap();
    let (table_key, stored) = find(&state, key.ordered()).unwrap().unwrap();
    state.copy(stored, Some(Home::Entry(table_key.clone()))).unwrap();
    assert!(state.last_copied.borrow().is_some());
    assert!(state.copied_under(&table_key).is_none());
}
