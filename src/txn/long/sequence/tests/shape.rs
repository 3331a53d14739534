//! How full nodes are, how much is written, and how large it all is.

use super::*;

/// A generator of numbers that is the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn list(elements: &Elements) -> MemoryTables {
    let mut tables = MemoryTables::default();
    create(&mut tables, place(1), ContainerKind::List, elements).unwrap();
    tables
}

fn len(tables: &MemoryTables) -> u64 {
    header(tables, place(1)).unwrap().unwrap().len
}

fn insert(tables: &mut MemoryTables, at: u64, elements: &Elements) {
    splice(tables, place(1), at, 0, elements).unwrap();
}

/// How much of its leaves a sequence uses, in percent.
fn fill(tables: &MemoryTables) -> usize {
    let sizes = leaf_sizes(tables, place(1));
    sizes.iter().sum::<usize>() / (sizes.len() * 20)
}

#[test]
fn appended_elements_fill_their_leaves_and_write_little() {
    let mut tables = list(&Elements::NONE);
    for value in 0..200_000 {
        insert(&mut tables, value, &ints([value.cast_signed()]));
    }
    let leaves = leaf_sizes(&tables, place(1));
    assert!(leaves.iter().rev().skip(1).all(|size| *size > 1990), "{leaves:?}");
    let expected: Vec<Item> = (0..200_000).map(Item::Int).collect();
    assert_eq!(read(&tables, place(1)), expected);
    // The last leaf, the header, and a branch of each level: there are two of them from 166 * 992 elements on.
    assert!(tables.puts(Table::Objects) < 640_000, "{}", tables.puts(Table::Objects));
}

#[test]
fn appended_texts_fill_their_leaves() {
    let mut tables = list(&Elements::NONE);
    for number in 0..20_000 {
        insert(&mut tables, number, &elements(&[Item::Text(format!("text {number}"))]));
    }
    assert!(fill(&tables) > 98, "{}", fill(&tables));
    assert_eq!(read(&tables, place(1))[19_999], Item::Text("text 19999".into()));
}

#[test]
fn elements_inserted_in_order_fill_their_leaves() {
    for (at, step) in [(0, 0), (5000, 1), (5000, 0), (9999, 1)] {
        let mut tables = list(&ints(0..10_000));
        for number in 0..20_000_u64 {
            insert(&mut tables, at + number * step, &ints([number.cast_signed()]));
        }
        assert!(fill(&tables) > 90, "at {at}, then {step} further: {}", fill(&tables));
    }
}

#[test]
fn no_pattern_of_insertions_leaves_many_leaves_empty() {
    // Each is how much further an insertion is than the last one, over and over.
    let patterns: [&[u64]; 6] = [&[2], &[0, 2], &[0, 0, 3], &[1, 3], &[7, 0, 0, 0, 0], &[500, 0, 1]];
    for pattern in patterns {
        let mut tables = list(&ints(0..30_000));
        let mut at = 1;
        for step in pattern.iter().cycle().take(20_000) {
            at = (at + step) % len(&tables);
            insert(&mut tables, at, &ints([1]));
        }
        assert!(fill(&tables) > 50, "{pattern:?}: {}", fill(&tables));
    }
}

#[test]
fn a_million_elements_stay_in_shape_under_random_changes() {
    let mut tables = list(&ints(0..1_000_000));
    let mut model: Vec<i64> = (0..1_000_000).collect();
    let mut dice = Dice(1);
    for round in 0..1000 {
        let at = dice.below(model.len() as u64);
        if round % 2 == 0 {
            insert(&mut tables, at, &ints([-round]));
            model.insert(at as usize, -round);
        } else {
            splice(&mut tables, place(1), at, 1, &Elements::NONE).unwrap();
            model.remove(at as usize);
        }
        if round % 250 == 0 {
            assert!(fill(&tables) > 50);
        }
    }
    let found: Vec<i64> = read(&tables, place(1))
        .into_iter()
        .map(|item| if let Item::Int(value) = item { value } else { panic!("{item:?}") })
        .collect();
    assert_eq!(found, model);
}

#[test]
fn what_is_deleted_leaves_no_empty_leaves() {
    let mut tables = list(&ints(0..300_000));
    let mut dice = Dice(2);
    while len(&tables) > 3000 {
        let at = dice.below(len(&tables) - 3);
        splice(&mut tables, place(1), at, 3, &Elements::NONE).unwrap();
    }
    assert!(fill(&tables) > 25, "{}", fill(&tables));
    assert!(leaf_sizes(&tables, place(1)).len() < 15);
    // From the front, as a queue does.
    while len(&tables) > 0 {
        splice(&mut tables, place(1), 0, 1, &Elements::NONE).unwrap();
    }
    assert_eq!(tables.rows(Table::Objects).len(), 1);
    assert_eq!(header(&tables, place(1)).unwrap().unwrap().height, 0);
}

#[test]
fn what_is_deleted_leaves_no_empty_branches() {
    let texts: Vec<Item> = (0..10_000).map(|number| Item::Text(format!("{number:02100}"))).collect();
    let mut tables = list(&elements(&texts));
    let mut dice = Dice(3);
    while len(&tables) > 600 {
        let at = dice.below(len(&tables));
        splice(&mut tables, place(1), at, 1, &Elements::NONE).unwrap();
    }
    let parts = check(&tables, place(1), &mut |_| Ok(())).unwrap();
    // The header and 600 leaves besides.
    assert!(parts < 601 + 20, "{parts}");
}

#[test]
fn a_queue_stays_small() {
    let mut tables = list(&ints(0..5000));
    for value in 0..50_000 {
        insert(&mut tables, 5000, &ints([value]));
        splice(&mut tables, place(1), 0, 1, &Elements::NONE).unwrap();
    }
    assert!(leaf_sizes(&tables, place(1)).len() < 12, "{:?}", leaf_sizes(&tables, place(1)));
    let expected: Vec<Item> = (45_000..50_000).map(Item::Int).collect();
    assert_eq!(read(&tables, place(1)), expected);
}

#[test]
fn ints_are_packed() {
    let tables = list(&ints(0..1_000_000));
    let bytes: usize = tables.rows(Table::Objects).values().map(Vec::len).sum();
    assert!(bytes < 2_100_000, "{bytes}");
    let keys = tables.rows(Table::Objects).len();
    assert!(keys < 1020, "{keys}");
}

#[test]
fn one_other_element_changes_one_leaf() {
    let mut tables = list(&ints(0..100_000));
    let before = tables.rows(Table::Objects).clone();
    splice(&mut tables, place(1), 50_000, 1, &elements(&[Item::None])).unwrap();
    let mut expected: Vec<Item> = (0..100_000).map(Item::Int).collect();
    expected[50_000] = Item::None;
    assert_eq!(read(&tables, place(1)), expected);
    let changed =
        tables.rows(Table::Objects).iter().filter(|(key, value)| before.get(*key) != Some(*value)).count();
    // The header, a branch, and what was one leaf.
    assert!(changed <= 2 + 4, "{changed}");
    splice(&mut tables, place(1), 50_000, 1, &ints([50_000])).unwrap();
    expected[50_000] = Item::Int(50_000);
    assert_eq!(read(&tables, place(1)), expected);
}

#[test]
fn millions_of_elements_go_in_at_once_and_out_again() {
    let mut tables = list(&ints(0..100));
    insert(&mut tables, 50, &ints(0..2_000_000));
    assert_eq!(len(&tables), 2_000_100);
    assert!(fill(&tables) >= 99);
    splice(&mut tables, place(1), 50, 2_000_000, &Elements::NONE).unwrap();
    let expected: Vec<Item> = (0..100).map(Item::Int).collect();
    assert_eq!(read(&tables, place(1)), expected);
    assert_eq!(tables.rows(Table::Objects).len(), 2);
}

#[test]
fn node_numbers_begin_again_behind_the_last() {
    let mut tables = list(&ints(0..10_000));
    let mut found = header(&tables, place(1)).unwrap().unwrap();
    found.next = u32::MAX - 1;
    tables.write(Table::Objects, place(1).header(), &found.encode()).unwrap();
    insert(&mut tables, 10_000, &ints(10_000..20_000));
    let expected: Vec<Item> = (0..20_000).map(Item::Int).collect();
    assert_eq!(read(&tables, place(1)), expected);
}

#[test]
fn a_change_of_nothing_writes_nothing() {
    let mut tables = list(&ints(0..1000));
    let puts = tables.puts(Table::Objects);
    splice(&mut tables, place(1), 1000, 0, &Elements::NONE).unwrap();
    assert_eq!(tables.puts(Table::Objects), puts);
}

#[test]
fn the_bytes_are_those_of_the_file_format() {
    let payload = |tables: &MemoryTables, key: &[u8]| {
        let stored = &tables.rows(Table::Objects)[key];
        Frame::decode(stored).unwrap().payload.to_vec()
    };
    let mut tables = list(&ints([-1, 300]));
    insert(&mut tables, 2, &ints([7]));
    let key = [0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1];
    let header = [&[0, 3][..], &[0; 7], &[1], &[0; 7], &[1, 0, 0, 0, 1, 0, 0, 0, 0]].concat();
    assert_eq!(payload(&tables, &key), header);
    let leaf = [&[2][..], &[0xff; 8], &[0, 0, 0x2d, 1, 8, 0]].concat();
    assert_eq!(payload(&tables, &[&key[..], &[0; 4]].concat()), leaf);
    // 992 of them fill a leaf.
    let tables = list(&ints(0..1000));
    let branch = [&[0, 0, 0, 0, 0xe0, 3, 0, 0, 0, 0, 0, 0][..], &[1, 0, 0, 0, 0xe8, 3, 0, 0, 0, 0, 0, 0]];
    assert_eq!(payload(&tables, &[&key[..], &[0, 0, 0, 2]].concat()), branch.concat());
}
