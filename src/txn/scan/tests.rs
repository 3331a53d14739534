//! Walks against a model, with long keys, bounds, both directions, and changes between the steps.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    Key, Scalar, Value,
    format::header::{HEADER_KEY, Header},
    store::MemoryTables,
    sync::Arc,
    txn::{entry::EntryKey, write::WriteState},
};

type State = WriteState<MemoryTables>;

/// Keys with two long beginnings, with ends that make them short enough to stand as they are and too long for that.
const KEYS: usize = 60;

fn key(number: usize) -> Key<'static> {
    let (begin, kind, end) = (["x", "y"][number % 2], number / 2 % 6, number / 12);
    Key::Scalar(Scalar::Str(
        match kind {
            0 => end.to_string(),
            1 => begin.repeat(490) + &end.to_string(),
            // One byte says that it is a text: from 493 bytes of text on the whole beginning is there.
            2 => begin.repeat(493 + end),
            3 => begin.repeat(493) + &"z".repeat(13 + end),
            4 => begin.repeat(600) + &end.to_string(),
            _ => begin.repeat(493) + "w" + &"v".repeat(200 * end),
        }
        .into(),
    ))
}

fn ordered(number: usize) -> KeyBytes {
    let mut bytes = KeyBytes::new();
    key(number).encode(&mut bytes).unwrap();
    bytes
}

fn put(state: &mut State, number: usize) {
    state.put(&EntryKey::new(&key(number)).unwrap(), Value::NONE.draft().unwrap()).unwrap();
}

fn bound() -> impl Strategy<Value = Bound<KeyBytes>> {
    prop_oneof![
        Just(Bound::Unbounded),
        (0..KEYS).prop_map(|number| Bound::Included(ordered(number))),
        (0..KEYS).prop_map(|number| Bound::Excluded(ordered(number))),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    Put(usize),
    Delete(usize),
    /// The entry that the walk was at last, as one does who empties a map.
    DeleteLast,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        4 => Just(Change::Nothing),
        1 => (0..KEYS).prop_map(Change::Put),
        3 => (0..KEYS).prop_map(Change::Delete),
        2 => Just(Change::DeleteLast),
    ];
    vec(change, 0..2 * KEYS)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn a_walk_meets_everything_that_stays_once_and_in_order(
        present in vec(0..KEYS, 0..50),
        span in (bound(), bound()),
        backward: bool,
        changes in changes(),
    ) {
        let tables = MemoryTables::new(HEADER_KEY, &Header::new([0; 16]).encode());
        let mut state = State::new(tables, Arc::default()).unwrap();
        let mut model = BTreeSet::new();
        for number in present {
            put(&mut state, number);
            model.insert(ordered(number));
        }
        let span = Span { lower: span.0, upper: span.1 };
        let direction = if backward { Direction::Backward } else { Direction::Forward };
        let mut scan = TableScan::new(span.clone(), direction);
        let mut stayed: BTreeSet<KeyBytes> = model.iter().filter(|key| span.contains(key)).cloned().collect();
        let mut met: Vec<KeyBytes> = Vec::new();
        let mut changes = changes.into_iter();
        while let Some((table_key, value)) = scan.next(state.tables()).unwrap() {
            let key = entry::ordered_of(table_key, value).unwrap();
            prop_assert!(model.contains(&key), "what was deleted is not met");
            prop_assert!(span.contains(&key));
            if let Some(last) = met.last() {
                prop_assert!(if backward { key < *last } else { key > *last }, "the order of the keys");
            }
            met.push(key.clone());
            let deleted = match changes.next().unwrap_or(Change::Nothing) {
                Change::Nothing => continue,
                Change::Put(number) => {
                    put(&mut state, number);
                    model.insert(ordered(number));
                    continue;
                }
                Change::Delete(number) => ordered(number),
                Change::DeleteLast => key,
            };
            prop_assert_eq!(state.delete(&deleted).unwrap(), model.remove(&deleted));
            if !met.contains(&deleted) {
                stayed.remove(&deleted);
            }
        }
        prop_assert!(scan.next(state.tables()).unwrap().is_none(), "a walk that has ended stays at its end");
        stayed.retain(|key| !met.contains(key));
        prop_assert!(stayed.is_empty(), "not met: {} of {}", stayed.len(), model.len());
    }
}
