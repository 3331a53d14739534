//! A scan meets the entries in the order of their keys, in both directions and between any bounds.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{collections::BTreeMap, ops::Bound};

use oocmap::{
    Environment, Key, KeyBytes, Options, Patience, ReadTransaction, Scalar, SharedScan, Span, Value,
};
use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;

fn new_map() -> (TempDir, Environment) {
    let directory = tempfile::tempdir().unwrap();
    let environment = Environment::open(&directory.path().join("m.ooc"), &Options::default()).unwrap();
    (directory, environment)
}

fn ordered(key: &Key<'_>) -> KeyBytes {
    let mut bytes = KeyBytes::new();
    key.encode(&mut bytes).unwrap();
    bytes
}

/// The keys of a span with the numbers that are stored under them.
fn scan(read: &ReadTransaction, span: &Span, backward: bool) -> Vec<(Key<'static>, Value)> {
    let mut walk = read.scan(span.clone(), backward).unwrap();
    let mut entries = Vec::new();
    while let Some(entry) = walk.next(read).unwrap() {
        let key = entry.key().unwrap().into_owned();
        let value = read.get(&key).unwrap().unwrap().to_value().unwrap();
        entries.push((key, value));
    }
    assert!(walk.next(read).unwrap().is_none(), "a scan that has ended stays at its end");
    assert_eq!(read.count(span).unwrap(), entries.len() as u64);
    entries
}

/// Keys that often share a beginning of about as many bytes as the store takes in a key.
fn key() -> impl Strategy<Value = Key<'static>> {
    prop_oneof![
        (-5_i64..5).prop_map(|value| Key::Scalar(Scalar::Int(value))),
        "[ab]{0,3}".prop_map(|text| Key::Scalar(Scalar::Str(text.into()))),
        ("[xy]", 488_usize..515, "[ab]{0,3}")
            .prop_map(|(begin, times, end)| Key::Scalar(Scalar::Str((begin.repeat(times) + &end).into()))),
        ("[xy]", 600_usize..603, "[ab]{0,3}").prop_map(|(begin, times, end)| Key::Scalar(Scalar::Bytes(
            (begin.repeat(times) + &end).into_bytes().into()
        ))),
        (489_usize..512, -2_i64..2).prop_map(|(times, number)| {
            Key::Tuple(vec![
                Key::Scalar(Scalar::Str("x".repeat(times).into())),
                Key::Scalar(Scalar::Int(number)),
            ])
        }),
    ]
}

fn bound() -> impl Strategy<Value = Bound<KeyBytes>> {
    prop_oneof![
        1 => Just(Bound::Unbounded),
        2 => key().prop_map(|key| Bound::Included(ordered(&key))),
        2 => key().prop_map(|key| Bound::Excluded(ordered(&key))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn a_scan_is_the_sorted_map(keys in vec(key(), 0..120), spans in vec((bound(), bound()), 10)) {
        let (_directory, environment) = new_map();
        let mut model = BTreeMap::new();
        let mut write = environment.write().unwrap();
        for (number, key) in (0..).zip(&keys) {
            write.put(key, &Value::from(number)).unwrap();
            model.entry(ordered(key)).or_insert((key.clone(), Value::NONE)).1 = Value::from(number);
        }
        write.commit().unwrap();
        let read = environment.read().unwrap();
        let all = (Bound::Unbounded, Bound::Unbounded);
        for (lower, upper) in spans.into_iter().chain([all]) {
            let span = Span { lower, upper };
            let mut expected: Vec<_> =
                model.iter().filter(|(ordered, _)| span.contains(ordered)).map(|(_, entry)| entry.clone()).collect();
            prop_assert_eq!(&scan(&read, &span, false), &expected);
            expected.reverse();
            prop_assert_eq!(&scan(&read, &span, true), &expected);
        }

        // A transaction that is open walks the same way.
        let write = environment.write_shared(&mut Patience::new(None)).unwrap();
        for backward in [false, true] {
            let mut walk = SharedScan::new(Span::all(), backward);
            let mut met = Vec::new();
            while let Some((key, None)) = write.next(&mut walk, false).unwrap() {
                met.push(key);
            }
            let whole = scan(&read, &Span::all(), backward);
            prop_assert!(met.iter().eq(whole.iter().map(|(key, _)| key)));
        }
    }
}

#[test]
fn kinds_sort_as_the_documentation_says() {
    let (_directory, environment) = new_map();
    let sorted = [
        Key::Scalar(Scalar::None),
        Key::Scalar(Scalar::Float(f64::NEG_INFINITY)),
        Key::Scalar(Scalar::Int(-3)),
        Key::Scalar(Scalar::Float(-2.5)),
        Key::Scalar(Scalar::Bool(true)),
        Key::Scalar(Scalar::Float(1.5)),
        Key::Scalar(Scalar::Int(1 << 60)),
        Key::Scalar(Scalar::Str("".into())),
        Key::Scalar(Scalar::Str("Z".into())),
        Key::Scalar(Scalar::Str("a".into())),
        Key::Scalar(Scalar::Str("é".into())),
        Key::Scalar(Scalar::Bytes(b"a".as_slice().into())),
        Key::Tuple(Vec::new()),
        Key::Tuple(vec![Key::from(1)]),
        Key::Tuple(vec![Key::from(1), Key::from("a")]),
        Key::Tuple(vec![Key::from(2)]),
        Key::FrozenSet(Vec::new()),
    ];
    let mut write = environment.write().unwrap();
    for key in sorted.iter().rev() {
        write.put(key, &Value::NONE).unwrap();
    }
    write.commit().unwrap();
    let met = scan(&environment.read().unwrap(), &Span::all(), false);
    assert_eq!(met.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), sorted);
}

#[test]
fn a_prefix_is_a_span() {
    let (_directory, environment) = new_map();
    let texts: Vec<String> = ["", "a", "ab", "abc", "b"].into_iter().map(str::to_owned).collect();
    let long = "ab".to_owned() + &"c".repeat(1_000);
    let mut write = environment.write().unwrap();
    for text in texts.iter().chain([&long]) {
        write.put(&Key::from(text.as_str()), &Value::NONE).unwrap();
    }
    write.commit().unwrap();
    let read = environment.read().unwrap();
    let prefixed = |prefix: &str| {
        let bounds = Key::from(prefix).prefix_bounds().unwrap();
        let span = Span { lower: Bound::Included(bounds.start), upper: Bound::Excluded(bounds.end) };
        scan(&read, &span, false).into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(prefixed("ab"), ["ab", "abc", &long].map(Key::from));
    assert_eq!(prefixed(&long), [Key::from(long.as_str())]);
    assert_eq!(prefixed("c"), []);
    assert_eq!(prefixed("").len(), 6);
}
