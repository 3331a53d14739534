//! Tests of sorting outside of memory: whatever fits, the last value and the first form of each key come in order.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    sorter::{SortedEntries, Sorter},
    text::{TextFormat, TextSource},
};
use crate::{
    environment::Environment,
    error::{Error, Result},
    format::{
        builder::Draft,
        key::{Key, KeyBytes},
        scalar::Scalar,
    },
    object::value::Value,
    options::Options,
    txn::{entry::EntryKey, patience::Patience},
};

type FormAndDraft = (Option<Vec<u8>>, Vec<u8>);
type Entry = (Vec<u8>, Option<Vec<u8>>, Vec<u8>);

fn entries(mut sorted: SortedEntries) -> Vec<Entry> {
    let mut all = Vec::new();
    while let Some(entry) = sorted.0.next().unwrap() {
        all.push((entry.key.to_vec(), entry.form.map(<[u8]>::to_vec), entry.draft.to_vec()));
    }
    all
}

/// Numbers that are no order that anyone would think of.
fn scattered(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32)
}

#[test]
fn runs_merge_to_what_a_dict_would_hold() {
    let directory = tempfile::tempdir().unwrap();
    // From all of it in memory to so many runs that they are merged in several rounds.
    for (count, memory, workers) in [(0, 0, 1), (500, 1 << 30, 2), (40_000, 0, 1), (60_000, 1 << 20, 3)] {
        let mut sorter = Sorter::new(&directory.path().join("x.ooc"), memory, workers);
        let mut model: BTreeMap<Vec<u8>, FormAndDraft> = BTreeMap::new();
        for (number, key) in scattered(count).enumerate() {
            let key = (key % 10_000) as u32;
            // Equal keys of two kinds, of which the first one stays.
            let scalar = if number % 3 == 0 { Scalar::Float(key.into()) } else { Scalar::Int(key.into()) };
            let key = EntryKey::new(&Key::Scalar(scalar)).unwrap();
            let draft = Draft::scalar(&Scalar::Str(format!("value {number}").into()));
            let mut packed = Vec::new();
            draft.clone().pack(&mut packed);
            let form = key.form().map(<[u8]>::to_vec);
            model.entry(key.ordered().to_vec()).or_insert((form, Vec::new())).1 = packed;
            if sorter.push(&key, draft) {
                sorter.spill().unwrap();
            }
        }
        assert_eq!(sorter.pushed(), count);
        let expected: Vec<Entry> = model.into_iter().map(|(key, (form, draft))| (key, form, draft)).collect();
        let found = sorter.finish().unwrap();
        assert!(found.most() >= expected.len() as u64);
        assert_eq!(entries(found), expected, "{count} entries");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

fn loaded(text: &[u8], piece: usize, memory: usize, format: &TextFormat) -> Result<SortedEntries> {
    let directory = tempfile::tempdir().unwrap();
    let mut sorter = Sorter::new(&directory.path().join("x.ooc"), memory, 2);
    let mut source = TextSource::new("file", format.clone());
    for piece in text.chunks(piece) {
        source.feed(&mut sorter, piece)?;
    }
    source.end(&mut sorter)?;
    sorter.finish()
}

fn table() -> TextFormat {
    TextFormat::Delimited { delimiter: b',', key: None }
}

const PAIRS: TextFormat = TextFormat::JsonLines { key: None };

#[test]
fn a_text_holds_the_same_entries_however_it_is_cut() {
    let mut json = String::from("\u{feff}");
    let mut csv = String::from("\u{feff}key,value\n");
    let mut keys = Vec::new();
    for (number, key) in scattered(20_000).enumerate() {
        write!(json, "[\"{key}\", \"line\\n{number}\"]\n\n").unwrap();
        write!(csv, "{key},\"line\n{number}\"\r\n").unwrap();
        let mut ordered = KeyBytes::new();
        Key::from(key.to_string().as_str()).encode(&mut ordered).unwrap();
        keys.push(ordered.to_vec());
    }
    keys.sort_unstable();
    keys.dedup();
    let whole = entries(loaded(json.as_bytes(), json.len(), 1 << 30, &PAIRS).unwrap());
    assert!(whole.iter().map(|(key, ..)| key).eq(&keys));
    for (piece, memory) in [(7, 1 << 30), (997, 0), (100_000, 0), (1 << 18, 1 << 20)] {
        assert_eq!(entries(loaded(json.as_bytes(), piece, memory, &PAIRS).unwrap()), whole);
        assert_eq!(entries(loaded(csv.as_bytes(), piece, memory, &table()).unwrap()), whole);
    }
}

#[test]
fn the_first_line_that_is_wrong_is_named_however_many_threads_read() {
    let lines: Vec<String> = (0..30_000)
        .map(|line| match line {
            17_000 => "no JSON".into(),
            17_001..20_000 => "[]".into(),
            _ => format!("[{line}, null]"),
        })
        .collect();
    let json = lines.join("\n");
    for memory in [0, 1 << 30] {
        let error = loaded(json.as_bytes(), 4096, memory, &PAIRS).unwrap_err();
        assert!(error.to_string().starts_with("file, line 17001: "), "{error}");
    }
}

#[test]
fn what_is_no_entry_is_refused_with_its_line() {
    for (text, format, line) in [
        ("[1, 2]\n[1]", PAIRS, 2),
        ("[1, 2]\n\n{}", PAIRS, 3),
        ("[NaN, 2]", PAIRS, 1),
        ("[{}, 2]", PAIRS, 1),
        ("5", PAIRS, 1),
        ("[1]", TextFormat::JsonLines { key: Some("id".into()) }, 1),
        ("{\"id\": 1}\n{}", TextFormat::JsonLines { key: Some("id".into()) }, 2),
        ("a,b\n\"1\n\",2\n1", table(), 4),
        ("a,b\n1,\"2", table(), 2),
        ("\na", table(), 2),
        ("a,a", table(), 1),
        ("a,b", TextFormat::Delimited { delimiter: b',', key: Some("c".into()) }, 1),
    ] {
        let error = loaded(text.as_bytes(), 2, 1 << 20, &format).unwrap_err();
        assert!(matches!(error, Error::Source(_)), "{error:?}");
        assert!(error.to_string().starts_with(&format!("file, line {line}: ")), "{text:?}: {error}");
    }
    let error = loaded(b"[1, 2]\n[\"\xff\", 1]\n", 100, 1 << 20, &PAIRS).unwrap_err();
    assert!(error.to_string().starts_with("file, line 2: it is not UTF-8"), "{error}");
}

#[test]
fn counts_are_settled_on_the_way_and_right_in_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.ooc");
    let environment = Environment::open(&path, &Options::default()).unwrap();
    let load = |from: i64, tell: &mut (dyn FnMut(u64) -> bool + Send)| {
        let mut sorter = Sorter::new(&path, 1 << 20, 2);
        for number in from..2_000 {
            // Long enough to be shared, and there several times, some of them as what is replaced.
            let text = format!("{:0200}", number / 2);
            let value = Value::Tuple(vec![number.into(), text.as_str().into()]);
            let key = EntryKey::new(&Key::Scalar(Scalar::Int(number * 7919 % 2_003))).unwrap();
            if sorter.push(&key, value.draft().unwrap()) {
                sorter.spill().unwrap();
            }
        }
        environment.load(sorter.finish().unwrap(), &mut Patience::new(None), tell)
    };
    let check = |entries: u64| {
        let read = environment.read().unwrap();
        assert_eq!(read.len().unwrap(), entries);
        let problems = read.check(&mut |_, _| true).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
    };
    assert!(matches!(load(0, &mut |stored| stored < 1_000), Err(Error::Interrupted)));
    check(0);
    assert_eq!(load(0, &mut |_| true).unwrap(), 2_000);
    check(2_000);
    assert_eq!(load(1_000, &mut |_| true).unwrap(), 1_000);
    check(2_000);
}
