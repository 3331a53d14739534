//! Every kind of value comes back as it was stored, and what repeats costs little.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use num_bigint::BigInt;
use oocmap::{Date, Environment, Error, Key, Options, Scalar, Time, Value, Zone, int_bytes};
use tempfile::TempDir;

fn new_map() -> (TempDir, Environment) {
    let directory = tempfile::tempdir().unwrap();
    let environment = Environment::open(&directory.path().join("m.ooc"), &Options::default()).unwrap();
    (directory, environment)
}

/// One scalar of every kind, with the values at which kinds of encoding change.
fn scalars() -> Vec<Scalar<'static>> {
    let date = Date { year: 1815, month: 12, day: 10 };
    let time = Time { hour: 23, minute: 59, second: 58, microsecond: 999_999, fold: 1 };
    let fixed = || Zone::Fixed { offset: -3_600_000_000, name: None };
    let mut scalars = vec![
        Scalar::None,
        Scalar::Ellipsis,
        Scalar::Bool(false),
        Scalar::Bool(true),
        Scalar::BigInt(int_bytes(&(BigInt::from(1) << 100_000)).into()),
        Scalar::Complex { re: -0.0, im: f64::NAN },
        Scalar::Str("".into()),
        Scalar::Str("grüße \0 \u{10ffff}".into()),
        Scalar::SurrogateStr(b"\xed\xa0\x80".as_slice().into()),
        Scalar::Bytes(b"\0\xff".as_slice().into()),
        Scalar::Decimal("-0E-7".into()),
        Scalar::Fraction {
            numerator: int_bytes(&(-1).into()).into(),
            denominator: int_bytes(&3.into()).into(),
        },
        Scalar::Date(date),
        Scalar::Time { time, zone: None },
        Scalar::Time { time, zone: Some(fixed()) },
        Scalar::DateTime { date, time, zone: None },
        Scalar::DateTime { date, time, zone: Some(fixed()) },
        Scalar::TimeDelta { days: -1, seconds: 86_399, microseconds: 999_999 },
        Scalar::Zone(fixed()),
        Scalar::Uuid(*b"0123456789abcdef"),
        Scalar::Range(Box::new([Scalar::Int(0), Scalar::Int(10), Scalar::Int(-3)])),
        Scalar::Slice(Box::new([Scalar::None, Scalar::Str("stop".into()), Scalar::Int(1)])),
    ];
    for value in [0, 1, -1, 1 << 10, 1 << 11, 1 << 12, 1 << 26, 1 << 27, 1 << 28, i64::MAX, i64::MIN] {
        scalars.extend([
            Scalar::Int(value),
            Scalar::Int(value.wrapping_neg()),
            Scalar::Int(value.wrapping_sub(1)),
        ]);
    }
    for value in
        [0.0, -0.0, 1.5, f64::INFINITY, f64::MIN_POSITIVE / 2.0, f64::from_bits(0xfff8_0000_0000_0001)]
    {
        scalars.push(Scalar::Float(value));
    }
    for length in [63, 64, 65, 127, 128, 129, 65_535, 65_536, 300_000] {
        scalars.push(Scalar::Str("é".repeat(length / 2).into()));
        scalars.push(Scalar::Bytes(vec![7; length].into()));
    }
    scalars
}

/// Scalars alone and in every kind of container, and containers without anything in them.
fn values() -> Vec<Value> {
    let leaves = || scalars().into_iter().map(Value::Scalar).collect::<Vec<_>>();
    let mut keys: Vec<Key<'static>> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for scalar in scalars() {
        let key = Key::Scalar(scalar);
        let mut ordered = oocmap::KeyBytes::new();
        if key.encode(&mut ordered).is_ok() && known.insert(ordered) {
            keys.push(key);
        }
    }
    assert!(keys.len() > 40);
    let numbered =
        |keys: &[Key<'static>]| Value::Dict(keys.iter().cloned().zip((0..).map(Value::from)).collect());
    let mut values = leaves();
    values.extend([
        Value::List(Vec::new()),
        Value::Tuple(Vec::new()),
        Value::Dict(Vec::new()),
        Value::Set(Vec::new()),
        Value::FrozenSet(Vec::new()),
        Value::List(leaves()),
        Value::Tuple(leaves()),
        numbered(&keys),
        numbered(&keys[..16]),
        Value::Set(keys.clone()),
        Value::FrozenSet(keys.clone()),
        Value::Set(vec![Key::Tuple(keys.clone()), Key::FrozenSet(keys.clone()), Key::Tuple(Vec::new())]),
        Value::Dict(vec![(Key::FrozenSet(keys), Value::List(vec![Value::Tuple(leaves())]))]),
    ]);
    values
}

#[test]
fn every_kind_of_value_comes_back_as_it_was() {
    let (_directory, environment) = new_map();
    // The second time, names have become symbols and long values are shared.
    for round in 0..3 {
        let mut write = environment.write().unwrap();
        for (number, value) in (0..).zip(values()) {
            let key = Key::Tuple(vec![Key::from(round), Key::from(number)]);
            write.put(&key, &value).unwrap();
            assert_eq!(write.get(&key).unwrap().unwrap().to_value().unwrap(), value, "before the commit");
        }
        write.commit().unwrap();
    }
    let read = environment.read().unwrap();
    for round in 0..3 {
        for (number, value) in (0..).zip(values()) {
            let key = Key::Tuple(vec![Key::from(round), Key::from(number)]);
            assert_eq!(read.get(&key).unwrap().unwrap().to_value().unwrap(), value, "round {round}");
        }
    }
}

#[test]
fn large_values_and_keys_come_back_as_they_were() {
    let (_directory, environment) = new_map();
    let large = "0123456789abcdef".repeat(5 << 20);
    let value = Value::from(large.as_str());
    let inside = Value::List(vec![value.clone()]);
    let key = Key::from(&large[..10_000_000]);
    let mut write = environment.write().unwrap();
    write.put(&"alone".into(), &value).unwrap();
    write.put(&"inside".into(), &inside).unwrap();
    write.put(&key, &Value::from(1)).unwrap();
    write.commit().unwrap();

    let read = environment.read().unwrap();
    assert!(read.get(&"alone".into()).unwrap().unwrap().to_value().unwrap() == value);
    assert!(read.get(&"inside".into()).unwrap().unwrap().to_value().unwrap() == inside);
    assert_eq!(read.get(&key).unwrap().unwrap().to_value().unwrap(), Value::from(1));
    let size = environment.stats().unwrap().file_size;
    assert!(size < 2 * large.len() as u64, "the text is stored once: {size}");
}

#[test]
fn long_values_that_repeat_cost_little() {
    let used = |text: &dyn Fn(usize) -> String| {
        let (_directory, environment) = new_map();
        let mut write = environment.write().unwrap();
        for number in 0..2_000 {
            let text = text(number);
            let value = Value::from_iter([("text", Value::from(text.as_str()))]);
            write.put(&Key::from(i64::try_from(number).unwrap()), &value).unwrap();
        }
        write.commit().unwrap();
        let stats = environment.stats().unwrap();
        stats.file_size - stats.free_bytes
    };
    let different = used(&|number| format!("{number:04}").repeat(100));
    let equal = used(&|_| "same".repeat(100));
    assert!(equal * 4 < different, "{equal} bytes for equal texts, {different} for different ones");
}

#[test]
fn what_no_entry_names_any_more_makes_room() {
    let (_directory, environment) = new_map();
    let mut most = 0;
    for round in 0..40 {
        let text = format!("round {round:02} ").repeat(100_000);
        let mut write = environment.write().unwrap();
        for key in 0..3 {
            write.put(&Key::from(key), &Value::List(vec![Value::from(text.as_str())])).unwrap();
        }
        write.commit().unwrap();
        let size = environment.stats().unwrap().file_size;
        if round < 10 {
            most = size;
        } else {
            assert!(size <= most, "the file grew from {most} to {size} bytes in round {round}");
        }
    }
}

#[test]
fn what_nests_too_deeply_is_refused_and_the_map_unhurt() {
    let (_directory, environment) = new_map();
    let nested = |depth| (0..depth).fold(Value::NONE, |inner, _| Value::List(vec![inner]));
    let mut write = environment.write().unwrap();
    write.put(&"deep".into(), &nested(900)).unwrap();
    assert!(matches!(write.put(&"deeper".into(), &nested(1_100)), Err(Error::TooLarge(_))));
    let key = (0..300).fold(Key::from(1), |inner, _| Key::Tuple(vec![inner]));
    assert!(matches!(write.put(&key, &Value::NONE), Err(Error::TooLarge(_))));
    assert!(matches!(write.put(&"set".into(), &Value::Set(vec![key])), Err(Error::TooLarge(_))));
    let nan = Key::Scalar(Scalar::Float(f64::NAN));
    assert!(matches!(write.put(&nan, &Value::NONE), Err(Error::InvalidKey(_))));
    write.commit().unwrap();
    let read = environment.read().unwrap();
    assert_eq!(read.len().unwrap(), 1);
    assert_eq!(read.get(&"deep".into()).unwrap().unwrap().to_value().unwrap(), nested(900));
}
