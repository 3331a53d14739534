//! Long sequences against a model, their shape and size, and damage.

mod damage;
mod model;
mod shape;

use super::*;
use crate::{
    format::{
        builder::{Role, ValueBuilder, part::Settled},
        copy::Placed,
        record::{Node, ObjectId, RecordView, Reference},
        word::Word,
    },
    store::MemoryTables,
    txn::long::elements::NoNames,
};

/// An element, owned.
#[derive(Clone, Debug, PartialEq)]
enum Item {
    None,
    Int(i64),
    /// The bits of a double.
    Float(u64),
    Text(String),
    Tuple(Vec<Self>),
    FrozenSet(Vec<i64>),
    Shared(u64),
    Object(u32),
    /// Becomes an object.
    List,
}

/// The record that all objects of the tests come from.
const RECORD: u64 = 77;

fn place(number: u32) -> Place {
    Place::new(ObjectId { record: 5, slot: number })
}

fn object(slot: u32) -> Reference {
    Reference { kind: ContainerKind::List, id: ObjectId { record: RECORD, slot } }
}

fn word(builder: &mut ValueBuilder, item: &Item) -> Result<Word> {
    match item {
        Item::None => Ok(builder.none()),
        Item::Int(value) => builder.int(*value),
        Item::Float(bits) => builder.float(f64::from_bits(*bits)),
        Item::Text(text) => builder.str(text, Role::Member),
        Item::Tuple(items) => {
            let (word, block) = builder.tuple(items.len())?;
            for (index, item) in items.iter().enumerate() {
                let word = self::word(builder, item)?;
                builder.set_item(block, index, word);
            }
            Ok(word)
        }
        Item::FrozenSet(members) => {
            let (word, block) = builder.frozenset(members.len())?;
            for (index, member) in members.iter().enumerate() {
                let word = builder.int(*member)?;
                builder.set_item(block, index, word);
                let mut ordered = crate::KeyBytes::new();
                crate::Key::Scalar(crate::Scalar::Int(*member)).encode(&mut ordered)?;
                builder.index(block, index, &ordered);
            }
            Ok(word)
        }
        Item::Shared(id) => builder.leaf(Node::Shared(*id)),
        Item::Object(slot) => builder.refer(object(*slot)),
        Item::List => Ok(builder.list(0)?.0),
    }
}

fn item(record: Option<RecordView<'_>>, node: Node<'_>) -> Item {
    match node {
        Node::None => Item::None,
        Node::Int(value) => Item::Int(value),
        Node::Float(value) => Item::Float(value.to_bits()),
        Node::Str(text) => Item::Text(text.to_str().unwrap().to_owned()),
        Node::Shared(id) => Item::Shared(id),
        Node::Object(reference) => {
            assert_eq!(reference, object(reference.id.slot));
            Item::Object(reference.id.slot)
        }
        Node::Container(container) => {
            let record = record.unwrap();
            let items =
                (0..container.len()).map(|index| item(Some(record), record.item(container, index).unwrap()));
            if container.kind == ContainerKind::Tuple {
                return Item::Tuple(items.collect());
            }
            let int = |item| if let Item::Int(value) = item { value } else { panic!("{item:?}") };
            Item::FrozenSet(items.map(int).collect())
        }
        other => panic!("{other:?}"),
    }
}

/// Elements as they come from the record of a value.
fn elements(items: &[Item]) -> Elements {
    let mut builder = ValueBuilder::of_record(1, Vec::new());
    let words: Vec<Word> = items.iter().map(|item| word(&mut builder, item).unwrap()).collect();
    let (root, block) = builder.tuple(items.len()).unwrap();
    for (index, word) in words.into_iter().enumerate() {
        builder.set_item(block, index, word);
    }
    let (archive, _) = builder.ended(root).archive(&mut Settled).unwrap();
    let record = RecordView::access(&archive).unwrap();
    let Node::Container(root) = record.root().unwrap() else { panic!("no tuple") };
    let nodes = (0..root.len()).map(|index| record.item(root, index));
    let made = Elements::of(record, nodes, &NoNames, &mut |builder, container| {
        builder.refer(object(container.slot().unwrap())).map(Placed::Elsewhere)
    });
    made.unwrap()
}

/// What has become of items that were stored.
fn stored(items: &[Item]) -> Vec<Item> {
    fn go(item: &Item, lists: &mut u32) -> Item {
        match item {
            Item::List => {
                *lists += 1;
                Item::Object(*lists - 1)
            }
            Item::Tuple(items) => Item::Tuple(items.iter().map(|item| go(item, lists)).collect()),
            other => other.clone(),
        }
    }
    let mut lists = 0;
    items.iter().map(|item| go(item, &mut lists)).collect()
}

fn ints(values: impl IntoIterator<Item = i64>) -> Elements {
    Elements::Ints(values.into_iter().collect())
}

fn read_leaf(bytes: &[u8]) -> Vec<Item> {
    let leaf = Leaf::open(&Frame::decode(bytes).unwrap()).unwrap();
    let record = if let Leaf::Mixed(record, _) = leaf { Some(record) } else { None };
    (0..leaf.len()).map(|index| item(record, leaf.item(index).unwrap())).collect()
}

/// All elements, found leaf by leaf, after everything was checked.
fn read(tables: &MemoryTables, place: Place) -> Vec<Item> {
    let mut visited = Vec::new();
    let parts = check(tables, place, &mut |leaf| {
        visited.extend(read_leaf(leaf));
        Ok(())
    });
    let own = tables.rows(Table::Objects).keys().filter(|key| key.starts_with(place.header())).count();
    assert_eq!(parts.unwrap(), own as u64);
    let header = header(tables, place).unwrap().unwrap();
    let mut found = Vec::new();
    while (found.len() as u64) < header.len {
        let (first, bytes) = leaf(tables, place, &header, found.len() as u64).unwrap();
        assert_eq!(first, found.len() as u64);
        found.extend(read_leaf(bytes));
    }
    assert!(leaf(tables, place, &header, header.len).is_err());
    assert_eq!(found, visited);
    found
}

/// The sizes of the leaves' frames, after everything was checked.
fn leaf_sizes(tables: &MemoryTables, place: Place) -> Vec<usize> {
    let mut sizes = Vec::new();
    check(tables, place, &mut |leaf| {
        sizes.push(leaf.len());
        Ok(())
    })
    .unwrap();
    sizes
}
