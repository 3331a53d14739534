//! Containers change in place, keep their identity, and are counted right whatever refers to them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use oocmap::{
    Change, ContainerKind, ContainerView, Environment, Error, Node, ObjectId, Options, ReadObjects,
    Reference, Value, ValueRef,
};

/// A map in a directory that goes with it.
fn map() -> (tempfile::TempDir, Environment) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let environment =
        Environment::open(&directory.path().join("x.ooc"), &Options::default()).expect("a new map");
    (directory, environment)
}

fn ints(range: std::ops::Range<i64>) -> Value {
    Value::List(range.map(Value::from).collect())
}

/// The object that stands under a key.
fn object(environment: &Environment, key: &str) -> Reference {
    match environment.read().unwrap().get(&key.into()).unwrap().expect("the key is there") {
        ValueRef::Object(reference) => reference,
        ValueRef::Container(container) => container.reference().expect("it can change"),
        _ => panic!("{key} is no object"),
    }
}

fn assert_sound(environment: &Environment) {
    let problems = environment.read().unwrap().check(&mut |_, _| true).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
}

fn change(environment: &Environment, id: ObjectId, key: &str, changes: &[Change]) {
    let mut write = environment.write().unwrap();
    write.change(id, Some(&key.into()), changes).unwrap();
    write.commit().unwrap();
    assert_sound(environment);
}

fn len(environment: &Environment, id: ObjectId) -> u64 {
    environment.read().unwrap().object(id, None).unwrap().expect("it is there").len().unwrap()
}

#[test]
fn a_list_grows_out_of_its_record_and_stays_what_it_is() {
    let (_directory, environment) = map();
    let mut write = environment.write().unwrap();
    write.put(&"a".into(), &Value::List(vec![ints(0..3), Value::from_iter([("k", ints(0..2))])])).unwrap();
    write.commit().unwrap();
    let outer = object(&environment, "a").id;
    for step in 0..40 {
        let more = (0..100).map(|_| Value::List(vec![Value::from(step)]).draft().unwrap()).collect();
        change(&environment, outer, "a", &[Change::Append(more)]);
    }
    let read = environment.read().unwrap();
    let view = read.object(outer, Some(b"\xa0a")).unwrap().unwrap();
    let ContainerView::Long(long) = view else { panic!("4,000 lists are too long for a record") };
    assert_eq!((long.len(), long.kind()), (4002, ContainerKind::List));
    drop(read);
    change(&environment, outer, "a", &[Change::Splice { at: 0, remove: 4000, insert: Vec::new() }]);
    assert_eq!(len(&environment, outer), 2);
    let mut write = environment.write().unwrap();
    write.delete(&"a".into()).unwrap();
    write.commit().unwrap();
    assert_sound(&environment);
    assert_eq!(environment.stats().unwrap().objects, 0, "nothing is left behind");
    assert!(environment.read().unwrap().object(outer, None).unwrap().is_none());
}

#[test]
fn two_names_are_of_one_object() {
    let (_directory, environment) = map();
    let mut write = environment.write().unwrap();
    write.put(&"a".into(), &Value::from_iter([("list", ints(0..3)), ("other", ints(0..1))])).unwrap();
    write.commit().unwrap();
    let whole = object(&environment, "a");
    let read = environment.read().unwrap();
    let Some(ValueRef::Container(dict)) = read.get(&"a".into()).unwrap() else { panic!("a dict") };
    let Some(ValueRef::Container(list)) = dict.get(&"list".into()).unwrap() else { panic!("a list") };
    let list = list.reference().unwrap();
    drop(read);
    let mut write = environment.write().unwrap();
    write.put_object(&"b".into(), list, Some(&"a".into())).unwrap();
    write.commit().unwrap();
    assert_sound(&environment);
    assert_eq!(object(&environment, "b"), list);
    change(&environment, list.id, "b", &[Change::Append(vec![Value::from(9).draft().unwrap()])]);
    assert_eq!(len(&environment, list.id), 4);
    // The dict goes, what the other name leads to stays.
    let mut write = environment.write().unwrap();
    write.delete(&"a".into()).unwrap();
    write.commit().unwrap();
    assert_sound(&environment);
    let read = environment.read().unwrap();
    assert!(read.object(whole.id, None).unwrap().is_none(), "nothing leads to the dict");
    assert_eq!(len(&environment, list.id), 4);
}

#[test]
fn what_was_rolled_back_never_was() {
    let (_directory, environment) = map();
    let mut write = environment.write().unwrap();
    write.put(&"a".into(), &ints(0..3)).unwrap();
    write.commit().unwrap();
    let id = object(&environment, "a").id;
    let mut write = environment.write().unwrap();
    write.change(id, Some(&"a".into()), &[Change::Append(vec![ints(0..5000).draft().unwrap()])]).unwrap();
    write.abort();
    assert_sound(&environment);
    let mut write = environment.write().unwrap();
    let failed = write.nested(|write| {
        write.change(id, Some(&"a".into()), &[Change::Append(vec![ints(0..5000).draft().unwrap()])])?;
        write.delete(&"a".into())?;
        Err::<(), _>(Error::Closed)
    });
    assert!(failed.is_err());
    write.commit().unwrap();
    assert_sound(&environment);
    let read = environment.read().unwrap();
    assert_eq!(read.get(&"a".into()).unwrap().unwrap().to_value().unwrap(), ints(0..3));
}

#[test]
fn long_dicts_and_byte_arrays_change_in_place() {
    let (_directory, environment) = map();
    let items = (0..5000).map(|index| (index.into(), ints(index..index + 2)));
    let mut write = environment.write().unwrap();
    write.put(&"d".into(), &Value::Dict(items.collect())).unwrap();
    write.put(&"b".into(), &Value::ByteArray(vec![7; 100_000])).unwrap();
    write.commit().unwrap();
    assert_sound(&environment);
    let (dict, bytes) = (object(&environment, "d").id, object(&environment, "b").id);
    change(&environment, dict, "d", &[Change::Put(vec![(4.into(), Value::from(1).draft().unwrap())])]);
    change(&environment, dict, "d", &[Change::Remove(vec![5.into(), 6.into(), (-1).into()])]);
    change(&environment, bytes, "b", &[Change::SpliceBytes { at: 10, remove: 5, insert: vec![1, 2] }]);
    let read = environment.read().unwrap();
    let Some(ContainerView::Long(long)) = read.object(dict, Some(b"\xa0d")).unwrap() else { panic!("long") };
    assert_eq!(long.len(), 4998);
    let (members, at) = read.member(&long, &4.into()).unwrap().expect("the key is there");
    assert!(matches!(members.value(at).unwrap(), Node::Int(1)));
    assert!(read.member(&long, &5.into()).unwrap().is_none());
    let Some(ContainerView::Long(long)) = read.object(bytes, Some(b"\xa0b")).unwrap() else { panic!("long") };
    assert_eq!(long.len(), 99_997);
    drop(read);
    let mut write = environment.write().unwrap();
    write.clear().unwrap();
    write.commit().unwrap();
    assert_sound(&environment);
    assert_eq!(environment.stats().unwrap().objects, 0);
}
