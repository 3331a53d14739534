//! Records: their bytes, their round trips, look-ups with and without an index, damage, depth.

use std::collections::{BTreeMap, HashSet};

use proptest::{collection::vec, prelude::*};
use rkyv::{Archive, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::{
    Value,
    format::{
        builder::{Block, Draft, DraftKind, Placement, Role, ValueBuilder},
        key::{Key, KeyBytes},
        scalar::Scalar,
    },
    object::{
        scope::{Scope, Stored, find},
        value_ref::ValueRef,
    },
    sync::Arc,
};

/// Gives symbols to some names and shares some long values, in memory.
#[derive(Debug, Default)]
struct Places {
    /// Names that begin with this get symbols.
    symbols_from: &'static str,
    names: Vec<Arc<str>>,
    /// Whether long values are shared.
    sharing: bool,
    shared: BTreeMap<u64, Vec<u8>>,
    records: u64,
}

impl Placement for Places {
    fn symbol(&mut self, name: &str) -> Result<Option<u32>> {
        if self.symbols_from.is_empty() || !name.starts_with(self.symbols_from) {
            return Ok(None);
        }
        if let Some(symbol) = self.symbol_of(name) {
            return Ok(Some(symbol));
        }
        self.names.push(name.into());
        Ok(Some(self.names.len() as u32 - 1))
    }

    fn share(&mut self, encoded: &[u8]) -> Result<Option<u64>> {
        if !self.sharing {
            return Ok(None);
        }
        let known = self.shared.iter().find(|(_, stored)| stored.as_slice() == encoded).map(|(id, _)| *id);
        let id = known.unwrap_or(0x1122_3344_5566_7700 + self.shared.len() as u64);
        self.shared.insert(id, encoded.to_vec());
        Ok(Some(id))
    }

    fn record_id(&mut self) -> u64 {
        self.records += 1;
        self.records
    }
}

impl Scope for Places {
    fn symbol(&self, symbol: u32) -> Result<Arc<str>> {
        self.names.get(symbol as usize).cloned().ok_or_else(outside)
    }

    fn symbol_of(&self, name: &str) -> Option<u32> {
        self.names.iter().position(|known| &**known == name).map(|symbol| symbol as u32)
    }

    fn shared(&self, id: u64) -> Result<&[u8]> {
        self.shared.get(&id).map(Vec::as_slice).ok_or_else(outside)
    }
}

fn archive(draft: Draft, places: &mut Places) -> (Vec<u8>, bool) {
    let DraftKind::Record(builder) = draft.0 else { panic!("not a record") };
    builder.archive(places).unwrap()
}

fn text(value: &str) -> Key<'static> {
    Key::Scalar(Scalar::Str(value.to_owned().into()))
}

fn int(value: i64) -> Key<'static> {
    Key::Scalar(Scalar::Int(value))
}

fn float(value: f64) -> Key<'static> {
    Key::Scalar(Scalar::Float(value))
}

fn root(record: RecordView<'_>) -> Container {
    let Node::Container(container) = record.root().unwrap() else { panic!("the root is no container") };
    container
}

/// A value that takes every kind of word.
fn every_word() -> Value {
    let long = "a long text that is stored once for all who have it; ".repeat(3);
    Value::List(vec![
        Value::NONE,
        Value::from(true),
        Value::Scalar(Scalar::Ellipsis),
        Value::from(-2),
        Value::from(1 << 40),
        Value::from(1.5),
        Value::from("text"),
        Value::Scalar(Scalar::Bytes(b"bytes".as_slice().into())),
        Value::from(long.as_str()),
        Value::Tuple(vec![Value::from(1)]),
        Value::FrozenSet(vec![int(2)]),
        Value::Instance(vec![Value::from("class")]),
        Value::ByteArray(b"array".to_vec()),
        Value::Object(Reference { kind: ContainerKind::Set, id: ObjectId { record: 7, slot: 9 } }),
        Value::from_iter([("symbol", Value::Set(vec![text("other")])), ("name", Value::List(Vec::new()))]),
    ])
}

#[test]
fn the_bytes_of_a_record() {
    let mut places = Places { symbols_from: "s", sharing: true, ..Places::default() };
    let (bytes, has_shared) = archive(every_word().draft().unwrap(), &mut places);
    assert!(has_shared);
    let record = RecordView::access(&bytes).unwrap();
    let mut tags = HashSet::new();
    let mut pending = vec![(0, 1)];
    while let Some((from, to)) = pending.pop() {
        for at in from..to {
            tags.insert(Word(record.words.get(at).unwrap()).tag() as u8);
            if let Node::Container(container) = record.node(at).unwrap() {
                let words = container.len() * if container.kind == ContainerKind::Dict { 2 } else { 1 };
                pending.push((container.at as usize, container.at as usize + words));
            }
        }
    }
    assert_eq!(tags, (0..16).collect::<HashSet<u8>>(), "every kind of word is there");
    let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    // Slots, words, heap, then the record itself, as `docs/file-format.md` has them.
    assert_eq!(
        hex,
        "0100173019101e2020000a000f00000020003000310002006300e4003501a703180139015e011f007d022b0001002100\
         010041000100a401010005020200060024043c004a00010044030000808080808040000000000000f83f047465787406\
         09627974657305636c6173730609617272617902070000000000000009000000056f746865720077665544332211046e\
         616d6501000000000000000064ffffff0500000066ffffff21000000a0ffffff47000000"
    );
}

#[test]
fn the_bytes_of_a_record_that_takes_wide_words() {
    let filler = Value::Scalar(Scalar::Bytes(vec![7; 70_000].into()));
    let value = Value::Tuple(vec![filler, every_word()]);
    let mut places = Places { symbols_from: "s", ..Places::default() };
    let (bytes, _) = archive(value.draft().unwrap(), &mut places);
    assert_eq!((bytes.len(), xxh3_64(&bytes)), (70_426, 5_026_883_487_724_283_403));
}

fn leaf() -> impl Strategy<Value = Scalar<'static>> {
    prop_oneof![
        Just(Scalar::None),
        Just(Scalar::Ellipsis),
        any::<bool>().prop_map(Scalar::Bool),
        any::<i64>().prop_map(Scalar::Int),
        (-200_i64..200).prop_map(Scalar::Int),
        any::<u64>().prop_map(|bits| Scalar::Float(f64::from_bits(bits))),
        ".{0,12}".prop_map(|text| Scalar::Str(text.into())),
        "[ab]{100,300}".prop_map(|text| Scalar::Str(text.into())),
        vec(any::<u8>(), 0..200).prop_map(|bytes| Scalar::Bytes(bytes.into())),
        any::<[u8; 16]>().prop_map(Scalar::Uuid),
        Just(Scalar::SurrogateStr(b"\xed\xa0\x80".as_slice().into())),
        (any::<f64>(), any::<f64>()).prop_map(|(re, im)| Scalar::Complex { re, im }),
    ]
}

fn key() -> impl Strategy<Value = Key<'static>> {
    leaf().prop_map(Key::Scalar).prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Key::Tuple),
            vec(inner, 0..3).prop_map(|members| Key::FrozenSet(distinct(members))),
        ]
    })
}

/// The keys that Python would find different, the first ones.
fn distinct(keys: Vec<Key<'static>>) -> Vec<Key<'static>> {
    let mut seen = HashSet::new();
    keys.into_iter().filter(|key| seen.insert(ordered(key))).collect()
}

fn ordered(key: &Key<'_>) -> KeyBytes {
    let mut bytes = KeyBytes::new();
    key.encode_allowing_nan(&mut bytes).unwrap();
    bytes
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_map(Value::Scalar).prop_recursive(4, 80, 24, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::List),
            vec(inner.clone(), 0..4).prop_map(Value::Tuple),
            vec((key(), inner), 0..24).prop_map(|items| {
                let mut seen = HashSet::new();
                Value::Dict(items.into_iter().filter(|(key, _)| seen.insert(ordered(key))).collect())
            }),
            vec(key(), 0..24).prop_map(|members| Value::Set(distinct(members))),
            vec(key(), 0..24).prop_map(|members| Value::FrozenSet(distinct(members))),
        ]
    })
}

/// Looks at everything in a record that can be reached; answers how many nodes it met, of at most so many.
fn walk(record: RecordView<'_>, most: usize) -> Result<usize> {
    let mut met = 0;
    let mut pending = vec![record.root()];
    let mut seen = HashSet::new();
    while let Some(node) = pending.pop() {
        met += 1;
        match node? {
            Node::Str(text) => drop(text.to_str()),
            Node::Scalar(encoded) => drop(Scalar::decode(encoded)),
            Node::Container(container) if seen.insert(container) => {
                for index in 0..container.len().min(most) {
                    pending.push(record.item(container, index));
                    if container.kind == ContainerKind::Dict {
                        pending.push(record.value(container, index));
                    }
                }
                let probe = Probe { ordered: b"\x10", symbol: Some(0) };
                if !matches!(container.kind, ContainerKind::List | ContainerKind::Tuple) {
                    let _ = record.find(container, probe);
                }
            }
            _ => {}
        }
        if met > most {
            break;
        }
    }
    Ok(met)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn a_value_comes_back_as_it_was(value in value(), symbols in any::<bool>(), sharing in any::<bool>()) {
        prop_assume!(!matches!(value, Value::Scalar(_)));
        let symbols_from = if symbols { "a" } else { "" };
        let mut places = Places { symbols_from, sharing, ..Places::default() };
        let (bytes, has_shared) = archive(value.draft().unwrap(), &mut places);
        let record = RecordView::access(&bytes).unwrap();
        let back = ValueRef::new(&places, Stored::Record(record, &bytes)).unwrap().to_value().unwrap();
        prop_assert_eq!(&back, &value);
        prop_assert_eq!(record.id() != 0, record.slots() > 0, "what can change has an identity");
        prop_assert_eq!(has_shared, !record.named().unwrap().shared.is_empty());
    }

    #[test]
    fn damage_is_an_error_or_another_value_and_never_a_panic(
        value in value(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        prop_assume!(!matches!(value, Value::Scalar(_)));
        let mut places = Places { symbols_from: "a", sharing: true, ..Places::default() };
        let (mut bytes, _) = archive(value.draft().unwrap(), &mut places);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        if let Ok(record) = RecordView::access(&bytes) {
            let _ = walk(record, 10_000);
            let _ = record.named();
        }
    }
}

/// Members of every kind that can be one, none of which equals another.
fn members(count: usize) -> Vec<Key<'static>> {
    (0..count)
        .map(|number| {
            let small = i32::try_from(number).unwrap();
            let n = i64::from(small);
            match number % 7 {
                0 => text(&format!("key {n}")),
                1 => int(n),
                2 => float(f64::from(small) + 0.5),
                3 => Key::Tuple(vec![int(n), text("part")]),
                4 => Key::FrozenSet(vec![text("member"), int(n)]),
                5 => Key::Scalar(Scalar::Bytes(n.to_le_bytes().to_vec().into())),
                _ => text(&"long key ".repeat(20 + number)),
            }
        })
        .collect()
}

/// Other forms of a key that Python finds equal to it.
fn equals(key: &Key<'static>) -> Vec<Key<'static>> {
    let mut equals = vec![key.clone()];
    match key {
        Key::Scalar(Scalar::Int(value)) => equals.push(float(f64::from(i32::try_from(*value).unwrap()))),
        Key::Tuple(parts) => {
            let Key::Scalar(Scalar::Int(value)) = parts[0] else { panic!("as `members` makes them") };
            let value = f64::from(i32::try_from(value).unwrap());
            equals.push(Key::Tuple(vec![float(value), parts[1].clone()]));
        }
        Key::FrozenSet(parts) => equals.push(Key::FrozenSet(parts.iter().rev().cloned().collect())),
        Key::Scalar(_) => {}
    }
    equals
}

#[test]
fn each_member_is_found_where_it_stands_and_nothing_else_is() {
    for len in [0, 1, 2, 16, 17, 64, 65, 1000] {
        let mut all = members(len + 50);
        let absent = all.split_off(len);
        let dict = Value::Dict(all.iter().cloned().zip((0..).map(Value::from)).collect());
        for value in [dict, Value::Set(all.clone()), Value::FrozenSet(all.clone())] {
            for symbols_from in ["", "key 1", "key"] {
                let mut places = Places { symbols_from, ..Places::default() };
                let (bytes, _) = archive(value.draft().unwrap(), &mut places);
                let record = RecordView::access(&bytes).unwrap();
                let container = root(record);
                assert_eq!(container.len(), len);
                for (index, member) in all.iter().enumerate() {
                    for equal in equals(member) {
                        let found = find(&places, record, container, &equal).unwrap();
                        assert_eq!(found, Some(index), "{equal:?} of {len}");
                    }
                }
                for member in &absent {
                    assert_eq!(
                        find(&places, record, container, member).unwrap(),
                        None,
                        "{member:?} of {len}"
                    );
                }
            }
        }
    }
}

#[test]
fn numbers_are_found_by_any_number_that_equals_them() {
    for filler in [0, 30] {
        let mut all = vec![Key::Scalar(Scalar::Bool(true)), float(2.0), int(3), float(-0.0)];
        all.extend((100..100 + filler).map(int));
        let (bytes, _) = archive(Value::Set(all).draft().unwrap(), &mut Places::default());
        let record = RecordView::access(&bytes).unwrap();
        for (member, place) in [(int(1), 0), (float(1.0), 0), (int(2), 1), (float(3.0), 2), (int(0), 3)] {
            let found = find(&Places::default(), record, root(record), &member).unwrap();
            assert_eq!(found, Some(place), "{member:?}");
        }
        let absent = find(&Places::default(), record, root(record), &float(1.5)).unwrap();
        assert_eq!(absent, None);
    }
}

#[test]
fn a_nan_is_kept_bit_for_bit_but_never_found() {
    let nan = f64::from_bits(0x7ff8_0000_0000_1234);
    for filler in [0, 30] {
        let mut all = vec![float(nan), Key::Tuple(vec![float(nan)])];
        all.extend((0..filler).map(int));
        let value = Value::Set(all.clone());
        let (bytes, _) = archive(value.draft().unwrap(), &mut Places::default());
        let record = RecordView::access(&bytes).unwrap();
        let back =
            ValueRef::new(&Places::default(), Stored::Record(record, &bytes)).unwrap().to_value().unwrap();
        assert_eq!(back, value);
        for member in &all[..2] {
            assert_eq!(find(&Places::default(), record, root(record), member).unwrap(), None, "{member:?}");
        }
    }
}

/// Lists in lists, so many of them.
fn nested_lists(depth: usize) -> Draft {
    let mut builder = ValueBuilder::new();
    let (root, mut inner): (_, Block) = builder.list(1).unwrap();
    for _ in 1..depth {
        let (word, block) = builder.list(1).unwrap();
        builder.set_item(inner, 0, word);
        inner = block;
    }
    let end = builder.none();
    builder.set_item(inner, 0, end);
    builder.finish(root)
}

#[test]
fn depth_costs_no_stack() {
    const DEPTH: usize = 200_000;
    let places = &mut Places::default();
    let (bytes, _) = archive(nested_lists(DEPTH), places);
    let record = RecordView::access(&bytes).unwrap();
    assert_eq!(record.slots(), DEPTH);
    assert_eq!(walk(record, usize::MAX).unwrap(), DEPTH + 1);
    assert!(record.named().unwrap().shared.is_empty());
    let value = ValueRef::new(places, Stored::Record(record, &bytes)).unwrap();
    assert!(matches!(value.to_value(), Err(Error::TooLarge(_))), "what would recurse is refused");
}

#[test]
fn what_contains_itself_is_stored_once() {
    let mut builder = ValueBuilder::new();
    let (root_word, items) = builder.list(2).unwrap();
    let (dict, entries) = builder.dict(1).unwrap();
    builder.set_item(items, 0, root_word);
    builder.set_item(items, 1, dict);
    let name = builder.name("up", entries).unwrap();
    builder.set_item(entries, 0, name);
    builder.set_value(entries, 0, root_word);
    let (bytes, _) = archive(builder.finish(root_word), &mut Places::default());

    let record = RecordView::access(&bytes).unwrap();
    let list = root(record);
    assert_eq!(record.slots(), 2);
    assert!(matches!(record.item(list, 0).unwrap(), Node::Container(same) if same == list));
    let Node::Container(dict) = record.item(list, 1).unwrap() else { panic!("a dict") };
    assert!(matches!(record.value(dict, 0).unwrap(), Node::Container(same) if same == list));
    assert!(record.named().unwrap().shared.is_empty(), "a cycle ends the search");
}

#[test]
fn names_in_instances_may_be_symbols_unless_they_are_long() {
    let mut places = Places { symbols_from: "m", ..Places::default() };
    let long = format!("m{}", "x".repeat(64));
    let mut builder = ValueBuilder::new();
    let (root, elements) = builder.instance(4).unwrap();
    let class = builder.symbol("m:Class").unwrap();
    // One word may stand in several places.
    for (index, word) in [(0, class), (1, builder.symbol(&long).unwrap()), (2, class), (3, builder.none())] {
        builder.set_item(elements, index, word);
    }
    let (bytes, _) = archive(builder.finish(root), &mut places);
    let record = RecordView::access(&bytes).unwrap();
    let Node::Container(instance) = record.root().unwrap() else { panic!("not a container") };
    assert_eq!(instance.kind, ContainerKind::Instance);
    assert!(matches!(record.item(instance, 0).unwrap(), Node::Symbol(0)));
    assert!(
        matches!(record.item(instance, 1).unwrap(), Node::Str(text) if text.as_bytes() == long.as_bytes())
    );
    assert!(matches!(record.item(instance, 2).unwrap(), Node::Symbol(0)));
    assert_eq!(record.id(), 0);
}

#[test]
fn short_names_of_small_dicts_may_be_symbols_and_nothing_else() {
    let every = || Places { symbols_from: "k", ..Places::default() };
    let dict = |len: usize, name: &str| {
        Value::Dict(
            (0..len).map(|number| (text(&format!("{name}{number}")), Value::from("kvalue"))).collect(),
        )
    };
    for (value, symbols) in [
        (dict(64, "k"), 64),
        (dict(65, "k"), 0),
        (dict(1, &"k".repeat(63)), 1),
        (dict(1, &"k".repeat(64)), 0),
        (dict(1, "other"), 0),
        (Value::Set(vec![text("k")]), 0),
        (Value::Dict(vec![(Key::Tuple(vec![text("k")]), Value::NONE)]), 0),
    ] {
        let mut places = every();
        archive(value.draft().unwrap(), &mut places);
        assert_eq!(places.names.len(), symbols);
    }
}

#[test]
fn long_values_may_be_shared_but_members_stand_where_they_are_compared() {
    let long = "l".repeat(128);
    let bytes = Scalar::Bytes(vec![7; 200].into());
    let member = || Key::Tuple(vec![text(&long)]);
    for (value, shared) in [
        (Value::List(vec![Value::from(long.as_str()), Value::Scalar(bytes.clone())]), 2),
        (Value::List(vec![Value::from(&long[..127])]), 0),
        (Value::List(vec![Value::from(long.as_str()), Value::from(long.as_str())]), 1),
        (Value::Set(vec![text(&long), member(), Key::Scalar(bytes)]), 0),
        (Value::Dict(vec![(text(&long), Value::NONE), (member(), Value::NONE)]), 0),
    ] {
        let mut places = Places { sharing: true, ..Places::default() };
        let (bytes, has_shared) = archive(value.draft().unwrap(), &mut places);
        assert_eq!(places.shared.len(), shared);
        assert_eq!(has_shared, shared > 0);
        let record = RecordView::access(&bytes).unwrap();
        let back = ValueRef::new(&places, Stored::Record(record, &bytes)).unwrap().to_value().unwrap();
        assert_eq!(back, value);
    }
}

#[test]
fn a_text_that_comes_again_takes_no_more_room() {
    let size = |texts: &[&str]| {
        let items = texts.iter().map(|text| Value::from(*text)).collect();
        archive(Value::List(items).draft().unwrap(), &mut Places::default()).0.len()
    };
    let text = "not long, but longer than a word";
    assert!(size(&[text, text, text]) < size(&[text, "b", "c"]));
    let mut builder = ValueBuilder::new();
    let (word, _) = builder.list(0).unwrap();
    let first = builder.str(text, Role::Value).unwrap();
    assert_eq!(builder.str(text, Role::Member).unwrap(), first);
    drop(builder.finish(word));
}

/// A user's own types, with all that rkyv points with.
#[derive(Debug, Archive, Serialize)]
struct Person {
    name: String,
    nicknames: Vec<String>,
    born: Option<Box<i64>>,
    shape: Shape,
}

#[derive(Debug, Archive, Serialize)]
enum Shape {
    Round(f64),
    Named { flag: bool, letter: char, parts: Vec<(u8, String)> },
}

fn person() -> impl Strategy<Value = Person> {
    let shape = prop_oneof![
        any::<f64>().prop_map(Shape::Round),
        (any::<bool>(), any::<char>(), vec((any::<u8>(), ".{0,20}"), 0..5))
            .prop_map(|(flag, letter, parts)| Shape::Named { flag, letter, parts }),
    ];
    (".{0,30}", vec(".{0,12}", 0..6), prop::option::of(any::<i64>()), shape).prop_map(
        |(name, nicknames, born, shape)| Person { name, nicknames, born: born.map(Box::new), shape },
    )
}

/// Reads everything; what is no valid text, truth value or character would be undefined behaviour here.
fn read_all(person: &ArchivedPerson) -> usize {
    let nicknames: usize = person.nicknames.iter().map(|name| name.chars().count()).sum();
    let born = person.born.as_ref().map_or(0, |born| born.to_native().count_ones() as usize);
    let shape = match &person.shape {
        ArchivedShape::Round(radius) => usize::from(radius.to_native().is_nan()),
        ArchivedShape::Named { flag, letter, parts } => {
            let parts: usize = parts.iter().map(|part| usize::from(part.0) + part.1.chars().count()).sum();
            usize::from(*flag) + letter.to_native().len_utf8() + parts
        }
    };
    person.name.chars().count() + nicknames + born + shape
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn a_damaged_archive_is_refused_or_another_valid_one(
        person in person(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let bytes = rkyv::api::high::to_bytes_in::<_, rancor::BoxedError>(&person, Vec::new()).unwrap();
        let read = access::<ArchivedPerson>(&bytes).unwrap();
        prop_assert_eq!(read.name.as_str(), &person.name);
        let mut damaged = bytes.clone();
        for (at, byte) in damage {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        if let Some(cut) = cut {
            damaged.truncate(cut.index(bytes.len() + 1));
        }
        match access::<ArchivedPerson>(&damaged) {
            Ok(person) => drop(read_all(person)),
            Err(error) => prop_assert!(matches!(error, Error::Corrupted(_))),
        }
        // The type may be another one altogether.
        let _ = RecordView::access(&damaged).map(|record| record.words.len());
    }
}

/// As deep as one likes.
#[derive(Archive, Serialize)]
#[rkyv(
    serialize_bounds(__S: rkyv::ser::Writer, __S::Error: rancor::Source),
    bytecheck(bounds(__C: rkyv::validation::ArchiveContext, __C::Error: rancor::Source))
)]
struct Chain(#[rkyv(omit_bounds)] Option<Box<Chain>>);

#[test]
fn an_archive_is_validated_as_deep_as_the_stack_bears() {
    for (depth, valid) in
        [(10, true), (ARCHIVE_DEPTH - 10, true), (ARCHIVE_DEPTH + 10, false), (10_000, false)]
    {
        let chain = (0..depth).fold(Chain(None), |inner, _| Chain(Some(Box::new(inner))));
        let bytes = rkyv::api::high::to_bytes_in::<_, rancor::BoxedError>(&chain, Vec::new()).unwrap();
        assert_eq!(access::<ArchivedChain>(&bytes).is_ok(), valid, "{depth} deep");
    }
}
