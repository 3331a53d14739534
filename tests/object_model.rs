//! Graphs of lists and dicts, with aliases and cycles, are what plain objects would be, whatever is done to them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::cast_possible_wrap, reason = "the numbers are small")]

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use oocmap::{
    Change, ContainerView, Draft, Durability, Environment, Error, Key, Node, ObjectId, Options, ReadObjects,
    ReadTransaction, Reference, RunElements, ValueBuilder, ValueRef, Word,
};
use proptest::prelude::*;

/// What an object is, by its number among all.
#[derive(Clone, Debug)]
enum Object {
    List(Vec<Item>),
    Dict(BTreeMap<i64, Item>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Item {
    Int(i64),
    Object(usize),
}

#[derive(Clone, Debug, Default)]
struct Model {
    objects: Vec<Object>,
    entries: BTreeMap<i64, Item>,
    /// Whether fresh lists are in themselves.
    cyclic: bool,
}

#[derive(Clone, Debug)]
enum Step {
    /// A fresh list of lists and dicts, so many, under a key.
    Fresh {
        key: i64,
        width: usize,
        inner: usize,
    },
    /// What can be reached already, under a key.
    Alias {
        key: i64,
        object: prop::sample::Index,
    },
    Delete {
        key: i64,
    },
    /// More elements of a list, or items of a dict.
    Grow {
        object: prop::sample::Index,
        count: usize,
        nested: bool,
    },
    /// An object as an element of another, or of itself.
    Link {
        object: prop::sample::Index,
        target: prop::sample::Index,
    },
    /// Elements go, from a place on.
    Cut {
        object: prop::sample::Index,
        at: prop::sample::Index,
        count: usize,
    },
    Clear {
        object: prop::sample::Index,
    },
}

fn map() -> (tempfile::TempDir, Environment) {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { durability: Durability::NoMetaSync, ..Options::default() };
    let environment = Environment::open(&directory.path().join("x.ooc"), &options).unwrap();
    (directory, environment)
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    let count = || prop_oneof![8 => 1..5_usize, 1 => 300..900_usize, 1 => 2100..2600_usize];
    prop_oneof![
        3 => (0..4_i64, 0..6_usize, count()).prop_map(|(key, width, inner)| Step::Fresh { key, width, inner }),
        2 => (0..4_i64, index()).prop_map(|(key, object)| Step::Alias { key, object }),
        1 => (0..4_i64).prop_map(|key| Step::Delete { key }),
        4 => (index(), count(), any::<bool>()).prop_map(|(object, count, nested)| Step::Grow { object, count, nested }),
        4 => (index(), index()).prop_map(|(object, target)| Step::Link { object, target }),
        3 => (index(), index(), count()).prop_map(|(object, at, count)| Step::Cut { object, at, count }),
        1 => index().prop_map(|object| Step::Clear { object }),
    ]
}

impl Model {
    fn make(&mut self, object: Object) -> usize {
        self.objects.push(object);
        self.objects.len() - 1
    }

    fn children(&self, object: usize) -> Vec<usize> {
        let items: Vec<Item> = match &self.objects[object] {
            Object::List(items) => items.clone(),
            Object::Dict(items) => items.values().copied().collect(),
        };
        items
            .into_iter()
            .filter_map(|item| if let Item::Object(child) = item { Some(child) } else { None })
            .collect()
    }

    /// All objects that the entries lead to, in some order, each with the key that leads to it.
    fn reachable(&self) -> Vec<usize> {
        let mut found: Vec<usize> = Vec::new();
        let mut pending: Vec<usize> = self
            .entries
            .values()
            .rev()
            .filter_map(|item| if let Item::Object(object) = item { Some(*object) } else { None })
            .collect();
        while let Some(object) = pending.pop() {
            if !found.contains(&object) {
                found.push(object);
                pending.extend(self.children(object).into_iter().rev());
            }
        }
        found
    }
}

/// Lists with lists of ints and dicts in them, fresh in the model and as a draft.
fn fresh(model: &mut Model, width: usize, inner: usize) -> (usize, Draft) {
    let mut builder = ValueBuilder::new();
    let cyclic = usize::from(model.cyclic);
    let (root, block) = builder.list(width + cyclic).unwrap();
    let mut items = Vec::new();
    for index in 0..width {
        let (word, item) = if index % 2 == 0 {
            let (word, block) = builder.list(inner).unwrap();
            for at in 0..inner {
                let value = builder.int(at as i64).unwrap();
                builder.set_item(block, at, value);
            }
            (word, Object::List((0..inner as i64).map(Item::Int).collect()))
        } else {
            let (word, block) = builder.dict(inner).unwrap();
            for at in 0..inner {
                let mut ordered = oocmap::KeyBytes::new();
                oocmap::encode_int(at as i64, &mut ordered);
                builder.index(block, at, &ordered);
                let (key, value) = (builder.int(at as i64).unwrap(), builder.int(-1).unwrap());
                builder.set_item(block, at, key);
                builder.set_value(block, at, value);
            }
            (word, Object::Dict((0..inner as i64).map(|at| (at, Item::Int(-1))).collect()))
        };
        builder.set_item(block, index, word);
        items.push(Item::Object(model.make(item)));
    }
    let whole = model.make(Object::List(Vec::new()));
    if model.cyclic {
        // The list is in itself as well.
        builder.set_item(block, width, root);
        items.push(Item::Object(whole));
    }
    model.objects[whole] = Object::List(items);
    (whole, builder.finish(root))
}

/// The ids of the objects that the entries lead to, by their number in the model; panics where the two differ.
fn compare(read: &ReadTransaction, model: &Model) -> HashMap<usize, (Reference, Option<i64>)> {
    let mut known: HashMap<usize, (Reference, Option<i64>)> = HashMap::new();
    let mut numbers: HashMap<ObjectId, usize> = HashMap::new();
    let mut pending = Vec::new();
    assert_eq!(read.len().unwrap(), model.entries.len() as u64);
    for (key, item) in &model.entries {
        let found = match read.get(&(*key).into()).unwrap().expect("the key is there") {
            ValueRef::Object(reference) => reference,
            ValueRef::Container(container) => container.reference().unwrap(),
            _ => panic!("an entry is no object"),
        };
        let Item::Object(number) = item else { panic!("the model has objects only") };
        pending.push((*number, found, *key));
    }
    while let Some((number, reference, key)) = pending.pop() {
        if let Some((other, _)) = known.get(&number) {
            assert_eq!(*other, reference, "object {number} is one");
            continue;
        }
        assert_eq!(numbers.insert(reference.id, number), None, "{reference:?} is object {number} alone");
        known.insert(number, (reference, Some(key)));
        let mut ordered = oocmap::KeyBytes::new();
        oocmap::encode_int(key, &mut ordered);
        let view = read.object(reference.id, Some(&ordered)).unwrap().expect("it is there");
        let mut meet = |node: Node<'_>, record: u64, item: Item| match (node, item) {
            (Node::Int(value), Item::Int(expected)) => assert_eq!(value, expected),
            (Node::Object(found), Item::Object(child)) => pending.push((child, found, key)),
            (Node::Container(found), Item::Object(child)) => {
                let id = ObjectId { record, slot: found.slot().unwrap() };
                pending.push((child, Reference { kind: found.kind, id }, key));
            }
            (node, item) => panic!("{node:?} where {item:?} should be"),
        };
        match (&model.objects[number], &view) {
            (Object::List(items), ContainerView::Record(held, list)) => {
                assert_eq!(list.len(), items.len());
                let record = held.record().unwrap();
                for (index, item) in items.iter().enumerate() {
                    meet(record.item(*list, index).unwrap(), record.id(), *item);
                }
            }
            (Object::List(items), ContainerView::Long(long)) => {
                assert_eq!(long.len(), items.len() as u64);
                let mut at = 0;
                while at < items.len() {
                    let run = read.run(long, at as u64).unwrap();
                    assert_eq!(run.first, at as u64);
                    for index in 0..run.elements.len() {
                        match &run.elements {
                            RunElements::Ints(ints) => assert_eq!(Item::Int(ints[index]), items[at + index]),
                            RunElements::Mixed(held, tuple) => {
                                let record = held.record().unwrap();
                                meet(record.item(*tuple, index).unwrap(), 0, items[at + index]);
                            }
                            _ => panic!("neither doubles nor bytes"),
                        }
                    }
                    at += run.elements.len();
                }
            }
            (Object::Dict(items), ContainerView::Record(held, dict)) => {
                assert_eq!(dict.len(), items.len());
                let record = held.record().unwrap();
                for (key, item) in items {
                    let at = oocmap::find(held, record, *dict, &(*key).into()).unwrap();
                    meet(record.value(*dict, at.expect("the key is there")).unwrap(), record.id(), *item);
                }
            }
            (Object::Dict(items), ContainerView::Long(long)) => {
                assert_eq!(long.len(), items.len() as u64);
                for (key, item) in items {
                    let (members, at) = read.member(long, &(*key).into()).unwrap().expect("the key is there");
                    meet(members.value(at).unwrap(), 0, *item);
                }
            }
        }
    }
    known
}

fn apply(environment: &Environment, model: &mut Model, step: &Step) {
    let known = compare(&environment.read().unwrap(), model);
    let reachable = model.reachable();
    let pick = |index: &prop::sample::Index| {
        (!reachable.is_empty()).then(|| reachable[index.index(reachable.len())])
    };
    let key_of = |key: i64| Key::from(key);
    let seen = |number: usize| known[&number].1.map(key_of);
    let mut write = environment.write().unwrap();
    let change = |write: &mut oocmap::WriteTransaction, number: usize, changes: &[Change]| {
        write.change(known[&number].0.id, seen(number).as_ref(), changes).unwrap();
    };
    match step {
        Step::Fresh { key, width, inner } => {
            let (number, draft) = fresh(model, *width, *inner);
            write.put_draft(&key_of(*key), draft).unwrap();
            model.entries.insert(*key, Item::Object(number));
        }
        Step::Alias { key, object } => {
            let Some(number) = pick(object) else { return };
            write.put_object(&key_of(*key), known[&number].0, seen(number).as_ref()).unwrap();
            model.entries.insert(*key, Item::Object(number));
        }
        Step::Delete { key } => {
            assert_eq!(write.delete(&key_of(*key)).unwrap(), model.entries.remove(key).is_some());
        }
        Step::Grow { object, count, nested } => {
            let Some(number) = pick(object) else { return };
            let mut drafts = Vec::new();
            let mut items = Vec::new();
            for at in 0..*count {
                if *nested && at % 7 == 0 {
                    let (inner, draft) = fresh(model, at % 3, 3);
                    drafts.push(draft);
                    items.push(Item::Object(inner));
                } else {
                    drafts.push(Draft::scalar(&oocmap::Scalar::Int(at as i64)));
                    items.push(Item::Int(at as i64));
                }
            }
            match &mut model.objects[number] {
                Object::List(list) => {
                    list.extend(items);
                    change(&mut write, number, &[Change::Append(drafts)]);
                }
                Object::Dict(dict) => {
                    let put =
                        drafts.into_iter().enumerate().map(|(at, draft)| ((at as i64 * 2).into(), draft));
                    let put = Change::Put(put.collect());
                    dict.extend(items.into_iter().enumerate().map(|(at, item)| (at as i64 * 2, item)));
                    change(&mut write, number, &[put]);
                }
            }
        }
        Step::Link { object, target } => {
            let (Some(number), Some(target)) = (pick(object), pick(target)) else { return };
            let mut builder = ValueBuilder::new();
            let mut ordered = oocmap::KeyBytes::new();
            oocmap::encode_int(known[&target].1.unwrap(), &mut ordered);
            let word: Word = builder.object(known[&target].0, Some(ordered.as_slice().into())).unwrap();
            let draft = builder.finish(word);
            match &mut model.objects[number] {
                Object::List(list) => {
                    list.insert(0, Item::Object(target));
                    change(&mut write, number, &[Change::Splice { at: 0, remove: 0, insert: vec![draft] }]);
                }
                Object::Dict(dict) => {
                    dict.insert(5, Item::Object(target));
                    change(&mut write, number, &[Change::Put(vec![(5.into(), draft)])]);
                }
            }
        }
        Step::Cut { object, at, count } => {
            let Some(number) = pick(object) else { return };
            match &mut model.objects[number] {
                Object::List(list) => {
                    let at = at.index(list.len() + 1);
                    let end = list.len().min(at + count);
                    list.drain(at..end);
                    let cut = Change::Splice { at, remove: end - at, insert: Vec::new() };
                    change(&mut write, number, &[cut]);
                }
                Object::Dict(dict) => {
                    let gone: Vec<i64> = dict.keys().copied().take(*count).collect();
                    dict.retain(|key, _| !gone.contains(key));
                    let gone = gone.into_iter().map(Into::into).collect();
                    change(&mut write, number, &[Change::Remove(gone)]);
                }
            }
        }
        Step::Clear { object } => {
            let Some(number) = pick(object) else { return };
            match &mut model.objects[number] {
                Object::List(list) => list.clear(),
                Object::Dict(dict) => dict.clear(),
            }
            change(&mut write, number, &[Change::Clear]);
        }
    }
    write.commit().unwrap();
}

/// Answers how many objects were deleted.
fn vacuum(environment: &Environment) -> u64 {
    let vacuum = environment.vacuum(false).unwrap();
    vacuum.wait(Duration::from_mins(1)).expect("it ends").unwrap().objects
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn graphs_are_what_plain_objects_would_be(steps in proptest::collection::vec((step(), 0..8), 1..30)) {
        let (_directory, environment) = map();
        let mut model = Model { cyclic: true, ..Model::default() };
        for (step, chance) in &steps {
            if *chance == 0 {
                // Whatever a transaction did that is rolled back, nothing of it is left.
                let before = model.clone();
                let known = compare(&environment.read().unwrap(), &model);
                let mut write = environment.write().unwrap();
                let undone = write.nested(|write| {
                    for (reference, key) in known.values().take(3) {
                        write.put_object(&9.into(), *reference, key.map(Key::from).as_ref())?;
                        let changes = [Change::Clear];
                        write.change(reference.id, key.map(Key::from).as_ref(), &changes)?;
                    }
                    write.clear()?;
                    Err::<(), _>(Error::Closed)
                });
                assert!(undone.is_err());
                write.commit().unwrap();
                model = before;
            } else {
                apply(&environment, &mut model, step);
            }
            let read = environment.read().unwrap();
            compare(&read, &model);
            let problems = read.check(&mut |_, _| true).unwrap();
            prop_assert!(problems.is_empty(), "{problems:?} after {step:?}");
        }
    }

    #[test]
    fn a_vacuum_takes_what_nothing_leads_to_and_nothing_else(
        steps in proptest::collection::vec((step(), 0..5), 1..25),
    ) {
        let (_directory, environment) = map();
        let mut model = Model { cyclic: true, ..Model::default() };
        let check = |model: &Model| {
            let read = environment.read().unwrap();
            compare(&read, model);
            let problems = read.check(&mut |_, _| true).unwrap();
            assert!(problems.is_empty(), "{problems:?}");
        };
        for (step, chance) in &steps {
            apply(&environment, &mut model, step);
            if *chance == 0 {
                vacuum(&environment);
                check(&model);
                prop_assert_eq!(vacuum(&environment), 0, "one is enough");
            }
        }
        while let Some((key, _)) = model.entries.pop_first() {
            let mut write = environment.write().unwrap();
            write.delete(&key.into()).unwrap();
            write.commit().unwrap();
            vacuum(&environment);
            check(&model);
        }
        prop_assert_eq!(environment.stats().unwrap().objects, 0);
    }

    #[test]
    fn what_has_one_name_goes_with_it(steps in proptest::collection::vec(step(), 1..30)) {
        let (_directory, environment) = map();
        let mut model = Model::default();
        for step in steps.iter().filter(|step| !matches!(step, Step::Alias { .. } | Step::Link { .. })) {
            apply(&environment, &mut model, step);
        }
        for key in model.entries.keys() {
            let mut write = environment.write().unwrap();
            write.delete(&(*key).into()).unwrap();
            write.commit().unwrap();
        }
        let problems = environment.read().unwrap().check(&mut |_, _| true).unwrap();
        prop_assert!(problems.is_empty(), "{problems:?}");
        prop_assert_eq!(environment.stats().unwrap().objects, 0);
    }
}
