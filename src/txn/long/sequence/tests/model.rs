//! Random changes of sequences, and of vectors beside them.

use proptest::{collection::vec, prelude::*};

use super::*;

/// What elements a test is about.
#[derive(Clone, Copy, Debug)]
enum Taste {
    Ints,
    Floats,
    Texts,
    /// So large that few have room in one leaf, and some in none.
    Large,
    All,
}

fn item_of(taste: Taste) -> BoxedStrategy<Item> {
    let ints = prop_oneof![0_i64..100, -70_000_i64..70_000, any::<i64>()].prop_map(Item::Int);
    let floats = any::<u64>().prop_map(Item::Float);
    let texts = "[a-z]{0,12}".prop_map(Item::Text);
    match taste {
        Taste::Ints => ints.boxed(),
        Taste::Floats => floats.boxed(),
        Taste::Texts => texts.boxed(),
        Taste::Large => {
            prop_oneof![500_usize..1200, 1900_usize..5000].prop_map(|len| Item::Text("x".repeat(len))).boxed()
        }
        Taste::All => {
            let frozen = (0_i64..40).prop_map(|len| Item::FrozenSet((0..len).collect()));
            let leaf = prop_oneof![
                4 => ints,
                2 => floats,
                4 => texts,
                1 => Just(Item::None),
                1 => Just(Item::List),
                1 => any::<u64>().prop_map(Item::Shared),
                1 => (100_u32..200).prop_map(Item::Object),
                1 => frozen,
            ];
            prop_oneof![6 => leaf.clone(), 1 => vec(leaf, 0..5).prop_map(Item::Tuple)].boxed()
        }
    }
}

/// Some items, made from a few different ones so that many don't take long to generate.
fn items(taste: Taste, most: usize) -> impl Strategy<Value = Vec<Item>> {
    let len = prop_oneof![3 => 0..5_usize, 1 => 0..=most];
    (vec(item_of(taste), 1..40), len, any::<bool>()).prop_map(|(few, len, by_turns)| {
        let times = if by_turns { 1 } else { 60 };
        (0..len).map(|index| few[index / times % few.len()].clone()).collect()
    })
}

#[derive(Clone, Debug)]
enum Step {
    /// At and how many in 1/1,000 of what is there; and how many at most.
    Splice {
        at: usize,
        remove: usize,
        insert: Vec<Item>,
    },
    Reverse,
    /// Puts every so-many-th element in front.
    Deal(usize),
}

fn step(taste: Taste, most: usize) -> impl Strategy<Value = Step> {
    let at = prop_oneof![2 => 0..1000_usize, 1 => Just(1000)];
    let remove = prop_oneof![2 => Just(0), 3 => 0..10_usize, 2 => 0..4000_usize];
    let other = prop_oneof![9 => Just(taste), 1 => Just(Taste::All)];
    prop_oneof![
        12 => (at, remove, other.prop_flat_map(move |taste| items(taste, most)))
            .prop_map(|(at, remove, insert)| Step::Splice { at, remove, insert }),
        1 => Just(Step::Reverse),
        1 => (1..5_usize).prop_map(Step::Deal),
    ]
}

fn scenario(most: usize) -> impl Strategy<Value = (Vec<Item>, Vec<Step>)> {
    let taste = prop_oneof![
        Just(Taste::Ints),
        Just(Taste::Floats),
        Just(Taste::Texts),
        Just(Taste::Large),
        Just(Taste::All)
    ];
    taste.prop_flat_map(move |taste| {
        let most = if matches!(taste, Taste::Large) { most / 5 } else { most };
        (items(taste, most), vec(step(taste, most), 1..12))
    })
}

fn run(tables: &mut MemoryTables, model: &mut Vec<Item>, step: &Step) {
    let order: Vec<u64> = match step {
        Step::Splice { at, remove, insert } => {
            let at = model.len() * at / 1000;
            let remove = (*remove).min(model.len() - at);
            splice(tables, place(1), at as u64, remove as u64, &elements(insert)).unwrap();
            model.splice(at..at + remove, stored(insert));
            return;
        }
        Step::Reverse => (0..model.len() as u64).rev().collect(),
        Step::Deal(hands) => {
            (0..*hands as u64).flat_map(|hand| (hand..model.len() as u64).step_by(*hands)).collect()
        }
    };
    permute(tables, place(1), &order).unwrap();
    *model = order.iter().map(|from| model[*from as usize].clone()).collect();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn a_list_is_what_a_vector_is((begin, steps) in scenario(3000)) {
        let mut tables = MemoryTables::default();
        // What stands before and behind it in the table stays as it is.
        create(&mut tables, place(0), ContainerKind::List, &ints(0..1000)).unwrap();
        create(&mut tables, place(2), ContainerKind::List, &ints(0..1000)).unwrap();
        create(&mut tables, place(1), ContainerKind::List, &elements(&begin)).unwrap();
        let mut model = stored(&begin);
        prop_assert_eq!(&read(&tables, place(1)), &model);
        for (number, step) in steps.iter().enumerate() {
            let before = header(&tables, place(1)).unwrap().unwrap().changes;
            run(&mut tables, &mut model, step);
            prop_assert_eq!(&read(&tables, place(1)), &model, "step {}", number);
            let after = header(&tables, place(1)).unwrap().unwrap();
            prop_assert_eq!(after.len, model.len() as u64);
            prop_assert!(after.changes - before <= 1);
        }
        free(&mut tables, place(1)).unwrap();
        prop_assert!(header(&tables, place(1)).unwrap().is_none());
        prop_assert_eq!(read(&tables, place(0)).len(), 1000);
        prop_assert_eq!(read(&tables, place(2)).len(), 1000);
        free(&mut tables, place(0)).unwrap();
        free(&mut tables, place(2)).unwrap();
        prop_assert!(tables.rows(Table::Objects).is_empty());
    }

    #[test]
    fn a_byte_array_is_what_a_vector_is(
        begin in vec(any::<u8>(), 0..9000),
        steps in vec((any::<prop::sample::Index>(), 0..4000_usize, vec(any::<u8>(), 0..3000)), 1..12),
    ) {
        let mut tables = MemoryTables::default();
        create(&mut tables, place(1), ContainerKind::ByteArray, &Elements::Bytes(begin.clone())).unwrap();
        let mut model = begin;
        for (at, remove, insert) in steps {
            let at = at.index(model.len() + 1);
            let remove = remove.min(model.len() - at);
            splice(&mut tables, place(1), at as u64, remove as u64, &Elements::Bytes(insert.clone())).unwrap();
            model.splice(at..at + remove, insert);
            let as_items: Vec<Item> = model.iter().map(|byte| Item::Int(i64::from(*byte))).collect();
            prop_assert_eq!(read(&tables, place(1)), as_items);
        }
        let order: Vec<u64> = (0..model.len() as u64).rev().collect();
        permute(&mut tables, place(1), &order).unwrap();
        model.reverse();
        let as_items: Vec<Item> = model.iter().map(|byte| Item::Int(i64::from(*byte))).collect();
        prop_assert_eq!(read(&tables, place(1)), as_items);
    }
}

#[test]
fn a_tree_of_three_levels_of_branches_is_changed_across_all_of_them() {
    // One element has no room beside another, so that 28,000 of them are 28,000 leaves.
    let text = |number: usize| Item::Text(format!("{number:02100}"));
    let mut model: Vec<Item> = (0..28_000).map(text).collect();
    let mut tables = MemoryTables::default();
    create(&mut tables, place(1), ContainerKind::List, &elements(&model)).unwrap();
    assert_eq!(header(&tables, place(1)).unwrap().unwrap().height, 4);
    assert_eq!(read(&tables, place(1)), model);
    for (at, remove, insert) in [
        (13_000, 2, 0),
        (100, 400, 3),
        (166, 166, 166),
        (0, 1, 0),
        (5000, 9000, 1),
        (200, 0, 2000),
        (1, 15_000, 0),
    ] {
        let insert: Vec<Item> = (30_000..30_000 + insert).map(text).collect();
        splice(&mut tables, place(1), at as u64, remove as u64, &elements(&insert)).unwrap();
        model.splice(at..at + remove, insert);
        assert_eq!(read(&tables, place(1)), model);
    }
    splice(&mut tables, place(1), 10, model.len() as u64 - 20, &Elements::NONE).unwrap();
    model.drain(10..model.len() - 10);
    assert_eq!(read(&tables, place(1)), model);
    assert!(header(&tables, place(1)).unwrap().unwrap().height < 4);
}

#[test]
fn a_list_that_several_elements_hold_is_asked_for_once() {
    let mut builder = ValueBuilder::of_record(1, Vec::new());
    let (list, _) = builder.list(0).unwrap();
    let (root, block) = builder.tuple(3).unwrap();
    let (inner, inner_block) = builder.tuple(1).unwrap();
    builder.set_item(inner_block, 0, list);
    for (index, word) in [list, inner, list].into_iter().enumerate() {
        builder.set_item(block, index, word);
    }
    let (archive, _) = builder.ended(root).archive(&mut Settled).unwrap();
    let record = RecordView::access(&archive).unwrap();
    let Node::Container(root) = record.root().unwrap() else { panic!("no tuple") };
    let mut asked = 0;
    let nodes = (0..root.len()).map(|index| record.item(root, index));
    let elements = Elements::of(record, nodes, &NoNames, &mut |builder, container| {
        asked += 1;
        builder.refer(object(container.slot().unwrap())).map(Placed::Elsewhere)
    });
    assert_eq!(asked, 1);
    let mut tables = MemoryTables::default();
    create(&mut tables, place(1), ContainerKind::List, &elements.unwrap()).unwrap();
    let list = Item::Object(0);
    assert_eq!(read(&tables, place(1)), [list.clone(), Item::Tuple(vec![list.clone()]), list]);
}

#[test]
fn a_byte_array_refuses_what_is_no_byte() {
    let mut tables = MemoryTables::default();
    create(&mut tables, place(1), ContainerKind::ByteArray, &Elements::NONE).unwrap();
    splice(&mut tables, place(1), 0, 0, &ints([1, 255])).unwrap();
    for wrong in [ints([256]), ints([-1]), elements(&[Item::None])] {
        assert!(matches!(splice(&mut tables, place(1), 1, 0, &wrong), Err(Error::Unsupported(_))));
    }
    assert_eq!(read(&tables, place(1)), [Item::Int(1), Item::Int(255)]);
}
