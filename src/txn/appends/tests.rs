//! Lists that are appended to one by one, against vectors: what is read, taken back and committed.

use proptest::{collection::vec, prelude::*};

use super::MOST;
use crate::{
    Change, Key, Scalar, Value,
    format::{
        builder::Draft,
        frame::Frame,
        record::{Node, ObjectId, RecordView},
    },
    txn::{
        bed::{State, commit, new_state},
        entry::EntryKey,
        long::{leaf::Leaf, place::Place, sequence},
        write::Savepoint,
    },
};

/// As many elements as make a list long.
const LONG: i64 = 3000;
/// How many lists there are.
const LISTS: usize = 2;

fn int(number: usize) -> i64 {
    i64::try_from(number).unwrap()
}

fn key(list: usize) -> EntryKey {
    EntryKey::new(&Key::Scalar(Scalar::Int(int(list)))).unwrap()
}

fn lists() -> (State, Vec<ObjectId>) {
    let mut state = new_state();
    let value = Value::List((0..LONG).map(Value::from).collect());
    for list in 0..LISTS {
        state.put(&key(list), value.draft().unwrap()).unwrap();
    }
    let id = |list| {
        let stored = state.entry(key(list).ordered()).unwrap().unwrap();
        let record = RecordView::access(Frame::decode(stored).unwrap().payload).unwrap();
        ObjectId { record: record.id(), slot: record.root_slot().unwrap().unwrap() }
    };
    let ids = (0..LISTS).map(id).collect();
    (state, ids)
}

/// The elements as they are in the tables.
fn stored(state: &State, id: ObjectId) -> Vec<i64> {
    let place = Place::new(id);
    let header = sequence::header(state, place).unwrap().unwrap();
    let mut elements = Vec::new();
    while (elements.len() as u64) < header.len {
        let (first, leaf) = sequence::leaf(state, place, &header, elements.len() as u64).unwrap();
        assert_eq!(first, elements.len() as u64);
        let leaf = Leaf::open(&Frame::decode(leaf).unwrap()).unwrap();
        for index in 0..leaf.len() {
            let Node::Int(value) = leaf.item(index).unwrap() else {
                panic!("element {index} is none of ours")
            };
            elements.push(value);
        }
    }
    elements
}

fn draft(value: i64) -> Draft {
    Draft::scalar(&Scalar::Int(value))
}

#[derive(Clone, Debug)]
enum Step {
    /// So many elements, one by one.
    Append {
        list: usize,
        count: usize,
    },
    /// Several at once.
    Extend {
        list: usize,
        count: usize,
    },
    /// Something else happens to the list.
    Remove {
        list: usize,
    },
    Read,
    Savepoint,
    Release,
    RollBack,
    Commit,
}

fn step() -> impl Strategy<Value = Step> {
    let list = 0..LISTS;
    prop_oneof![
        6 => (list.clone(), prop_oneof![1..5_usize, MOST - 2..MOST + 3])
            .prop_map(|(list, count)| Step::Append { list, count }),
        1 => (list.clone(), 1..2 * MOST).prop_map(|(list, count)| Step::Extend { list, count }),
        1 => list.prop_map(|list| Step::Remove { list }),
        1 => Just(Step::Read),
        3 => Just(Step::Savepoint),
        1 => Just(Step::Release),
        2 => Just(Step::RollBack),
        1 => Just(Step::Commit),
    ]
}

proptest! {
    #[test]
    fn what_waits_is_read_taken_back_and_committed_as_if_it_had_been_written(steps in vec(step(), 1..40)) {
        let (mut state, ids) = lists();
        let mut model = vec![(0..LONG).collect::<Vec<i64>>(); LISTS];
        let mut savepoints: Vec<(Savepoint, Vec<Vec<i64>>)> = Vec::new();
        let mut next = LONG;
        for step in steps {
            let (before, mut is_change) = (state.changes(), true);
            match step {
                Step::Append { list, count } => {
                    for _ in 0..count {
                        let counted = state.objects_resized();
                        state.append_elements(ids[list], &None, vec![draft(next)]).unwrap();
                        prop_assert!(state.objects_resized() > counted);
                        model[list].push(next);
                        next += 1;
                    }
                }
                Step::Extend { list, count } => {
                    let more = next..next + int(count);
                    state.append_elements(ids[list], &None, more.clone().map(draft).collect()).unwrap();
                    model[list].extend(more);
                    next += int(count);
                }
                Step::Remove { list } => {
                    state.settle_appends().unwrap();
                    let remove = Change::Splice { at: 1, remove: 1, insert: Vec::new() };
                    prop_assert!(state.change(ids[list], &None, None, &[remove]).unwrap());
                    model[list].remove(1);
                }
                Step::Savepoint => {
                    savepoints.push((state.savepoint(), model.clone()));
                    is_change = false;
                }
                Step::Release => {
                    if savepoints.pop().is_some() {
                        state.release_savepoint();
                    }
                    is_change = false;
                }
                Step::RollBack => match savepoints.pop() {
                    Some((savepoint, then)) => {
                        state.roll_back_to(savepoint).unwrap();
                        model = then;
                    }
                    None => is_change = false,
                },
                Step::Read => {
                    state.write_appends().unwrap();
                    prop_assert!(!state.has_appends());
                    for (id, elements) in ids.iter().zip(&model) {
                        prop_assert_eq!(&stored(&state, *id), elements);
                    }
                    is_change = false;
                }
                Step::Commit => {
                    for _ in savepoints.drain(..) {
                        state.release_savepoint();
                    }
                    state = commit(state);
                    continue;
                }
            }
            // Who remembers something notices, whether it was written or waits.
            prop_assert!(!is_change || state.changes() > before);
        }
        for _ in savepoints.drain(..) {
            state.release_savepoint();
        }
        let state = commit(state);
        for (id, elements) in ids.iter().zip(&model) {
            prop_assert_eq!(&stored(&state, *id), elements);
            sequence::check(&state, Place::new(*id), &mut |_| Ok(())).unwrap();
        }
    }
}

#[test]
fn elements_that_come_one_by_one_are_written_together() {
    let (mut state, ids) = lists();
    let counts = |state: &State| {
        let header = sequence::header(state, Place::new(ids[0])).unwrap().unwrap();
        (header.len, header.changes)
    };
    state.append_elements(ids[0], &None, vec![draft(0)]).unwrap();
    let (len, changes) = counts(&state);
    for value in 1..int(MOST) {
        state.append_elements(ids[0], &None, vec![draft(value)]).unwrap();
    }
    assert_eq!(counts(&state), (len, changes), "the tables don't have them");
    state.append_elements(ids[0], &None, vec![draft(7)]).unwrap();
    assert_eq!(counts(&state), (len + MOST as u64, changes + 1), "as many as may wait are one change");
}
