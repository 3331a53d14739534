//! Long dicts and sets: what they are made of, many members, values that grow.

mod damage;
mod model;

use std::collections::BTreeSet;

use super::{
    bucket::hash,
    writer::{LIMIT, SPLIT},
    *,
};
use crate::{
    Key, KeyBytes, Scalar, Value,
    format::{
        builder::{DraftKind, Placement},
        copy::{Names, ordered_member},
        record::{ObjectId, RecordView, Reference},
    },
    store::{MemoryTables, WriteTables},
    sync::Arc,
    txn::changes::Changes,
};

/// The place that the tests use; others have something before and behind it.
fn here() -> Place {
    Place::new(ObjectId { record: 7, slot: 1 })
}

/// Symbols for names that begin with `s`, shared values that aren't kept, and records with the id 77.
#[derive(Default)]
struct World(Vec<Arc<str>>);

impl Placement for World {
    fn symbol(&mut self, name: &str) -> Result<Option<u32>> {
        if !name.starts_with('s') {
            return Ok(None);
        }
        self.0.push(name.into());
        Ok(Some(self.0.len() as u32 - 1))
    }

    fn share(&mut self, encoded: &[u8]) -> Result<Option<u64>> {
        Ok(encoded.ends_with(b"share").then_some(99))
    }

    fn record_id(&mut self) -> u64 {
        77
    }
}

impl Names for World {
    fn name(&self, symbol: u32) -> Result<Arc<str>> {
        Ok(Arc::clone(&self.0[symbol as usize]))
    }
}

/// A table under test, between entries of others that must stay as they are.
struct Bed {
    tables: MemoryTables,
    kind: ContainerKind,
}

const OTHERS: [ObjectId; 2] = [ObjectId { record: 7, slot: 0 }, ObjectId { record: 7, slot: 2 }];

impl Bed {
    fn new(kind: ContainerKind) -> Self {
        let mut tables = MemoryTables::default();
        for id in OTHERS {
            create(&mut tables, Place::new(id), kind).unwrap();
            WriteTables::put(&mut tables, Table::Objects, &Place::new(id).part(&part(INDEX, 5)), b"x")
                .unwrap();
        }
        create(&mut tables, here(), kind).unwrap();
        Self { tables, kind }
    }

    fn header(&self) -> Header {
        header(&self.tables, here()).unwrap().unwrap()
    }

    /// Verifies it, the records of the chunks included, and counts its parts.
    fn check(&self) -> u64 {
        let parts = check(&self.tables, here(), &mut |stored| {
            let frame = Frame::decode(stored)?;
            RecordView::access(frame.payload)?.check(&mut Nothing)
        })
        .unwrap();
        for id in OTHERS {
            assert!(self.tables.get(Table::Objects, Place::new(id).header()).unwrap().is_some());
        }
        // The others have two entries each.
        assert_eq!(parts + 4, self.tables.rows(Table::Objects).len() as u64);
        parts
    }

    fn insert(&mut self, key: &Key<'static>, value: &Value) -> bool {
        let mut world = World::default();
        let items = items(self.kind, &mut world, &[(key.clone(), value.clone())]);
        let record = RecordView::access(&items).unwrap();
        let (key, value) = members(record).next().unwrap().unwrap();
        let ordered = ordered_member(record, key, &world).unwrap();
        let member = Member { ordered: &ordered, key, value };
        insert(&mut self.tables, here(), record, &world, member, &mut elsewhere).unwrap()
    }

    fn extend(&mut self, new: &[(Key<'static>, Value)]) {
        let mut world = World::default();
        let items = items(self.kind, &mut world, new);
        let record = RecordView::access(&items).unwrap();
        extend(&mut self.tables, here(), record, &world, members(record), &mut elsewhere).unwrap();
    }

    fn remove(&mut self, key: &Key<'_>) -> bool {
        remove(&mut self.tables, here(), &ordered(key)).unwrap()
    }

    /// Finds a member: its sequence number, the key as it was first given, the value.
    fn get(&self, key: &Key<'_>) -> Option<(u64, Key<'static>, Value)> {
        let found = find(&self.tables, here(), &ordered(key)).unwrap()?;
        let chunk = found.open().unwrap();
        assert_eq!(chunk.seq(found.position).unwrap(), found.seq);
        Some(read(&chunk, found.position).unwrap())
    }

    /// All members, in order, or against it.
    fn all(&self, backward: bool) -> Vec<(u64, Key<'static>, Value)> {
        walk(&self.tables, backward).unwrap()
    }

    /// How many bytes its chunks have, and how many there are.
    fn size(&self) -> (usize, usize) {
        let rows = self.tables.rows(Table::Objects).iter();
        let chunks = rows.filter(|(key, _)| part_of(here(), key).is_some_and(|part| part.0 == ORDER));
        chunks.fold((0, 0), |(bytes, count), (_, stored)| (bytes + stored.len(), count + 1))
    }
}

/// Goes through all members, and fails rather than go on for ever.
fn walk(tables: &MemoryTables, backward: bool) -> Result<Vec<(u64, Key<'static>, Value)>> {
    let mut all = Vec::new();
    let mut wanted = if backward { u64::MAX } else { 0 };
    while let Some((own, stored)) = chunk_from(tables, here(), wanted, backward)? {
        let chunk = Chunk::open(own, stored)?;
        let at = chunk.position(wanted)?;
        let next = if backward {
            let end = if at < chunk.len() && chunk.seq(at)? == wanted { at + 1 } else { at };
            for position in (0..end).rev() {
                all.push(read(&chunk, position)?);
            }
            chunk.seq(0)?.checked_sub(1)
        } else {
            for position in at..chunk.len() {
                all.push(read(&chunk, position)?);
            }
            chunk.seq(chunk.len() - 1)?.checked_add(1)
        };
        let Some(next) = next else { break };
        assert!(if backward { next < wanted } else { next > wanted }, "{next} follows {wanted}");
        wanted = next;
    }
    Ok(all)
}

fn read(chunk: &Chunk<'_>, position: usize) -> Result<(u64, Key<'static>, Value)> {
    let record = chunk.record();
    let key = record.key(chunk.key(position)?, 0)?.into_owned();
    let value = chunk.value(position)?.map_or(Ok(Value::NONE), |value| owned(record, value, 0))?;
    Ok((chunk.seq(position)?, key, value))
}

fn owned(record: RecordView<'_>, node: Node<'_>, depth: usize) -> Result<Value> {
    if depth > 5 {
        return Err(Error::corrupted("deeper than any value of these tests"));
    }
    Ok(match node {
        Node::Object(reference) => Value::Object(reference),
        Node::Shared(id) => Value::Instance(vec![Value::from(id.cast_signed())]),
        Node::Container(container) if container.kind == ContainerKind::Tuple => {
            let items =
                (0..container.len()).map(|index| owned(record, record.item(container, index)?, depth + 1));
            Value::Tuple(items.collect::<Result<_>>()?)
        }
        node => match record.key(node, 0)?.into_owned() {
            Key::Scalar(scalar) => Value::Scalar(scalar),
            Key::FrozenSet(members) => Value::FrozenSet(members),
            Key::Tuple(_) => unreachable!("tuples were met above"),
        },
    })
}

/// The archive of a dict or set.
fn items(kind: ContainerKind, world: &mut World, items: &[(Key<'static>, Value)]) -> Vec<u8> {
    let value = match kind {
        ContainerKind::Dict => Value::Dict(items.to_vec()),
        _ => Value::Set(items.iter().map(|(key, _)| key.clone()).collect()),
    };
    let DraftKind::Record(builder) = value.draft().unwrap().0 else { panic!("not a record") };
    builder.archive(world).unwrap().0
}

fn members(record: RecordView<'_>) -> impl Iterator<Item = Result<(Node<'_>, Option<Node<'_>>)>> {
    let Node::Container(root) = record.root().unwrap() else { panic!("the root is no container") };
    (0..root.len()).map(move |index| {
        let value = (root.kind == ContainerKind::Dict).then(|| record.value(root, index)).transpose()?;
        Ok((record.item(root, index)?, value))
    })
}

/// Mutable containers become references to the slot that they had.
fn elsewhere(builder: &mut ValueBuilder, container: Container) -> Result<Placed> {
    let id = ObjectId { record: 77, slot: container.slot().unwrap() };
    builder.refer(Reference { kind: container.kind, id }).map(Placed::Elsewhere)
}

struct Nothing;

impl crate::format::record::check::References for Nothing {
    fn name(&mut self, symbol: u32) -> Result<String> {
        Err(Error::corrupted(format!("symbol {symbol}")))
    }

    fn shared(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn object(&mut self, _: Reference) -> Result<()> {
        Ok(())
    }
}

fn ordered(key: &Key<'_>) -> KeyBytes {
    let mut ordered = KeyBytes::new();
    key.encode_allowing_nan(&mut ordered).unwrap();
    ordered
}

fn int(value: i64) -> Key<'static> {
    Key::from(value)
}

fn text(value: &str) -> Key<'static> {
    Key::Scalar(Scalar::Str(value.to_owned().into()))
}

#[test]
fn the_bytes_of_a_table() {
    let mut bed = Bed::new(ContainerKind::Dict);
    bed.insert(&text("k"), &Value::from(1));
    bed.insert(&int(300), &Value::from("v"));
    let payload = |rest: &[u8]| {
        let stored = bed.tables.get(Table::Objects, &here().part(rest)).unwrap().unwrap();
        let frame = Frame::decode(stored).unwrap();
        (frame.kind, frame.payload.to_vec())
    };
    let mut expected = vec![1];
    for number in [2_u64, 2, 2] {
        expected.extend_from_slice(&number.to_le_bytes());
    }
    assert_eq!(payload(&[]), (Kind::Long, expected));
    let (kind, chunk) = payload(&[1, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(kind, Kind::Record);
    // The root, the block's length, the kind, then number, key and value of each; the heap; the root.
    let words: Vec<u8> = [0x18_u16, 7, 0x21, 1, 0x04, 0x21, 0x21, 0x2581, 0x24]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    assert_eq!(&chunk[..18], &words);
    assert_eq!(&chunk[18..22], b"\x01k\x01v");
    assert_eq!(chunk.len(), 18 + 4 + 33);
    let index = |key: &Key<'_>| payload(&part(INDEX, hash(&ordered(key))));
    assert_eq!(index(&text("k")), (Kind::Bucket, vec![0]));
    assert_eq!(index(&int(300)), (Kind::Bucket, vec![1]));
}

#[test]
fn one_true_and_one_point_zero_are_one_key_and_the_first_stays() {
    let mut bed = Bed::new(ContainerKind::Dict);
    let keys = [Key::Scalar(Scalar::Float(1.0)), int(1), Key::Scalar(Scalar::Bool(true))];
    for (changes, key) in (1_u32..).zip(&keys) {
        let value = Value::from(i64::from(changes));
        assert_eq!(bed.insert(key, &value), changes == 1);
        assert_eq!(bed.get(key), Some((0, keys[0].clone(), value)));
        assert_eq!(bed.header().changes, u64::from(changes));
    }
    assert!(bed.remove(&keys[2]) && !bed.remove(&keys[1]));
    assert_eq!((bed.header().len, bed.header().changes, bed.check()), (0, 4, 1));
}

#[test]
fn a_set_that_has_a_member_does_not_change() {
    let mut bed = Bed::new(ContainerKind::Set);
    assert!(bed.insert(&int(1), &Value::NONE));
    let before = bed.tables.rows(Table::Objects).clone();
    assert!(!bed.insert(&Key::Scalar(Scalar::Bool(true)), &Value::NONE));
    assert_eq!(bed.tables.rows(Table::Objects), &before);
    clear(&mut bed.tables, here()).unwrap();
    let cleared = bed.tables.rows(Table::Objects).clone();
    clear(&mut bed.tables, here()).unwrap();
    assert!(!bed.remove(&int(1)) && !remove_at(&mut bed.tables, here(), 0).unwrap());
    bed.extend(&[]);
    assert_eq!(bed.tables.rows(Table::Objects), &cleared);
    assert_eq!(bed.header(), Header { kind: ContainerKind::Set, len: 0, changes: 2, next: 1 });
}

#[test]
fn several_nans_are_members_and_none_is_found() {
    let nan = Key::Scalar(Scalar::Float(f64::NAN));
    let keys = [nan.clone(), Key::Tuple(vec![int(1), nan.clone()]), nan.clone(), text("a")];
    for bulk in [false, true] {
        let mut bed = Bed::new(ContainerKind::Set);
        let new: Vec<_> = keys.iter().cloned().map(|key| (key, Value::NONE)).collect();
        if bulk {
            bed.extend(&new);
        } else {
            assert!(new.iter().all(|(key, value)| bed.insert(key, value)));
        }
        assert_eq!(bed.check(), 3);
        assert!(keys[..3].iter().all(|key| bed.get(key).is_none() && !bed.remove(key)));
        assert!(remove_at(&mut bed.tables, here(), 2).unwrap());
        assert!(!remove_at(&mut bed.tables, here(), 2).unwrap());
        assert!(remove_at(&mut bed.tables, here(), 3).unwrap());
        assert_eq!((bed.check(), bed.header().len), (2, 2));
    }
}

#[test]
fn symbols_become_texts_and_what_is_named_shows_in_the_frame() {
    let mut bed = Bed::new(ContainerKind::Dict);
    let shared = "x".repeat(200) + "share";
    let list = Value::List(vec![Value::from(1)]);
    let state = Value::Tuple(vec![list.clone(), Value::FrozenSet((0..40).map(int).collect())]);
    let flags = |bed: &Bed| {
        let (_, stored) = chunk_from(&bed.tables, here(), 0, false).unwrap().unwrap();
        let frame = Frame::decode(stored).unwrap();
        (frame.has_shared, frame.has_links)
    };
    bed.insert(&text("symbol"), &Value::from(1));
    assert_eq!((bed.get(&text("symbol")).unwrap().0, flags(&bed)), (0, (false, false)));
    bed.extend(&[(text("shared"), Value::from(shared.as_str())), (text("other"), Value::from(2))]);
    bed.insert(&text("again"), &Value::from(shared.as_str()));
    assert!(bed.get(&text("shared")).is_some());
    bed.check();
    bed.insert(&text("symbol"), &state);
    assert_eq!(flags(&bed), (false, true));
    let id = ObjectId { record: 77, slot: 1 };
    let Value::Tuple(read) = bed.get(&text("symbol")).unwrap().2 else { panic!("not a tuple") };
    assert_eq!(read[0], Value::Object(Reference { kind: ContainerKind::List, id }));
    assert!(bed.remove(&text("symbol")));
    assert_eq!(flags(&bed), (true, false));
    bed.check();
}

#[test]
fn a_hundred_thousand_members_built_at_once_and_one_by_one() {
    let new: Vec<_> =
        (0..100_000).map(|n| (text(&format!("key {n:06}")), Value::from(n * 7 % 1_000))).collect();
    let mut bulk = Bed::new(ContainerKind::Dict);
    bulk.extend(&new);
    let mut single = Bed::new(ContainerKind::Dict);
    for (key, value) in &new {
        assert!(single.insert(key, value));
    }
    assert_eq!(bulk.header(), Header { changes: 1, ..single.header() });
    assert_eq!((bulk.header().len, single.header().changes), (100_000, 100_000));
    assert_eq!(bulk.check(), single.check());
    let rows = |bed: &Bed| {
        let mut rows = bed.tables.rows(Table::Objects).clone();
        rows.remove(here().header());
        rows
    };
    assert!(rows(&bulk) == rows(&single), "the same members make the same parts");
    let (size, chunks) = bulk.size();
    // A key of 10 bytes with its length and three words of two bytes: chunks are all but full.
    assert!(size < 100_000 * 18 && size > chunks * (LIMIT - 30), "{size} bytes in {chunks} chunks");
    let all = bulk.all(false);
    assert!(all.iter().map(|(_, key, value)| (key, value)).eq(new.iter().map(|(key, value)| (key, value))));
    for (n, (key, _)) in new.iter().enumerate().step_by(97) {
        let gets = bulk.tables.gets(Table::Objects);
        assert_eq!(bulk.get(key).unwrap().0, n as u64);
        assert_eq!(bulk.tables.gets(Table::Objects), gets + 1);
    }
    for (n, (key, _)) in new.iter().enumerate() {
        if n % 10 > 0 {
            assert!(single.remove(key));
        }
    }
    single.check();
    assert_eq!(single.all(true).len(), 10_000);
    free(&mut bulk.tables, here()).unwrap();
    assert_eq!(bulk.tables.rows(Table::Objects).len(), 4);
    assert!(header(&bulk.tables, here()).unwrap().is_none());
}

#[test]
fn values_that_grow_split_their_chunk_evenly() {
    let mut bed = Bed::new(ContainerKind::Dict);
    let new: Vec<_> = (0..400).map(|n| (int(n), Value::from(0))).collect();
    bed.extend(&new);
    let (_, before) = bed.size();
    for size in [0, 5, 20, 80] {
        for n in 0..400_u16 {
            let value = format!("{n}{}", "y".repeat(size + usize::from(n) % 7));
            bed.insert(&int(n.into()), &Value::from(value.as_str()));
        }
        bed.check();
        let (bytes, chunks) = bed.size();
        assert!(chunks * SPLIT / 2 < bytes, "{chunks} chunks of {bytes} bytes");
    }
    assert!(bed.size().1 > 10 * before);
    // One far larger than a chunk stands alone.
    let large = "z".repeat(3 * LIMIT);
    for n in [0, 200, 399] {
        bed.insert(&int(n), &Value::from(large.as_str()));
        bed.check();
        assert_eq!(bed.get(&int(n)).unwrap().2, Value::from(large.as_str()));
    }
    bed.insert(&int(400), &Value::from(large.as_str()));
    bed.insert(&int(401), &Value::from(1));
    bed.check();
    let seqs: Vec<_> = bed.all(false).iter().map(|(seq, ..)| *seq).collect();
    assert!(seqs.iter().copied().eq(0..402));
}

#[test]
fn a_member_behind_a_full_chunk_leaves_it_alone() {
    let mut bed = Bed::new(ContainerKind::Set);
    let mut rewritten = 0;
    for n in 0..500 {
        let before: BTreeSet<_> = bed.tables.rows(Table::Objects).clone().into_iter().collect();
        bed.insert(&text(&format!("member number {n}")), &Value::NONE);
        let after = bed.tables.rows(Table::Objects);
        let changed = after.iter().filter(|(key, value)| {
            part_of(here(), key).is_some_and(|part| part.0 == ORDER)
                && !before.contains(&((*key).clone(), (*value).clone()))
        });
        let changed = changed.count();
        assert_eq!(changed, 1);
        rewritten += changed;
    }
    let (_, chunks) = bed.size();
    assert!(rewritten == 500 && chunks > 4);
    assert!(bed.tables.puts(Table::Objects) <= 500 * 3 + 7);
}
