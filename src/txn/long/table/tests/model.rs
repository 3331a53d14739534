//! Long dicts and sets against a model that keeps its members in a list.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Insert(Key<'static>, Value),
    Extend(Vec<(Key<'static>, Value)>),
    Remove(Key<'static>),
    RemoveAt(Index),
    Clear,
}

fn keys() -> impl Strategy<Value = Key<'static>> {
    let leaf = prop_oneof![
        8 => (0..60_i64).prop_map(int),
        2 => (0..60_u8).prop_map(|n| Key::Scalar(Scalar::Float(n.into()))),
        1 => any::<bool>().prop_map(|value| Key::Scalar(Scalar::Bool(value))),
        1 => Just(Key::Scalar(Scalar::None)),
        1 => Just(Key::Scalar(Scalar::Float(f64::NAN))),
        1 => Just(Key::Scalar(Scalar::Decimal("0.5".into()))),
        2 => any::<i64>().prop_map(int),
        4 => "[a-z]".prop_map(|name| text(&name)),
        3 => "[a-z]{3,30}".prop_map(|name| text(&name)),
        1 => "[a-b]".prop_map(|name| text(&name.repeat(700))),
        1 => "[a-c]".prop_map(|name| Key::Scalar(Scalar::Bytes(name.into_bytes().into()))),
    ];
    prop_oneof![
        8 => leaf.clone(),
        1 => vec(leaf.clone(), 0..3).prop_map(Key::Tuple),
        1 => vec((0..40_i64).prop_map(int), 0..30).prop_map(|mut members| {
            members.sort_by_key(ordered);
            members.dedup();
            Key::FrozenSet(members)
        }),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => any::<i16>().prop_map(|value| Value::from(i64::from(value))),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<i32>().prop_map(|value| Value::from(f64::from(value))),
        2 => "[a-z]{0,60}".prop_map(|text| Value::from(text.as_str())),
        1 => (0..600_usize).prop_map(|len| Value::from("v".repeat(len).as_str())),
        1 => (1_900..5_000_usize).prop_map(|len| Value::from("w".repeat(len).as_str())),
        1 => Just(Value::List(vec![Value::from(1)])),
    ];
    prop_oneof![6 => leaf.clone(), 1 => vec(leaf, 0..4).prop_map(Value::Tuple)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => (keys(), values()).prop_map(|(key, value)| Step::Insert(key, value)),
        3 => vec((keys(), values()), 0..60).prop_map(Step::Extend),
        6 => keys().prop_map(Step::Remove),
        4 => any::<Index>().prop_map(Step::RemoveAt),
        1 => Just(Step::Clear),
    ];
    vec(step, 1..40)
}

/// What the table should hold.
#[derive(Default)]
struct Model {
    members: Vec<(u64, Key<'static>, Value)>,
    changes: u64,
    next: u64,
}

impl Model {
    /// Equal keys have equal ordered bytes, but for NaN.
    fn find(&self, key: &Key<'_>) -> Option<usize> {
        let mut wanted = KeyBytes::new();
        key.encode(&mut wanted).ok()?;
        self.members.iter().position(|(_, own, _)| ordered(own) == wanted)
    }

    fn push(&mut self, key: &Key<'static>, value: Value) {
        self.members.push((self.next, key.clone(), value));
        self.next += 1;
    }
}

/// What a value is read back as: mutable containers became references.
fn stored(kind: ContainerKind, value: &Value, slot: &mut u32) -> Value {
    match value {
        _ if kind == ContainerKind::Set => Value::NONE,
        Value::List(_) => {
            *slot += 1;
            let id = ObjectId { record: 77, slot: *slot };
            Value::Object(Reference { kind: ContainerKind::List, id })
        }
        Value::Tuple(items) => Value::Tuple(items.iter().map(|item| stored(kind, item, slot)).collect()),
        other => other.clone(),
    }
}

fn apply(bed: &mut Bed, model: &mut Model, step: &Step) {
    match step {
        Step::Insert(key, value) => {
            let known = model.find(key);
            // Slot 0 is the dict that brings the item.
            let expected = stored(bed.kind, value, &mut 0);
            assert_eq!(bed.insert(key, value), known.is_none());
            match known {
                None => model.push(key, expected),
                Some(at) if bed.kind == ContainerKind::Dict => model.members[at].2 = expected,
                Some(_) => return,
            }
            model.changes += 1;
        }
        Step::Extend(items) => {
            let mut slot = 0;
            let mut new = Vec::new();
            for (key, value) in items {
                if model.find(key).is_none() {
                    model.push(key, stored(bed.kind, value, &mut slot));
                    new.push((key.clone(), value.clone()));
                }
            }
            bed.extend(&new);
            model.changes += u64::from(!new.is_empty());
        }
        Step::Remove(key) => {
            let known = model.find(key);
            assert_eq!(bed.remove(key), known.is_some());
            if let Some(at) = known {
                model.members.remove(at);
                model.changes += 1;
            }
        }
        Step::RemoveAt(index) => {
            if model.members.is_empty() {
                return;
            }
            let (seq, ..) = model.members.remove(index.index(model.members.len()));
            assert!(remove_at(&mut bed.tables, here(), seq).unwrap());
            model.changes += 1;
        }
        Step::Clear => {
            model.changes += u64::from(!model.members.is_empty());
            model.members.clear();
            clear(&mut bed.tables, here()).unwrap();
        }
    }
}

fn compare(bed: &Bed, model: &Model, wanted: Index) {
    bed.check();
    let (len, changes, next) = (model.members.len() as u64, model.changes, model.next);
    assert_eq!(bed.header(), Header { kind: bed.kind, len, changes, next });
    assert_eq!(same(&bed.all(false)), same(&model.members));
    let mut backward = bed.all(true);
    backward.reverse();
    assert_eq!(same(&backward), same(&model.members));
    for (seq, key, value) in &model.members {
        let found = model.find(key).map(|_| (*seq, key.clone(), value.clone()));
        assert_eq!(bed.get(key), found);
    }
    // From anywhere, either way.
    let seq = wanted.index(model.next as usize + 2) as u64;
    for backward in [false, true] {
        let expected = if backward {
            model.members.iter().rev().map(|(own, ..)| *own).find(|own| *own <= seq)
        } else {
            model.members.iter().map(|(own, ..)| *own).find(|own| *own >= seq)
        };
        let chunk = chunk_from(&bed.tables, here(), seq, backward).unwrap();
        let found = chunk.map(|(own, stored)| {
            let chunk = Chunk::open(own, stored).unwrap();
            expected.is_some_and(|expected| chunk.position_of(expected).unwrap().is_some())
        });
        assert_eq!(found, expected.map(|_| true), "{seq} {backward}");
    }
}

/// For comparison where NaN equals itself.
fn same(members: &[(u64, Key<'static>, Value)]) -> Vec<String> {
    members.iter().map(|member| format!("{member:?}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn tables_do_what_the_model_does(dict in any::<bool>(), steps in steps(), wanted in any::<Index>()) {
        let mut bed = Bed::new(if dict { ContainerKind::Dict } else { ContainerKind::Set });
        let mut model = Model::default();
        for step in &steps {
            apply(&mut bed, &mut model, step);
            compare(&bed, &model, wanted);
        }
        free(&mut bed.tables, here()).unwrap();
        prop_assert_eq!(bed.tables.rows(Table::Objects).len(), 4);
    }
}
