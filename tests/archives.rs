//! Users' own types are stored as rkyv archives and borrowed back, whole and checked.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use oocmap::{Environment, Error, Key, Options, Value};
use rkyv::{Archive, Serialize, string::ArchivedString, vec::ArchivedVec};
use tempfile::TempDir;

#[derive(Archive, Serialize)]
struct Person {
    name: String,
    born: i32,
    children: Vec<String>,
    shape: Shape,
}

#[derive(Archive, Serialize)]
enum Shape {
    Round(f64),
    Square { side: Box<u64> },
}

fn ada() -> Person {
    Person {
        name: "Ada".into(),
        born: 1815,
        children: vec!["Byron".into(), "Anne Isabella".into(), "Ralph Gordon".into()],
        shape: Shape::Square { side: Box::new(7) },
    }
}

fn new_map() -> (TempDir, Environment) {
    let directory = tempfile::tempdir().unwrap();
    let environment = Environment::open(&directory.path().join("m.ooc"), &Options::default()).unwrap();
    (directory, environment)
}

/// Looks at every byte that an archived person gives access to.
fn weigh(person: &ArchivedPerson) -> usize {
    let children: usize = person.children.iter().map(|child| child.as_str().chars().count()).sum();
    let shape = match &person.shape {
        ArchivedShape::Round(radius) => usize::from(radius.to_native() > 0.0),
        ArchivedShape::Square { side } => side.to_native() as usize % 100,
    };
    person.name.as_str().chars().count() + children + shape + person.born.to_native().unsigned_abs() as usize
}

#[test]
fn an_archive_is_borrowed_back() {
    let (_directory, environment) = new_map();
    let mut write = environment.write().unwrap();
    assert!(write.put_archived(&"ada".into(), &ada()).unwrap());
    write.put_archived(&"round".into(), &Shape::Round(1.5)).unwrap();
    write.commit().unwrap();

    let read = environment.read().unwrap();
    let person = read.get_archived::<Person>(&"ada".into()).unwrap().unwrap();
    assert_eq!((person.name.as_str(), person.born.to_native()), ("Ada", 1815));
    assert_eq!(person.children.iter().map(ArchivedString::as_str).collect::<Vec<_>>(), ada().children);
    assert!(matches!(&person.shape, ArchivedShape::Square { side } if side.to_native() == 7));
    let again = read.get_archived::<Person>(&"ada".into()).unwrap().unwrap();
    assert!(std::ptr::eq(person, again), "it lies in the mapped pages");
    let round = read.get_archived::<Shape>(&"round".into()).unwrap().unwrap();
    assert!(matches!(round, ArchivedShape::Round(radius) if *radius == 1.5));
    assert!(read.get_archived::<Person>(&"nobody".into()).unwrap().is_none());
}

#[test]
fn an_archive_stays_in_its_version() {
    let (_directory, environment) = new_map();
    let mut write = environment.write().unwrap();
    write.put_archived(&"ada".into(), &ada()).unwrap();
    write.commit().unwrap();
    let read = environment.read().unwrap();
    let person = read.get_archived::<Person>(&"ada".into()).unwrap().unwrap();
    for round in 0..200 {
        let mut write = environment.write().unwrap();
        let other = Person { name: "x".repeat(round * 50), ..ada() };
        write.put_archived(&"ada".into(), &other).unwrap();
        write.commit().unwrap();
    }
    assert_eq!(person.name.as_str(), "Ada");
    assert_eq!(weigh(person), 3 + 5 + 13 + 12 + 7 + 1815);
}

#[test]
fn archives_and_other_values_are_not_mixed_up() {
    let (_directory, environment) = new_map();
    let mut write = environment.write().unwrap();
    write.put_archived(&"archive".into(), &ada()).unwrap();
    write.put(&"value".into(), &Value::List(vec![1.into()])).unwrap();
    write.commit().unwrap();
    let read = environment.read().unwrap();
    assert!(matches!(read.get_archived::<Person>(&"value".into()), Err(Error::Unsupported(_))));
    let archive = read.get(&"archive".into()).unwrap().unwrap();
    assert!(matches!(archive.to_value(), Err(Error::Unsupported(_))));
}

#[test]
fn an_archive_of_another_type_is_checked() {
    let (_directory, environment) = new_map();
    let mut write = environment.write().unwrap();
    write.put_archived(&"bytes".into(), &vec![0xff_u8; 100]).unwrap();
    write.put_archived(&"small".into(), &1_u8).unwrap();
    write.commit().unwrap();
    let read = environment.read().unwrap();
    let key = |name: &'static str| Key::from(name);
    // Its bytes say where its text lies, and that is not in the archive.
    assert!(matches!(read.get_archived::<String>(&key("small")), Err(Error::Corrupted(_))), "too short");
    if let Ok(Some(person)) = read.get_archived::<Person>(&key("bytes")) {
        weigh(person);
    }
    assert!(matches!(read.get_archived::<Vec<String>>(&key("bytes")), Err(Error::Corrupted(_))), "no texts");
    let bytes: &ArchivedVec<u8> = read.get_archived::<Vec<u8>>(&key("bytes")).unwrap().unwrap();
    assert_eq!(bytes.as_slice(), [0xff; 100]);
}
