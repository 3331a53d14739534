//! Damaged long dicts and sets, which give errors or other members, and never a panic.

use super::*;

#[test]
fn each_flipped_bit_gives_errors_or_other_members_and_no_panic() {
    for kind in [ContainerKind::Dict, ContainerKind::Set] {
        let mut bed = Bed::new(kind);
        let mut keys: Vec<_> =
            (0..60).map(int).chain((0..30).map(|n| text(&n.to_string().repeat(9)))).collect();
        keys.push(Key::Tuple(vec![int(1), text("t")]));
        keys.push(Key::FrozenSet((0..20).map(int).collect()));
        for key in &keys {
            bed.insert(key, &Value::Tuple(vec![Value::from("value"), Value::from(1.5)]));
        }
        bed.check();
        let rows: Vec<_> = bed.tables.rows(Table::Objects).clone().into_iter().collect();
        for (at, (key, stored)) in rows.iter().filter(|(key, _)| key.starts_with(here().header())).enumerate()
        {
            for bit in 0..stored.len() * 8 {
                if stored.len() > 100 && (bit + at) % 5 > 0 {
                    continue;
                }
                let mut damaged = bed.tables.clone();
                let mut bytes = stored.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                damaged.put(Table::Objects, key, &bytes).unwrap();
                assert!(check(&damaged, here(), &mut |_| Ok(())).is_err(), "bit {bit} of {key:02x?}");
                use_it(Bed { tables: damaged, kind }, &keys);
            }
        }
        // Parts that are gone, or that don't belong there.
        for (key, stored) in rows.iter().filter(|(key, _)| key.starts_with(here().header())) {
            let mut damaged = bed.tables.clone();
            damaged.erase(Table::Objects, key).unwrap();
            assert!(check(&damaged, here(), &mut |_| Ok(())).is_err());
            use_it(Bed { tables: damaged, kind }, &keys);
            for other in [&part(ORDER, 45)[..], &part(INDEX, 45), &part(3, 0), &[1]] {
                let mut damaged = bed.tables.clone();
                damaged.put(Table::Objects, &here().part(other), stored).unwrap();
                assert!(check(&damaged, here(), &mut |_| Ok(())).is_err());
                use_it(Bed { tables: damaged, kind }, &keys);
            }
        }
    }
}

/// Does everything with a damaged table.
fn use_it(bed: Bed, keys: &[Key<'_>]) {
    let Bed { mut tables, kind } = bed;
    let _ = (walk(&tables, false), walk(&tables, true));
    let world = World::default();
    for key in [&keys[0], &keys[45], &keys[keys.len() - 1]] {
        let ordered = ordered(key);
        if let Ok(Some(found)) = find(&tables, here(), &ordered) {
            let _ = found.open().and_then(|chunk| read(&chunk, found.position));
        }
        let items = items(kind, &mut World::default(), &[((*key).clone().into_owned(), Value::from("new"))]);
        let record = RecordView::access(&items).unwrap();
        let (key, value) = members(record).next().unwrap().unwrap();
        let member = Member { ordered: &ordered, key, value };
        let _ = insert(&mut tables, here(), record, &world, member, &mut elsewhere);
        let _ = (remove(&mut tables, here(), &ordered), remove_at(&mut tables, here(), 50));
        let _ = extend(&mut tables, here(), record, &world, members(record), &mut elsewhere);
    }
    let _ = clear(&mut tables, here());
    free(&mut tables, here()).unwrap();
    assert_eq!(tables.rows(Table::Objects).len(), 4);
}

/// Something done to a sound table, with checksums that are right.
type Harm<'h> = Box<dyn Fn(&mut MemoryTables) + 'h>;

#[test]
fn check_sees_what_no_checksum_shows() {
    let header_with = |change: fn(&mut Header)| {
        move |tables: &mut MemoryTables| {
            let mut header = header(tables, here()).unwrap().unwrap();
            change(&mut header);
            tables.put(Table::Objects, here().header(), &header.encode()).unwrap();
        }
    };
    let flagged = |tables: &mut MemoryTables, key: &[u8], has_shared: bool, has_links: bool| {
        let stored = tables.get(Table::Objects, key).unwrap().unwrap().to_vec();
        let frame = Frame { has_shared, has_links, ..Frame::decode(&stored).unwrap() };
        tables.put(Table::Objects, key, &frame.encode()).unwrap();
    };
    let bucket_with = |tables: &mut MemoryTables, key: &Key<'_>, seqs: &[u64]| {
        let key = bucket::key(here(), hash(&ordered(key)));
        tables.put(Table::Objects, &key, &bucket::encode(seqs)).unwrap();
    };
    let first = here().part(&part(ORDER, 0));
    let harms: Vec<Harm<'_>> = vec![
        Box::new(header_with(|header| header.len += 1)),
        Box::new(header_with(|header| header.len -= 1)),
        Box::new(header_with(|header| header.next -= 1)),
        Box::new(header_with(|header| header.kind = ContainerKind::Set)),
        Box::new(|tables| flagged(tables, &first, true, false)),
        Box::new(|tables| flagged(tables, &first, false, true)),
        // A member too few, too many, of another hash, and a bucket for nobody.
        Box::new(|tables| bucket_with(tables, &text("member 7"), &[8])),
        Box::new(|tables| bucket_with(tables, &text("member 7"), &[7, 8])),
        Box::new(|tables| bucket_with(tables, &text("nobody"), &[7])),
        // A chunk a second time, whose members all come twice then.
        Box::new(|tables| {
            let stored = tables.get(Table::Objects, &first).unwrap().unwrap().to_vec();
            tables.put(Table::Objects, &here().part(&part(ORDER, 100)), &stored).unwrap();
            header_with(|header| (header.len, header.next) = (200, 200))(tables);
        }),
    ];
    let mut bed = Bed::new(ContainerKind::Dict);
    for n in 0..100 {
        bed.insert(&text(&format!("member {n}")), &Value::from(n));
    }
    for (at, harm) in harms.iter().enumerate() {
        bed.check();
        let mut damaged = bed.tables.clone();
        harm(&mut damaged);
        assert!(check(&damaged, here(), &mut |_| Ok(())).is_err(), "harm {at}");
        use_it(Bed { tables: damaged, kind: bed.kind }, &(0..100).map(int).collect::<Vec<_>>());
    }
}
