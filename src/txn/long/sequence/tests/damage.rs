//! Damaged sequences give errors or other elements, and always an end.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::txn::long::packing::pack;

/// A tree with two levels of branches, and leaves of each kind.
fn sample() -> MemoryTables {
    let mut items: Vec<Item> = (0..300).map(|number| Item::Text(format!("{number:02100}"))).collect();
    items.extend((0..2000).map(Item::Int));
    items.extend((0..500).map(|bits| Item::Float(bits << 40)));
    items.extend((0..60).map(|number| {
        Item::Tuple(vec![
            Item::Int(number),
            Item::Shared(3),
            Item::Object(1),
            Item::FrozenSet((0..20).collect()),
        ])
    }));
    let mut tables = MemoryTables::default();
    create(&mut tables, place(1), ContainerKind::List, &elements(&items)).unwrap();
    tables
}

/// Does everything that can be done; answers whether the damage was noticed by the check.
fn use_all(tables: &MemoryTables) -> bool {
    let noticed = check(tables, place(1), &mut |_| Ok(())).is_err();
    let Ok(Some(header)) = header(tables, place(1)) else { return noticed };
    let mut index = 0;
    let mut reads = 0;
    while index < header.len
        && reads < 5000
        && let Ok((first, bytes)) = leaf(tables, place(1), &header, index)
        && let Ok(leaf) = Frame::decode(bytes).and_then(|frame| Leaf::open(&frame))
    {
        let _ = leaf.item((index - first) as usize);
        let _ = leaf.to_elements(0..leaf.len());
        index += (leaf.len() as u64 / 3).max(1);
        reads += 1;
    }
    let values = ints([1, 2, 3]);
    for at in (0..=20).map(|part| header.len / 20 * part) {
        let _ = splice(&mut tables.clone(), place(1), at, 0, &values);
        let _ = splice(&mut tables.clone(), place(1), at, (header.len - at).min(700), &values);
    }
    if header.len < 10_000 {
        let order: Vec<u64> = (0..header.len).rev().collect();
        let _ = permute(&mut tables.clone(), place(1), &order);
    }
    let _ = free(&mut tables.clone(), place(1));
    noticed
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn flipped_bytes_are_noticed_and_harmless(
        flips in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1..=255_u8), 1..4),
        branches_only in any::<bool>(),
    ) {
        let mut tables = sample();
        let keys: Vec<Vec<u8>> = tables
            .rows(Table::Objects)
            .iter()
            .filter(|(_, value)| !branches_only || matches!(value[1], 5 | 6))
            .map(|(key, _)| key.clone())
            .collect();
        let before = tables.clone();
        for (entry, byte, flip) in flips {
            let key = entry.get(&keys);
            let mut value = tables.rows(Table::Objects)[key].clone();
            *byte.get_mut(&mut value) ^= flip;
            tables.write(Table::Objects, key, &value).unwrap();
        }
        let same = before.rows(Table::Objects) == tables.rows(Table::Objects);
        prop_assert_eq!(use_all(&tables), !same);
    }
}

#[test]
fn branches_that_lead_to_each_other_end() {
    let tables = sample();
    let header = header(&tables, place(1)).unwrap().unwrap();
    assert_eq!(header.height, 3);
    let point_to = |children: &[Child], len: u64, height: u8| {
        let mut tables = tables.clone();
        let key = place(1).part(&header.root.to_be_bytes());
        tables.write(Table::Objects, &key, &node::encode_branch(children)).unwrap();
        tables.write(Table::Objects, place(1).header(), &Header { len, height, ..header }.encode()).unwrap();
        assert!(use_all(&tables));
    };
    let own = |len| Child { number: header.root, len };
    point_to(&[own(header.len)], header.len, 32);
    point_to(&[own(5); 166], 830, 32);
    point_to(&[own(1), own(1)], 2, 3);
    // Each branch has another one 166 times, so that there are billions of ways.
    let mut tables = tables.clone();
    for (number, power) in (1000..1010_u32).zip((0..10_u32).rev()) {
        let child = Child { number: number + 1, len: 30_u64.pow(power) };
        tables
            .write(Table::Objects, &place(1).part(&number.to_be_bytes()), &node::encode_branch(&[child; 30]))
            .unwrap();
    }
    let damaged = Header { len: 30_u64.pow(10), height: 11, root: 1000, ..header };
    tables.write(Table::Objects, place(1).header(), &damaged.encode()).unwrap();
    let leaf = packing_of_one();
    tables.write(Table::Objects, &place(1).part(&1010_u32.to_be_bytes()), &leaf).unwrap();
    assert!(use_all(&tables));
}

fn packing_of_one() -> Vec<u8> {
    let elements = ints([1]);
    let run = Run { source: elements.source().unwrap(), range: 0..1 };
    pack(ContainerKind::List, &[run]).unwrap().remove(0).frame
}

#[test]
fn entries_that_nothing_leads_to_are_found() {
    let mut tables = sample();
    tables.write(Table::Objects, &place(1).part(&99_999_u32.to_be_bytes()), &packing_of_one()).unwrap();
    assert!(check(&tables, place(1), &mut |_| Ok(())).is_err());
    let mut tables = sample();
    tables.write(Table::Objects, &place(1).part(&[1]), &packing_of_one()).unwrap();
    assert!(check(&tables, place(1), &mut |_| Ok(())).is_err());
}
