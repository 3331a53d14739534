//! Patches against records that are built anew: any leaf in the place of any other.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::format::{
    builder::{Placement, Role, ValueBuilder},
    record::{Container, Node},
};

/// Gives no symbols, and shares nothing.
struct Nothing;

impl Placement for Nothing {
    fn symbol(&mut self, _: &str) -> Result<Option<u32>> {
        Ok(None)
    }

    fn share(&mut self, _: &[u8]) -> Result<Option<u64>> {
        Ok(None)
    }

    fn record_id(&mut self) -> u64 {
        7
    }
}

/// The payload of a list of these leaves and of a tuple of them all once more, so that texts stand in several places.
fn payload(leaves: &[Scalar<'_>], wide: bool) -> Vec<u8> {
    let mut builder = ValueBuilder::new();
    let more = usize::from(wide) * 5000;
    let (root, block) = builder.list(leaves.len() + 1).unwrap();
    let (inner, twin) = builder.tuple(leaves.len() + more).unwrap();
    for (index, leaf) in leaves.iter().enumerate() {
        let word = builder.scalar(leaf, Role::Value).unwrap();
        builder.set_item(block, index, word);
        let word = builder.scalar(leaf, Role::Value).unwrap();
        builder.set_item(twin, index, word);
    }
    builder.set_item(block, leaves.len(), inner);
    builder.ended(root).archive(&mut Nothing).unwrap().0
}

fn encoded(leaf: &Scalar<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    leaf.encode(&mut bytes);
    bytes
}

/// What an element is, encoded.
fn found(record: RecordView<'_>, container: Container, index: usize) -> Vec<u8> {
    encoded(&match record.item(container, index).unwrap() {
        Node::None => Scalar::None,
        Node::Ellipsis => Scalar::Ellipsis,
        Node::Bool(value) => Scalar::Bool(value),
        Node::Int(value) => Scalar::Int(value),
        Node::Float(value) => Scalar::Float(value),
        Node::Str(text) => Scalar::Str(text.to_str().unwrap().into()),
        Node::Scalar(bytes) => Scalar::decode(bytes).unwrap(),
        other => panic!("{other:?} is no leaf"),
    })
}

fn leaf() -> impl Strategy<Value = Scalar<'static>> {
    prop_oneof![
        Just(Scalar::None),
        Just(Scalar::Ellipsis),
        any::<bool>().prop_map(Scalar::Bool),
        (-3..3_i64).prop_map(Scalar::Int),
        any::<i64>().prop_map(Scalar::Int),
        (0..60_u32, any::<bool>()).prop_map(|(bits, sign)| {
            let value = 1_i64 << bits;
            Scalar::Int(if sign { -value } else { value })
        }),
        any::<f64>().prop_map(Scalar::Float),
        Just(Scalar::Float(f64::from_bits(0x7ff8_0000_0000_0001))),
        "[ab]{0,3}".prop_map(|text| Scalar::Str(text.into())),
        "[a-z]{0,150}".prop_map(|text| Scalar::Str(text.into())),
        vec(any::<u8>(), 0..40).prop_map(|bytes| Scalar::Bytes(bytes.into())),
        // The stored forms of these two are the same bytes.
        Just(Scalar::Bytes(b"ab"[..].into())),
        Just(Scalar::Str("\tab".into())),
        (any::<f64>(), any::<f64>()).prop_map(|(re, im)| Scalar::Complex { re, im }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn every_leaf_may_take_the_place_of_every_other(
        mut leaves in vec(leaf(), 1..30),
        steps in vec((any::<prop::sample::Index>(), leaf()), 1..60),
        wide in prop::bool::weighted(0.1),
    ) {
        let before: Vec<Vec<u8>> = leaves.iter().map(encoded).collect();
        let mut bytes = payload(&leaves, wide);
        let compact = bytes.len();
        for (at, new) in steps {
            let at = at.index(leaves.len());
            let container = RecordView::access(&bytes).unwrap().root_container().unwrap();
            let mut patched = bytes.clone();
            let mut patch = Patch::new(&mut patched).unwrap();
            if !patch.replace(container.word_at(at), &encoded(&new)).unwrap() {
                // What is built anew has to have the leaf, and is the same in all else.
                prop_assert!(encoded(&new).len() > 8 || matches!(new, Scalar::Int(_) | Scalar::Float(_) | Scalar::Str(_) | Scalar::Bytes(_)));
                continue;
            }
            if let Some(grown) = patch.grown().unwrap() {
                prop_assert!(grown.len() > bytes.len());
                patched = grown;
            }
            prop_assert!(patched.len() < compact + GRAIN);
            bytes = patched;
            leaves[at] = new;
            let record = RecordView::access(&bytes).unwrap();
            prop_assert_eq!(record.id(), 7);
            prop_assert_eq!(record.words.wide, wide);
            let list = record.root_container().unwrap();
            prop_assert_eq!(list, container);
            let Node::Container(twin) = record.item(list, leaves.len()).unwrap() else {
                panic!("the tuple is gone");
            };
            for (index, leaf) in leaves.iter().enumerate() {
                prop_assert_eq!(&found(record, list, index), &encoded(leaf));
                prop_assert_eq!(&found(record, twin, index), &before[index]);
            }
        }
    }

    #[test]
    fn damage_is_found_or_does_no_harm(
        leaves in vec(leaf(), 1..10),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        at in 0..40_usize,
        new in leaf(),
    ) {
        let mut bytes = payload(&leaves, false);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let patched = Patch::new(&mut bytes).and_then(|mut patch| {
            let is_patched = patch.replace(at, &encoded(&new))?;
            if is_patched { patch.grown() } else { Ok(None) }
        });
        if let Err(error) = patched {
            prop_assert!(matches!(error, Error::Corrupted(_)), "{error}");
        }
    }
}

/// Puts a leaf in the place of another; answers how many bytes were added to the heap for it.
fn added(bytes: &mut [u8], at: usize, new: &Scalar<'_>) -> usize {
    let container = RecordView::access(bytes).unwrap().root_container().unwrap();
    let mut patch = Patch::new(bytes).unwrap();
    assert!(patch.replace(container.word_at(at), &encoded(new)).unwrap());
    patch.more.len()
}

#[test]
fn what_has_room_stays_where_it_is() {
    // The first bytes of a heap are left alone where a length looks like what refers to them.
    let leaves = [Scalar::Str("first".into()), Scalar::Float(1.0), Scalar::Int(1 << 40), Scalar::None];
    let mut bytes = payload(&leaves, false);
    assert_eq!(added(&mut bytes, 1, &Scalar::Float(2.5)), 0);
    assert_eq!(added(&mut bytes, 2, &Scalar::Int(-(1 << 40))), 0);
    assert_eq!(added(&mut bytes, 3, &Scalar::Int(5)), 0);
    assert_eq!(added(&mut bytes, 3, &Scalar::Float(2.5)), 8);
}

#[test]
fn what_has_shrunk_has_no_more_room_than_it_takes() {
    let mut bytes = payload(&[Scalar::Str("first".into()), Scalar::Float(1.0)], false);
    assert_eq!(added(&mut bytes, 1, &Scalar::Str("hello".into())), 0);
    assert_eq!(added(&mut bytes, 1, &Scalar::Str("hallo".into())), 0);
    assert_eq!(added(&mut bytes, 1, &Scalar::Float(2.5)), 8);
}

#[test]
fn a_text_that_stands_in_two_places_is_left_alone() {
    let mut bytes = payload(&[Scalar::Str("hello".into())], false);
    assert_eq!(added(&mut bytes, 0, &Scalar::Str("hallo".into())), 6);
    // The stored form of a leaf may be the bytes of a text.
    let mut bytes = payload(&[Scalar::Str("\tab".into()), Scalar::Bytes(b"ab"[..].into())], false);
    assert_eq!(added(&mut bytes, 1, &Scalar::Bytes(b"cd"[..].into())), 4);
}

#[test]
fn a_heap_that_has_grown_much_is_built_anew() {
    let mut bytes = payload(&[Scalar::None], false);
    let mut grown = 0;
    let long = encoded(&Scalar::Str("x".repeat(100).into()));
    loop {
        let container = RecordView::access(&bytes).unwrap().root_container().unwrap();
        let mut patch = Patch::new(&mut bytes).unwrap();
        assert!(patch.replace(container.word_at(0), &encoded(&Scalar::None)).unwrap());
        if !patch.replace(container.word_at(0), &long).unwrap() {
            break;
        }
        bytes = patch.grown().unwrap().unwrap();
        grown += 1;
    }
    assert_eq!(grown, 2);
}
