//! A write state against a model: what is stored, what is shared, what rolls back; and what it costs.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::{texts::count_key, *};
use crate::{
    Key, Scalar, Value,
    format::{
        builder::{Role, Unpacked, ValueBuilder},
        frame::Kind,
        key::KeyBytes,
        name::known,
        record::RecordView,
        word::Word,
    },
    object::{
        scope::{Scope, open, symbol_name},
        value_ref::ValueRef,
    },
    store::MemoryTables,
    txn::bed::{State, commit, new_state},
};

impl Scope for State {
    fn symbol(&self, symbol: u32) -> Result<Arc<str>> {
        symbol_name(&self.memory, &self.tables, symbol)
    }

    fn symbol_of(&self, name: &str) -> Option<u32> {
        self.known_symbol(name)
    }

    fn shared(&self, id: u64) -> Result<&[u8]> {
        shared_value(&self.tables, id)
    }
}

fn text(value: impl Into<String>) -> Key<'static> {
    Key::Scalar(Scalar::Str(value.into().into()))
}

fn ordered(key: &Key<'_>) -> KeyBytes {
    let mut bytes = KeyBytes::new();
    key.encode(&mut bytes).unwrap();
    bytes
}

fn value_ref<'s>(state: &'s State, stored: &'s [u8]) -> ValueRef<'s> {
    let frame = Frame::decode(stored).unwrap();
    ValueRef::new(state, open(&state.tables, &frame).unwrap()).unwrap()
}

/// Six keys whose long beginnings agree, then keys in several forms, then short ones, some just short enough.
const KEYS: usize = 19;

fn key(number: usize) -> Key<'static> {
    match number {
        0..6 => text("long".repeat(150) + &number.to_string()),
        6 => Key::Scalar(Scalar::Int(1)),
        7 => Key::Scalar(Scalar::Float(1.0)),
        8 => Key::Scalar(Scalar::Bool(true)),
        9 => Key::Tuple(vec![text("long".repeat(150)), Key::Scalar(Scalar::Int(1))]),
        10 => Key::Tuple(vec![text("long".repeat(150)), Key::Scalar(Scalar::Bool(true))]),
        // 1 byte says that it is a text, so these have 493, 494, 509, 510 and 511 bytes.
        11 => text("long".repeat(123)),
        12 => text("long".repeat(123) + "l"),
        13 => text("long".repeat(127)),
        14 => text("long".repeat(127) + "l"),
        15 => text("long".repeat(127) + "lo"),
        16 => text(""),
        _ => text(number.to_string()),
    }
}

fn long(letter: &str) -> Value {
    Value::from(letter.repeat(400).as_str())
}

const VALUES: usize = 13;

fn value(number: usize) -> Value {
    match number {
        0 => Value::from(7),
        1 => Value::from("short"),
        2 => long("a"),
        3 => long("b"),
        4 => long("c"),
        5 => Value::List(vec![long("a"), long("b"), long("a")]),
        6 => Value::from_iter([("name", long("b")), ("rest", Value::Tuple(vec![long("c"), 1.into()]))]),
        7 => Value::from_iter([("name", Value::from("x")), ("more", Value::from_iter([("name", 1.into())]))]),
        8 => Value::from("long enough to be shared at once ".repeat(2000).as_str()),
        9 => Value::List(vec![long("c"), long("c")]),
        10 => Value::List(vec![Value::from(3)]),
        11 => Value::from_iter([
            ("more", Value::NONE),
            ("other", Value::from_iter([("name", 1.into()), ("other", 2.into())])),
        ]),
        _ => Value::List(Vec::new()),
    }
}

fn draft(number: usize) -> Draft {
    let long = |letter: &str| letter.repeat(400);
    let mut builder = ValueBuilder::new();
    match number {
        // One word may stand in several places.
        9 => {
            let (root, block) = builder.list(2).unwrap();
            let word = builder.str(&long("c"), Role::Value).unwrap();
            builder.set_item(block, 0, word);
            builder.set_item(block, 1, word);
            builder.finish(root)
        }
        // Or in none, or in one that is overwritten, or in a container that is nowhere.
        10 => {
            let (root, block) = builder.list(1).unwrap();
            builder.str(&long("a"), Role::Value).unwrap();
            let word = builder.str(&long("b"), Role::Value).unwrap();
            builder.set_item(block, 0, word);
            let (_, nowhere) = builder.list(1).unwrap();
            builder.set_item(nowhere, 0, word);
            let three = builder.int(3).unwrap();
            builder.set_item(block, 0, three);
            builder.finish(root)
        }
        // Keys may be known to the process.
        11 => {
            let mut dict = |keys: [&str; 2], values: [Word; 2]| {
                let (word, block) = builder.dict(2).unwrap();
                for (index, (key, value)) in keys.into_iter().zip(values).enumerate() {
                    let key = builder.known_name(known(key), block).unwrap();
                    builder.set_item(block, index, key);
                    builder.set_value(block, index, value);
                }
                word
            };
            let word = |number| Word::small_int(number).unwrap();
            let inner = dict(["name", "other"], [word(1), word(2)]);
            let none = ValueBuilder::new().none();
            let root = dict(["more", "other"], [none, inner]);
            builder.finish(root)
        }
        number => value(number).draft().unwrap(),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, usize),
    /// Several, in this order or in that of their keys.
    PutAll(Vec<(usize, usize)>, bool),
    Delete(usize),
    Clear,
    Savepoint,
    Release,
    RollBack,
    Commit,
    Abort,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..KEYS, 0..VALUES).prop_map(|(key, value)| Step::Put(key, value)),
        6 => (vec((0..KEYS, 0..VALUES), 0..8), any::<bool>())
            .prop_map(|(entries, sorted)| Step::PutAll(entries, sorted)),
        6 => (0..KEYS).prop_map(Step::Delete),
        1 => Just(Step::Clear),
        3 => Just(Step::Savepoint),
        1 => Just(Step::Release),
        2 => Just(Step::RollBack),
        1 => Just(Step::Commit),
        1 => Just(Step::Abort),
    ];
    vec(step, 1..80)
}

/// The key as it was first given, and the number of the value.
type Model = BTreeMap<KeyBytes, (Key<'static>, usize)>;

/// The shared values that the entries name, each with the number of its places.
fn named(state: &State) -> BTreeMap<u64, i64> {
    let mut named = BTreeMap::new();
    for stored in state.tables.rows(Table::Entries).values() {
        let frame = Frame::decode(stored).unwrap();
        let ids = match frame.kind {
            Kind::Shared => vec![shared_id(frame.payload).unwrap()],
            Kind::Record => RecordView::access(frame.payload).unwrap().named().unwrap().shared,
            _ => Vec::new(),
        };
        assert_eq!(frame.has_shared, !ids.is_empty());
        for id in ids {
            *named.entry(id).or_default() += 1;
        }
    }
    named
}

fn count(tables: &MemoryTables, id: u64) -> i64 {
    tables
        .rows(Table::Shared)
        .get(count_key(id).as_slice())
        .map_or(0, |count| i64::from_le_bytes(count.as_slice().try_into().unwrap()))
}

fn check(state: &State, model: &Model) {
    assert_eq!(state.entries().unwrap(), model.len() as u64);
    let mut found = Model::new();
    for (table_key, stored) in state.tables.rows(Table::Entries) {
        let key = entry::decode_key(table_key, &Frame::decode(stored).unwrap()).unwrap().into_owned();
        let bytes = ordered(&key);
        assert_eq!(entry::ordered_of(table_key, stored).unwrap(), bytes);
        assert_eq!(state.entry(&bytes).unwrap(), Some(stored.as_slice()), "an entry is found under its key");
        let number = model.get(&bytes).expect("nothing is there that was not stored").1;
        assert_eq!(value_ref(state, stored).to_value().unwrap(), value(number));
        found.insert(bytes, (key, number));
    }
    assert_eq!(&found, model, "the entries, and the first forms of their keys");
    for number in 0..KEYS {
        let bytes = ordered(&key(number));
        assert_eq!(state.entry(&bytes).unwrap().is_some(), model.contains_key(&bytes));
    }

    let named = named(state);
    let claimed = state.claims.keys().chain(named.keys());
    for id in claimed {
        let change = state.claims.get(id).copied().unwrap_or_default();
        let places = named.get(id).copied().unwrap_or_default();
        assert_eq!(count(&state.tables, *id) + change, places, "shared value {id}");
    }

    let symbols: Vec<&[u8]> = state.tables.rows(Table::Symbols).values().map(Vec::as_slice).collect();
    assert_eq!(symbols.len(), state.header.symbols as usize);
    for (symbol, name) in (0_u32..).zip(symbols) {
        assert_eq!(state.tables.rows(Table::Symbols).get(symbol.to_be_bytes().as_slice()).unwrap(), name);
        assert_eq!(state.known_symbol(std::str::from_utf8(name).unwrap()), Some(symbol));
    }
}

/// What has to hold of a committed version besides.
fn check_committed(state: &State) {
    let named = named(state);
    let mut expected: Vec<Vec<u8>> =
        named.keys().flat_map(|id| [id.to_be_bytes().to_vec(), count_key(*id).to_vec()]).collect();
    expected.sort_unstable();
    let stored: Vec<Vec<u8>> = state.tables.rows(Table::Shared).keys().cloned().collect();
    assert_eq!(stored, expected, "the shared table has what entries name, and nothing else");
    for (id, places) in named {
        assert_eq!(count(&state.tables, id), places);
    }
}

fn run(steps: Vec<Step>) {
    let mut state = new_state();
    let mut model = Model::new();
    let mut committed = (state.tables.clone(), model.clone());
    let mut savepoints: Vec<(Savepoint, Model, MemoryTables)> = Vec::new();
    for step in steps {
        match step {
            Step::Put(number, value) => {
                let key = key(number);
                let is_new = state.put(&EntryKey::new(&key).unwrap(), draft(value)).unwrap();
                let bytes = ordered(&key);
                assert_eq!(is_new, !model.contains_key(&bytes));
                model.entry(bytes).or_insert((key, value)).1 = value;
            }
            Step::PutAll(mut entries, sorted) => {
                if sorted {
                    entries.sort_by_key(|(number, _)| ordered(&key(*number)));
                }
                // As they come when they have waited.
                let pack = |(number, value): &(usize, usize)| {
                    let mut packed = Vec::new();
                    draft(*value).pack(&mut packed);
                    (EntryKey::new(&key(*number)).unwrap(), packed)
                };
                let packed: Vec<_> = entries.iter().map(pack).collect();
                let unpack = |(key, packed): &(EntryKey, Vec<u8>)| {
                    let key =
                        EntryKey::of_parts(KeyBytes::from_slice(key.ordered()), key.form().map(Vec::from));
                    Unpacked::new(packed).map(|value| (key, value.into_owned()))
                };
                state.put_all(packed.iter().map(unpack)).unwrap();
                for (number, value) in entries {
                    let key = key(number);
                    model.entry(ordered(&key)).or_insert((key, value)).1 = value;
                }
            }
            Step::Delete(number) => {
                let bytes = ordered(&key(number));
                assert_eq!(state.delete(&bytes).unwrap(), model.remove(&bytes).is_some());
            }
            Step::Clear => {
                state.clear().unwrap();
                model.clear();
            }
            Step::Savepoint => savepoints.push((state.savepoint(), model.clone(), state.tables.clone())),
            Step::Release => {
                if savepoints.pop().is_some() {
                    state.release_savepoint();
                }
            }
            Step::RollBack => {
                if let Some((savepoint, before, tables)) = savepoints.pop() {
                    state.roll_back_to(savepoint).unwrap();
                    model = before;
                    for table in [Table::Entries, Table::Symbols, Table::Shared] {
                        assert_eq!(state.tables.rows(table), tables.rows(table), "{table:?} is as it was");
                    }
                }
            }
            Step::Commit => {
                for _ in savepoints.drain(..) {
                    state.release_savepoint();
                }
                state = commit(state);
                check_committed(&state);
                committed = (state.tables.clone(), model.clone());
            }
            Step::Abort => {
                savepoints.clear();
                let memory = Arc::clone(&state.memory);
                model = committed.1.clone();
                state = State::new(committed.0.clone(), memory).unwrap();
            }
        }
        check(&state, &model);
    }
    for _ in savepoints {
        state.release_savepoint();
    }
    let mut state = commit(state);
    check_committed(&state);
    for bytes in model.keys() {
        assert!(state.delete(bytes).unwrap());
    }
    let state = commit(state);
    assert!(state.tables.rows(Table::Shared).is_empty(), "what no entry names is gone");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn a_write_state_is_a_map_that_rolls_back(steps in steps()) {
        run(steps);
    }
}

/// Six levels of dicts and lists with 60 leaves in all.
fn nested(seed: i64) -> Value {
    let leaves = |level: i64| (0..10).map(|leaf| Value::from(seed + level * 100 + leaf)).collect();
    (0..6).fold(Value::List(Vec::new()), |inner, level| {
        Value::from_iter([("leaves", Value::List(leaves(level))), ("inner", inner)])
    })
}

#[test]
fn a_nested_value_costs_one_put_and_a_field_of_it_one_get() {
    let mut state = new_state();
    for seed in 0..4 {
        let before = state.tables.clone();
        // The names of the dicts become symbols when they come again, which the first dict sees to already.
        state
            .put(&EntryKey::new(&Key::Scalar(Scalar::Int(seed))).unwrap(), nested(seed).draft().unwrap())
            .unwrap();
        assert_eq!(state.tables.puts(Table::Entries) - before.puts(Table::Entries), 1);
        assert_eq!(state.tables.gets(Table::Entries), before.gets(Table::Entries));
        let symbols = if seed == 0 { 2 } else { 0 };
        assert_eq!(state.tables.puts(Table::Symbols) - before.puts(Table::Symbols), symbols);
        for untouched in [Table::Header, Table::Objects, Table::Shared] {
            assert_eq!(state.tables.puts(untouched), before.puts(untouched), "{untouched:?}");
        }
    }
    state.prepare().unwrap();
    assert_eq!(state.tables.puts(Table::Header), 1, "the counters are written once for all");

    let state = commit(state);
    let gets = |table| state.tables.gets(table);
    let before = [Table::Entries, Table::Symbols, Table::Shared, Table::Objects].map(gets);
    let stored = state.entry(&ordered(&Key::Scalar(Scalar::Int(3)))).unwrap().unwrap();
    let ValueRef::Container(outer) = value_ref(&state, stored) else { panic!("a dict") };
    let ValueRef::Container(inner) = outer.get(&text("inner")).unwrap().unwrap() else { panic!("a dict") };
    let ValueRef::Container(leaves) = inner.get(&text("leaves")).unwrap().unwrap() else { panic!("a list") };
    assert_eq!(leaves.item(9).unwrap().to_value().unwrap(), Value::from(412));
    let after = [Table::Entries, Table::Symbols, Table::Shared, Table::Objects].map(gets);
    assert_eq!(after, [before[0] + 1, before[1], before[2], before[3]]);
}

#[test]
fn a_write_that_fails_halfway_leaves_no_claims() {
    let mut state = new_state();
    let list = Value::List(vec![long("a"), long("a"), long("b"), long("b")]);
    // In tests, 256 long keys that share their beginning fill a row; then the next one has no place.
    let keys: Vec<Key<'_>> = (0..600).map(|number| text("k".repeat(600) + &number.to_string())).collect();
    let stored: Vec<bool> = keys
        .iter()
        .map(|key| state.put(&EntryKey::new(key).unwrap(), list.draft().unwrap()).is_ok())
        .collect();
    assert_eq!(stored.iter().filter(|stored| **stored).count(), 512, "two rows of 256");
    let mut state = commit(state);
    check_committed(&state);
    for (key, stored) in keys.iter().zip(stored) {
        assert_eq!(state.delete(&ordered(key)).unwrap_or(false), stored);
    }
    assert!(commit(state).tables.rows(Table::Shared).is_empty());
}

#[test]
fn a_commit_that_changes_nothing_is_none() {
    let mut state = new_state();
    assert!(!state.prepare().unwrap());
    assert!(!state.delete(&ordered(&text("nothing"))).unwrap());
    assert!(!state.prepare().unwrap());
    state.put(&EntryKey::new(&text("something")).unwrap(), value(0).draft().unwrap()).unwrap();
    assert!(state.prepare().unwrap());
    assert_eq!(read_header(&state.tables).unwrap().version, 1);
}
