//! A run of entries is stored as if each had been appended alone, and fills pages as well.

use super::*;
use crate::{
    options::Durability,
    store::{Entry, Run, WriteKind, WriteTables},
};

struct Rows<'a> {
    rows: &'a [(Vec<u8>, Vec<u8>)],
    done: usize,
}

impl Run for Rows<'_> {
    fn entry(&self) -> Option<Entry<'_>> {
        self.rows.get(self.done).map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    fn advance(&mut self) {
        self.done += 1;
    }
}

/// Stores all that the run may store, and answers how much that is.
fn append(writer: &mut crate::store::Writer, rows: &[(Vec<u8>, Vec<u8>)]) -> usize {
    let mut run = Rows { rows, done: 0 };
    writer.append_run(Table::Entries, &mut run).unwrap();
    run.done
}

#[test]
fn a_run_takes_no_more_pages_than_its_entries_alone() {
    let mut random = Random::seeded(8);
    for large in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (open(&directory.path().join("1.ooc")), open(&directory.path().join("2.ooc")));
        let mut model = Model::new();
        // The first into an empty table, the next behind what is there, some with hardly more than what it takes to begin.
        for (round, count) in [3000, 1, 50, 2000, 150].into_iter().enumerate() {
            let rows: Model = (0..count)
                .map(|_| {
                    let mut key = random.key();
                    key.truncate(500);
                    key.insert(0, round as u8);
                    let len = random.below(60);
                    (key, if large { random.value() } else { random.bytes(len) })
                })
                .collect();
            let rows: Vec<_> = rows.into_iter().collect();
            let mut together = one.begin_write(WriteKind::Normal, None).unwrap();
            let mut alone = other.begin_write(WriteKind::Normal, None).unwrap();
            assert_eq!(append(&mut together, &rows), rows.len());
            for (key, value) in &rows {
                assert!(alone.append(Table::Entries, key, value).unwrap());
            }
            let leaves = [&together, &alone].map(|writer| writer.leaves(Table::Entries).unwrap());
            assert_eq!(leaves[0], leaves[1], "round {round}");
            together.commit(Durability::Sync).unwrap();
            alone.commit(Durability::Sync).unwrap();
            model.extend(rows);
            check_whole(&one.snapshot().unwrap(), Table::Entries, &model);
        }
    }
}

#[test]
fn what_is_not_behind_all_others_stays_the_present_entry() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("m.ooc"));
    let row = |number: u32| (number.to_be_bytes().to_vec(), vec![number as u8; 40]);
    let mut writer = store.begin_write(WriteKind::Normal, None).unwrap();
    assert_eq!(append(&mut writer, &[row(1000)]), 1);
    assert_eq!(append(&mut writer, &[row(999)]), 0);
    // One is there twice, where a cursor has begun long ago.
    let rows: Vec<_> = (1001..3000).chain([2999, 3000]).map(row).collect();
    assert_eq!(append(&mut writer, &rows), 1999);
    writer.commit(Durability::Sync).unwrap();
    let model: Model = (1000..3000).map(row).collect();
    check_whole(&store.snapshot().unwrap(), Table::Entries, &model);
}
